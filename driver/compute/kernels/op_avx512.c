// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define PAT_VEC_AVX512
#include "op_isa.h"
