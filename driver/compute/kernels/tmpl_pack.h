/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_TMPL_PACK_H_
#define _PAT_TMPL_PACK_H_

/* What a block of taps reads of a strip of tmpl_gemm.h, side by side. */

#ifdef PAT_VEC_AVX512

/* the vectors of a strip, of at most S pieces each, from planes that are @plane apart */
PAT_INLINE void gemm_pack_pieces(const struct gemm_strip *p, const float *src, u64 plane,
				 const u32 *off, u32 kk, u32 from, u32 to, float *x, float *tail,
				 const int S)
{
	s64 at[GEMM_T * 4];
	__mmask16 mask[GEMM_T * 4];
	s64 tail_at = p->tail ? p->seg[p->at[3]].src : p->seg[0].src;
	u32 tap = from % kk;

	PAT_UNROLL
	for (int i = 0; i < GEMM_T * S; i++) {
		const struct gemm_seg *s = p->seg + p->at[i / S] + i % S;
		bool used = i / S < p->vectors && s < p->seg + p->at[i / S + 1];

		at[i] = used ? s->src : p->seg[0].src;
		mask[i] = used ? s->mask : 0;
	}
	src += (u64)(from / kk) * plane;
	for (u32 n = 0; n < to - from; n++, x += GEMM_T * PAT_VL) {
		const float *s = src + off[tap];

		PAT_UNROLL
		for (int t = 0; t < GEMM_T; t++) {
			vf v = _mm512_maskz_loadu_ps(mask[t * S], s + at[t * S]);

			PAT_UNROLL
			for (int i = 1; i < S; i++)
				v = _mm512_mask_loadu_ps(v, mask[t * S + i], s + at[t * S + i]);
			v_store(x + t * PAT_VL, v);
		}
		tail[n] = s[tail_at];
		if (++tap == kk) {
			tap = 0;
			src += plane;
		}
	}
}

#define GEMM_PACK(S)								\
static PAT_HOT void gemm_pack_##S(const struct gemm_strip *p, const float *src,	\
				  u64 plane, const u32 *off, u32 kk, u32 from,	\
				  u32 to, float *x, float *tail)		\
{										\
	gemm_pack_pieces(p, src, plane, off, kk, from, to, x, tail, S);		\
}
GEMM_PACK(1)
GEMM_PACK(2)
GEMM_PACK(3)
GEMM_PACK(4)

/*
 * The same of a strip of three vectors, and the sums of a first group on the way: packing
 * hides behind products. The sums become the partial ones.
 */
PAT_INLINE void gemm_pack_sums(const struct gemm_job *j, const float *src, u64 plane,
			       const u32 *off, u32 kk, u32 tap, float *x, float *tail,
			       const int S)
{
	const struct gemm_strip *p = j->strip;
	/* a plane a step: few enough addresses to stay in registers */
	const bool one = !off;
	const float *w = j->w;
	float *part = j->partial;
	s64 at[GEMM_T * 4], tail_at = p->tail ? p->seg[p->at[3]].src : p->seg[0].src;
	__mmask16 mask[GEMM_T * 4];
	vf acc[GEMM_T * GEMM_G];
	vg last;

	PAT_UNROLL
	for (int i = 0; i < GEMM_T * S; i++) {
		const struct gemm_seg *s = p->seg + p->at[i / S] + i % S;
		bool used = s < p->seg + p->at[i / S + 1];

		at[i] = used ? s->src : p->seg[0].src;
		mask[i] = used ? s->mask : 0;
	}
	PAT_UNROLL
	for (int i = 0; i < GEMM_T * GEMM_G; i++)
		acc[i] = j->first ? v_set1(j->bias[i / GEMM_T]) : v_load(part + i * PAT_VL);
	last = j->first ? vg_load(j->bias) : vg_load(part + GEMM_T * GEMM_G * PAT_VL);
	for (u32 n = 0; n < j->taps; n++, x += GEMM_T * PAT_VL, w += GEMM_G) {
		const float *s = one ? src : src + off[tap];
		vf xv[GEMM_T];

		pat_prefetch(w + 64 * GEMM_G);
		PAT_UNROLL
		for (int t = 0; t < GEMM_T; t++) {
			xv[t] = _mm512_maskz_loadu_ps(mask[t * S], s + at[t * S]);
			PAT_UNROLL
			for (int i = 1; i < S; i++)
				xv[t] = _mm512_mask_loadu_ps(xv[t], mask[t * S + i],
							     s + at[t * S + i]);
			v_keep(xv[t]);
			v_store(x + t * PAT_VL, xv[t]);
		}
		PAT_UNROLL
		for (int g = 0; g < GEMM_G; g++) {
			vf wv = v_set1(w[g]);

			PAT_UNROLL
			for (int t = 0; t < GEMM_T; t++)
				acc[g * GEMM_T + t] = v_fma(wv, xv[t], acc[g * GEMM_T + t]);
		}
		tail[n] = s[tail_at];
		last = vg_fma(s[tail_at], w, last);
		if (one || ++tap == kk) {
			tap = 0;
			src += plane;
		}
	}
	PAT_UNROLL
	for (int i = 0; i < GEMM_T * GEMM_G; i++)
		v_store(part + i * PAT_VL, acc[i]);
	vg_store(part + GEMM_T * GEMM_G * PAT_VL, last);
}

#define GEMM_PACK_SUMS(S)							\
static PAT_HOT void gemm_pack_sums_##S(const struct gemm_job *j,		\
				       const float *src, u64 plane,		\
				       const u32 *off, u32 kk, u32 tap,		\
				       float *x, float *tail)			\
{										\
	gemm_pack_sums(j, src, plane, off, kk, tap, x, tail, S);		\
}										\
static PAT_HOT void gemm_pack_ones_##S(const struct gemm_job *j,		\
				       const float *src, u64 plane,		\
				       float *x, float *tail)			\
{										\
	gemm_pack_sums(j, src, plane, NULL, 1, 0, x, tail, S);			\
}
GEMM_PACK_SUMS(1)
GEMM_PACK_SUMS(2)
GEMM_PACK_SUMS(3)

#endif

/* taps @from to @to of a strip; AVX-512 puts rows together, others have flat panels */
static PAT_NOINLINE void gemm_pack(const struct pat_conv_packed *k, const struct gemm_strip *p,
				   const float *src, u64 plane, u32 from, u32 to, u32 flat_at,
				   float *x, float *tail)
{
	const u32 *off = (const u32 *)((const u8 *)k + k->classes[0].filters);
	u32 kk = k->conv.kernel_h * k->conv.kernel_w, tap = from % kk;

#ifdef PAT_VEC_AVX512
	if (p->pieces == 1) {
		gemm_pack_1(p, src, plane, off, kk, from, to, x, tail);
		return;
	} else if (p->pieces == 2) {
		gemm_pack_2(p, src, plane, off, kk, from, to, x, tail);
		return;
	} else if (p->pieces == 3) {
		gemm_pack_3(p, src, plane, off, kk, from, to, x, tail);
		return;
	} else if (p->pieces == 4) {
		gemm_pack_4(p, src, plane, off, kk, from, to, x, tail);
		return;
	}
#endif
	src += (u64)(from / kk) * plane;
	for (u32 n = from; n < to; n++, x += GEMM_T * PAT_VL) {
		const float *s = src + off[tap];

#ifdef PAT_VEC_AVX512
		(void)flat_at;
		for (u32 t = 0; t < p->vectors; t++) {
			const struct gemm_seg *q = p->seg + p->at[t], *e = p->seg + p->at[t + 1];
			vi v = (vi)v_loadm(s + q->src, q->mask);

			while (++q < e)
				v |= (vi)v_loadm(s + q->src, q->mask);
			v_store(x + t * PAT_VL, (vf)v);
		}
		if (p->tail)
			tail[n - from] = s[p->seg[p->at[3]].src];
#else
		(void)tail;
		for (u32 t = 0; t < p->vectors; t++)
			v_store(x + t * PAT_VL, v_loadu(s + flat_at + t * PAT_VL));
#endif
		if (++tap == kk) {
			tap = 0;
			src += plane;
		}
	}
}

#endif
