/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_VEC_H_
#define _PAT_VEC_H_

/*
 * What the vector headers share. A translation unit defines one of
 * PAT_VEC_{GENERIC,AVX2,AVX512,NEON} and includes this file; every template then
 * compiles for that instruction set. Each header gives
 *
 *	PAT_VL			lanes of vf (floats) and vi (integers)
 *	PAT_REGS		vector registers
 *	v_load v_loadu v_store v_storeu v_set1
 *	v_fma(a, b, c)		a * b + c
 *	v_max v_min
 *	v_loadm v_storem	lanes of a bit mask; others are zero, not touched in memory
 *	v_right(prev, cur)	prev[VL-1], cur[0] ... cur[VL-2]
 *	v_left(cur, next)	cur[1] ... cur[VL-1], next[0]
 *	v_even v_odd(a, b)	even, odd lanes of a, b
 *	v_zip0 v_zip1(a, b)	first, second half of a[0], b[0], a[1], b[1] ...
 *	v_keep(x)		x stays in a register: no folding into each of its uses
 *
 * and AVX-512's, for tmpl_strips.h: v_stream v_stream_end v_store1 v_addm v_minz.
 */

#define PAT_INLINE static inline __attribute__((always_inline))
#define PAT_NOINLINE __attribute__((__noinline__))
#define PAT_HOT __attribute__((__noinline__, aligned(64)))

/* The loops behind this have constant bounds and index arrays held in registers. */
#ifdef __clang__
#define PAT_UNROLL _Pragma("unroll")
#else
#define PAT_UNROLL _Pragma("GCC unroll 64")
#endif

/* whether accesses are checked or recorded one by one */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAT_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PAT_SANITIZED
#endif
#endif

#define pat_likely(x) __builtin_expect(!!(x), 1)
#define pat_prefetch(p) __builtin_prefetch(p)
#define pat_prefetchw(p) __builtin_prefetch(p, 1)

#if defined(PAT_VEC_AVX512)
#include "vec_avx512.h"
#elif defined(PAT_VEC_AVX2)
#include "vec_avx2.h"
#elif defined(PAT_VEC_NEON)
#include "vec_neon.h"
#else
#include "vec_generic.h"
#endif

/* bit mask of the first @n lanes */
PAT_INLINE u32 v_first(u32 n)
{
	return n >= 32 ? ~0U : (1U << n) - 1;
}

#define PAT_ALL_LANES ((u32)((1ULL << PAT_VL) - 1))

#endif
