// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for dense layers as matrix products (tmpl_gemm.h). Weights are
 * float [group of filters][tap][filter of the group], filled up with zeros; taps go by
 * channel, then by row and column of the kernel.
 */
#include <linux/errno.h>
#include "conv_int.h"

static u32 strip_floats(u32 vl, u32 block)
{
	return block * PAT_GEMM_T * vl + (block + 15) / 16 * 16;
}

/* rows of a band: its panel takes at most half of the second-level cache */
static u32 pick_rows(const struct pat_tune *t, const struct pat_conv *c, bool direct)
{
	u32 limit = pat_min(t->band_rows, c->out.h), rows = limit;
	struct pat_panel p;

	for (; !direct && rows > 1; rows--) {
		pat_taps_panel(c, rows, &p);
		if ((u64)p.plane * p.phases_y * p.phases_x * c->in.c * 4 <= t->l2_bytes / 2)
			break;
	}
	/* even bands */
	return pat_div_up(c->out.h, pat_div_up(c->out.h, rows));
}

static bool pointwise(const struct pat_conv *c)
{
	return c->kernel_h == 1 && c->kernel_w == 1 && c->stride_h == 1 && c->stride_w == 1 &&
	       !c->pad_top && !c->pad_left;
}

/*
 * tmpl_flat.h: what is computed behind the rows costs less than packing and unpacking.
 * Residuals are fetched in time where there are more products to hide that.
 */
static bool in_rows(const struct pat_conv_isa *isa, const struct pat_conv *c, u32 size)
{
	u32 most = isa->vl == 16 && c->has_res ? 95 : isa->vl == 16 ? 190 : 150;

	return pat_in_rows(c) &&
	       (u64)c->in.c * size * PAT_GEMM_T / 2 * (c->out.pitch - c->out.w) <
	       (u64)c->out.w * most;
}

int pat_gemm_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  struct pat_conv_packed *k, struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	u32 vl = isa->vl, size = isa->regs >= 32 ? 8 : 4, pixels, nph;
	u64 taps = pat_filter_taps(c), weights, panel = 0;

	/* rows of the input are put together by masks, which are free there only */
	k->direct = vl == 16 && pointwise(c);
	if (in_rows(isa, c, size))
		k->direct = PAT_IN_ROWS;
	k->band_rows = pick_rows(t, c, k->direct);
	pat_taps_panel(c, k->band_rows, &k->panel);
	nph = k->panel.phases_y * k->panel.phases_x;
	k->units = pat_div_up(c->out.c, size);
	weights = k->units * size * taps;
	if (weights >> 32 || (u64)k->panel.plane * nph * c->in.c >> 31)
		return -E2BIG;

	/* vectors of @size sums each, or strips of three and a pixel */
	pixels = k->band_rows * c->out.w;
	k->tail = vl == 16 && pat_div_up(pixels, 3 * vl + 1) * (3 * size + 1) <
		  pat_div_up(pixels, vl) * size;
	/* a strip's block of taps fills the first-level cache */
	k->block = t->block ? t->block : t->l1_bytes * 3 / 4 / (PAT_GEMM_T * vl * 4);
	/* where sums would leave that cache, taps in the second-level one cost less */
	if (!t->block && 4ULL * k->units * (PAT_GEMM_T * size + 1) * vl > 2 * t->l1_bytes &&
	    4ULL * strip_floats(vl, taps) <= t->l2_bytes / 16)
		k->block = taps;
	k->block = pat_min(pat_max(k->block, 16), taps);
	if (k->direct == PAT_IN_ROWS) {
		k->block = taps;
		k->tail = 0;
	}
	k->blocks = pat_div_up(taps, k->block);
	k->block = pat_div_up(taps, k->blocks);
	/* weights from beyond the second-level cache serve several strips */
	k->batch = weights * 4 > t->l2_bytes / 2 ? 4 : 1;
	/* so that rows of output that go far away are long, and fetched ahead by the processor */
	if (k->direct == PAT_IN_ROWS && 4ULL * c->out.plane * c->out.c > t->l2_bytes / 2)
		k->batch = pat_max(k->batch, pat_min(t->l2_bytes / 4 / (strip_floats(vl, taps) * 4), 64));
	k->batch = pat_min(k->batch, pat_div_up(pixels, PAT_GEMM_T * vl));

	if (!k->direct)
		panel = (u64)k->panel.plane * nph * c->in.c + 64 * 16 +
			(u64)k->panel.halo_rows * k->panel.pitch + k->panel.content;
	k->partial = pat_align(panel * 4);
	k->work = k->partial + ((u64)k->batch * strip_floats(vl, k->block) +
		  (k->blocks > 1 ? (u64)k->batch * k->units : 1) *
		  (PAT_GEMM_T * size + 1) * vl) * 4;
	k->work = pat_align(k->work);
	k->finish = pat_align(k->work + k->batch * (PAT_GEMM_T * vl + 4) * 32ULL);
	k->aux_stride = taps * size;

	info->algo = PAT_CONV_GEMM;
	info->scratch_bytes = k->finish + (PAT_GEMM_T * size + 1) * vl * 4;
	info->band_rows = k->band_rows;
	info->row_step = 1;
	/* a vector is put together in the time of eight products */
	info->gather = 8 * taps * k->band_rows * c->out.w;
	info->packed_bytes = pat_align(sizeof(*k)) + pat_align(k->units * size * 4) +
		pat_align(c->kernel_h * c->kernel_w * 4) +
		pat_align(weights * 4 + 64 * size * 4) + pat_groups_bytes(c);
	return 0;
}

void pat_gemm_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 size = isa->regs >= 32 ? 8 : 4, kk = c->kernel_h * c->kernel_w;
	u64 taps = pat_filter_taps(c);
	u8 *base = (u8 *)k;
	u32 *offset, *bias, *value;

	k->class_count = 1;
	k->classes[0].size = size;
	k->classes[0].groups = k->units;
	k->classes[0].tile = PAT_GEMM_T;
	k->classes[0].bias = pat_align(sizeof(*k));
	bias = (u32 *)(base + k->classes[0].bias);
	k->classes[0].filters = k->classes[0].bias + pat_align(k->units * size * 4);
	offset = (u32 *)(base + k->classes[0].filters);
	for (u32 i = 0; i < kk; i++)
		offset[i] = k->direct ? 0 : pat_tap_offset(k, 0, i / c->kernel_w, i % c->kernel_w);
	k->aux = k->classes[0].filters + pat_align(kk * 4);
	value = (u32 *)(base + k->aux);
	for (u32 i = 0; i < c->out.c; i++) {
		u32 f = pat_slot_filter(w, i);
		u32 *o = value + f / size * k->aux_stride + f % size;

		bias[f] = w->bias ? w->bias[f] : 0;
		pat_expand_slot(c, w, i, &g->a);
		for (u64 x = 0; x < taps; x++)
			o[x * size] = g->a.present[x] ? g->a.value[x] : 0;
	}
	k->bytes = pat_align(k->aux + k->units * k->aux_stride * 4);
}
