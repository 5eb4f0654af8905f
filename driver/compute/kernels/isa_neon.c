// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Sparse knows neither vector types nor intrinsics. */
#ifndef __CHECKER__
#define PAT_VEC_NEON
#define PAT_NAME "neon"
#include "tmpl_isa.h"
#endif
