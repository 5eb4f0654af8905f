// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for pattern tiles (tmpl_pats.h).
 *
 * A layer has a list of bodies: the masks of taps that its kernels consist of. Stream of
 * a filter in a block of channels: u32 count[bodies], then the kernels in that order:
 * u32 offset, weights in raster order.
 */
#include <linux/errno.h>
#include "conv_int.h"

static const u16 bodies[] = {
	0x01b, 0x036, 0x0d8, 0x1b0, 0x03a, 0x09a, 0x0b2, 0x0b8,
	0x001, 0x002, 0x004, 0x008, 0x010, 0x020, 0x040, 0x080, 0x100,
	0x009, 0x012, 0x024, 0x048, 0x090, 0x120, 0x041, 0x082, 0x104,
	0x049, 0x092, 0x124,
};

#define BODIES (sizeof(bodies) / sizeof(*bodies))

bool pat_body_exists(u32 mask)
{
	for (u32 i = 0; i < BODIES; i++)
		if (bodies[i] == mask)
			return true;
	return false;
}

static u32 pick_rows(u32 h)
{
	static const u8 rows[] = { 8, 7, 9 };
	u32 best = 8, cost = ~0U;

	for (u32 i = 0; i < 3; i++) {
		/* a band costs its rows, its halo, and adding up the three sets */
		u32 c = pat_div_up(h, rows[i]) * (rows[i] * 8 + 10);

		if (c < cost) {
			cost = c;
			best = rows[i];
		}
	}
	return best;
}

int pat_pats_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	struct pat_panel *p = &k->panel;
	u32 filters = c->out.c, vl = isa->vl;
	u64 total;

	k->fold = c->out.w < vl / 2 ? vl / 2 : 0;
	k->tile_r = k->fold ? 4 : pick_rows(c->out.h);
	if (!k->fold && t->tile_r >= 7 && t->tile_r <= 9)
		k->tile_r = t->tile_r;
	k->tile_v = 1;
	k->band_rows = pat_min(k->fold ? 2 * k->tile_r : k->tile_r, t->band_rows);
	p->phases_y = 1;
	p->phases_x = 1;
	p->halo_rows = 2;
	p->pitch = vl;
	p->plane = (k->tile_r + 2) * vl;
	p->content = vl;
	p->origin_y = 1;
	k->halo = c->out.w > vl;
	p->origin = k->halo;
	p->segment = k->halo ? vl - 2 : c->out.w;
	p->segments = pat_div_up(c->out.w, p->segment);
	total = (u64)p->plane * c->in.c + 64 + vl;
	if (total >> 32)
		return -E2BIG;

	k->block = t->block ? t->block : c->in.c;
	k->blocks = c->groups > 1 ? 1 : pat_div_up(c->in.c, k->block);
	k->block = pat_div_up(c->in.c / c->groups, k->blocks);
	k->units = filters;
	k->partial = pat_align(total * 4);
	k->finish = k->partial;
	if (k->blocks > 1)
		k->finish += pat_align((u64)filters * k->tile_r * vl * 4);
	info->algo = PAT_CONV_PATTERNS;
	info->band_rows = k->band_rows;
	info->row_step = k->band_rows;
	info->scratch_bytes = k->finish + isa->regs * vl * 4;
	info->gather = total * p->segments * 4;
	info->packed_bytes = pat_align(sizeof(*k)) + 5 * PAT_ALIGN + (u64)filters * 8 + BODIES * 4 +
		pat_align((u64)k->blocks * (filters + 1) * 8) +
		pat_align((u64)k->blocks * filters * BODIES * 4) +
		pat_align(w->nnz * 8) + pat_groups_bytes(c);
	return 0;
}

static u32 mask_of(const struct pat_expand *e, u32 ch)
{
	u32 m = 0;

	for (u32 i = 0; i < 9; i++)
		m |= (u32)e->present[ch * 9 + i] << i;
	return m;
}

/* part @i of the kernels of mask @m, or 0: the mask itself, or each of its columns */
static u32 part_of(u32 m, u32 i)
{
	if (pat_body_exists(m))
		return i ? 0 : m;
	return i < 3 ? m & 0x49 << i : 0;
}

static bool has_part(u32 m, u32 part)
{
	return part_of(m, 0) == part || part_of(m, 1) == part || part_of(m, 2) == part;
}

static u32 *put_kernel(u32 *o, const struct pat_conv_packed *k, const struct pat_expand *e,
		       u32 ch0, u32 ch, u32 m)
{
	*o++ = (ch0 + ch) * k->panel.plane;
	for (u32 b = 0; b < 9; b++)
		if (m >> b & 1)
			*o++ = e->value[ch * 9 + b];
	return o;
}

void pat_pats_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 icg = c->in.c / c->groups, ocg = c->out.c / c->groups, n = c->out.c;
	struct pat_class *cls = k->classes;
	/* the usual patterns are always there, in front: tmpl_pats.h counts on it */
	u64 at = pat_align(sizeof(*k)), *ptr, used = 0xff;
	u8 *base = (u8 *)k;
	u32 *filters, *bias, *list, *mask = g->b.value;

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
	for (u32 i = 0; i < n; i++) {
		filters[i] = g->sort[i].filter;
		bias[i] = w->bias ? w->bias[filters[i]] : 0;
		pat_expand_slot(c, w, g->sort[i].slot, &g->a);
		for (u32 ch = 0; ch < icg; ch++) {
			u32 m = mask_of(&g->a, ch);

			for (u32 q = 0; q < 3; q++)
				for (u32 b = 0; b < BODIES; b++)
					if (bodies[b] == part_of(m, q))
						used |= 1ULL << b;
		}
	}
	k->bodies = at;
	list = (u32 *)(base + at);
	for (u32 b = 0; b < BODIES; b++)
		if (used >> b & 1)
			list[k->body_count++] = bodies[b];
	at = pat_align(at + BODIES * 4);
	cls->ptr = at;
	ptr = (u64 *)(base + at);
	at = pat_align(at + (u64)k->blocks * (n + 1) * 8);
	for (u32 b = 0; b < k->blocks; b++) {
		u32 from = b * k->block, to = pat_min(from + k->block, icg);

		for (u32 i = 0; i < n; i++) {
			u32 *count = (u32 *)(base + at), *o = count + k->body_count;

			ptr[(u64)b * (n + 1) + i] = at;
			pat_expand_slot(c, w, g->sort[i].slot, &g->a);
			for (u32 ch = from; ch < to; ch++)
				mask[ch] = mask_of(&g->a, ch);
			for (u32 p = 0; p < k->body_count; p++) {
				for (u32 ch = from; ch < to; ch++) {
					/* cheap tests first: most kernels are not there, or another's */
					if ((mask[ch] & list[p]) != list[p] || !has_part(mask[ch], list[p]))
						continue;
					o = put_kernel(o, k, &g->a, filters[i] / ocg * icg, ch, list[p]);
					count[p]++;
				}
			}
			at = (u64)((u8 *)o - base);
		}
		ptr[(u64)b * (n + 1) + n] = at;
	}
	k->bytes = pat_align(at);
}
