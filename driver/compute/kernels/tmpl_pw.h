/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pruned 1x1 layers in place: input, output and residual have rows of one pitch, so that
 * vectors are those of the planes, and all loads and stores are aligned and whole. T vectors
 * by a group of G filters with the same channels stay in registers while the taps of the
 * group pass by. The stream is that of tmpl_taps.h, offsets are those of planes.
 */
#include "tmpl_act.h"

struct pw_job {
	const struct pat_conv_packed *k;
	const struct pat_class *cls;
	const u64 *ptr;
	/* of the tile: channel 0, filter 0 */
	const float *x;
	float *out;
	const float *res;
	/* lanes inside of the rows: all bits of theirs */
	const float *keep;
	float *tmp;
	struct pat_clamp act;
};

/* activations that are not clamps: sums in j->tmp */
static PAT_NOINLINE void pw_store_slow(const struct pw_job *j, const u32 *filter, u32 n, u32 T)
{
	const struct pat_conv *c = &j->k->conv;

	for (u32 i = 0; i < n * T; i++) {
		vf x = v_load(j->tmp + i * PAT_VL);

		x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
		x = v_act(j->act.other, j->act.a, j->act.b, x);
		v_store(j->out + filter[i / T] * c->out.plane + i % T * PAT_VL,
			(vf)((vi)x & (vi)v_load(j->keep + i % T * PAT_VL)));
	}
}

PAT_INLINE void pw_tile(const struct pw_job *j, u32 g, const int T, const int G)
{
	const struct pat_conv *c = &j->k->conv;
	const u8 *base = (const u8 *)j->k, *s = base + j->ptr[g], *e = base + j->ptr[g + 1];
	const u32 *filter = (const u32 *)(base + j->cls->filters) + g * G;
	const float *bias = (const float *)(base + j->cls->bias) + g * G;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	vf acc[32];

	PAT_UNROLL
	for (int i = 0; i < T * G; i++)
		acc[i] = v_set1(bias[i / T]);
	for (int i = 0; i < G; i++)
		for (int t = 0; t < T; t++)
			pat_prefetchw(j->out + filter[i] * c->out.plane + t * PAT_VL);
	for (; s < e; s += 4 + 4 * G) {
		const float *x = j->x + *(const u32 *)s, *w = (const float *)(s + 4);
		const float *ahead = j->x + *(const u32 *)(s + 6 * (4 + 4 * G));
		vf wv[8];

		/* planes come from the second-level cache */
		PAT_UNROLL
		for (int t = 0; t < T; t += 16 / PAT_VL)
			pat_prefetch(ahead + t * PAT_VL);
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
	if (j->res) {
		PAT_UNROLL
		for (int i = 0; i < T * G; i++)
			acc[i] += v_loadu(j->res + filter[i / T] * c->res.plane + i % T * PAT_VL);
	}
	if (j->act.other) {
		PAT_UNROLL
		for (int i = 0; i < T * G; i++)
			v_store(j->tmp + i * PAT_VL, acc[i]);
		pw_store_slow(j, filter, G, T);
		return;
	}
	PAT_UNROLL
	for (int i = 0; i < T * G; i++)
		v_store(j->out + filter[i / T] * c->out.plane + i % T * PAT_VL,
			(vf)((vi)v_min(v_max(acc[i], lo), hi) &
			     (vi)v_load(j->keep + i % T * PAT_VL)));
}

#define PW_DEFINE(T, G)								\
static PAT_HOT void pw_##T##x##G(const struct pw_job *j, u32 g)			\
{										\
	pw_tile(j, g, T, G);							\
}
#define PW_CASE(T, G)								\
	case (T) * 16 + (G):							\
		pw_##T##x##G(j, g);						\
		break;

#define PW_SMALL(X)								\
	X(1, 4) X(2, 4) X(3, 4) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)	\
	X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1)	\
	X(10, 1) X(11, 1) X(12, 1)
#if PAT_REGS >= 32
#define PW_ALL(X)								\
	PW_SMALL(X) X(1, 8) X(2, 8) X(3, 8) X(4, 4) X(5, 4) X(6, 4)		\
	X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)			\
	X(13, 1) X(14, 1) X(15, 1) X(16, 1)
#else
#define PW_ALL(X) PW_SMALL(X)
#endif

PW_ALL(PW_DEFINE)

static void pw_dispatch(const struct pw_job *j, u32 tile, u32 g)
{
	switch (tile * 16 + j->cls->size) {
	PW_ALL(PW_CASE)
	}
}

/* cur: a: masks are there, b: tiles done of a class, d: units, c: units times tiles of a batch */
static bool pw_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		   struct pat_cursor *cur, s64 budget, void *scratch)
{
	const struct pat_conv *c = &k->conv;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 line = c->out.pitch / PAT_VL, vectors = t->rows * line, start = 0;
	u32 *keep = (u32 *)((u8 *)scratch + k->work);
	struct pw_job j = { .k = k, .act = pat_clamp_of(c),
			    .tmp = (float *)((u8 *)scratch + k->finish) };

	for (u32 i = 0; !cur->a && i < (line + 16) * PAT_VL; i++)
		keep[i] = i % c->out.pitch < c->out.w ? ~0U : 0;
	cur->a = 1;
	for (u32 i = 0; i < k->class_count; start += k->classes[i++].groups) {
		const struct pat_class *cls = k->classes + i;
		u32 g0 = u0 > start ? u0 - start : 0;
		u32 g1 = u1 > start ? pat_min(u1 - start, cls->groups) : 0;
		u32 tiles = pat_div_up(vectors, cls->tile), batch = pat_max(k->batch / cls->tile, 1);

		/* behind us, or not of this part */
		if (g0 >= g1 || cur->d > i)
			continue;
		j.cls = cls;
		j.ptr = (const u64 *)((const u8 *)k + cls->ptr);
		for (; cur->b < tiles; cur->b += batch) {
			u32 n = pat_min(batch, tiles - cur->b);

			for (; cur->c < (g1 - g0) * n; cur->c++) {
				u32 g = g0 + cur->c / n, b = cur->b + cur->c % n;
				u32 at = (u64)vectors * b / tiles;
				u32 end = (u64)vectors * (b + 1) / tiles;
				u64 flat = (u64)at * PAT_VL;

				if (budget <= 0)
					return false;
				j.keep = (const float *)keep + at % line * PAT_VL;
				j.x = t->in + (u64)t->row * c->in.pitch + flat;
				j.out = t->out + (u64)t->row * c->out.pitch + flat;
				j.res = t->res ? t->res + (u64)t->row * c->res.pitch + flat : NULL;
				pw_dispatch(&j, end - at, g);
				budget -= (s64)((j.ptr[g + 1] - j.ptr[g]) / 4 + cls->size * 8) *
					  (end - at) * PAT_VL;
			}
			cur->c = 0;
		}
		cur->b = 0;
		cur->d = i + 1;
	}
	return true;
}
