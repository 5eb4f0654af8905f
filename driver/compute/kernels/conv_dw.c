// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for depthwise layers (tmpl_dw.h): dense float [filter][kh * kw].
 * The panel holds one channel at a time.
 */
#include <linux/errno.h>
#include "conv_int.h"

int pat_dw_plan(const struct pat_tune *t, struct pat_conv_packed *k,
		struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	struct pat_panel *p = &k->panel;
	u32 reach = (c->kernel_w - 1) / c->stride_w, nph, rows;

	p->phases_y = pat_min(c->kernel_h, c->stride_h);
	p->phases_x = pat_min(c->kernel_w, c->stride_w);
	nph = p->phases_y * p->phases_x;
	p->halo_rows = (c->kernel_h - 1) / c->stride_h;
	p->content = c->out.w + reach;
	p->pitch = pat_div_up(p->content, 16) * 16;
	p->origin = c->pad_left;
	p->origin_y = c->pad_top;
	p->segments = 1;
	p->segment = c->out.w;
	/* a band's panel takes a third of the first-level cache */
	rows = t->l1_bytes / 3 / (p->pitch * 4 * nph);
	rows = rows > p->halo_rows + 4 ? (rows - p->halo_rows) / 4 * 4 : 4;
	k->band_rows = pat_min(pat_min(rows, c->out.h), t->band_rows);
	/* rows are computed four at a time */
	p->plane = (pat_div_up(k->band_rows, 4) * 4 + p->halo_rows + 1) * p->pitch;
	k->units = c->out.c;
	k->partial = pat_align(((u64)p->plane * nph + p->pitch + 64) * 4);
	if ((u64)p->plane * nph >> 31)
		return -E2BIG;
	info->scratch_bytes = k->partial;
	info->band_rows = k->band_rows;
	info->row_step = 1;
	info->gather = 0;
	info->packed_bytes = pat_align(sizeof(*k)) + 2 * pat_align((u64)c->out.c * 4) +
		pat_align((u64)c->out.c * c->kernel_h * c->kernel_w * 4) + pat_groups_bytes(c);
	return 0;
}

void pat_dw_pack(const struct pat_weights *w, struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 n = c->out.c, taps = c->kernel_h * c->kernel_w;
	u8 *base = (u8 *)k;
	u32 *bias, *value;

	k->class_count = 1;
	k->classes[0].size = 1;
	k->classes[0].groups = n;
	k->classes[0].bias = pat_align(sizeof(*k));
	bias = (u32 *)(base + k->classes[0].bias);
	k->aux = pat_align(k->classes[0].bias + (u64)n * 4);
	value = (u32 *)(base + k->aux);
	for (u32 i = 0; i < n; i++) {
		u32 f = pat_slot_filter(w, i);

		bias[f] = w->bias ? w->bias[f] : 0;
		pat_expand_slot(c, w, i, &g->a);
		for (u32 t = 0; t < taps; t++)
			value[(u64)f * taps + t] = g->a.present[t] ? g->a.value[t] : 0;
	}
	k->bytes = pat_align(k->aux + (u64)n * taps * 4);
}
