/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_TMPL_ACT_H_
#define _PAT_TMPL_ACT_H_

/* Activations on vectors. Everything that is a clamp is done by the kernels themselves. */

PAT_INLINE float pat_float(u32 bits)
{
	union { u32 u; float f; } x = { .u = bits };

	return x.f;
}

PAT_INLINE vf v_select(vi m, vf a, vf b)
{
	return (vf)(((vi)a & m) | ((vi)b & ~m));
}

/* e^x, 2 ulp, for the whole range: 2^n * p(f) with x = (n + f) ln 2, |f| <= 1/2 */
PAT_INLINE vf v_exp(vf x)
{
	vf n, f, p;
	vi e;

	x = v_min(v_max(x, v_set1(-87.3f)), v_set1(88.7f));
	/* adding 1.5 * 2^23 rounds to an integer */
	n = v_fma(x, v_set1(1.44269504f), v_set1(12582912.0f));
	e = (vi)n << 23;
	n -= v_set1(12582912.0f);
	f = v_fma(n, v_set1(-0.693359375f), x);
	f = v_fma(n, v_set1(2.12194440e-4f), f);
	p = v_set1(1.9875691500e-4f);
	p = v_fma(p, f, v_set1(1.3981999507e-3f));
	p = v_fma(p, f, v_set1(8.3334519073e-3f));
	p = v_fma(p, f, v_set1(4.1665795894e-2f));
	p = v_fma(p, f, v_set1(1.6666665459e-1f));
	p = v_fma(p, f, v_set1(5.0000001201e-1f));
	p = v_fma(p, f * f, f + v_set1(1.0f));
	return (vf)((vi)p + e);
}

PAT_INLINE vf v_sigmoid(vf x)
{
	return v_set1(1.0f) / (v_set1(1.0f) + v_exp(-x));
}

PAT_INLINE vf v_act(u32 kind, float a, float b, vf x)
{
	const vf zero = v_set1(0), one = v_set1(1.0f);

	if (kind == PATCNN_ACT_LEAKY_RELU)
		return v_select(x < zero, x * v_set1(a), x);
	if (kind == PATCNN_ACT_SIGMOID)
		return v_sigmoid(x);
	if (kind == PATCNN_ACT_HARD_SIGMOID)
		return v_min(v_max(v_fma(x, v_set1(a), v_set1(b)), zero), one);
	if (kind == PATCNN_ACT_HARD_SWISH)
		return x * v_min(v_max(v_fma(x, v_set1(1.0f / 6), v_set1(0.5f)), zero), one);
	if (kind == PATCNN_ACT_SILU)
		return x * v_sigmoid(x);
	if (kind == PATCNN_ACT_TANH) {
		/* near zero 1 - 2 / (1 + e^2x) cancels: x - x^3 / 3 + 2 x^5 / 15 there */
		vf s = x * x;
		vf small = x * v_fma(s, v_fma(s, v_set1(2.0f / 15), v_set1(-1.0f / 3)), one);
		vf big = one - v_set1(2.0f) / (one + v_exp(x + x));

		return v_select(s < v_set1(0.01f), small, big);
	}
	if (kind == PATCNN_ACT_ELU) {
		/* e^x - 1 cancels near zero likewise */
		vf small = x * v_fma(x, v_fma(x, v_fma(x, v_set1(1.0f / 24), v_set1(1.0f / 6)),
					      v_set1(0.5f)), one);
		vf big = v_exp(x) - one;
		vf neg = v_select(x > v_set1(-0.1f), small, big);

		return v_select(x < zero, neg * v_set1(a), x);
	}
	return x;
}

/* struct pat_clamp - the activation as the inner loops see it */
struct pat_clamp {
	float lo;
	float hi;
	/* other: not a clamp: v_act() as well */
	u32 other;
	float a;
	float b;
};

PAT_INLINE struct pat_clamp pat_clamp_of(const struct pat_conv *c)
{
	struct pat_clamp r = { -__builtin_inff(), __builtin_inff(), 0, 0, 0 };

	if (c->act == PATCNN_ACT_RELU) {
		r.lo = 0;
	} else if (c->act == PATCNN_ACT_CLIP) {
		r.lo = pat_float(c->act_a);
		r.hi = pat_float(c->act_b);
	} else if (c->act != PATCNN_ACT_NONE) {
		r.other = c->act;
		r.a = pat_float(c->act_a);
		r.b = pat_float(c->act_b);
	}
	return r;
}

#endif
