/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* AVX2 and FMA. The guards keep <mm_malloc.h>, which needs a libc, out. */
#define _MM_MALLOC_H_INCLUDED
#define __MM_MALLOC_H
#include <immintrin.h>

#define PAT_VL 8
#define PAT_REGS 16
#define PAT_ISA(name) name##_avx2

typedef __m256 vf;
typedef int vi __attribute__((vector_size(32)));

PAT_INLINE vf v_set1(float x)
{
	return _mm256_set1_ps(x);
}

PAT_INLINE vf v_load(const float *p)
{
	return _mm256_load_ps(p);
}

PAT_INLINE vf v_loadu(const float *p)
{
	return _mm256_loadu_ps(p);
}

PAT_INLINE void v_store(float *p, vf v)
{
	_mm256_store_ps(p, v);
}

PAT_INLINE void v_storeu(float *p, vf v)
{
	_mm256_storeu_ps(p, v);
}

PAT_INLINE vf v_fma(vf a, vf b, vf c)
{
	return _mm256_fmadd_ps(a, b, c);
}

PAT_INLINE vf v_max(vf a, vf b)
{
	return _mm256_max_ps(a, b);
}

PAT_INLINE vf v_min(vf a, vf b)
{
	return _mm256_min_ps(a, b);
}

PAT_INLINE __m256i v_lanes(u32 m)
{
	const __m256i bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);

	return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)m), bit), bit);
}

/* out of line, or every use would carry the scalar loads */
static PAT_NOINLINE __attribute__((unused)) vf v_loadm_edge(const float *p, u32 m)
{
	union { vf v; float f[PAT_VL]; } x = { .v = _mm256_setzero_ps() };

	for (u32 i = 0; i < PAT_VL; i++)
		if (m >> i & 1)
			/* volatile: or the compiler makes a masked load of it again */
			x.f[i] = *(const volatile float *)(p + i);
	return x.v;
}

/*
 * Not VMASKMOVPS: emulators read all lanes, and processors take an assist, where a lane
 * that is masked off lies in a page that is not there.
 */
PAT_INLINE vf v_loadm(const float *p, u32 m)
{
	if (pat_likely((m & 0xff) == 0xff))
		return _mm256_loadu_ps(p);
	return v_loadm_edge(p, m);
}

PAT_INLINE void v_storem(float *p, u32 m, vf v)
{
	_mm256_maskstore_ps(p, v_lanes(m), v);
}

PAT_INLINE vf v_right(vf p, vf c)
{
	__m256 t = _mm256_permute2f128_ps(p, c, 0x21);

	return (vf)_mm256_alignr_epi8((__m256i)c, (__m256i)t, 12);
}

PAT_INLINE vf v_left(vf c, vf n)
{
	__m256 t = _mm256_permute2f128_ps(c, n, 0x21);

	return (vf)_mm256_alignr_epi8((__m256i)t, (__m256i)c, 4);
}

PAT_INLINE vf v_even(vf a, vf b)
{
	__m256 t = _mm256_shuffle_ps(a, b, 0x88);

	return (vf)_mm256_permute4x64_epi64((__m256i)t, 0xd8);
}

PAT_INLINE vf v_odd(vf a, vf b)
{
	__m256 t = _mm256_shuffle_ps(a, b, 0xdd);

	return (vf)_mm256_permute4x64_epi64((__m256i)t, 0xd8);
}

PAT_INLINE vf v_zip0(vf a, vf b)
{
	return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}

PAT_INLINE vf v_zip1(vf a, vf b)
{
	return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}

#define v_keep(x) __asm__("" : "+x"(x))
