/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Depthwise layers where masked loads are free: no panel. R rows of a vector of outputs
 * stay in registers while the input rows pass; each shifted (and, at stride 2, halved)
 * vector is made once for the rows below each other that need it. Rows outside of the
 * input are a row of zeros, columns are masked. Maps of at most 8 columns have rows
 * r and r + R in one vector.
 */
#include "tmpl_act.h"

#ifdef PAT_VEC_AVX512

struct dwd_job {
	const struct pat_conv *c;
	const float *in;
	const float *zero;
	const float *w;
	const float *bias;
	float *out;
	const float *res;
	u32 row;
	u32 rows;
	/* filters of an input channel */
	u32 per;
	struct pat_clamp act;
};

/* residuals, activations that are not clamps, and pitches that are wider than need be */
static PAT_NOINLINE void dwd_store_slow(const struct dwd_job *j, u32 f, u32 r, u32 x, vf v)
{
	const struct pat_conv *c = j->c;
	const __mmask16 lanes = v_first(c->out.w - x);
	float *o = j->out + f * c->out.plane + (u64)r * c->out.pitch + x;

	if (j->res)
		v += v_loadm(j->res + f * c->res.plane + (u64)r * c->res.pitch + x, lanes);
	v = v_min(v_max(v, v_set1(j->act.lo)), v_set1(j->act.hi));
	if (j->act.other)
		v = v_act(j->act.other, j->act.a, j->act.b, v);
	v_store(o, _mm512_maskz_mov_ps(lanes, v));
	if (x + PAT_VL < c->out.w)
		return;
	for (x += PAT_VL, o += PAT_VL; x < c->out.pitch; x += PAT_VL, o += PAT_VL)
		v_store(o, v_set1(0));
}

/* a row of the input, in bytes: (channel & keep) + at; a row that is not there is one of zeros */
struct dwd_row {
	unsigned long keep;
	unsigned long at;
};

PAT_INLINE struct dwd_row dwd_row(const struct dwd_job *j, s32 y)
{
	if (y >= 0 && y < (s32)j->c->in.h)
		return (struct dwd_row){ ~0UL, (unsigned long)y * j->c->in.pitch * 4 };
	return (struct dwd_row){ 0, (unsigned long)j->zero };
}

PAT_INLINE const float *dwd_at(const float *src, const struct dwd_row *r, long x)
{
	return (const float *)(((unsigned long)src & r->keep) + r->at) + x;
}

PAT_INLINE u32 dwd_channel(const struct dwd_job *j, u32 f)
{
	return pat_likely(j->per == 1) ? f : f / j->per;
}

/* struct dwd_col - a vector of output columns: its input columns, and what masks them */
struct dwd_col {
	u32 x;
	long in;
	__mmask16 lanes;
	__mmask16 m[5];
	__mmask16 m2[5];
	bool slow;
};

PAT_INLINE void dwd_vector(const struct dwd_job *j, u32 f, u32 r0, const struct dwd_row *a,
			   const struct dwd_row *b, const struct dwd_col *q, const int K,
			   const int S, const int R, const int FOLD)
{
	const struct pat_conv *c = j->c;
	const float *src = j->in + dwd_channel(j, f) * c->in.plane, *wp = j->w + (u64)f * K * K;
	float *o = j->out + f * c->out.plane + (u64)r0 * c->out.pitch + q->x;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	const u32 left = j->rows - r0, pitch = c->out.pitch;
	/* sums of each column of a small kernel: one chain of additions would be waited for */
	const int SETS = FOLD && K == 3 ? 3 : 1;
	vf acc[3 * 8], w[25];

	PAT_UNROLL
	for (int i = 0; i < K * K; i++)
		w[i] = v_set1(wp[i]);
	PAT_UNROLL
	for (int r = 0; r < SETS * R; r++)
		acc[r] = v_set1(r < R ? j->bias[f] : 0);
	PAT_UNROLL
	for (int i = 0; i < (R - 1) * S + K; i++) {
		const float *pa = dwd_at(src, a + i, q->in);
		const float *pb = FOLD ? dwd_at(src, b + i, q->in) : NULL;

		PAT_UNROLL
		for (int k = 0; k < K; k++) {
			vf v = _mm512_maskz_loadu_ps(q->m[k], pa + k);

			if (S == 2 && FOLD)
				v = v_even(v, _mm512_maskz_loadu_ps(q->m[k], pb + k));
			else if (S == 2)
				v = v_even(v, _mm512_maskz_loadu_ps(q->m2[k], pa + k + PAT_VL));
			else if (FOLD)
				v = _mm512_mask_loadu_ps(v, q->m2[k], pb + k - PAT_VL / 2);
			v_keep(v);
			/* input row i is row ky of output row (i - ky) / S */
			PAT_UNROLL
			for (int ky = 0; ky < K; ky++)
				if (i >= ky && (i - ky) % S == 0 && (i - ky) / S < R)
					acc[k % SETS * R + (i - ky) / S] =
						v_fma(w[ky * K + k], v,
						      acc[k % SETS * R + (i - ky) / S]);
		}
	}
	PAT_UNROLL
	for (int r = 0; r < R; r++)
		if (SETS > 1)
			acc[r] += acc[R + r] + acc[2 * R + r];
	if (FOLD)
		PAT_UNROLL
		for (int r = 0; r < R; r++)
			acc[R * FOLD + r] = (vf)_mm512_shuffle_f32x4(acc[r], acc[r], 0x0e);
	if (q->slow) {
		PAT_UNROLL
		for (int r = 0; r < R * (1 + FOLD); r++)
			if ((u32)r < left)
				dwd_store_slow(j, f, r0 + r, q->x, acc[r]);
		return;
	}
	PAT_UNROLL
	for (int r = 0; r < R * (1 + FOLD); r++, o += pitch)
		if ((u32)r < left)
			v_store(o, _mm512_maskz_mov_ps(q->lanes, v_min(v_max(acc[r], lo), hi)));
}

/* the planes of small maps are short: what processors fetch ahead comes too late */
PAT_INLINE void dwd_prefetch(const struct dwd_job *j, u32 f, u32 r0, const int R)
{
	const struct pat_conv *c = j->c;
	const float *in = j->in + dwd_channel(j, f) * c->in.plane +
			  (u64)(j->row + r0) * c->stride_h * c->in.pitch;
	float *out = j->out + f * c->out.plane + (u64)r0 * c->out.pitch;

	for (u32 i = 0; i < R * c->stride_h * c->in.pitch; i += 16)
		pat_prefetch(in + i);
	for (u32 i = 0; i < R * c->out.pitch; i += 16)
		pat_prefetchw(out + i);
}

PAT_INLINE void dwd_sweep(const struct dwd_job *j, u32 f0, u32 f1, const int K, const int S,
			  const int R, const int FOLD)
{
	const struct pat_conv *c = j->c;
	struct dwd_row a[17], b[17];

	for (u32 r0 = 0; r0 < j->rows; r0 += FOLD ? 2 * R : R) {
		s32 y0 = (s32)((j->row + r0) * S) - (s32)c->pad_top;

		for (int i = 0; i < (R - 1) * S + K; i++) {
			a[i] = dwd_row(j, y0 + i);
			b[i] = dwd_row(j, y0 + i + R * S);
		}
		for (u32 x = 0; x < c->out.w; x += PAT_VL) {
			struct dwd_col q = { .x = x, .in = (long)x * S - c->pad_left,
					     .lanes = v_first(c->out.w - x) };

			q.slow = j->res || j->act.other || (x + PAT_VL >= c->out.w &&
							    x + PAT_VL < c->out.pitch);
			PAT_UNROLL
			for (int k = 0; k < K; k++) {
				q.m[k] = gather_mask(q.in + k, c->in.w, 0);
				if (S == 1 && FOLD) {
					q.m[k] &= 0xff;
					q.m2[k] = q.m[k] << 8;
				} else {
					q.m2[k] = gather_mask(q.in + k, c->in.w, 1);
				}
			}
			for (u32 f = f0; f < f1; f++) {
				if (f1 - f0 > 1 && !x)
					dwd_prefetch(j, f + 2, r0, R * (1 + FOLD));
				dwd_vector(j, f, r0, a, b, &q, K, S, R, FOLD);
			}
		}
	}
}

#define DWD_ALL(X)								\
	X(3, 1, 7, 0) X(3, 1, 4, 0) X(3, 1, 4, 1) X(3, 2, 7, 0) X(3, 2, 4, 1)	\
	X(5, 1, 7, 0) X(5, 1, 4, 1) X(5, 2, 7, 0) X(5, 2, 4, 1)
#define DWD_DEFINE(K, S, R, FOLD)						\
static PAT_HOT void dwd_##K##s##S##r##R##f##FOLD(const struct dwd_job *j,	\
						 u32 f0, u32 f1)		\
{										\
	dwd_sweep(j, f0, f1, K, S, R, FOLD);					\
}
#define DWD_CASE(K, S, R, FOLD)							\
	if (c->kernel_h == (K) && c->stride_h == (S) && !!k->fold == (FOLD) &&	\
	    ((FOLD) || !((R) == 7 && (K) == 3 && (S) == 1 && t->rows % 7))) {	\
		dwd_##K##s##S##r##R##f##FOLD(&j, f, f + n);			\
		continue;							\
	}

DWD_ALL(DWD_DEFINE)

/* cur: a: there is a row of zeros, d: filters done */
static bool dwd_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		    struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 per = c->out.c / c->groups, taps = c->kernel_h * c->kernel_w;
	s64 cost = (s64)t->rows * c->out.pitch * (taps + 8);
	/* several channels of a small map share what is known about its rows and columns */
	u32 batch = c->in.h * c->in.pitch <= 2048 ? 16 : 1;
	struct dwd_job j = { .c = c, .in = t->in, .zero = scratch, .row = t->row,
			     .rows = t->rows, .per = per, .act = pat_clamp_of(c),
			     .w = (const float *)((const u8 *)k + k->aux),
			     .bias = (const float *)((const u8 *)k + k->classes[0].bias),
			     .out = t->out + (u64)t->row * c->out.pitch,
			     .res = t->res ? t->res + (u64)t->row * c->res.pitch : NULL };

	if (!cur->a) {
		zero_floats(scratch, k->partial / 4);
		cur->a = 1;
	}
	while (u0 + cur->d < u1) {
		u32 f = u0 + cur->d, n = pat_min(batch, u1 - f);

		if (budget <= 0)
			return false;
		budget -= cost * n;
		cur->d += n;
		DWD_ALL(DWD_CASE)
	}
	return true;
}

#else

PAT_INLINE bool dwd_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			struct pat_cursor *cur, s64 budget, float *scratch)
{
	(void)k;
	(void)t;
	(void)cur;
	(void)budget;
	(void)scratch;
	return true;
}

#endif
