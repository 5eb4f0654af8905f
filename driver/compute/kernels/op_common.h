/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_OP_COMMON_H_
#define _PAT_OP_COMMON_H_

/*
 * What the operator templates share: rows of any length and stride, activations
 * over a row, nested loops. Rows are read and written exactly: no element outside
 * of them is touched, they may lie in a client's buffer.
 */

#include "../plan.h"
#include "vec.h"
#include "vec_math.h"

PAT_INLINE float op_float(u32 bits)
{
	union { u32 u; float f; } x = { .u = bits };

	return x.f;
}

/* @m: lanes in use; stride 0: one value for all lanes */
PAT_INLINE vf op_load(const float *p, u32 stride, u32 m)
{
	if (stride == 1)
		return m == PAT_ALL_LANES ? v_loadu(p) : v_loadm(p, m);
	if (!stride)
		return v_set1(*p);
	{
		vf v = v_set1(0.0f);

		for (u32 i = 0; i < PAT_VL; i++)
			if (m >> i & 1)
				v[i] = p[(u64)i * stride];
		return v;
	}
}

PAT_INLINE void op_store(float *p, u32 stride, u32 m, vf v)
{
	if (stride == 1) {
		if (m == PAT_ALL_LANES)
			v_storeu(p, v);
		else
			v_storem(p, m, v);
		return;
	}
	for (u32 i = 0; i < PAT_VL; i++)
		if (m >> i & 1)
			p[(u64)i * stride] = v[i];
}

/* lanes of the vector that starts at @i of @n elements */
PAT_INLINE u32 op_lanes(u32 i, u32 n)
{
	return n - i >= PAT_VL ? PAT_ALL_LANES : v_first(n - i);
}

PAT_INLINE float op_sum(vf v)
{
	float s = 0;

	for (u32 i = 0; i < PAT_VL; i++)
		s += v[i];
	return s;
}

PAT_INLINE float op_max(vf v)
{
	float s = v[0];

	for (u32 i = 1; i < PAT_VL; i++)
		s = v[i] > s || v[i] != v[i] ? v[i] : s;
	return s;
}

/* maximum that keeps a NaN of either side */
PAT_INLINE vf op_vmax(vf a, vf b)
{
	return m_select((a > b) | (a != a), a, b);
}

#define OP_EACH(out, stride, n, expression) do {				\
	for (u32 i = 0; i < (n); i += PAT_VL) {					\
		u32 m_ = op_lanes(i, n);					\
		float *p_ = (out) + (u64)i * (stride);				\
		vf x = op_load(p_, stride, m_);					\
										\
		op_store(p_, stride, m_, expression);				\
	}									\
} while (0)

/* The activation of @act on a row, in place. */
void PAT_ISA(pat_op_activate)(const struct patcnn_activation *act, float *out, u32 stride, u32 n);

#define op_activate(act, out, stride, n) do {					\
	if ((act)->kind)							\
		PAT_ISA(pat_op_activate)(act, out, stride, n);			\
} while (0)

void PAT_ISA(pat_op_copy)(float *out, u32 so, const float *in, u32 si, u32 n);
void PAT_ISA(pat_op_fill)(float *out, u32 so, u32 n, float value);

/* struct op_loop - where nested loops are: an index for each axis, an offset for each operand */
struct op_loop {
	u32 at[PAT_ND_RANK];
	u64 off[PAT_ND_OPERANDS];
};

/* The loops over the first @rank axes, standing at iteration @n. */
PAT_INLINE void op_loop_seek(struct op_loop *l, const struct pat_nd *nd, u32 rank, u64 n)
{
	for (u32 k = 0; k < PAT_ND_OPERANDS; k++)
		l->off[k] = 0;
	for (u32 a = rank; a--;) {
		l->at[a] = n % nd->n[a];
		n /= nd->n[a];
		for (u32 k = 0; k < PAT_ND_OPERANDS; k++)
			l->off[k] += (u64)l->at[a] * nd->stride[k][a];
	}
}

PAT_INLINE void op_loop_next(struct op_loop *l, const struct pat_nd *nd, u32 rank)
{
	for (u32 a = rank; a--;) {
		for (u32 k = 0; k < PAT_ND_OPERANDS; k++)
			l->off[k] += nd->stride[k][a];
		if (++l->at[a] < nd->n[a])
			return;
		l->at[a] = 0;
		for (u32 k = 0; k < PAT_ND_OPERANDS; k++)
			l->off[k] -= (u64)nd->n[a] * nd->stride[k][a];
	}
}

/*
 * Units that a call does: from cur->a on, at most the task's chunk. Returns
 * the first, sets @count, and moves the cursor behind them.
 */
PAT_INLINE u64 op_chunk(const struct pat_work *w, struct pat_cursor *cur, u64 *count)
{
	u64 from = cur->a, left = w->count - from;

	*count = left < w->task->chunk ? left : w->task->chunk;
	cur->a += *count;
	return w->first + from;
}

PAT_INLINE bool op_done(const struct pat_work *w, const struct pat_cursor *cur)
{
	return cur->a >= w->count;
}

#endif
