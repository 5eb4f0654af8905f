// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for depthwise layers (tmpl_dw.h): dense float [filter][kh * kw].
 * The panel holds one channel at a time.
 */
#include <linux/errno.h>
#include "conv_int.h"

/* MACs of a band of one channel: the least that is done at a time */
#define BAND_WORK	(1U << 17)

/* tmpl_dwd.h: reads the input in place */
static bool direct(const struct pat_conv *c)
{
	return (c->kernel_h == 3 || c->kernel_h == 5) && c->kernel_w == c->kernel_h &&
	       c->stride_h <= 2 && c->stride_w == c->stride_h && c->pad_left < 8 &&
	       c->out.pitch % 16 == 0;
}

static void plan_direct(const struct pat_tune *t, struct pat_conv_packed *k)
{
	const struct pat_conv *c = &k->conv;
	u32 rows = BAND_WORK / (c->kernel_h * c->kernel_w * c->out.pitch) / 28 * 28, bands;

	k->direct = 1;
	k->fold = c->out.w <= 8;
	rows = pat_min(pat_min(pat_max(rows, 28), c->out.h), t->band_rows);
	/* even bands, of groups of seven rows if there are several */
	bands = pat_div_up(c->out.h, rows);
	k->band_rows = pat_div_up(c->out.h, bands);
	if (k->band_rows % 7 && k->band_rows / 7 * 7 + 7 <= rows)
		k->band_rows = k->band_rows / 7 * 7 + 7;
	/* a row of zeros, and what vectors at stride 2 read behind it */
	k->partial = pat_align((c->in.w + 80ULL) * 4);
}

int pat_dw_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		struct pat_conv_packed *k, struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	struct pat_panel *p = &k->panel;
	u32 reach = (c->kernel_w - 1) / c->stride_w, nph, rows;

	if (isa->vl == 16 && direct(c)) {
		plan_direct(t, k);
		goto sizes;
	}
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
	k->partial = pat_align(((u64)p->plane * nph + p->pitch + 64) * 4);
	if ((u64)p->plane * nph >> 31)
		return -E2BIG;
sizes:
	k->units = c->out.c;
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
