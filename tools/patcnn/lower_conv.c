// SPDX-License-Identifier: MIT
/* Convolutions, transposed ones and linear layers: geometry, weights, bias, residual. */

#include <string.h>

#include "infer.h"
#include "lower.h"
#include "sparsity.h"

static const struct value *constant_weights(struct lower *l, struct node *n)
{
	const struct value *w = node_in(n, 1), *b = node_in(n, 2);

	if (!w || !w->constant || !w->constant->is_float) {
		issue(l->g, n, "W", "the weights are not constant");
		return NULL;
	}
	if (b && (!b->constant || !b->constant->is_float)) {
		issue(l->g, n, "B", "the bias is not constant");
		return NULL;
	}
	return w;
}

static bool set_window(struct lower *l, struct node *n, struct patcnn_window *to,
		       const struct window *w)
{
	int i;

	for (i = 0; i < 2; i++)
		if (w->kernel[i] > 255) {
			issue(l->g, n, "kernel_shape", "%lld is above 255",
			      (long long)w->kernel[i]);
			return false;
		}
	to->kernel_h = (uint16_t)w->kernel[0];
	to->kernel_w = (uint16_t)w->kernel[1];
	to->stride_h = (uint16_t)w->stride[0];
	to->stride_w = (uint16_t)w->stride[1];
	to->dilation_h = (uint16_t)w->dilation[0];
	to->dilation_w = (uint16_t)w->dilation[1];
	to->pad_top = (uint16_t)w->begin[0];
	to->pad_left = (uint16_t)w->begin[1];
	to->pad_bottom = (uint16_t)(w->end[0] + w->extra[0]);
	to->pad_right = (uint16_t)(w->end[1] + w->extra[1]);
	return true;
}

static void dense_weights(struct lower *l, struct patcnn_weights *to, const float *values,
			  uint64_t count)
{
	to->storage = PATCNN_STORAGE_DENSE;
	to->values = program_array(l->w, values, count);
}

void lower_weights(struct lower *l, struct patcnn_conv_params *p, const float *values,
		   unsigned int out, unsigned int in, const struct value *bias)
{
	struct layer_weights layer = { values, out, in, p->window.kernel_h, p->window.kernel_w,
				       p->groups };
	struct sparse_weights s;
	uint64_t count = (uint64_t)out * in * layer.kernel_h * layer.kernel_w;

	p->weights.dtype = PATCNN_DTYPE_F32;
	if (bias)
		p->weights.bias = program_array(l->w, bias->constant->f, bias->constant->count);
	if (l->opts->no_sparse || !sparse_encode(l->g->arena, &layer, &s)) {
		dense_weights(l, &p->weights, values, count);
		return;
	}
	p->weights.storage = (uint16_t)s.storage;
	p->weights.block_out = (uint16_t)s.block_out;
	p->weights.block_in = (uint16_t)s.block_in;
	if (s.n_masks) {
		p->weights.pattern_first = program_patterns(l->w, layer.kernel_h, layer.kernel_w,
							    s.masks, s.n_masks);
		p->weights.pattern_count = s.n_masks;
	}
	p->weights.values = program_array(l->w, s.values, s.n_values);
	p->weights.offset = program_array(l->w, s.offset, s.n_offset);
	p->weights.index = program_array(l->w, s.index, s.n_index);
	p->weights.reorder = program_array(l->w, s.reorder, s.n_reorder);
	p->weights.stride = program_array(l->w, s.stride, s.n_stride);
}

void lower_conv(struct lower *l, struct node *n)
{
	const struct value *w = constant_weights(l, n), *bias = node_in(n, 2);
	struct value *v = node_in(n, 0), *out = n->out[0];
	struct patcnn_operator *op;
	struct tensor_shape in_shape, out_shape;
	struct patcnn_window window;
	uint32_t operands[2], to;
	struct window geometry;

	if (!w || !window_geometry(l->g, n, &v->shape, &w->shape, &geometry) ||
	    !set_window(l, n, &window, &geometry))
		return;
	if (bias && (int64_t)bias->constant->count != out->shape.dim[1]) {
		issue(l->g, n, "B", "has %zu entries for %lld channels", bias->constant->count,
		      (long long)out->shape.dim[1]);
		return;
	}
	window_shape(l, &v->shape, &in_shape);
	window_shape(l, &out->shape, &out_shape);
	operands[0] = tensor_as(l, v, &in_shape);
	if (n->residual)
		operands[1] = tensor_as(l, value_resolve(n->residual), &out_shape);
	to = output_as(l, n, &out_shape);
	op = emit(l, PATCNN_OP_CONV, operands, n->residual ? 2 : 1, to, true);
	op->conv.window = window;
	op->conv.groups = (uint32_t)attr_int(n, "group", 1);
	lower_weights(l, &op->conv, w->constant->f, (unsigned int)w->shape.dim[0],
		      (unsigned int)w->shape.dim[1], bias);
}

/*
 * Output padding makes the output longer than the input reaches: first at the cost of
 * the padding taken off behind, then by rows and columns of zeros behind the kernel.
 */
static const float *extend_kernel(struct lower *l, const struct value *w, struct window *g,
				  const int64_t *output_padding)
{
	int64_t kernel[2] = { g->kernel[0], g->kernel[1] }, planes, p, y, x;
	float *values;
	int i;

	for (i = 0; i < 2; i++) {
		g->end[i] -= output_padding[i];
		while (g->end[i] < 0) {
			g->kernel[i]++;
			g->end[i] += g->dilation[i];
		}
	}
	if (kernel[0] == g->kernel[0] && kernel[1] == g->kernel[1])
		return w->constant->f;
	planes = w->shape.dim[0] * w->shape.dim[1];
	values = arena_array(l->g->arena, (size_t)(planes * g->kernel[0] * g->kernel[1]),
			     sizeof(*values));
	for (p = 0; p < planes; p++)
		for (y = 0; y < kernel[0]; y++)
			for (x = 0; x < kernel[1]; x++)
				values[(p * g->kernel[0] + y) * g->kernel[1] + x] =
					w->constant->f[(p * kernel[0] + y) * kernel[1] + x];
	return values;
}

void lower_conv_transpose(struct lower *l, struct node *n)
{
	const struct value *w = constant_weights(l, n), *bias = node_in(n, 2);
	struct value *v = node_in(n, 0);
	const int64_t *list = NULL, *pads = NULL;
	int64_t extra[2] = { 0, 0 };
	struct tensor_shape in_shape, out_shape;
	struct patcnn_window window;
	struct patcnn_operator *op;
	struct window g = { .kernel = { 1, 1 }, .stride = { 1, 1 }, .dilation = { 1, 1 } };
	const float *values;
	uint32_t in, to;
	int axes = v->shape.rank - 2, i;

	if (!w)
		return;
	for (i = 0; i < axes; i++) {
		int at = 2 - axes + i;

		g.kernel[at] = w->shape.dim[2 + i];
		if (attr_ints(n, "strides", &list))
			g.stride[at] = list[i];
		if (attr_ints(n, "dilations", &list))
			g.dilation[at] = list[i];
		if (attr_ints(n, "pads", &pads)) {
			g.begin[at] = pads[i];
			g.end[at] = pads[axes + i];
		}
		if (attr_ints(n, "output_padding", &list))
			extra[at] = list[i];
	}
	for (i = 0; i < 2; i++)
		if (extra[i] > 255 || g.kernel[i] > 255 ||
		    g.begin[i] > g.dilation[i] * (g.kernel[i] - 1) ||
		    g.end[i] - extra[i] > g.dilation[i] * (g.kernel[i] - 1)) {
			issue(l->g, n, "pads", "or output_padding are too large for the kernel");
			return;
		}
	values = extend_kernel(l, w, &g, extra);
	if (!set_window(l, n, &window, &g))
		return;
	window_shape(l, &v->shape, &in_shape);
	window_shape(l, &n->out[0]->shape, &out_shape);
	in = tensor_as(l, v, &in_shape);
	to = output_as(l, n, &out_shape);
	op = emit(l, PATCNN_OP_CONV_TRANSPOSE, &in, 1, to, true);
	op->conv.window = window;
	op->conv.groups = (uint32_t)attr_int(n, "group", 1);
	op->conv.weights.dtype = PATCNN_DTYPE_F32;
	if (bias)
		op->conv.weights.bias = program_array(l->w, bias->constant->f,
						      bias->constant->count);
	dense_weights(l, &op->conv.weights, values,
		      (uint64_t)(w->shape.dim[0] * w->shape.dim[1] * g.kernel[0] * g.kernel[1]));
}

/* ---- linear layers ---- */

/* Constant weights as [out][in]. */
static const float *linear_weights(struct lower *l, struct node *n, const struct value *w)
{
	int64_t in = w->shape.dim[0], out = w->shape.dim[1], i, o;
	float *values;

	if (attr_int(n, "transB", 0))
		return w->constant->f;
	values = arena_array(l->g->arena, w->constant->count, sizeof(*values));
	for (i = 0; i < in; i++)
		for (o = 0; o < out; o++)
			values[o * in + i] = w->constant->f[i * out + o];
	return values;
}

static void linear(struct lower *l, struct node *n, struct value *v, const struct value *w,
		   const struct value *bias)
{
	struct patcnn_conv_params p = {
		.window = { 1, 1, 1, 1, 1, 1, 0, 0, 0, 0 },
		.groups = 1,
	};
	bool trans = attr_int(n, "transB", 0);
	int64_t features = w->shape.dim[trans ? 1 : 0], outputs = w->shape.dim[trans ? 0 : 1];
	bool one_row = shape_elements(&v->shape) == features;
	struct tensor_shape t;
	uint32_t in, to;

	lower_weights(l, &p, linear_weights(l, n, w), (unsigned int)outputs,
		      (unsigned int)features, bias);
	if (one_row) {
		/* One row may have any shape, see passes/flatten.c. */
		in = tensor_of(l, v);
	} else {
		plane_shape(l, &v->shape, &t);
		in = tensor_as(l, v, &t);
	}
	plane_shape(l, &n->out[0]->shape, &t);
	to = output_as(l, n, &t);
	emit(l, PATCNN_OP_LINEAR, &in, 1, to, true)->conv = p;
}

void lower_gemm(struct lower *l, struct node *n)
{
	const struct value *w = node_in(n, 1), *c = node_in(n, 2);
	struct shape bias_shape = { 1, { n->out[0]->shape.dim[n->out[0]->shape.rank - 1] } };

	if (!w || !w->constant || !w->constant->is_float || attr_int(n, "transA", 0)) {
		issue(l->g, n, "transA", "or computed matrices are not supported");
		return;
	}
	if (c && (!c->constant || !c->constant->is_float ||
		  c->constant->count != (size_t)bias_shape.dim[0] ||
		  attr_float(n, "alpha", 1) != 1 || attr_float(n, "beta", 1) != 1)) {
		issue(l->g, n, "C", "is not one constant for each column");
		return;
	}
	linear(l, n, node_in(n, 0), w, c);
}

/* ---- products of two computed matrices ---- */

static bool batch_shape(struct lower *l, const struct value *v, int rank, struct tensor_shape *t)
{
	struct shape s = { .rank = rank };
	int i;

	for (i = 0; i < rank; i++)
		s.dim[i] = i < rank - v->shape.rank ? 1 : v->shape.dim[i - (rank - v->shape.rank)];
	return plane_shape(l, &s, t);
}

static uint64_t batch_of(const struct tensor_shape *t)
{
	uint64_t c = 1;
	unsigned int i;

	for (i = 0; i + 2 < t->rank; i++)
		c *= t->dim[i];
	return c;
}

void lower_matmul(struct lower *l, struct node *n)
{
	struct value *a = node_in(n, 0), *b = node_in(n, 1);
	int rank = a->shape.rank > b->shape.rank ? a->shape.rank : b->shape.rank;
	struct tensor_shape x, y, t;
	uint32_t operands[2], to;

	if (a->shape.rank < 2 || b->shape.rank < 2) {
		issue(l->g, n, "", "of a vector is not supported");
		return;
	}
	if (!batch_shape(l, a, rank, &x) || !batch_shape(l, b, rank, &y) ||
	    !plane_shape(l, &n->out[0]->shape, &t))
		return;
	if (batch_of(&x) != batch_of(&t) || (batch_of(&y) != 1 && batch_of(&y) != batch_of(&t))) {
		issue(l->g, n, "", "batches of %s and %s do not fit", shape_text(l->g, &a->shape),
		      shape_text(l->g, &b->shape));
		return;
	}
	operands[0] = tensor_as(l, a, &x);
	operands[1] = tensor_as(l, b, &y);
	to = output_as(l, n, &t);
	emit(l, PATCNN_OP_MATMUL, operands, 2, to, true);
}
