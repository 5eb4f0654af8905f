/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Matrix products, and transposed convolution. */
#include "op_common.h"

/* A unit: four rows by 64 columns of the output. */
#define ROWS		4
#define COLS		64
#define VECTORS		2

struct product {
	const float *a;
	const float *b;
	float *out;
	/* first row of the sums, or NULL: zeros */
	const float *bias;
	u32 a_pitch;
	u32 b_pitch;
	u32 out_pitch;
	u32 rows;
	u32 depth;
	/* sums are continued */
	bool more;
};

/* @rows rows (a constant) by VECTORS vectors at column @x of which @n are there */
PAT_INLINE void product_tile(const struct product *p, const u32 rows, u32 x, u32 n)
{
	u32 m[VECTORS];
	vf acc[ROWS][VECTORS];

	PAT_UNROLL
	for (u32 v = 0; v < VECTORS; v++)
		m[v] = n > v * PAT_VL ? op_lanes(v * PAT_VL, n) : 0;
	PAT_UNROLL
	for (u32 r = 0; r < rows; r++) {
		PAT_UNROLL
		for (u32 v = 0; v < VECTORS; v++) {
			const float *from = p->more ? p->out + (u64)r * p->out_pitch : p->bias;

			acc[r][v] = from ? op_load(from + x + v * PAT_VL, 1, m[v]) : v_set1(0.0f);
		}
	}
	for (u32 k = 0; k < p->depth; k++) {
		const float *b = p->b + (u64)k * p->b_pitch + x;
		vf w[VECTORS];

		PAT_UNROLL
		for (u32 v = 0; v < VECTORS; v++)
			w[v] = op_load(b + v * PAT_VL, 1, m[v]);
		PAT_UNROLL
		for (u32 r = 0; r < rows; r++) {
			vf s = v_set1(p->a[(u64)r * p->a_pitch + k]);

			PAT_UNROLL
			for (u32 v = 0; v < VECTORS; v++)
				acc[r][v] = v_fma(s, w[v], acc[r][v]);
		}
	}
	PAT_UNROLL
	for (u32 r = 0; r < rows; r++) {
		PAT_UNROLL
		for (u32 v = 0; v < VECTORS; v++)
			op_store(p->out + (u64)r * p->out_pitch + x + v * PAT_VL, 1, m[v],
				 acc[r][v]);
	}
}

static PAT_NOINLINE void product_rows(const struct product *p, u32 x, u32 n)
{
	u32 end = x + n;

	for (; x < end; x += VECTORS * PAT_VL) {
		switch (p->rows) {
		case 4:
			product_tile(p, 4, x, end - x);
			break;
		case 3:
			product_tile(p, 3, x, end - x);
			break;
		case 2:
			product_tile(p, 2, x, end - x);
			break;
		default:
			product_tile(p, 1, x, end - x);
		}
	}
}

/* cur->a: unit, cur->b: how much of the depth is done */
static bool matmul_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_matmul_task *t = &w->task->matmul;
	s64 budget = PAT_CHUNK_MACS;

	(void)scratch;
	for (; cur->a < w->count; cur->a++, cur->b = 0) {
		u64 unit = w->first + cur->a;
		u32 x = unit % t->col_blocks * COLS, row, n = t->out.w - x;
		u64 c = unit / t->col_blocks / t->row_blocks;
		struct product p = {
			.a_pitch = t->a.pitch,
			.b_pitch = t->b_pitch,
			.out_pitch = t->out.pitch,
		};

		row = unit / t->col_blocks % t->row_blocks * ROWS;
		p.rows = t->out.h - row < ROWS ? t->out.h - row : ROWS;
		if (n > COLS)
			n = COLS;
		p.out = w->out + c * t->out.plane + (u64)row * t->out.pitch;
		if (t->packed)
			p.bias = (const float *)w->packed + (u64)t->depth * t->b_pitch;
		while (cur->b < t->depth) {
			if (budget <= 0)
				return false;
			p.depth = t->depth - cur->b < 1024 ? t->depth - cur->b : 1024;
			p.more = cur->b > 0;
			p.a = w->in[0] + c * t->a.plane + (u64)row * t->a.pitch + cur->b;
			p.b = (t->packed ? (const float *)w->packed :
			       w->in[1] + c * t->b_plane) + (u64)cur->b * t->b_pitch;
			product_rows(&p, x, n);
			budget -= (s64)p.depth * (n + 8) * p.rows + 64;
			cur->b += p.depth;
		}
		for (u32 r = 0; r < p.rows; r++)
			op_activate(&w->task->act, p.out + (u64)r * t->out.pitch + x, 1, n);
	}
	return true;
}

/*
 * Transposed convolution, an output row at a time. Column x of the output is fed
 * by input columns whose stride multiples differ from x + pad by a tap: all with one
 * remainder modulo the stride. The sums of a remainder are a row of their own, so
 * that a tap adds a shifted input row to it; the rows are woven into the output last.
 */
struct transpose {
	const struct pat_window_task *t;
	const struct patcnn_conv_params *p;
	u32 remainders;
	/* columns before the first of a row of sums */
	u32 lead;
	float *sums;
};

static void transpose_start(const struct transpose *s, float bias)
{
	for (u32 r = 0; r < s->remainders; r++)
		PAT_ISA(pat_op_fill)(s->sums + (u64)r * s->t->row_floats, 1, s->t->row_floats, bias);
}

static void transpose_tap(const struct transpose *s, const float *in, u32 kx, float weight)
{
	/* output column of input column 0; @lead rows of sums keep the quotient positive */
	s64 x = (s64)kx * s->p->window.dilation_w - s->p->window.pad_left +
		(s64)s->lead * s->p->window.stride_w;
	u32 remainder = x % s->p->window.stride_w;
	float *sum = s->sums + (u64)remainder * s->t->row_floats + x / s->p->window.stride_w;
	const vf f = v_set1(weight);
	u32 n = s->t->in.w;

	/* a stride above the output's width leaves remainders that no column has */
	if (remainder >= s->remainders)
		return;
	for (u32 i = 0; i < n; i += PAT_VL) {
		u32 m = op_lanes(i, n);

		op_store(sum + i, 1, m, v_fma(f, op_load(in + i, 1, m), op_load(sum + i, 1, m)));
	}
}

/* All taps of channel @ic that reach output row @y. */
static s64 transpose_channel(const struct transpose *s, const struct pat_work *w, u32 ic, u32 oc,
			     u32 y)
{
	const struct patcnn_window *win = &s->p->window;
	u32 group_out = s->t->out.c / s->p->groups, taps = win->kernel_h * win->kernel_w;
	const float *weights = w->in[1] + ((u64)ic * group_out + oc) * taps;
	s64 cost = 0;

	for (u32 ky = 0; ky < win->kernel_h; ky++) {
		s64 at = (s64)y + win->pad_top - (s64)ky * win->dilation_h;
		const float *in;

		if (at < 0 || at % win->stride_h || at / win->stride_h >= s->t->in.h)
			continue;
		in = w->in[0] + (u64)ic * s->t->in.plane + (u64)at / win->stride_h * s->t->in.pitch;
		for (u32 kx = 0; kx < win->kernel_w; kx++)
			transpose_tap(s, in, kx, weights[ky * win->kernel_w + kx]);
		cost += (s64)win->kernel_w * (s->t->in.w + 16);
	}
	return cost + 16;
}

static void transpose_weave(const struct transpose *s, float *out)
{
	u32 stride = s->p->window.stride_w;

	for (u32 r = 0; r < s->remainders; r++) {
		const float *sum = s->sums + (u64)r * s->t->row_floats + s->lead;

		PAT_ISA(pat_op_copy)(out + r, stride, sum, 1,
				     (s->t->out.w - r + stride - 1) / stride);
	}
}

/* cur->a: unit, cur->b: input channels of the group that are done */
static bool conv_transpose_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_window_task *t = &w->task->window;
	const struct patcnn_conv_params *params = &w->task->op->conv;
	u32 group_in = t->in.c / params->groups, group_out = t->out.c / params->groups;
	u32 stride = params->window.stride_w;
	struct transpose s = {
		.t = t,
		.p = params,
		.remainders = stride < t->out.w ? stride : t->out.w,
		.lead = (params->window.pad_left + stride - 1) / stride,
		.sums = scratch,
	};
	s64 budget = PAT_CHUNK_MACS;

	for (; cur->a < w->count; cur->a++, cur->b = 0) {
		u64 unit = w->first + cur->a;
		u32 oc = unit / t->out.h, y = unit % t->out.h, group = oc / group_out;
		float *out = w->out + (u64)oc * t->out.plane + (u64)y * t->out.pitch;

		if (!cur->b)
			transpose_start(&s, w->in[2] ? w->in[2][oc] : 0.0f);
		for (; cur->b < group_in; cur->b++) {
			if (budget <= 0 && cur->b)
				return false;
			budget -= transpose_channel(&s, w, group * group_in + cur->b,
						    oc % group_out, y);
		}
		transpose_weave(&s, out);
		op_activate(&w->task->act, out, 1, t->out.w);
		budget -= t->out.w + s.remainders * 16;
		if (budget <= 0 && cur->a + 1 < w->count) {
			cur->a++;
			cur->b = 0;
			return false;
		}
	}
	return true;
}
