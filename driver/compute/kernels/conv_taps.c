// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for the flat tiles (tmpl_taps.h). The panel of a channel and
 * phase is one flat run of pixels: the zero columns at the end of a row are those at
 * the start of the next one, so next to nothing of a vector is lost to borders.
 *
 * Stream of a group in a block of channels: for each tap u32 offset (of floats, in the
 * panel), then the weights of the group's filters, as their bits.
 */
#include <linux/errno.h>
#include "conv_int.h"

/* vectors of a tile for groups of @size filters */
static u32 tile_vectors(const struct pat_conv_isa *isa, u32 size)
{
	if (isa->regs < 32)
		return size == 4 ? 3 : size == 2 ? 6 : 12;
	return size == 8 ? 3 : size == 4 ? 6 : size == 2 ? 12 : 16;
}

/* phases that a kernel of @k taps @dil apart sees at stride @s */
static u32 phases(u32 k, u32 dil, u32 s)
{
	return dil == 1 ? pat_min(k, s) : k == 1 ? 1 : s;
}

void pat_taps_panel(const struct pat_conv *c, u32 rows, struct pat_panel *p)
{
	u32 reach = (c->kernel_w - 1) * c->dilation_w / c->stride_w;
	u32 overlap = reach;

	p->phases_y = phases(c->kernel_h, c->dilation_h, c->stride_h);
	p->phases_x = phases(c->kernel_w, c->dilation_w, c->stride_w);
	p->halo_rows = (c->kernel_h - 1) * c->dilation_h / c->stride_h;
	p->content = c->out.w + reach;
	for (u32 px = 0; px < p->phases_x; px++) {
		u32 head = c->pad_left > px ? pat_div_up(c->pad_left - px, c->stride_w) : 0;
		u32 end = c->in.w + c->pad_left > px ?
			  pat_div_up(c->in.w + c->pad_left - px, c->stride_w) : 0;
		u32 tail = end < p->content ? p->content - end : 0;

		overlap = pat_min(overlap, pat_min(head, tail));
	}
	p->pitch = p->content - overlap;
	p->origin = c->pad_left;
	p->origin_y = c->pad_top;
	p->segments = 1;
	p->segment = c->out.w;
	/* an odd number of lines: channels do not compete for the same cache sets */
	p->plane = ((rows + p->halo_rows) * p->pitch + overlap + 15) / 16;
	p->plane = (p->plane | 1) * 16;
	p->lead = 0;
}

static u32 pick_rows(const struct pat_conv_isa *isa, const struct pat_tune *t,
		     const struct pat_conv *c)
{
	struct pat_panel p;
	u64 best_cost = ~0ULL;
	u32 best = 1, limit = pat_min(t->band_rows, c->out.h);
	u32 vl = isa->vl, tile = tile_vectors(isa, 4);

	/*
	 * Cost of a row of output: vectors computed, and rows of halo gathered and read
	 * again. Panels beyond three eighths of the second-level cache are not considered.
	 */
	for (u32 rows = 1; rows <= limit; rows++) {
		if (t->row_step > 1 && rows % t->row_step && rows < limit && limit > t->row_step)
			continue;

		u32 bands = pat_div_up(c->out.h, rows), vectors, tiles;
		u64 cost;

		pat_taps_panel(c, rows, &p);
		if (best_cost != ~0ULL && (u64)p.plane * p.phases_y * p.phases_x * c->in.c * 4 > t->l2_bytes * 3 / 8)
			break;
		vectors = pat_div_up((rows - 1) * p.pitch + c->out.w, vl);
		tiles = pat_div_up(vectors, tile);
		cost = (u64)bands * (vectors * 16 + tiles * 4 +
				     p.halo_rows * pat_div_up(p.pitch, vl) * 2);
		if (cost <= best_cost) {
			best_cost = cost;
			best = rows;
		}
	}
	return best;
}

/* tmpl_pw.h: no panel, if little is computed behind the rows */
static bool in_place(const struct pat_conv *c)
{
	return pat_in_rows(c) && (c->out.pitch - c->out.w) * 4 <= c->out.w &&
	       !((c->in.plane * c->in.c) >> 32);
}

static u64 plan_in_place(const struct pat_conv_isa *isa, const struct pat_tune *t,
			 struct pat_conv_packed *k)
{
	const struct pat_conv *c = &k->conv;
	u32 rows = pat_min(t->band_rows, c->out.h);

	k->direct = PAT_IN_ROWS;
	k->band_rows = pat_div_up(c->out.h, pat_div_up(c->out.h, rows));
	k->block = c->in.c;
	k->blocks = 1;
	/*
	 * Vectors of a batch of tiles: outputs that go far away are written in long runs,
	 * which the processor fetches ahead, of inputs that stay in the second-level cache.
	 */
	k->batch = 1;
	if (4ULL * c->out.plane * c->out.c > t->l2_bytes / 2)
		k->batch = t->l2_bytes / 2 / (4 * isa->vl * c->in.c) + 1;
	k->work = 0;
	k->finish = pat_align((c->out.pitch + 16ULL * isa->vl) * 4);
	return k->finish + isa->regs * isa->vl * 4;
}

int pat_taps_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	u32 nph, touched, filters = c->out.c, per_group = c->in.c / c->groups;
	u64 bytes, panel;

	if (in_place(c)) {
		info->scratch_bytes = plan_in_place(isa, t, k);
		info->gather = 0;
		goto packed;
	}
	k->band_rows = pick_rows(isa, t, c);
	k->rows = k->band_rows;
	pat_taps_panel(c, k->rows, &k->panel);
	nph = k->panel.phases_y * k->panel.phases_x;

	k->batch = 8;
	/* a block of channels of a tile stays in the first-level cache */
	touched = (tile_vectors(isa, 4) * isa->vl + (k->panel.halo_rows ?
		   k->panel.halo_rows * pat_min(k->panel.pitch, 2 * tile_vectors(isa, 4) * isa->vl) : 0)) * 4 * nph;
	touched = pat_min(touched, k->panel.plane * 4 * nph);
	k->block = t->block ? t->block : pat_max(t->l1_bytes * 3 / 4 / touched, 16);
	/* sparse kernels jump about in a panel of wide rows: rather fewer blocks, and prefetch */
	k->ahead = w->storage != PATCNN_STORAGE_DENSE && isa->vl == 16 && k->panel.halo_rows &&
		   k->panel.pitch > isa->vl;
	if (k->ahead && !t->block)
		k->block = pat_max(k->block, 128);
	k->blocks = pat_div_up(per_group, k->block);
	k->block = pat_div_up(per_group, k->blocks);
	if (c->groups > 1) {
		k->block = c->in.c;
		k->blocks = 1;
	}

	panel = (u64)k->panel.plane * nph * c->in.c + 64 * 16 +
		(u64)k->panel.halo_rows * k->panel.pitch + k->panel.content;
	if (panel >> 32)
		return -E2BIG;
	k->partial = pat_align(panel * 4);
	k->work = k->partial;
	if (k->blocks > 1)
		k->work += (u64)k->batch * isa->regs * isa->vl * 4;
	/* segments of a tile's vectors: up to vl + 1 each */
	k->finish = pat_align(k->work + 16 * (isa->vl + 2) * sizeof(struct pat_seg));
	info->scratch_bytes = k->finish + isa->regs * isa->vl * 4;
	info->gather = (u64)c->in.c * (k->band_rows + k->panel.halo_rows) * k->panel.pitch * 4;
packed:
	info->algo = PAT_CONV_TAPS;
	info->band_rows = k->band_rows;
	info->row_step = 1;

	bytes = pat_align(sizeof(*k));
	bytes += 16 * PAT_ALIGN + (u64)filters * 8;
	bytes += pat_align((u64)k->blocks * (filters + PAT_CLASSES) * 8);
	bytes += pat_align(w->nnz * 8);
	info->packed_bytes = bytes + pat_groups_bytes(c);
	return 0;
}

/* offset of a tap of channel @ch in the panel */
u32 pat_tap_offset(const struct pat_conv_packed *k, u32 ch, u32 ky, u32 kx)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 y = ky * c->dilation_h, x = kx * c->dilation_w;
	u32 py = y % c->stride_h, px = x % c->stride_w;

	if (k->direct)
		return ch * c->in.plane;
	return ((ch * p->phases_y + py) * p->phases_x + px) * p->plane +
	       y / c->stride_h * p->pitch + x / c->stride_w;
}

void pat_taps_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 kk = c->kernel_h * c->kernel_w, icg = c->in.c / c->groups;
	u32 ocg = c->out.c / c->groups, unit = 0;
	u8 *base = (u8 *)k;
	u64 at = pat_align(sizeof(*k));

	for (u32 i = 0; i < PAT_CLASSES; i++) {
		u32 size = 8 >> i, n = (g->first[i + 1] - g->first[i]) / size;
		struct pat_class *cls = k->classes + k->class_count;
		u32 *filters, *bias;

		if (!n)
			continue;
		k->class_count++;
		cls->size = size;
		cls->groups = n;
		cls->tile = tile_vectors(isa, size);
		cls->filters = at;
		filters = (u32 *)(base + at);
		at = pat_align(at + (u64)n * size * 4);
		cls->bias = at;
		bias = (u32 *)(base + at);
		at = pat_align(at + (u64)n * size * 4);
		for (u32 q = 0; q < n * size; q++) {
			filters[q] = g->sort[g->first[i] + q].filter;
			bias[q] = w->bias ? w->bias[filters[q]] : 0;
		}
		cls->ptr = at;
		at = pat_align(at + (u64)k->blocks * (n + 1) * 8);
		unit += n;
	}
	k->units = unit;

	unit = 0;
	for (u32 i = 0; i < k->class_count; i++) {
		struct pat_class *cls = k->classes + i;
		u64 *ptr = (u64 *)(base + cls->ptr);
		u32 step = 4 + 4 * cls->size;

		for (u32 b = 0; b < k->blocks; b++) {
			u32 from = b * k->block * kk;
			u32 to = pat_min((b + 1) * k->block, icg) * kk;

			for (u32 q = 0; q < cls->groups; q++) {
				const struct pat_sort *s = g->sort + unit + q * cls->size;
				u32 ch0 = s->filter / ocg * icg;

				ptr[(u64)b * (cls->groups + 1) + q] = at;
				for (u32 r = 0; r < cls->size; r++) {
					u32 *o = (u32 *)(base + at);

					pat_expand_slot(c, w, s[r].slot, &g->a);
					for (u32 x = from; x < to; x++) {
						if (!g->a.present[x])
							continue;
						o[0] = pat_tap_offset(k, ch0 + x / kk,
								      x % kk / c->kernel_w,
								      x % c->kernel_w);
						o[1 + r] = g->a.value[x];
						o += step / 4;
					}
					if (r + 1 == cls->size)
						at = (u64)((u8 *)o - base);
				}
			}
			ptr[(u64)b * (cls->groups + 1) + cls->groups] = at;
		}
		unit += cls->groups * cls->size;
	}
	k->bytes = pat_align(at);
}
