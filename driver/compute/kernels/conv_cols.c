// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <linux/errno.h>
#include "conv_int.h"
int pat_cols_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info)
{
	return pat_taps_plan(isa, t, w, k, info);
}
void pat_cols_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	pat_taps_pack(isa, w, k, g);
}
