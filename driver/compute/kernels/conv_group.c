// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Filters as stored, spread out to dense form one at a time, and put together in
 * groups of 8, 4, 2 that keep the same taps of the same channels. Groups share
 * every load of the input (filter-level LRE). Filters are compared whatever their
 * order in the program is.
 */
#include "conv_int.h"

/* original filter of a storage slot */
u32 pat_slot_filter(const struct pat_weights *w, u32 slot)
{
	return w->storage == PATCNN_STORAGE_FKW ? w->reorder[slot] : slot;
}

static void clear(struct pat_expand *e)
{
	for (u32 i = 0; i < e->taps; i++)
		e->present[i] = 0;
	e->kept = 0;
}

static void put(struct pat_expand *e, u32 i, u32 value)
{
	e->kept += !e->present[i];
	e->present[i] = 1;
	e->value[i] = value;
}

static void expand_fkw(const struct pat_conv *c, const struct pat_weights *w, u32 slot,
		       struct pat_expand *e)
{
	const u32 *stride = w->stride + (u64)slot * (w->pattern_count + 1);
	const u32 *values = w->values;

	/* values are in kernel order: those of earlier slots come first */
	for (u32 s = 0; s < slot; s++) {
		const u32 *st = w->stride + (u64)s * (w->pattern_count + 1);

		for (u32 p = 0; p < w->pattern_count; p++)
			values += (u64)(st[p + 1] - st[p]) * w->patterns[p].tap_count;
	}
	for (u32 p = 0; p < w->pattern_count; p++) {
		const struct patcnn_pattern *pat = w->patterns + p;
		const struct patcnn_tap *tap = w->taps + pat->tap_first;

		for (u32 i = stride[p]; i < stride[p + 1]; i++) {
			u32 ch = w->index[w->offset[slot] + i];

			for (u32 t = 0; t < pat->tap_count; t++)
				put(e, (ch * c->kernel_h + tap[t].row) * c->kernel_w + tap[t].col,
				    *values++);
		}
	}
}

/* A linear layer on planes has a kernel as large as those, but its blocks are of features. */
static void expand_block(const struct pat_conv *c, const struct pat_weights *w, u32 slot,
			 struct pat_expand *e)
{
	u32 row = slot / w->block_out, lane = slot % w->block_out;
	u32 kk = w->flat ? 1 : c->kernel_h * c->kernel_w, icg = e->taps / kk;

	for (u32 b = w->offset[row]; b < w->offset[row + 1]; b++) {
		const u32 *v = w->values + ((u64)b * w->block_out + lane) * w->block_in;
		u32 ch = w->index[b] / kk * w->block_in, pos = w->index[b] % kk;

		for (u32 i = 0; i < w->block_in && ch + i < icg; i++)
			put(e, (ch + i) * kk + pos, v[i]);
	}
}

/* spread storage slot @slot out over @e */
void pat_expand_slot(const struct pat_conv *c, const struct pat_weights *w, u32 slot,
		     struct pat_expand *e)
{
	if (w->storage == PATCNN_STORAGE_DENSE) {
		for (u32 i = 0; i < e->taps; i++) {
			e->present[i] = 1;
			e->value[i] = w->values[(u64)slot * e->taps + i];
		}
		e->kept = e->taps;
		return;
	}
	clear(e);
	if (w->storage == PATCNN_STORAGE_FKW)
		expand_fkw(c, w, slot, e);
	else if (w->storage == PATCNN_STORAGE_BLOCK)
		expand_block(c, w, slot, e);
	else
		for (u32 i = w->offset[slot]; i < w->offset[slot + 1]; i++)
			put(e, w->index[i], w->values[i]);
}

/* FNV-1a over the kept taps and the conv group */
static u64 hash(const struct pat_expand *e, u32 conv_group)
{
	u64 h = 0xcbf29ce484222325ULL ^ conv_group;

	for (u32 i = 0; i < e->taps; i++)
		if (e->present[i])
			h = (h ^ i) * 0x100000001b3ULL;
	return h;
}

static int same(const struct pat_expand *a, const struct pat_expand *b)
{
	if (a->kept != b->kept)
		return 0;
	for (u32 i = 0; i < a->taps; i++)
		if (a->present[i] != b->present[i])
			return 0;
	return 1;
}

static int less(const struct pat_sort *a, const struct pat_sort *b)
{
	return a->hash != b->hash ? a->hash < b->hash : a->filter < b->filter;
}

static void sift(struct pat_sort *s, u32 i, u32 n)
{
	struct pat_sort x = s[i];

	for (;;) {
		u32 j = 2 * i + 1;

		if (j >= n)
			break;
		if (j + 1 < n && less(s + j, s + j + 1))
			j++;
		if (!less(&x, s + j))
			break;
		s[i] = s[j];
		i = j;
	}
	s[i] = x;
}

static void heapsort(struct pat_sort *s, u32 n)
{
	for (u32 i = n / 2; i-- > 0;)
		sift(s, i, n);
	for (u32 i = n; i-- > 1;) {
		struct pat_sort x = s[0];

		s[0] = s[i];
		s[i] = x;
		sift(s, 0, i);
	}
}

/* working memory of pat_groups_form() */
u64 pat_groups_bytes(const struct pat_conv *c)
{
	u64 taps = pat_filter_taps(c);

	return pat_align((u64)c->out.c * 2 * sizeof(struct pat_sort)) +
	       2 * (pat_align(taps * 4) + pat_align(taps));
}

static void expand_init(struct pat_expand *e, const struct pat_conv *c, u8 **mem)
{
	e->taps = pat_filter_taps(c);
	e->value = (u32 *)*mem;
	*mem += pat_align((u64)e->taps * 4);
	e->present = *mem;
	*mem += pat_align(e->taps);
}

/*
 * Sort the filters so that classes of groups follow each other: all groups of 8, then
 * of 4, of 2, single filters; within a class in the order of the groups' first filters'
 * hashes. Equal hashes are confirmed, so a collision only costs speed.
 */
void pat_groups_form(struct pat_groups *g, const struct pat_conv *c,
		     const struct pat_weights *w, u32 largest, void *mem)
{
	u32 n = c->out.c, ocg = n / c->groups, at = 0;
	struct pat_sort *tmp;
	u8 *m = mem;

	g->sort = (struct pat_sort *)m;
	tmp = g->sort + n;
	m += pat_align((u64)n * 2 * sizeof(struct pat_sort));
	expand_init(&g->a, c, &m);
	expand_init(&g->b, c, &m);
	g->filters = n;
	for (u32 i = 0; i < n; i++) {
		u32 f = pat_slot_filter(w, i);

		tmp[i].slot = i;
		tmp[i].filter = f;
		if (w->storage == PATCNN_STORAGE_DENSE) {
			tmp[i].hash = f / ocg;
		} else {
			pat_expand_slot(c, w, i, &g->a);
			tmp[i].hash = hash(&g->a, f / ocg);
		}
	}
	heapsort(tmp, n);

	/* a run whose members are not all alike becomes single filters: give each its own hash */
	if (w->storage != PATCNN_STORAGE_DENSE) {
		for (u32 i = 0, j; i < n; i = j) {
			int alike = 1;

			pat_expand_slot(c, w, tmp[i].slot, &g->a);
			for (j = i + 1; j < n && tmp[j].hash == tmp[i].hash; j++) {
				pat_expand_slot(c, w, tmp[j].slot, &g->b);
				alike &= same(&g->a, &g->b) &&
					 tmp[j].filter / ocg == tmp[i].filter / ocg;
			}
			for (u32 q = i; !alike && q < j; q++)
				tmp[q].hash = ~(u64)tmp[q].filter;
		}
	}

	for (u32 cls = 0; cls < PAT_CLASSES; cls++) {
		u32 size = 8 >> cls;

		g->first[cls] = at;
		if (size > largest)
			continue;
		for (u32 i = 0, j; i < n; i = j) {
			u32 run, done;

			for (j = i + 1; j < n && tmp[j].hash == tmp[i].hash; j++)
				;
			/* larger classes have taken the front of the run */
			run = j - i;
			done = size == largest ? 0 : run / (2 * size) * (2 * size);
			for (u32 q = i + done; q + size <= j; q += size) {
				for (u32 r = 0; r < size; r++)
					g->sort[at++] = tmp[q + r];
				if (size != largest)
					break;
			}
		}
	}
	g->first[PAT_CLASSES] = at;
}
