/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Elementwise operators, copies, and activations. */
#include "op_common.h"

void PAT_ISA(pat_op_activate)(const struct patcnn_activation *act, float *out, u32 so, u32 n)
{
	const vf a = v_set1(op_float(act->a)), b = v_set1(op_float(act->b));
	const vf zero = v_set1(0.0f), one = v_set1(1.0f);
	int twice;

	switch (act->kind) {
	case PATCNN_ACT_RELU:
		OP_EACH(out, so, n, m_select(x < zero, zero, x));
		break;
	case PATCNN_ACT_CLIP:
		OP_EACH(out, so, n, m_select(x < a, a, m_select(x > b, b, x)));
		break;
	case PATCNN_ACT_LEAKY_RELU:
		OP_EACH(out, so, n, m_select(x < zero, x * a, x));
		break;
	case PATCNN_ACT_SIGMOID:
		OP_EACH(out, so, n, m_sigmoid(x));
		break;
	case PATCNN_ACT_HARD_SIGMOID:
		OP_EACH(out, so, n, v_min(v_max(v_fma(x, a, b), zero), one));
		break;
	case PATCNN_ACT_HARD_SWISH:
		OP_EACH(out, so, n, x * v_min(v_max(v_fma(x, v_set1(1.0f / 6), v_set1(0.5f)),
						    zero), one));
		break;
	case PATCNN_ACT_SILU:
		OP_EACH(out, so, n, m_select(x < v_set1(-1e30f), zero, x * m_sigmoid(x)));
		break;
	case PATCNN_ACT_TANH:
		OP_EACH(out, so, n, m_tanh(x));
		break;
	case PATCNN_ACT_ELU:
		OP_EACH(out, so, n, m_select(x < zero, a * m_expm1(x), x));
		break;
	case PATCNN_ACT_GELU:
		OP_EACH(out, so, n, m_gelu(x));
		break;
	case PATCNN_ACT_EXP:
		OP_EACH(out, so, n, m_exp(x));
		break;
	case PATCNN_ACT_SQRT:
		OP_EACH(out, so, n, m_sqrt(x));
		break;
	case PATCNN_ACT_ABS:
		OP_EACH(out, so, n, m_abs(x));
		break;
	case PATCNN_ACT_NEG:
		OP_EACH(out, so, n, -x);
		break;
	case PATCNN_ACT_LOG:
		OP_EACH(out, so, n, m_log(x));
		break;
	case PATCNN_ACT_ERF:
		OP_EACH(out, so, n, m_erf(x));
		break;
	case PATCNN_ACT_RECIPROCAL:
		OP_EACH(out, so, n, one / x);
		break;
	case PATCNN_ACT_SOFTPLUS:
		OP_EACH(out, so, n, m_softplus(x));
		break;
	case PATCNN_ACT_MISH:
		OP_EACH(out, so, n, m_mish(x));
		break;
	case PATCNN_ACT_POW:
		twice = (int)(2 * op_float(act->a));
		OP_EACH(out, so, n, m_pow(x, twice));
		break;
	}
}

void PAT_ISA(pat_op_copy)(float *out, u32 so, const float *in, u32 si, u32 n)
{
	if (so == 1 && si == 1) {
		for (u32 i = 0; i < n; i += PAT_VL) {
			u32 m = op_lanes(i, n);

			op_store(out + i, 1, m, op_load(in + i, 1, m));
		}
		return;
	}
	for (u32 i = 0; i < n; i++)
		out[(u64)i * so] = in[(u64)i * si];
}

void PAT_ISA(pat_op_fill)(float *out, u32 so, u32 n, float value)
{
	const vf v = v_set1(value);

	for (u32 i = 0; i < n; i += PAT_VL)
		op_store(out + (u64)i * so, so, op_lanes(i, n), v);
}

/* Upwards, so that @to may lie in front of @from in the same memory. */
static void move(float *to, const float *from, u64 n)
{
	for (u64 i = 0; i < n; i += PAT_VL)
		op_store(to + i, 1, n - i < PAT_VL ? v_first(n - i) : PAT_ALL_LANES,
			 op_load(from + i, 1, n - i < PAT_VL ? v_first(n - i) : PAT_ALL_LANES));
}

#define OP_BINARY(expression) do {						\
	for (u32 i = 0; i < n; i += PAT_VL) {					\
		u32 m = op_lanes(i, n);						\
		vf a = op_load(pa + (u64)i * sa, sa, m);			\
		vf b = op_load(pb + (u64)i * sb, sb, m);			\
										\
		op_store(out + (u64)i * so, so, m, expression);			\
	}									\
} while (0)

static PAT_NOINLINE void binary(u32 op, u32 n, float *out, u32 so, const float *pa, u32 sa,
				const float *pb, u32 sb)
{
	switch (op) {
	case PATCNN_OP_ADD:
		OP_BINARY(a + b);
		break;
	case PATCNN_OP_SUB:
		OP_BINARY(a - b);
		break;
	case PATCNN_OP_MUL:
		OP_BINARY(a * b);
		break;
	case PATCNN_OP_DIV:
		OP_BINARY(a / b);
		break;
	case PATCNN_OP_PRELU:
		OP_BINARY(m_select(a < v_set1(0.0f), a * b, a));
		break;
	}
}

static bool map_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_map_task *t = &w->task->map;
	const struct pat_nd *nd = &t->nd;
	u32 last = nd->rank - 1, so = nd->stride[0][last], sa = nd->stride[1][last];
	u32 sb = nd->stride[2][last], segment;
	struct op_loop loop;
	u64 count, unit = op_chunk(w, cur, &count);

	(void)scratch;
	op_loop_seek(&loop, nd, last, unit / t->segments);
	segment = unit % t->segments;
	for (; count; count--) {
		u64 col = (u64)segment * PAT_SEGMENT;
		u32 n = nd->n[last] - col < PAT_SEGMENT ? nd->n[last] - col : PAT_SEGMENT;
		float *out = w->out + loop.off[0] + col * so;
		const float *a = w->in[0] + loop.off[1] + col * sa;

		if (t->op)
			binary(t->op, n, out, so, a, sa, w->in[1] + loop.off[2] + col * sb, sb);
		else if (out != a || so != sa)
			PAT_ISA(pat_op_copy)(out, so, a, sa, n);
		op_activate(&w->task->act, out, so, n);
		if (++segment == t->segments) {
			segment = 0;
			op_loop_next(&loop, nd, last);
		}
	}
	return op_done(w, cur);
}

/* Row @row of the output from the pieces of input rows that hold its elements. */
static void reshape_row(const struct pat_window_task *t, float *out, const float *in,
			u64 element, u32 n)
{
	u32 x = element % t->in.w;
	u64 row = element / t->in.w;
	u32 y = row % t->in.h;
	u64 c = row / t->in.h;

	while (n) {
		u32 piece = t->in.w - x < n ? t->in.w - x : n;

		PAT_ISA(pat_op_copy)(out, 1, in + c * t->in.plane + (u64)y * t->in.pitch + x, 1,
				     piece);
		out += piece;
		n -= piece;
		x = 0;
		if (++y == t->in.h) {
			y = 0;
			c++;
		}
	}
}

static bool reshape_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_window_task *t = &w->task->window;
	u64 count, unit = op_chunk(w, cur, &count);

	(void)scratch;
	for (; count; count--, unit++) {
		u64 row = unit / t->segments;
		u32 x = unit % t->segments * PAT_SEGMENT;
		u32 n = t->out.w - x < PAT_SEGMENT ? t->out.w - x : PAT_SEGMENT;
		float *out = w->out + row / t->out.h * t->out.plane +
			     row % t->out.h * t->out.pitch + x;

		reshape_row(t, out, w->in[0], row * t->out.w + x, n);
		op_activate(&w->task->act, out, 1, n);
	}
	return op_done(w, cur);
}

/* Where output index @i of @axis reads the input, or -1: nowhere. */
static s64 pad_source(const struct pat_pad_task *t, u32 axis, u32 i)
{
	s64 n = t->in[axis], x = (s64)i - t->before[axis];

	if (x >= 0 && x < n)
		return x;
	if (t->mode == PATCNN_PAD_CONSTANT)
		return -1;
	if (t->mode == PATCNN_PAD_EDGE)
		return x < 0 ? 0 : n - 1;
	return x < 0 ? -x : 2 * (n - 1) - x;
}

static void pad_row(const struct pat_pad_task *t, float *out, const float *in, u32 x, u32 n)
{
	u32 last = t->nd.rank - 1, so = t->nd.stride[0][last], si = t->nd.stride[1][last];
	float value = op_float(t->value);

	while (n) {
		s64 from = pad_source(t, last, x);
		u32 run = 1;

		/* what lies within the input is copied at once */
		if (x >= t->before[last] && x - t->before[last] < t->in[last]) {
			run = t->in[last] - (x - t->before[last]);
			if (run > n)
				run = n;
			PAT_ISA(pat_op_copy)(out, so, in + (u64)from * si, si, run);
		} else {
			*out = from < 0 ? value : in[(u64)from * si];
		}
		out += (u64)run * so;
		x += run;
		n -= run;
	}
}

static bool pad_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_pad_task *t = &w->task->pad;
	const struct pat_nd *nd = &t->nd;
	u32 last = nd->rank - 1, so = nd->stride[0][last];
	u32 segments = (nd->n[last] + PAT_SEGMENT - 1) / PAT_SEGMENT;
	u64 count, unit = op_chunk(w, cur, &count);

	(void)scratch;
	for (; count; count--, unit++) {
		u32 x = unit % segments * PAT_SEGMENT;
		u32 n = nd->n[last] - x < PAT_SEGMENT ? nd->n[last] - x : PAT_SEGMENT;
		u64 row = unit / segments;
		const float *in = w->in[0];
		float *out = w->out + (u64)x * so;
		bool outside = false;

		for (u32 a = last; a--;) {
			u32 i = row % nd->n[a];
			s64 from = pad_source(t, a, i);

			row /= nd->n[a];
			out += (u64)i * nd->stride[0][a];
			if (from < 0)
				outside = true;
			else
				in += (u64)from * nd->stride[1][a];
		}
		if (outside)
			PAT_ISA(pat_op_fill)(out, so, n, op_float(t->value));
		else
			pad_row(t, out, in, x, n);
		op_activate(&w->task->act, out, so, n);
	}
	return op_done(w, cur);
}
