/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* AVX-512 F, BW, DQ, VL. The guards keep <mm_malloc.h>, which needs a libc, out. */
#define _MM_MALLOC_H_INCLUDED
#define __MM_MALLOC_H
#include <immintrin.h>

#define PAT_VL 16
#define PAT_REGS 32
#define PAT_ISA(name) name##_avx512

typedef __m512 vf;
typedef int vi __attribute__((vector_size(64)));

PAT_INLINE vf v_set1(float x)
{
	return _mm512_set1_ps(x);
}

PAT_INLINE vf v_load(const float *p)
{
	return _mm512_load_ps(p);
}

PAT_INLINE vf v_loadu(const float *p)
{
	return _mm512_loadu_ps(p);
}

PAT_INLINE void v_store(float *p, vf v)
{
	_mm512_store_ps(p, v);
}

PAT_INLINE void v_storeu(float *p, vf v)
{
	_mm512_storeu_ps(p, v);
}

PAT_INLINE vf v_fma(vf a, vf b, vf c)
{
	return _mm512_fmadd_ps(a, b, c);
}

PAT_INLINE vf v_max(vf a, vf b)
{
	return _mm512_max_ps(a, b);
}

PAT_INLINE vf v_min(vf a, vf b)
{
	return _mm512_min_ps(a, b);
}

PAT_INLINE vf v_loadm(const float *p, u32 m)
{
	return _mm512_maskz_loadu_ps((__mmask16)m, p);
}

PAT_INLINE void v_storem(float *p, u32 m, vf v)
{
	_mm512_mask_storeu_ps(p, (__mmask16)m, v);
}

PAT_INLINE vf v_right(vf p, vf c)
{
	return (vf)_mm512_alignr_epi32((__m512i)c, (__m512i)p, 15);
}

PAT_INLINE vf v_left(vf c, vf n)
{
	return (vf)_mm512_alignr_epi32((__m512i)n, (__m512i)c, 1);
}

PAT_INLINE vf v_even(vf a, vf b)
{
	const __m512i i = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16,
					   14, 12, 10, 8, 6, 4, 2, 0);

	return _mm512_permutex2var_ps(a, i, b);
}

PAT_INLINE vf v_odd(vf a, vf b)
{
	const __m512i i = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17,
					   15, 13, 11, 9, 7, 5, 3, 1);

	return _mm512_permutex2var_ps(a, i, b);
}

PAT_INLINE vf v_zip0(vf a, vf b)
{
	const __m512i i = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

	return _mm512_permutex2var_ps(a, i, b);
}

PAT_INLINE vf v_zip1(vf a, vf b)
{
	const __m512i i = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12,
					   27, 11, 26, 10, 25, 9, 24, 8);

	return _mm512_permutex2var_ps(a, i, b);
}

/* past the caches; another processor sees it after v_stream_end() */
PAT_INLINE void v_stream(float *p, vf v)
{
	_mm512_stream_ps(p, v);
}

PAT_INLINE void v_stream_end(void)
{
	_mm_sfence();
}

/* lane 0 */
PAT_INLINE void v_store1(float *p, vf v)
{
	_mm_store_ss(p, _mm512_castps512_ps128(v));
}

/* lanes of @m: a + b; others: a */
PAT_INLINE vf v_addm(vf a, u32 m, vf b)
{
	return _mm512_mask_add_ps(a, (__mmask16)m, a, b);
}

/* lanes of @m: the smaller one; others: zero */
PAT_INLINE vf v_minz(u32 m, vf a, vf b)
{
	return _mm512_maskz_min_ps((__mmask16)m, a, b);
}

#define v_keep(x) __asm__("" : "+v"(x))
