/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Four lanes in the compiler's own vectors: any processor. */
#define PAT_VL 4
#define PAT_REGS 16
#define PAT_ISA(name) name##_generic

typedef float vf __attribute__((vector_size(16)));
typedef int vi __attribute__((vector_size(16)));
typedef float vf_u __attribute__((vector_size(16), aligned(4), may_alias));
typedef float vf_a __attribute__((vector_size(16), may_alias));

PAT_INLINE vf v_set1(float x)
{
	return (vf){ x, x, x, x };
}

PAT_INLINE vf v_load(const float *p)
{
	return *(const vf_a *)p;
}

PAT_INLINE vf v_loadu(const float *p)
{
	return *(const vf_u *)p;
}

PAT_INLINE void v_store(float *p, vf v)
{
	*(vf_a *)p = v;
}

PAT_INLINE void v_storeu(float *p, vf v)
{
	*(vf_u *)p = v;
}

PAT_INLINE vf v_fma(vf a, vf b, vf c)
{
	return a * b + c;
}

PAT_INLINE vf v_max(vf a, vf b)
{
	vi m = a > b;

	return (vf)(((vi)a & m) | ((vi)b & ~m));
}

PAT_INLINE vf v_min(vf a, vf b)
{
	vi m = a < b;

	return (vf)(((vi)a & m) | ((vi)b & ~m));
}

PAT_INLINE vf v_loadm(const float *p, u32 m)
{
	vf v = { 0 };

	for (int i = 0; i < PAT_VL; i++)
		if (m >> i & 1)
			v[i] = p[i];
	return v;
}

PAT_INLINE void v_storem(float *p, u32 m, vf v)
{
	for (int i = 0; i < PAT_VL; i++)
		if (m >> i & 1)
			p[i] = v[i];
}

PAT_INLINE vf v_right(vf p, vf c)
{
	return (vf){ p[3], c[0], c[1], c[2] };
}

PAT_INLINE vf v_left(vf c, vf n)
{
	return (vf){ c[1], c[2], c[3], n[0] };
}

PAT_INLINE vf v_even(vf a, vf b)
{
	return (vf){ a[0], a[2], b[0], b[2] };
}

PAT_INLINE vf v_odd(vf a, vf b)
{
	return (vf){ a[1], a[3], b[1], b[3] };
}

PAT_INLINE vf v_zip0(vf a, vf b)
{
	return (vf){ a[0], b[0], a[1], b[1] };
}

PAT_INLINE vf v_zip1(vf a, vf b)
{
	return (vf){ a[2], b[2], a[3], b[3] };
}

#define v_keep(x) ((void)(x))
