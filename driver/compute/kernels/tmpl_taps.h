/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Flat tiles: T vectors of consecutive pixels by a group of G filters stay in
 * registers while the taps of the group pass by; every shifted vector of the input
 * is loaded once for the G filters. Any kernel, stride and dilation; dense layers are
 * groups that keep everything (implicit GEMM).
 */
#include "tmpl_act.h"
#include "tmpl_gather.h"

struct taps_job {
	const struct pat_conv_packed *k;
	const struct pat_class *cls;
	const float *panel;
	const u64 *ptr;
	float *partial;
	float *out;
	const float *res;
	const struct pat_seg *seg;
	float *tmp;
	/* rows that end in this tile: what is behind them becomes zeros */
	u32 zero_row;
	u32 zero_rows;
	bool first;
	bool last;
	struct pat_clamp act;
	u16 seg_at[18];
	/* no vector has more than two segments: they are seg[2 t] and seg[2 t + 1] */
	bool pairs;
};

static PAT_NOINLINE void taps_store_slow(const struct taps_job *j, const float *v,
					 float *out, const float *res, u32 vectors)
{
	for (u32 t = 0; t < vectors; t++) {
		for (u32 s = j->seg_at[t]; s < j->seg_at[t + 1]; s++) {
			const struct pat_seg *q = j->seg + s;
			vf x = v_loadu(v + t * PAT_VL);

			if (res)
				x += v_loadm(res + q->res, q->mask);
			x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
			if (j->act.other)
				x = v_act(j->act.other, j->act.a, j->act.b, x);
			v_storem(out + q->out, q->mask, x);
		}
	}
}

PAT_INLINE void taps_finish(const struct taps_job *j, vf *acc, u32 g, const int T, const int G)
{
	const u32 *filter = (const u32 *)((const u8 *)j->k + j->cls->filters) + g * G;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);

	if (j->res || j->act.other || !j->pairs) {
		PAT_UNROLL
		for (int i = 0; i < T * G; i++)
			v_store(j->tmp + i * PAT_VL, acc[i]);
		for (int i = 0; i < G; i++) {
			const struct pat_conv *c = &j->k->conv;

			taps_store_slow(j, j->tmp + i * T * PAT_VL, j->out + filter[i] * c->out.plane,
					j->res ? j->res + filter[i] * c->res.plane : NULL, T);
		}
	} else {
		PAT_UNROLL
		for (int i = 0; i < G; i++) {
			float *out = j->out + filter[i] * j->k->conv.out.plane;

			PAT_UNROLL
			for (int t = 0; t < T; t++) {
				const struct pat_seg *q = j->seg + 2 * t;
				vf x = v_min(v_max(acc[i * T + t], lo), hi);

				v_storem(out + q[0].out, q[0].mask, x);
				v_storem(out + q[1].out, q[1].mask, x);
			}
		}
	}
	for (int i = 0; i < G; i++) {
		const struct pat_planes *o = &j->k->conv.out;
		float *out = j->out + filter[i] * o->plane + (u64)j->zero_row * o->pitch + o->w;

		for (u32 z = 0; z < j->zero_rows; z++, out += o->pitch)
			zero_floats(out, o->pitch - o->w);
	}
}

PAT_INLINE void taps_tile(const struct taps_job *j, u32 g0, u32 g1, const int T, const int G,
			  const bool ahead)
{
	const u8 *base = (const u8 *)j->k;
	const float *panel = j->panel;

	for (u32 g = g0; g < g1; g++) {
		const u8 *s = base + j->ptr[g], *e = base + j->ptr[g + 1];
		float *part = j->partial + (u64)g * j->cls->tile * G * PAT_VL;
		vf acc[32];

		if (j->first) {
			const float *bias = (const float *)(base + j->cls->bias) + g * G;

			PAT_UNROLL
			for (int i = 0; i < T * G; i++)
				acc[i] = v_set1(bias[i / T]);
		} else {
			PAT_UNROLL
			for (int i = 0; i < T * G; i++)
				acc[i] = v_load(part + i * PAT_VL);
		}
		if (j->last && j->pairs) {
			const u32 *filter = (const u32 *)(base + j->cls->filters) + g * G;

			for (int i = 0; i < G; i++)
				for (int t = 0; t < T; t++)
					pat_prefetchw(j->out + filter[i] * j->k->conv.out.plane +
						      j->seg[2 * t].out);
		}
		for (; s < e; s += 4 + 4 * G) {
			const float *x = panel + *(const u32 *)s;
			const float *w = (const float *)(s + 4);

			/* the stream comes from far away, and passes only once per tile */
			pat_prefetch(s + 1024);
			if (ahead) {
				/* so does what the tap after the next seven reads */
				const float *p = panel + *(const u32 *)(s + 8 * (4 + 4 * G));

				PAT_UNROLL
				for (int t = 0; t <= T; t++)
					pat_prefetch(p + t * PAT_VL);
			}
			if (G == 1) {
				vf wv = v_set1(w[0]);

				PAT_UNROLL
				for (int t = 0; t < T; t++)
					acc[t] = v_fma(wv, v_loadu(x + t * PAT_VL), acc[t]);
			} else if (T < G) {
				vf xv[8];

				PAT_UNROLL
				for (int t = 0; t < T; t++) {
					xv[t] = v_loadu(x + t * PAT_VL);
					v_keep(xv[t]);
				}
				PAT_UNROLL
				for (int i = 0; i < G; i++) {
					vf wv = v_set1(w[i]);

					PAT_UNROLL
					for (int t = 0; t < T; t++)
						acc[i * T + t] = v_fma(wv, xv[t], acc[i * T + t]);
				}
			} else {
				vf wv[8];

				PAT_UNROLL
				for (int i = 0; i < G; i++)
					wv[i] = v_set1(w[i]);
				PAT_UNROLL
				for (int t = 0; t < T; t++) {
					vf xv = v_loadu(x + t * PAT_VL);

					v_keep(xv);
					PAT_UNROLL
					for (int i = 0; i < G; i++)
						acc[i * T + t] = v_fma(wv[i], xv, acc[i * T + t]);
				}
			}
		}
		if (j->last) {
			taps_finish(j, acc, g, T, G);
		} else {
			PAT_UNROLL
			for (int i = 0; i < T * G; i++)
				v_store(part + i * PAT_VL, acc[i]);
		}
	}
}

#define TAPS_DEFINE(T, G)							\
static PAT_HOT void taps_##T##x##G(const struct taps_job *j, u32 g0, u32 g1)	\
{										\
	taps_tile(j, g0, g1, T, G, false);					\
}
/* sparse kernels on panels that the first-level cache does not hold */
#define TAPS_DEFINE_AHEAD(T, G)							\
static PAT_HOT void taps_ahead_##T##x##G(const struct taps_job *j, u32 g0, u32 g1) \
{										\
	taps_tile(j, g0, g1, T, G, true);					\
}
#define TAPS_CASE_AHEAD(T, G)							\
	case (T) * 16 + (G):							\
		taps_ahead_##T##x##G(j, g0, g1);				\
		return;
#define TAPS_CASE(T, G)								\
	case (T) * 16 + (G):							\
		taps_##T##x##G(j, g0, g1);					\
		break;

#define TAPS_SMALL(X)								\
	X(1, 4) X(2, 4) X(3, 4) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)	\
	X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1)	\
	X(10, 1) X(11, 1) X(12, 1)
#if PAT_REGS >= 32
#define TAPS_ALL(X)								\
	TAPS_SMALL(X) X(1, 8) X(2, 8) X(3, 8) X(4, 4) X(5, 4) X(6, 4)		\
	X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)			\
	X(13, 1) X(14, 1) X(15, 1) X(16, 1)
#else
#define TAPS_ALL(X) TAPS_SMALL(X)
#endif

#if PAT_VL == 16
#define TAPS_AHEAD(X) X(4, 4) X(5, 4) X(6, 4)
#else
#define TAPS_AHEAD(X)
#endif

TAPS_ALL(TAPS_DEFINE)
TAPS_AHEAD(TAPS_DEFINE_AHEAD)

static void taps_dispatch(const struct taps_job *j, u32 tile, u32 size, u32 g0, u32 g1)
{
	if (j->k->ahead) {
		switch (tile * 16 + size) {
		TAPS_AHEAD(TAPS_CASE_AHEAD)
		}
	}
	switch (tile * 16 + size) {
	TAPS_ALL(TAPS_CASE)
	}
}

/* where the lanes of @vectors vectors from flat pixel @at on go, and the zeros behind rows that end in them */
static PAT_NOINLINE void taps_segments(struct taps_job *j, const struct pat_conv_tile *t,
				       u32 at, u32 vectors, struct pat_seg *seg)
{
	const struct pat_conv *c = &j->k->conv;
	u32 pitch = j->k->panel.pitch, ow = c->out.w, n = 0;

	j->seg = seg;
	j->zero_rows = 0;
	for (u32 v = 0; v < vectors; v++, at += PAT_VL) {
		j->seg_at[v] = n;
		for (u32 y = at / pitch; y <= (at + PAT_VL - 1) / pitch && y < t->rows; y++) {
			s32 from = (s32)(y * pitch) - (s32)at, to = from + (s32)ow;
			u32 lo = from < 0 ? 0 : from, hi = to > PAT_VL ? PAT_VL : to;

			if (to <= 0)
				continue;
			seg[n].out = (s64)(t->row + y) * c->out.pitch - from;
			seg[n].res = (s64)(t->row + y) * c->res.pitch - from;
			seg[n++].mask = v_first(hi) & ~v_first(lo);
			if (to <= PAT_VL && !j->zero_rows++)
				j->zero_row = t->row + y;
		}
	}
	j->seg_at[vectors] = n;

	/* spread out from the back: an unused half has no lanes */
	j->pairs = true;
	for (u32 v = 0; v < vectors; v++)
		j->pairs &= j->seg_at[v + 1] - j->seg_at[v] <= 2;
	if (!j->pairs)
		return;
	for (u32 v = vectors; v-- > 0;) {
		u32 first = j->seg_at[v], count = j->seg_at[v + 1] - first;
		const struct pat_seg none = { .out = (s64)t->row * c->out.pitch,
					      .res = (s64)t->row * c->res.pitch };

		seg[2 * v + 1] = count > 1 ? seg[first + 1] : none;
		seg[2 * v] = count ? seg[first] : none;
	}
	for (u32 v = 0; v <= vectors; v++)
		j->seg_at[v] = 2 * v;
}

/* cur: a: channels gathered, b: tile of the rows, c: block, d: units done */
static bool taps_rows(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		      struct pat_cursor *cur, s64 *budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	u32 u0 = (u64)k->units * t->part / t->parts;
	u32 u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 vectors = ((t->rows - 1) * k->panel.pitch + c->out.w + PAT_VL - 1) / PAT_VL;
	struct pat_seg *seg = (struct pat_seg *)((u8 *)scratch + k->work);
	struct taps_job j = { .k = k, .out = t->out, .res = t->res, .act = pat_clamp_of(c),
			      .tmp = (float *)((u8 *)scratch + k->finish) };
	float *partial = (float *)((u8 *)scratch + k->partial);
	u32 start = 0;

	if (!gather_some(k, t, 0, &cur->a, budget, scratch))
		return false;
	for (u32 i = 0; i < k->class_count; start += k->classes[i++].groups) {
		const struct pat_class *cls = k->classes + i;
		u32 g0 = u0 > start ? u0 - start : 0;
		u32 g1 = u1 > start ? pat_min(u1 - start, cls->groups) : 0;
		u32 tiles = pat_div_up(vectors, cls->tile);

		/* behind us, or not of this part */
		if (g0 >= g1 || u0 + cur->d >= start + cls->groups)
			continue;
		if (u0 + cur->d < start + g0)
			cur->d = start + g0 - u0;
		j.cls = cls;
		for (; cur->b < tiles; cur->b++) {
			u32 v0 = (u64)vectors * cur->b / tiles;
			u32 n = (u64)vectors * (cur->b + 1) / tiles - v0;

			taps_segments(&j, t, v0 * PAT_VL, n, seg);
			j.panel = scratch + v0 * PAT_VL;
			/*
			 * A few groups at a time pass over all blocks: their partial sums and
			 * a block of the panel both stay in the first-level cache.
			 */
			while (u0 + cur->d < start + g1) {
				u32 g = u0 + cur->d - start, batch = g0 + (g - g0) / k->batch * k->batch;
				u32 end = pat_min(batch + k->batch, g1);

				j.ptr = (const u64 *)((const u8 *)k + cls->ptr) +
					(u64)cur->c * (cls->groups + 1);
				j.partial = partial - (u64)batch * cls->tile * cls->size * PAT_VL;
				j.first = cur->c == 0;
				j.last = cur->c + 1 == k->blocks;
				while (g < end) {
					u64 from = j.ptr[g];
					/* bytes of stream that the budget allows */
					u64 limit = *budget > 0 ? (u64)*budget / (n * PAT_VL) * 4 : 0;
					u32 e = g;

					if (*budget <= 0)
						return false;
					do
						e++;
					while (e < end && j.ptr[e] - from < limit);
					taps_dispatch(&j, n, cls->size, g, e);
					*budget -= (s64)((j.ptr[e] - from) / 4 + (e - g) * cls->size * 8) *
						  n * PAT_VL;
					cur->d += e - g;
					g = e;
				}
				if (++cur->c < k->blocks)
					cur->d = start + batch - u0;
				else
					cur->c = 0;
			}
			cur->d = start + g0 - u0;
		}
		cur->b = 0;
		cur->d = start + g1 - u0;
	}
	return true;
}

/* a band in pieces of k->rows; cur->a counts one channel too many for each */
static bool taps_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	u32 pieces = pat_div_up(t->rows, k->rows), step = k->conv.in.c + 1;

	if ((u64)k->units * t->part / t->parts == (u64)k->units * (t->part + 1) / t->parts)
		return true;
	while (cur->a / step < pieces) {
		u32 i = cur->a / step, from = t->rows * i / pieces;
		struct pat_cursor at = { cur->a % step, cur->b, cur->c, cur->d };
		struct pat_conv_tile piece = *t;
		bool done;

		piece.row += from;
		piece.rows = t->rows * (i + 1) / pieces - from;
		done = taps_rows(k, &piece, &at, &budget, scratch);
		*cur = (struct pat_cursor){ i * step + at.a, at.b, at.c, at.d };
		if (!done)
			return false;
		*cur = (struct pat_cursor){ .a = (i + 1) * step };
	}
	return true;
}
