/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_TMPL_FLAT_H_
#define _PAT_TMPL_FLAT_H_

/*
 * Dense 1x1 layers of few channels, where input, output and residual have rows of one
 * pitch: vectors are those of the planes, the columns behind a row included. Nothing is
 * packed, all loads and stores are aligned and whole; that costs less than what is computed
 * behind the rows, for the sums of a strip are stored after few products.
 */
#include "tmpl_act.h"

#define GEMM_T		PAT_GEMM_T
#define GEMM_G		(PAT_REGS >= 32 ? 8 : 4)

struct flat_job {
	const struct pat_conv_packed *k;
	/* of the strip: channel 0, filter 0 */
	const float *x;
	float *out;
	const float *res;
	/* of the group */
	const float *w;
	const float *bias;
	/* lanes inside of the rows: all bits of theirs */
	const u32 *keep;
	float *tmp;
	/* a line of each plane of what comes next */
	const float *next;
	u32 taps;
	struct pat_clamp act;
};

/* sums in j->tmp: the last filters, and activations that are not clamps */
static PAT_NOINLINE void flat_store_slow(const struct flat_job *j, u32 f0, u32 n, u32 T)
{
	const struct pat_conv *c = &j->k->conv;

	for (u32 i = 0; i < n * T; i++) {
		const u64 f = f0 + i / T, at = i % T * PAT_VL;
		vf x = v_load(j->tmp + i * PAT_VL);

		if (j->res)
			x += v_loadu(j->res + f * c->res.plane + at);
		x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
		if (j->act.other)
			x = v_act(j->act.other, j->act.a, j->act.b, x);
		v_store(j->out + f * c->out.plane + at,
			(vf)((vi)x & (vi)v_load((const float *)j->keep + at)));
	}
}

PAT_INLINE void flat_tile(const struct flat_job *j, u32 g, const int T)
{
	const struct pat_conv *c = &j->k->conv;
	const u32 f0 = g * GEMM_G, n = pat_min(GEMM_G, c->out.c - f0);
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	const float *x = j->x, *w = j->w, *next = j->next;
	const u64 plane = c->in.plane;
	float *out = j->out + f0 * c->out.plane;
	u32 taps = j->taps;
	vf acc[GEMM_T * GEMM_G];

	for (u32 i = 0; i < n; i++)
		for (int t = 0; t < T; t++)
			pat_prefetchw(out + i * c->out.plane + t * PAT_VL);
	PAT_UNROLL
	for (int i = 0; i < T * GEMM_G; i++)
		acc[i] = v_set1(j->bias[i / T]);
	for (u32 k = 0; k < taps; k++, x += plane, next += plane, w += GEMM_G) {
		vf xv[GEMM_T];

		pat_prefetch(next);
		PAT_UNROLL
		for (int t = 0; t < T; t++) {
			xv[t] = v_loadu(x + t * PAT_VL);
			v_keep(xv[t]);
		}
		PAT_UNROLL
		for (int i = 0; i < GEMM_G; i++) {
			vf wv = v_set1(w[i]);

			PAT_UNROLL
			for (int t = 0; t < T; t++)
				acc[i * T + t] = v_fma(wv, xv[t], acc[i * T + t]);
		}
	}
	if (n < GEMM_G || j->act.other) {
		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			v_store(j->tmp + i * PAT_VL, acc[i]);
		flat_store_slow(j, f0, n, T);
		return;
	}
	if (j->res) {
		const float *res = j->res + f0 * c->res.plane;

		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			acc[i] += v_loadu(res + i / T * c->res.plane + i % T * PAT_VL);
	}
	PAT_UNROLL
	for (int t = 0; t < T; t++) {
		const vi keep = (vi)v_load((const float *)j->keep + t * PAT_VL);

		PAT_UNROLL
		for (int i = 0; i < GEMM_G; i++)
			v_store(out + i * c->out.plane + t * PAT_VL,
				(vf)((vi)v_min(v_max(acc[i * T + t], lo), hi) & keep));
	}
}

#define FLAT_DEFINE(T)								\
static PAT_HOT void flat_##T(const struct flat_job *j, u32 g)			\
{										\
	flat_tile(j, g, T);							\
}
FLAT_DEFINE(1)
FLAT_DEFINE(2)
FLAT_DEFINE(3)

/* the vector that strip @s of @strips begins with: the last strips may have one less */
PAT_INLINE u32 flat_start(u32 vectors, u32 strips, u32 s)
{
	u32 whole = strips - (strips * GEMM_T - vectors);

	/* a strip alone may lack two */
	return s == strips ? vectors : s * GEMM_T - (s > whole ? s - whole : 0);
}

/* cur: b: strips done, d: groups times strips of a batch */
static bool flat_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 vectors = t->rows * c->out.pitch / PAT_VL, strips = pat_div_up(vectors, GEMM_T);
	const float *in = t->in + (u64)t->row * c->in.pitch;
	float *out = t->out + (u64)t->row * c->out.pitch;
	const float *res = t->res ? t->res + (u64)t->row * c->res.pitch : NULL;
	const float *weights = (const float *)((const u8 *)k + k->aux);
	const float *bias = (const float *)((const u8 *)k + k->classes[0].bias);
	u32 *keep = (u32 *)((u8 *)scratch + k->work);
	struct flat_job j = { .k = k, .taps = c->in.c, .act = pat_clamp_of(c),
			      .tmp = (float *)((u8 *)scratch + k->finish) };

	for (; cur->b < strips; cur->b += k->batch) {
		u32 n = pat_min(k->batch, strips - cur->b), base = flat_start(vectors, strips, cur->b);
		u32 len = (flat_start(vectors, strips, cur->b + n) - base) * PAT_VL;
		u32 g = cur->d / n, i = cur->d % n;

		for (u32 y = 0, x = base * PAT_VL % c->out.pitch; y < len && !cur->d; y++) {
			keep[y] = x < c->out.w ? ~0U : 0;
			x = x + 1 == c->out.pitch ? 0 : x + 1;
		}
		for (; u0 + g < u1; g++, i = 0) {
			j.w = weights + (u64)(u0 + g) * k->aux_stride;
			j.bias = bias + (u0 + g) * GEMM_G;
			for (; i < n; i++, cur->d++) {
				u32 at = flat_start(vectors, strips, cur->b + i);
				u32 end = flat_start(vectors, strips, cur->b + i + 1);
				u32 then = n == 1 ? end : at;

				if (budget <= 0)
					return false;
				j.keep = keep + (at - base) * PAT_VL;
				j.x = in + at * PAT_VL;
				j.out = out + at * PAT_VL;
				j.res = res ? res + at * PAT_VL : NULL;
				/* the next strip's lines are fetched by the groups of this one */
				j.next = in + pat_min(then + g * 16 / PAT_VL, vectors - 1) * PAT_VL;
				if (end - at == 3)
					flat_3(&j, u0 + g);
				else if (end - at == 2)
					flat_2(&j, u0 + g);
				else
					flat_1(&j, u0 + g);
				budget -= (s64)c->in.c * GEMM_G * GEMM_T * PAT_VL + 16 * GEMM_T * PAT_VL;
			}
		}
		cur->d = 0;
	}
	return true;
}

#endif
