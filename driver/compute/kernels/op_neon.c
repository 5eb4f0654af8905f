// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sparse does not know intrinsics; it sees the same templates in the generic instance. */
#ifndef __CHECKER__
#define PAT_VEC_NEON
#include "op_isa.h"
#endif
