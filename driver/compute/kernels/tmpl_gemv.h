/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One output pixel: the window of the input is one vector, each lane of a result a
 * filter. Weights pass once, at the speed of the memory they come from.
 */
#include "tmpl_act.h"
#include "tmpl_gather.h"

#define GEMV_SLICES 4

/* d[i] = x[index[i]] */
PAT_INLINE vf gemv_pick(const float *x, const u32 *index)
{
#if defined(PAT_VEC_AVX512)
	return _mm512_i32gather_ps(_mm512_load_si512(index), x, 4);
#elif defined(PAT_VEC_AVX2)
	return _mm256_i32gather_ps(x, _mm256_load_si256((const __m256i *)index), 4);
#else
	return (vf){ x[index[0]], x[index[1]], x[index[2]], x[index[3]] };
#endif
}

static PAT_NOINLINE void gemv_sparse(const float *x, const float *w, u64 steps, float *sum)
{
	vf a = v_load(sum), b = v_set1(0);
	u64 i = 0;

	for (; i + 2 <= steps; i += 2, w += 4 * PAT_VL) {
		a = v_fma(gemv_pick(x, (const u32 *)w), v_load(w + PAT_VL), a);
		b = v_fma(gemv_pick(x, (const u32 *)w + 2 * PAT_VL), v_load(w + 3 * PAT_VL), b);
	}
	if (i < steps)
		a = v_fma(gemv_pick(x, (const u32 *)w), v_load(w + PAT_VL), a);
	v_store(sum, a + b);
}

PAT_INLINE void gemv_dense(const float *x, const float *w, u64 step, u64 from, u64 to,
			   float *sum, const int S)
{
	vf a[2 * GEMV_SLICES];
	u64 i = from;

	PAT_UNROLL
	for (int s = 0; s < S; s++) {
		a[s] = v_load(sum + s * PAT_VL);
		a[S + s] = v_set1(0);
	}
	for (; i + 2 <= to; i += 2) {
		const vf x0 = v_set1(x[i]), x1 = v_set1(x[i + 1]);

		PAT_UNROLL
		for (int s = 0; s < S; s++) {
			const float *p = w + s * step + i * PAT_VL;

			a[s] = v_fma(x0, v_load(p), a[s]);
			a[S + s] = v_fma(x1, v_load(p + PAT_VL), a[S + s]);
		}
	}
	if (i < to)
		PAT_UNROLL
		for (int s = 0; s < S; s++)
			a[s] = v_fma(v_set1(x[i]), v_load(w + s * step + i * PAT_VL), a[s]);
	PAT_UNROLL
	for (int s = 0; s < S; s++)
		v_store(sum + s * PAT_VL, a[s] + a[S + s]);
}

static PAT_NOINLINE void gemv_dense1(const float *x, const float *w, u64 step, u64 from, u64 to,
				     float *sum)
{
	gemv_dense(x, w, step, from, to, sum, 1);
}

static PAT_NOINLINE void gemv_dense4(const float *x, const float *w, u64 step, u64 from, u64 to,
				     float *sum)
{
	gemv_dense(x, w, step, from, to, sum, GEMV_SLICES);
}

static PAT_NOINLINE void gemv_gather(const struct pat_conv *c, const float *in, float *x)
{
	for (u32 ch = 0; ch < c->in.c; ch++) {
		for (u32 ky = 0; ky < c->kernel_h; ky++, x += c->kernel_w) {
			s32 y = (s32)(ky * c->dilation_h) - (s32)c->pad_top;
			const float *row = in + ch * c->in.plane + (s64)y * c->in.pitch;

			if (y < 0 || y >= (s32)c->in.h)
				zero_floats(x, c->kernel_w);
			else if (c->kernel_w == 1 && !c->pad_left)
				*x = *row;
			else
				gather_row(x, c->kernel_w, row, c->in.w, -(s32)c->pad_left,
					   c->dilation_w);
		}
	}
}

static PAT_NOINLINE void gemv_finish(const struct pat_conv_packed *k,
				     const struct pat_conv_tile *t, u32 slice, const float *sum)
{
	const struct pat_class *cls = k->classes;
	const u32 *filter = (const u32 *)((const u8 *)k + cls->filters) + slice * PAT_VL;
	const struct pat_conv *c = &k->conv;
	const struct pat_clamp act = pat_clamp_of(c);
	u32 n = pat_min(PAT_VL, c->out.c - slice * PAT_VL);
	float y[PAT_VL] __attribute__((aligned(64)));
	vf x = v_load(sum);

	if (t->res) {
		for (u32 i = 0; i < n; i++)
			y[i] = t->res[filter[i] * c->res.plane];
		x += v_loadm(y, v_first(n));
	}
	x = v_min(v_max(x, v_set1(act.lo)), v_set1(act.hi));
	if (act.other)
		x = v_act(act.other, act.a, act.b, x);
	v_store(y, x);
	for (u32 i = 0; i < n; i++) {
		float *o = t->out + filter[i] * c->out.plane;

		*o = y[i];
		if (c->out.pitch > 1)
			zero_floats(o + 1, c->out.pitch - 1);
	}
}

/* cur: a: gathered, d: slices done, b: taps done of the current slices */
static bool gemv_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_class *cls = k->classes;
	const u8 *base = (const u8 *)k;
	const u64 *ptr = (const u64 *)(base + cls->ptr);
	u32 s0 = (u64)k->units * t->part / t->parts, s1 = (u64)k->units * (t->part + 1) / t->parts;
	float *sum = (float *)((u8 *)scratch + k->partial);
	u32 taps = pat_filter_taps(&k->conv);

	if (!cur->a) {
		gemv_gather(&k->conv, t->in, scratch);
		budget -= taps;
		cur->a = 1;
	}
	while (s0 + cur->d < s1) {
		u32 s = s0 + cur->d;
		u32 n = !cls->tile && s + GEMV_SLICES <= s1 ? GEMV_SLICES : 1;
		const float *w = (const float *)(base + ptr[s]);
		u32 left, step;

		if (budget <= 0)
			return false;
		if (!cur->b)
			for (u32 i = 0; i < n * PAT_VL; i++)
				sum[i] = ((const float *)(base + cls->bias))[s * PAT_VL + i];
		left = (ptr[s + 1] - ptr[s]) / (PAT_VL * (cls->tile ? 8 : 4)) - cur->b;
		step = pat_min(left, pat_max(budget / (n * PAT_VL), 64));
		if (cls->tile)
			gemv_sparse(scratch, w + (u64)cur->b * 2 * PAT_VL, step, sum);
		else if (n == 1)
			gemv_dense1(scratch, w, 0, cur->b, cur->b + step, sum);
		else
			gemv_dense4(scratch, w, (ptr[s + 1] - ptr[s]) / 4, cur->b,
				    cur->b + step, sum);
		budget -= (s64)step * n * PAT_VL;
		cur->b += step;
		if (step < left)
			continue;
		for (u32 i = 0; i < n; i++)
			gemv_finish(k, t, s + i, sum + i * PAT_VL);
		cur->b = 0;
		cur->d += n;
	}
	return true;
}
