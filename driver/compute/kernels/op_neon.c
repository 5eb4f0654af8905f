// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define PAT_VEC_NEON
#include "op_isa.h"
