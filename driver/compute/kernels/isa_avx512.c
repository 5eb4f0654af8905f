// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define PAT_VEC_AVX512
#define PAT_NAME "avx512"
#include "tmpl_isa.h"
