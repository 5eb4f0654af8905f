// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for row tiles (tmpl_cols.h): free patterns, where filters share
 * nothing. The unit of work is a piece of a kernel column: one to three taps below each
 * other, which share the rows they load. Any pattern is a few of those.
 *
 * Stream of a filter in a block: u32 count[3] of pieces of 3, 2, 1 taps, then the
 * pieces: u32 offset, weights.
 */
#include <linux/errno.h>
#include "conv_int.h"

static s32 shift_of(const struct pat_conv *c, u32 kx)
{
	return pat_floor((s32)kx - (s32)c->pad_left, c->stride_w);
}

static int pick_tile(const struct pat_conv_isa *isa, const struct pat_tune *t,
		     struct pat_conv_packed *k)
{
	const struct pat_conv *c = &k->conv;
	u64 best = ~0ULL;

	for (u32 i = 0; i < isa->tile_count; i++) {
		u32 r = isa->tiles[i].r, v = isa->tiles[i].v, n = pat_div_up(c->out.w, v * isa->vl);
		u32 bands = pat_div_up(c->out.h, r);
		/* FMAs of two taps, what loads cost beyond them, and the pass over a piece */
		u64 cost = (u64)bands * n * (r * v * 8 + (r + 1) * v * 2 + 20);

		if (r == t->tile_r && v == t->tile_v)
			cost = 0;
		if (cost < best) {
			best = cost;
			k->tile_r = r;
			k->tile_v = v;
			k->panel.segments = n;
		}
	}
	return best == ~0ULL ? -EINVAL : 0;
}

int pat_cols_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	struct pat_panel *p = &k->panel;
	s32 first = shift_of(c, 0), last = shift_of(c, c->kernel_w - 1);
	u32 front = first < 0 ? -first : 0, behind = last > 0 ? last : 0;
	u32 vl = isa->vl, nph, filters = c->out.c;
	u64 total;

	if (pick_tile(isa, t, k))
		return -EINVAL;
	k->band_rows = pat_min(k->tile_r, t->band_rows);
	k->tile_p = k->tile_v + (vl >= 8 ? 1 : 8 / vl);
	p->phases_y = pat_min(c->kernel_h, c->stride_h);
	p->phases_x = c->stride_w;
	nph = p->phases_y * p->phases_x;
	p->halo_rows = (c->kernel_h - 1) / c->stride_h;
	p->pitch = k->tile_p * vl;
	p->plane = (k->tile_r + p->halo_rows) * p->pitch;
	/* an odd number of lines: channels do not compete for the same cache sets */
	if (p->plane % 32 == 0 && p->pitch % 16 == 0)
		p->plane += 16;
	p->origin_y = c->pad_top;
	/* the columns in front of a row lie at the end of the row above it */
	p->segment = k->tile_v * vl;
	k->halo = vl;
	p->content = p->segment + front + behind;
	p->origin = front * c->stride_w;
	p->lead = vl - front;
	if (front > vl || p->content > p->pitch)
		return -EINVAL;
	total = (u64)p->plane * nph * c->in.c + 2 * vl + p->content + 64;
	if (total >> 32)
		return -E2BIG;

	k->block = t->block ? t->block : c->in.c;
	k->blocks = c->groups > 1 ? 1 : pat_div_up(c->in.c, k->block);
	k->block = pat_div_up(c->in.c / c->groups, k->blocks);
	k->units = filters;
	k->partial = pat_align(total * 4);
	k->finish = k->partial;
	if (k->blocks > 1)
		k->finish += pat_align((u64)filters * k->tile_r * k->tile_v * vl * 4);
	info->algo = PAT_CONV_COLUMNS;
	info->band_rows = k->band_rows;
	info->row_step = k->tile_r;
	info->scratch_bytes = k->finish + isa->regs * vl * 4;
	info->gather = total * p->segments * 4;
	info->packed_bytes = pat_align(sizeof(*k)) + 4 * PAT_ALIGN + (u64)filters * 8 +
		pat_align((u64)k->blocks * (filters + 1) * 8) +
		pat_align((u64)k->blocks * filters * 12) +
		pat_align(w->nnz * 8) + pat_groups_bytes(c);
	return 0;
}

/*
 * Pieces of @taps taps of channels @from to @to: written to @o if not NULL. Return: how many.
 */
static u32 pieces(const struct pat_conv_packed *k, const struct pat_expand *e, u32 ch0,
		  u32 from, u32 to, u32 taps, u32 **o)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 kw = c->kernel_w, kk = c->kernel_h * kw, n = 0;

	for (u32 ch = from; ch < to; ch++) {
		for (u32 kx = 0; kx < kw; kx++) {
			s32 s = shift_of(c, kx);
			u32 px = (s32)kx - (s32)c->pad_left - s * (s32)c->stride_w;

			for (u32 py = 0; py < p->phases_y; py++) {
				for (u32 y = py, run; y < c->kernel_h; y += run * c->stride_h) {
					const u32 at = ch * kk + kx;
					u32 off;

					for (run = 0; run < 3 && y + run * c->stride_h < c->kernel_h &&
					     e->present[at + (y + run * c->stride_h) * kw]; run++)
						;
					if (!run) {
						run = 1;
						continue;
					}
					if (run != taps)
						continue;
					n++;
					if (!o)
						continue;
					off = (((ch0 + ch) * p->phases_y + py) * p->phases_x + px) * p->plane +
					      y / c->stride_h * p->pitch + k->halo + s;
					*(*o)++ = off;
					for (u32 i = 0; i < run; i++)
						*(*o)++ = e->value[at + (y + i * c->stride_h) * kw];
				}
			}
		}
	}
	return n;
}

void pat_cols_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 icg = c->in.c / c->groups, ocg = c->out.c / c->groups, n = c->out.c;
	struct pat_class *cls = k->classes;
	u64 at = pat_align(sizeof(*k)), *ptr;
	u8 *base = (u8 *)k;
	u32 *filters, *bias;

	(void)isa;
	k->class_count = 1;
	cls->size = 1;
	cls->groups = n;
	cls->filters = at;
	filters = (u32 *)(base + at);
	at = pat_align(at + (u64)n * 4);
	cls->bias = at;
	bias = (u32 *)(base + at);
	at = pat_align(at + (u64)n * 4);
	cls->ptr = at;
	ptr = (u64 *)(base + at);
	at = pat_align(at + (u64)k->blocks * (n + 1) * 8);
	for (u32 b = 0; b < k->blocks; b++) {
		u32 from = b * k->block, to = pat_min(from + k->block, icg);

		for (u32 i = 0; i < n; i++) {
			u32 f = g->sort[i].filter, *count = (u32 *)(base + at), *o;

			filters[i] = f;
			bias[i] = w->bias ? w->bias[f] : 0;
			ptr[(u64)b * (n + 1) + i] = at;
			pat_expand_slot(c, w, g->sort[i].slot, &g->a);
			o = count + 3;
			for (u32 taps = 3; taps > 0; taps--)
				*count++ = pieces(k, &g->a, f / ocg * icg, from, to, taps, &o);
			at = (u64)((u8 *)o - base);
		}
		ptr[(u64)b * (n + 1) + n] = at;
	}
	k->bytes = pat_align(at);
}
