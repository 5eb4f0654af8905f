/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Depthwise layers where masked loads are free: no panel. R rows of a vector of outputs
 * stay in registers while the input rows pass; each shifted (and, at stride 2, halved)
 * vector is made once for the rows below each other that need it. Rows outside of the
 * input are a row of zeros, columns are masked. Maps of at most 8 columns have rows
 * r and r + R in one vector.
 *
 * A load across lines costs two. A row of the input that fits in a vector is therefore
 * loaded once, and what each tap sees of it is a permutation (DWD_WHOLE). At stride 2
 * with the usual pad, so are the even and odd columns of two vectors (DWD_PAIR), but
 * for the lane that a tap sees of their neighbours.
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
	/* planes are large: they come from beyond the second-level cache */
	bool far;
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

enum { DWD_SHIFT, DWD_WHOLE, DWD_PAIR };

/* struct dwd_col - a vector of output columns: its input columns, and what masks them */
struct dwd_col {
	u32 x;
	long in;
	__mmask16 lanes;
	__mmask16 m[5];
	__mmask16 m2[5];
	/* DWD_WHOLE: columns of the input; DWD_PAIR: of both vectors */
	__mmask16 row[2];
	vi at[5];
	bool slow;
};

/* what tap column @k sees of an input row, or of two, that begin at @pa and @pb */
PAT_INLINE vf dwd_see(const struct dwd_col *q, const float *pa, const float *pb, const vf *v,
		      const int k, const int K, const int S, const int FOLD, const int MODE)
{
	vf x;

	if (MODE == DWD_WHOLE && FOLD)
		return _mm512_maskz_permutex2var_ps(q->m[k], v[0], (__m512i)q->at[k], v[1]);
	if (MODE == DWD_WHOLE)
		return _mm512_maskz_permutexvar_ps(q->m[k], (__m512i)q->at[k], v[0]);
	if (MODE == DWD_PAIR) {
		const int o = k - K / 2;

		x = _mm512_permutex2var_ps(v[0], (__m512i)q->at[k], v[1]);
		if (o < 0)
			x = _mm512_mask_mov_ps(x, 1, v_loadm(pa + o, q->m[k]));
		if (o > 1)
			x = _mm512_mask_mov_ps(x, 1 << 15, v_loadm(pa + 15 + o, q->m[k]));
		return x;
	}
	x = _mm512_maskz_loadu_ps(q->m[k], pa + k);
	if (S == 2 && FOLD)
		x = v_even(x, _mm512_maskz_loadu_ps(q->m[k], pb + k));
	else if (S == 2)
		x = v_even(x, _mm512_maskz_loadu_ps(q->m2[k], pa + k + PAT_VL));
	else if (FOLD)
		x = _mm512_mask_loadu_ps(x, q->m2[k], pb + k - PAT_VL / 2);
	return x;
}

/* masks and places for dwd_see() */
PAT_INLINE void dwd_columns(const struct dwd_job *j, struct dwd_col *q, const int K, const int S,
			    const int FOLD, const int MODE)
{
	const vi lane = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	const s32 w = j->c->in.w;

	if (MODE != DWD_SHIFT)
		q->in = MODE == DWD_PAIR ? (long)q->x * S : 0;
	q->row[0] = gather_mask(q->in, w, 0);
	q->row[1] = gather_mask(q->in, w, 1);
	PAT_UNROLL
	for (int k = 0; k < K; k++) {
		if (MODE == DWD_WHOLE) {
			vi x = (FOLD ? lane & 7 : lane) * S + (k - (s32)j->c->pad_left);

			q->m[k] = _mm512_cmplt_epu32_mask((__m512i)x, _mm512_set1_epi32(w));
			q->at[k] = x + (FOLD ? (lane & 8) * 2 : lane & 0);
		} else if (MODE == DWD_PAIR) {
			const int o = k - K / 2;

			q->at[k] = lane * 2 + o;
			q->m[k] = o < 0 ? q->in > 0 : (q->in + 30 + o < w) << 15;
		} else if (S == 1 && FOLD) {
			q->m[k] = gather_mask(q->in + k, w, 0) & 0xff;
			q->m2[k] = q->m[k] << 8;
		} else {
			q->m[k] = gather_mask(q->in + k, w, 0);
			q->m2[k] = gather_mask(q->in + k, w, 1);
		}
	}
}

PAT_INLINE void dwd_vector(const struct dwd_job *j, u32 f, u32 r0, const struct dwd_row *a,
			   const struct dwd_row *b, const struct dwd_col *q, const int K,
			   const int S, const int R, const int FOLD, const int MODE)
{
	const struct pat_conv *c = j->c;
	const float *src = j->in + dwd_channel(j, f) * c->in.plane, *wp = j->w + (u64)f * K * K;
	float *o = j->out + f * c->out.plane + (u64)r0 * c->out.pitch + q->x;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	const u32 left = j->rows - r0, pitch = c->out.pitch;
	/* sums of each column of a small kernel: one chain of additions would be waited for */
	const int SETS = FOLD && K == 3 ? 3 : 1;
	vf acc[3 * 8], w[25];

	/* the rows below, and behind them the next channel */
	if (!FOLD && j->far) {
		const float *next = src + (u64)(j->row + r0 + R) * S * c->in.pitch + q->x * S;

		PAT_UNROLL
		for (int i = 0; i < R * S; i++, next += c->in.pitch)
			PAT_UNROLL
			for (int h = 0; h < S; h++)
				pat_prefetch(next + h * PAT_VL);
	}
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

		vf both[2];

		if (MODE != DWD_SHIFT) {
			both[0] = _mm512_maskz_loadu_ps(q->row[0], pa);
			both[1] = FOLD ? _mm512_maskz_loadu_ps(q->row[0], pb) : both[0];
		}
		if (MODE == DWD_PAIR)
			both[1] = _mm512_maskz_loadu_ps(q->row[1], pa + PAT_VL);
		PAT_UNROLL
		for (int k = 0; k < K; k++) {
			vf v = dwd_see(q, pa, pb, both, k, K, S, FOLD, MODE);

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

PAT_INLINE void dwd_sweep(const struct dwd_job *j, u32 f0, u32 f1, const int K, const int S,
			  const int R, const int FOLD, const int MODE)
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
			dwd_columns(j, &q, K, S, FOLD, MODE);
			for (u32 f = f0; f < f1; f++)
				dwd_vector(j, f, r0, a, b, &q, K, S, R, FOLD, MODE);
		}
	}
}

PAT_INLINE bool dwd_can(const struct pat_conv *c, const int mode)
{
	if (mode == DWD_WHOLE)
		return c->in.w <= PAT_VL;
	return mode == DWD_SHIFT || c->pad_left == c->kernel_w / 2;
}

#define DWD_ALL(X)								\
	X(3, 1, 4, 1, DWD_WHOLE)						\
	X(3, 2, 4, 1, DWD_WHOLE) X(3, 2, 7, 0, DWD_PAIR)			\
	X(5, 1, 7, 0, DWD_WHOLE) X(5, 1, 4, 1, DWD_WHOLE)			\
	X(5, 2, 4, 1, DWD_WHOLE) X(5, 2, 7, 0, DWD_PAIR)			\
	X(3, 1, 7, 0, DWD_SHIFT) X(3, 1, 4, 0, DWD_SHIFT) X(3, 2, 7, 0, DWD_SHIFT) \
	X(3, 2, 4, 1, DWD_SHIFT) X(5, 1, 7, 0, DWD_SHIFT) X(5, 2, 7, 0, DWD_SHIFT) \
	X(5, 2, 4, 1, DWD_SHIFT)
#define DWD_DEFINE(K, S, R, FOLD, MODE)						\
static PAT_HOT void dwd_##K##s##S##r##R##f##FOLD##MODE(const struct dwd_job *j,	\
						       u32 f0, u32 f1)		\
{										\
	dwd_sweep(j, f0, f1, K, S, R, FOLD, MODE);				\
}
#define DWD_CASE(K, S, R, FOLD, MODE)						\
	if (c->kernel_h == (K) && c->stride_h == (S) && !!k->fold == (FOLD) &&	\
	    dwd_can(c, MODE) && ((FOLD) || (MODE) == DWD_WHOLE ||		\
	     !((R) == 7 && (K) == 3 && (S) == 1 && t->rows % 7))) {		\
		dwd_##K##s##S##r##R##f##FOLD##MODE(&j, f, f + n);		\
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
	bool small = c->in.h * c->in.pitch <= 2048;
	u32 batch = small ? 16 : 1;
	struct dwd_job j = { .c = c, .in = t->in, .zero = scratch, .row = t->row,
			     .rows = t->rows, .per = per, .far = !small, .act = pat_clamp_of(c),
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
