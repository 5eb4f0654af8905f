// SPDX-License-Identifier: GPL-2.0-only OR MIT
#define PAT_VEC_GENERIC
#define PAT_NAME "generic"
#include "tmpl_isa.h"
