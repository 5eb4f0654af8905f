// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define PAT_VEC_NEON
#define PAT_NAME "neon"
#include "tmpl_isa.h"
