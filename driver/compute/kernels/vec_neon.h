/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* AArch64 Advanced SIMD. The kernel's int64_t is long long, that of <stdint.h> long. */
#ifdef __KERNEL__
#include <asm/neon-intrinsics.h>
#else
#include <arm_neon.h>
#endif

#define PAT_VL 4
#define PAT_REGS 32
#define PAT_ISA(name) name##_neon

typedef float32x4_t vf;
typedef int vi __attribute__((vector_size(16)));

PAT_INLINE vf v_set1(float x)
{
	return vdupq_n_f32(x);
}

PAT_INLINE vf v_load(const float *p)
{
	return vld1q_f32(p);
}

PAT_INLINE vf v_loadu(const float *p)
{
	return vld1q_f32(p);
}

PAT_INLINE void v_store(float *p, vf v)
{
	vst1q_f32(p, v);
}

PAT_INLINE void v_storeu(float *p, vf v)
{
	vst1q_f32(p, v);
}

PAT_INLINE vf v_fma(vf a, vf b, vf c)
{
	return vfmaq_f32(c, a, b);
}

PAT_INLINE vf v_max(vf a, vf b)
{
	return vmaxq_f32(a, b);
}

PAT_INLINE vf v_min(vf a, vf b)
{
	return vminq_f32(a, b);
}

PAT_INLINE vf v_loadm(const float *p, u32 m)
{
	vf v = vdupq_n_f32(0);

	if (m & 1)
		v = vsetq_lane_f32(p[0], v, 0);
	if (m & 2)
		v = vsetq_lane_f32(p[1], v, 1);
	if (m & 4)
		v = vsetq_lane_f32(p[2], v, 2);
	if (m & 8)
		v = vsetq_lane_f32(p[3], v, 3);
	return v;
}

PAT_INLINE void v_storem(float *p, u32 m, vf v)
{
	if (m & 1)
		vst1q_lane_f32(p, v, 0);
	if (m & 2)
		vst1q_lane_f32(p + 1, v, 1);
	if (m & 4)
		vst1q_lane_f32(p + 2, v, 2);
	if (m & 8)
		vst1q_lane_f32(p + 3, v, 3);
}

PAT_INLINE vf v_right(vf p, vf c)
{
	return vextq_f32(p, c, 3);
}

PAT_INLINE vf v_left(vf c, vf n)
{
	return vextq_f32(c, n, 1);
}

PAT_INLINE vf v_even(vf a, vf b)
{
	return vuzp1q_f32(a, b);
}

PAT_INLINE vf v_odd(vf a, vf b)
{
	return vuzp2q_f32(a, b);
}

PAT_INLINE vf v_zip0(vf a, vf b)
{
	return vzip1q_f32(a, b);
}

PAT_INLINE vf v_zip1(vf a, vf b)
{
	return vzip2q_f32(a, b);
}

/* also keeps loads beside their uses: gathered in front, they push accumulators out */
#define v_keep(x) __asm__ volatile("" : "+w"(x))
