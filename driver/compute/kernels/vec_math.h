/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_VEC_MATH_H_
#define _PAT_VEC_MATH_H_

/*
 * Elementary functions on vectors, over the vector headers. Polynomials are
 * Chebyshev fits; the relative error of each function is below 2e-6, NaN stays NaN,
 * and infinities give the function's limit.
 */

PAT_INLINE vf m_select(vi mask, vf a, vf b)
{
	return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

PAT_INLINE vi m_int(int x)
{
	return (vi){ 0 } + x;
}

PAT_INLINE vf m_abs(vf x)
{
	return (vf)((vi)x & m_int(0x7fffffff));
}

/* magnitude of @x with the sign of @s */
PAT_INLINE vf m_sign(vf x, vf s)
{
	return (vf)((vi)x | ((vi)s & m_int((int)0x80000000)));
}

PAT_INLINE vf m_sqrt(vf x)
{
#if defined(PAT_VEC_AVX512)
	return _mm512_sqrt_ps(x);
#elif defined(PAT_VEC_AVX2)
	return _mm256_sqrt_ps(x);
#elif defined(PAT_VEC_NEON)
	return vsqrtq_f32(x);
#else
	vf r;

	/* -fno-math-errno: an instruction, not a call */
	for (int i = 0; i < PAT_VL; i++)
		r[i] = __builtin_sqrtf(x[i]);
	return r;
#endif
}

/*
 * x = (n + f) ln 2 with |f| <= 1/2: returns n in *@power and e^(f ln 2) - 1. Adding
 * 1.5 * 2^23 rounds to an integer, which the low bits of the sum then hold.
 */
PAT_INLINE vf m_exp_parts(vf x, vi *power)
{
	const vf magic = v_set1(12582912.0f);
	vf n, f, p;

	x = v_min(v_max(x, v_set1(-104.0f)), v_set1(89.0f));
	n = v_fma(x, v_set1(1.442695041f), magic);
	*power = (vi)n - (vi)magic;
	n -= magic;
	f = v_fma(n, v_set1(-0.693359375f), x);
	f = v_fma(n, v_set1(2.121944400e-4f), f);
	p = v_fma(f, v_set1(1.392692661e-3f), v_set1(8.363773874e-3f));
	p = v_fma(p, f, v_set1(4.166655011e-2f));
	p = v_fma(p, f, v_set1(1.666657338e-1f));
	p = v_fma(p, f, v_set1(0.5f));
	return v_fma(p * f, f, f);
}

/* In two steps, for results beyond the range of normal numbers. */
PAT_INLINE vf m_scale(vf x, vi power)
{
	vi half = power >> 1;

	x *= (vf)((half + 127) << 23);
	return x * (vf)((power - half + 127) << 23);
}

PAT_INLINE vf m_exp(vf x)
{
	vi n;
	vf r = m_exp_parts(x, &n) + v_set1(1.0f);

	return m_select(x == x, m_scale(r, n), x);
}

/* e^x - 1 without cancellation near zero */
PAT_INLINE vf m_expm1(vf x)
{
	vi n;
	vf p = m_exp_parts(x, &n);
	vf r = m_select(n == 0, p, m_scale(p + v_set1(1.0f), n) - v_set1(1.0f));

	return m_select(x == x, r, x);
}

PAT_INLINE vf m_log(vf x)
{
	const vf inf = v_set1(__builtin_inff());
	vi tiny = x < v_set1(1.17549435e-38f);
	vf y = m_select(tiny, x * v_set1(8388608.0f), x), f, p, e, z;
	vi bits = (vi)y - 0x3f3504f3;		/* sqrt(1/2): f is centred */
	vi n = bits >> 23;

	f = (vf)((bits & 0x7fffff) + 0x3f3504f3) - v_set1(1.0f);
	e = __builtin_convertvector(n - (tiny & 23), vf);
	p = v_fma(f, v_set1(6.971611471e-2f), v_set1(-1.147973385e-1f));
	p = v_fma(p, f, v_set1(1.168541992e-1f));
	p = v_fma(p, f, v_set1(-1.242568733e-1f));
	p = v_fma(p, f, v_set1(1.424905765e-1f));
	p = v_fma(p, f, v_set1(-1.666780232e-1f));
	p = v_fma(p, f, v_set1(2.000071575e-1f));
	p = v_fma(p, f, v_set1(-2.499999696e-1f));
	p = v_fma(p, f, v_set1(3.333333118e-1f));
	z = f * f;
	p = v_fma(e, v_set1(-2.121944400e-4f), p * f * z);
	p = v_fma(z, v_set1(-0.5f), p);
	p = v_fma(e, v_set1(0.693359375f), p + f);
	p = m_select(x < inf, p, x);		/* also NaN */
	p = m_select(x == v_set1(0.0f), -inf, p);
	return m_select(x < v_set1(0.0f), inf - inf, p);
}

/* log(1 + y) for y >= 0: the rounding of 1 + y is made good */
PAT_INLINE vf m_log1p(vf y)
{
	const vf one = v_set1(1.0f);
	vf u = one + y;
	vf r = m_log(u) * (y / (u - one));

	r = m_select(u == one, y, r);
	return m_select(y < v_set1(1e30f), r, m_log(y));
}

PAT_INLINE vf m_sigmoid(vf x)
{
	const vf one = v_set1(1.0f);

	return one / (one + m_exp(-x));
}

PAT_INLINE vf m_tanh(vf x)
{
	const vf one = v_set1(1.0f);
	vf t = m_abs(x), z = x * x, p, big;

	p = v_fma(z, v_set1(-6.045165097e-3f), v_set1(2.096132911e-2f));
	p = v_fma(p, z, v_set1(-5.384326318e-2f));
	p = v_fma(p, z, v_set1(1.333271885e-1f));
	p = v_fma(p, z, v_set1(-3.333332843e-1f));
	p = v_fma(p * z, x, x);
	big = one - v_set1(2.0f) / (m_exp(t + t) + one);
	return m_select(t < v_set1(0.63f), p, m_sign(big, x));
}

/* 1 - erf(t) for 0.9 <= t; zero from 4.2 on, where it is below half an ulp of 1 */
PAT_INLINE vf m_erfc_far(vf t)
{
	vf q;

	q = v_fma(t, v_set1(-1.984068597e-7f), v_set1(2.987502507e-6f));
	q = v_fma(q, t, v_set1(-5.302302624e-7f));
	q = v_fma(q, t, v_set1(-3.311394753e-4f));
	q = v_fma(q, t, v_set1(3.816599798e-3f));
	q = v_fma(q, t, v_set1(-2.426512700e-2f));
	q = v_fma(q, t, v_set1(1.069114217e-1f));
	q = v_fma(q, t, v_set1(6.347077274e-1f));
	q = v_fma(q, t, v_set1(1.128763703f));
	return m_select(t > v_set1(4.2f), v_set1(0.0f), m_exp(-t * q));
}

/* erf(x) for |x| < 0.94 */
PAT_INLINE vf m_erf_near(vf x)
{
	vf z = x * x, p;

	p = v_fma(z, v_set1(8.212780533e-5f), v_set1(-8.105054511e-4f));
	p = v_fma(p, z, v_set1(5.197684914e-3f));
	p = v_fma(p, z, v_set1(-2.685804248e-2f));
	p = v_fma(p, z, v_set1(1.128367104e-1f));
	p = v_fma(p, z, v_set1(-3.761263215e-1f));
	p = v_fma(p, z, v_set1(1.128379166f));
	return p * x;
}

PAT_INLINE vf m_erf(vf x)
{
	vf t = m_abs(x);
	vf far = m_sign(v_set1(1.0f) - m_erfc_far(t), x);

	return m_select(t > v_set1(0.94f), far, m_erf_near(x));
}

/* x (1 + erf(x / sqrt 2)) / 2; for negative x the sum is taken as erfc, which does not cancel */
PAT_INLINE vf m_gelu(vf x)
{
	const vf one = v_set1(1.0f);
	vf s = x * v_set1(0.707106781f), t = m_abs(s), c = m_erfc_far(t), sum;

	sum = m_select(s < v_set1(0.0f), c, v_set1(2.0f) - c);
	sum = m_select(t > v_set1(0.94f), sum, one + m_erf_near(s));
	/* not infinity times zero */
	return m_select(x < v_set1(-1e30f), v_set1(0.0f), v_set1(0.5f) * x * sum);
}

PAT_INLINE vf m_softplus(vf x)
{
	vf r = v_max(x, v_set1(0.0f)) + m_log1p(m_exp(-m_abs(x)));

	return m_select(x == x, r, x);
}

/* tanh(log(1 + e)) with e = e^x is (e^2 + 2 e) / (e^2 + 2 e + 2) */
PAT_INLINE vf m_mish(vf x)
{
	vf e = m_exp(v_min(x, v_set1(20.0f))), n = e * (e + v_set1(2.0f));
	vf r = x * (n / (n + v_set1(2.0f)));

	r = m_select(x > v_set1(20.0f), x, r);
	r = m_select(x < v_set1(-1e30f), v_set1(0.0f), r);
	return m_select(x == x, r, x);
}

/* x to the power @twice / 2 */
PAT_INLINE vf m_pow(vf x, int twice)
{
	u32 n = (u32)(twice < 0 ? -twice : twice);
	vf r = n & 1 ? m_sqrt(x) : v_set1(1.0f), square = x;

	for (n >>= 1; n; n >>= 1) {
		if (n & 1)
			r *= square;
		square *= square;
	}
	if (twice < 0)
		r = v_set1(1.0f) / r;
	return r;
}

#endif
