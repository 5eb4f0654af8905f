// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for pattern tiles (tmpl_pats.h).
 *
 * A layer has a list of bodies: the masks of taps that its kernels consist of. Stream of
 * a filter: u32 count[bodies], then the kernels in that order: u32 offset, weights in
 * raster order.
 */
#include <linux/errno.h>
#include "conv_int.h"
#include "pats_bodies.h"

#define BODY(m) m,
static const u16 bodies[] = { PATS_BODIES(BODY) };

#define BODIES (sizeof(bodies) / sizeof(*bodies))

int pat_pats_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	u32 filters = c->out.c;

	info->algo = PAT_CONV_PATTERNS;
	info->packed_bytes = pat_align(sizeof(*k)) + 8 * PAT_ALIGN + (u64)filters * 8 + BODIES * 4 +
		pat_align((u64)(filters + 1) * 8) + pat_align((u64)filters * BODIES * 4) +
		pat_align(w->nnz * 8) + pat_groups_bytes(c);
	return pat_strips_plan(isa, t, w, k, info);
}

static u32 mask_of(const struct pat_expand *e, u32 ch)
{
	u32 m = 0;

	for (u32 i = 0; i < 9; i++)
		m |= (u32)e->present[ch * 9 + i] << i;
	return m;
}

#define NO_PART	0xffU

static u32 taps_of(u32 m)
{
	u32 n = 0;

	for (; m; m &= m - 1)
		n++;
	return n;
}

static u32 columns_of(u32 m)
{
	return !!(m & 0x49) + !!(m & 0x92) + !!(m & 0x124);
}

/*
 * What a kernel of mask @m consists of: up to four positions in bodies[], a byte each. A
 * body of its own, or a pattern and what it leaves of each column, or just columns.
 */
static u32 parts_of(u32 m)
{
	u32 parts = ~0U, best = 0, n = 0;

	for (u32 b = 0; b < BODIES; b++) {
		u32 left = m & ~(u32)bodies[b];

		if (bodies[b] == m)
			return ~0U << 8 | b;
		if ((m & bodies[b]) == bodies[b] && taps_of(bodies[b]) == 4 &&
		    (!n || columns_of(left) < columns_of(m & ~best))) {
			best = bodies[b];
			parts = ~0U << 8 | b;
			n = 1;
		}
	}
	for (u32 i = 0; i < 3; i++)
		for (u32 b = 0; b < BODIES; b++)
			if (bodies[b] == (m & ~best & 0x49 << i))
				parts = parts << 8 | b;
	return parts;
}

static bool has_part(u32 parts, u32 b)
{
	for (; parts != ~0U; parts = parts >> 8 | NO_PART << 24)
		if ((parts & 0xff) == b)
			return true;
	return false;
}

/* parts of all kernels of channels of the filter in @slot, 0xff for those that are not there */
static void parts_of_filter(const struct pat_conv *c, const struct pat_weights *w, u32 slot,
			    struct pat_expand *e, u32 *parts)
{
	u32 last = 0, last_parts = ~0U;

	pat_expand_slot(c, w, slot, e);
	for (u32 ch = 0; ch < c->in.c / c->groups; ch++) {
		u32 m = mask_of(e, ch);

		if (m && m != last) {
			last = m;
			last_parts = parts_of(m);
		}
		parts[ch] = m ? last_parts : ~0U;
	}
}

static void list_bodies(const struct pat_weights *w, struct pat_conv_packed *k, struct pat_groups *g,
			u32 *list)
{
	const struct pat_conv *c = &k->conv;
	u32 *parts = g->b.value;
	u8 used[BODIES] = { 0 };

	for (u32 i = 0; i < c->out.c; i++) {
		parts_of_filter(c, w, g->sort[i].slot, &g->a, parts);
		for (u32 ch = 0; ch < c->in.c / c->groups; ch++)
			for (u32 p = parts[ch]; p != ~0U; p = p >> 8 | NO_PART << 24)
				used[p & 0xff] = 1;
	}
	for (u32 b = 0; b < BODIES; b++)
		if (used[b])
			list[k->body_count++] = b;
}

/* kernels of body @b; returns how many */
static u32 put_kernels(const struct pat_conv_packed *k, const struct pat_expand *e, const u32 *parts,
		       u32 ch0, u32 b, u32 **out)
{
	u32 n = 0, *o = *out;

	for (u32 ch = 0; ch < k->conv.in.c / k->conv.groups; ch++) {
		/* cheap test first: most kernels are not there */
		if (parts[ch] == ~0U || !has_part(parts[ch], b))
			continue;
		n++;
		*o++ = (ch0 + ch) * k->panel.plane;
		for (u32 i = 0; i < 9; i++)
			if (bodies[b] >> i & 1)
				*o++ = e->value[ch * 9 + i];
	}
	*out = o;
	return n;
}

void pat_pats_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 n = c->out.c, ocg = n / c->groups, icg = c->in.c / c->groups, *list;
	struct pat_class *cls = k->classes;
	u64 at = pat_align(sizeof(*k)), *ptr;
	u8 *base = (u8 *)k;

	(void)isa;
	k->bodies = at;
	list = (u32 *)(base + at);
	list_bodies(w, k, g, list);
	at = pat_align(at + BODIES * 4);
	k->class_count = 1;
	cls->size = 1;
	cls->groups = n;
	cls->filters = at;
	cls->bias = pat_align(at + (u64)n * 4);
	cls->ptr = pat_align(cls->bias + (u64)n * 4);
	at = pat_align(cls->ptr + (u64)(n + 1) * 8);
	ptr = (u64 *)(base + cls->ptr);
	for (u32 i = 0; i < n; i++) {
		u32 f = g->sort[i].filter, *count = (u32 *)(base + at), *o = count + k->body_count;

		((u32 *)(base + cls->filters))[i] = f;
		((u32 *)(base + cls->bias))[i] = w->bias ? w->bias[f] : 0;
		ptr[i] = at;
		parts_of_filter(c, w, g->sort[i].slot, &g->a, g->b.value);
		for (u32 p = 0; p < k->body_count; p++)
			count[p] = put_kernels(k, &g->a, g->b.value, f / ocg * icg, list[p], &o);
		at = (u64)((u8 *)o - base);
	}
	ptr[n] = at;
	/* the kernels ask for masks */
	for (u32 p = 0; p < k->body_count; p++)
		list[p] = bodies[list[p]];
	k->bytes = pat_align(at);
}
