// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sparse knows neither vector types nor intrinsics. */
#ifndef __CHECKER__
#define PAT_VEC_GENERIC
#include "op_isa.h"
#endif
