// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for one output pixel (tmpl_gemv.h): lanes are filters, in
 * slices of vl. Dense: [slice][tap][vl] weights. Sparse: filters are sorted by their
 * number of weights (FKR), then per slice as many steps as its longest filter has:
 * u32 tap[vl], weight[vl].
 */
#include "conv_int.h"

/* two words per kept weight, gathered: worth it below two fifths */
static int sparse(const struct pat_conv *c, const struct pat_weights *w)
{
	return w->nnz * 5 < (u64)c->out.c * pat_filter_taps(c) * 2;
}

int pat_gemv_plan(const struct pat_conv_isa *isa, const struct pat_weights *w,
		  struct pat_conv_packed *k, struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	u64 taps = pat_filter_taps(c), slices = pat_div_up(c->out.c, isa->vl), values;

	values = sparse(c, w) ? (w->nnz + taps * isa->vl) * 2 : slices * isa->vl * taps;
	k->band_rows = 1;
	k->units = slices;
	k->partial = pat_align((taps + isa->vl) * 4);
	info->scratch_bytes = k->partial + 8 * isa->vl * 4;
	info->band_rows = 1;
	info->row_step = 1;
	info->gather = taps;
	info->packed_bytes = pat_align(sizeof(*k)) + 3 * pat_align(slices * (isa->vl + 2) * 8) +
			     pat_align(values * 4) + pat_groups_bytes(c);
	return 0;
}

/* filters by descending number of weights; counts are below 2^32 */
static void by_length(struct pat_groups *g, const struct pat_conv *c, const struct pat_weights *w)
{
	struct pat_sort *s = g->sort;

	for (u32 i = 0; i < g->filters; i++) {
		pat_expand_slot(c, w, s[i].slot, &g->a);
		s[i].hash = g->a.kept;
	}
	/* shell sort: a few thousand filters */
	for (u32 gap = 1 << 20; gap; gap /= 2)
		for (u32 i = gap; i < g->filters; i++)
			for (u32 j = i; j >= gap && s[j - gap].hash < s[j].hash; j -= gap) {
				struct pat_sort x = s[j];

				s[j] = s[j - gap];
				s[j - gap] = x;
			}
}

void pat_gemv_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 vl = isa->vl, slices = k->units, taps = pat_filter_taps(c);
	u64 at = pat_align(sizeof(*k));
	struct pat_class *cls = k->classes;
	u8 *base = (u8 *)k;
	u32 *filters, *bias;
	u64 *ptr;

	k->class_count = 1;
	cls->groups = slices;
	cls->size = vl;
	cls->tile = sparse(c, w);
	if (cls->tile)
		by_length(g, c, w);
	cls->filters = at;
	filters = (u32 *)(base + at);
	at = pat_align(at + (u64)slices * vl * 4);
	cls->bias = at;
	bias = (u32 *)(base + at);
	at = pat_align(at + (u64)slices * vl * 4);
	cls->ptr = at;
	ptr = (u64 *)(base + at);
	at = pat_align(at + ((u64)slices + 1) * 8);
	for (u32 s = 0; s < slices; s++) {
		u32 longest = 0;

		ptr[s] = at;
		for (u32 i = 0; i < vl && s * vl + i < c->out.c; i++) {
			const struct pat_sort *f = g->sort + s * vl + i;
			u32 *o = (u32 *)(base + at) + i, n = 0;

			filters[s * vl + i] = f->filter;
			bias[s * vl + i] = w->bias ? w->bias[f->filter] : 0;
			pat_expand_slot(c, w, f->slot, &g->a);
			for (u32 x = 0; x < taps; x++) {
				if (!cls->tile) {
					o[(u64)x * vl] = g->a.present[x] ? g->a.value[x] : 0;
				} else if (g->a.present[x]) {
					o[(u64)n * 2 * vl] = x;
					o[((u64)n * 2 + 1) * vl] = g->a.value[x];
					n++;
				}
			}
			longest = pat_max(longest, cls->tile ? n : taps);
		}
		at += (u64)longest * vl * (cls->tile ? 8 : 4);
	}
	ptr[slices] = at;
	k->bytes = at;
}
