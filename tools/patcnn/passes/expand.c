// SPDX-License-Identifier: MIT
/*
 * Operators the program format has no word for, written with those it has. What
 * only moves elements is in expand_layout.c.
 */

#include <float.h>
#include <math.h>
#include <string.h>

#include "../infer.h"
#include "passes.h"

static void softsign(struct graph *g, struct node *n)
{
	struct value *x = node_in(n, 0), *d = build_unary(g, n, OP_Abs, x);

	d = build_binary(g, n, OP_Add, d, build_scalar(g, "1", 1));
	replace_node(n, build_binary(g, n, OP_Div, x, d));
}

static void selu(struct graph *g, struct node *n)
{
	struct value *v = build_unary(g, n, OP_Elu, node_in(n, 0));

	attr_set_float(g, v->producer, "alpha", attr_float(n, "alpha", 1.67326319217681884765625f));
	replace_node(n, build_binary(g, n, OP_Mul, v,
				     build_scalar(g, "gamma", attr_float(n, "gamma",
						  1.05070102214813232421875f))));
}

static void log_softmax(struct graph *g, struct node *n)
{
	struct value *v = build_unary(g, n, OP_Softmax, node_in(n, 0));

	if (node_attr(n, "axis"))
		attr_set_int(g, v->producer, "axis", attr_int(n, "axis", 0));
	replace_node(n, build_unary(g, n, OP_Log, v));
}

/* The axes of @n to the reduction @to, which has one input so far. */
static void copy_reduction(struct graph *g, const struct node *n, struct node *to)
{
	struct value *v = node_in(to, 0);

	to->attr = n->attr;
	to->n_attr = n->n_attr;
	if (!node_in(n, 1))
		return;
	to->in = arena_array(g->arena, 2, sizeof(*to->in));
	to->in[0] = v;
	to->n_in = 2;
	node_set_in(to, 1, node_in(n, 1));
}

static void reduce_l2(struct graph *g, struct node *n)
{
	struct value *x = node_in(n, 0), *v = build_binary(g, n, OP_Mul, x, x);
	struct node *sum = node_build(g, n, OP_ReduceSum, "/ReduceSum", &n->out[0]->shape, v, NULL);

	copy_reduction(g, n, sum);
	replace_node(n, build_unary(g, n, OP_Sqrt, sum->out[0]));
}

/* Any number of operands: two at a time. */
static struct value *pairwise(struct graph *g, struct node *n, enum op op)
{
	struct value *v = node_in(n, 0);
	unsigned int i;

	for (i = 1; i < n->n_in; i++) {
		struct shape s = v->shape;

		if (!shape_broadcast(&s, &node_in(n, i)->shape))
			return NULL;
		v = node_build(g, n, op, arena_printf(g->arena, "/%u", i), &s, v,
			       node_in(n, i))->out[0];
	}
	return v;
}

static void sum(struct graph *g, struct node *n)
{
	struct value *v = pairwise(g, n, OP_Add);

	if (v && n->op == OP_Mean)
		v = build_binary(g, n, OP_Mul, v, build_scalar(g, "1/n", 1.0f / (float)n->n_in));
	if (v)
		replace_node(n, v);
}

/* Of computed tensors: side by side along a new first axis, which is then reduced. */
static void min_max_tensors(struct graph *g, struct node *n)
{
	struct shape one = { .rank = n->out[0]->shape.rank + 1, .dim = { 1 } };
	struct value **part = arena_array(g->arena, n->n_in, sizeof(struct value *)), *v;
	bool is_max = n->op == OP_Max;
	struct node *reduce;
	int64_t axis = 0;
	unsigned int i;

	if (one.rank > SHAPE_MAX_RANK) {
		issue(g, n, "", "of tensors of %d dimensions is not supported", one.rank - 1);
		return;
	}
	memcpy(one.dim + 1, n->out[0]->shape.dim, (size_t)(one.rank - 1) * sizeof(*one.dim));
	for (i = 0; i < n->n_in; i++) {
		v = node_in(n, i);
		if (!shape_equal(&v->shape, &n->out[0]->shape)) {
			issue(g, n, "", "broadcasting is not supported here");
			return;
		}
		if (!is_max)
			v = build_unary(g, n, OP_Neg, v);
		part[i] = build_reshape(g, n, v, &one);
	}
	v = build_concat(g, n, part, n->n_in, 0);
	reduce = node_build(g, n, OP_ReduceMax, "/max", &n->out[0]->shape, v, NULL);
	attr_set_ints(g, reduce, "axes", &axis, 1);
	attr_set_int(g, reduce, "keepdims", 0);
	v = reduce->out[0];
	replace_node(n, is_max ? v : build_unary(g, n, OP_Neg, v));
}

/* The larger or smaller of a tensor and constants is a Clip. */
static void min_max(struct graph *g, struct node *n)
{
	struct value *v = NULL, *clip;
	double bound = 0, c;
	bool is_max = n->op == OP_Max, have = false;
	unsigned int i;

	for (i = 0; i < n->n_in; i++) {
		if (const_scalar(node_in(n, i), &c)) {
			bound = !have || (is_max ? c > bound : c < bound) ? c : bound;
			have = true;
		} else if (v) {
			min_max_tensors(g, n);
			return;
		} else {
			v = node_in(n, i);
		}
	}
	if (!v || !have || !shape_equal(&v->shape, &n->out[0]->shape)) {
		issue(g, n, "", "broadcasting is not supported here");
		return;
	}
	clip = build_unary(g, n, OP_Clip, v);
	attr_set_float(g, clip->producer, is_max ? "min" : "max", (float)bound);
	replace_node(n, clip);
}

static void reduce_min(struct graph *g, struct node *n)
{
	struct value *v = build_unary(g, n, OP_Neg, node_in(n, 0));
	struct node *max = node_build(g, n, OP_ReduceMax, "/max", &n->out[0]->shape, v, NULL);

	copy_reduction(g, n, max);
	replace_node(n, build_unary(g, n, OP_Neg, max->out[0]));
}

/* x / (bias + alpha * mean over neighbouring channels of x^2) ^ beta, the mean as a pooling. */
static void lrn(struct graph *g, struct node *n)
{
	struct value *x = node_in(n, 0), *v = build_binary(g, n, OP_Mul, x, x);
	int64_t size = attr_int(n, "size", 0), kernel[2] = { size, 1 }, pads[4] = { 0 };
	float beta = attr_float(n, "beta", 0.75f);
	struct shape s = { .rank = 4, .dim = { 1, 1, 1, 1 } };
	struct value *root;
	int i;

	if (size < 1 || size > 255 || x->shape.rank < 2) {
		issue(g, n, "size", "%lld is not supported", (long long)size);
		return;
	}
	if (beta != 0.75f && 2 * beta != rintf(2 * beta)) {
		issue(g, n, "beta", "%g is neither 0.75 nor a multiple of 1/2", (double)beta);
		return;
	}
	s.dim[0] = x->shape.dim[0];
	s.dim[2] = x->shape.dim[1];
	for (i = 2; i < x->shape.rank; i++)
		s.dim[3] *= x->shape.dim[i];
	v = build_reshape(g, n, v, &s);
	v = build_unary(g, n, OP_AveragePool, v);
	pads[0] = (size - 1) / 2;
	pads[2] = size - 1 - pads[0];
	attr_set_ints(g, v->producer, "kernel_shape", kernel, 2);
	attr_set_ints(g, v->producer, "pads", pads, 4);
	attr_set_int(g, v->producer, "count_include_pad", 1);
	v = build_reshape(g, n, v, &x->shape);
	v = build_binary(g, n, OP_Mul, v, build_scalar(g, "alpha", attr_float(n, "alpha", 1e-4f)));
	v = build_binary(g, n, OP_Add, v, build_scalar(g, "bias", attr_float(n, "bias", 1)));
	if (beta == 0.75f) {
		root = build_unary(g, n, OP_Sqrt, v);
		v = build_binary(g, n, OP_Mul, root, build_unary(g, n, OP_Sqrt, root));
	} else {
		v = build_binary(g, n, OP_Pow, v, build_scalar(g, "beta", beta));
	}
	replace_node(n, build_binary(g, n, OP_Div, x, v));
}

/* Batch norm with no convolution before it: a depthwise 1x1 one, or Mul and Add for rows. */
static void batch_norm(struct graph *g, struct node *n)
{
	struct value *x = node_in(n, 0), *v;
	struct shape one = { .rank = 1 }, s;
	float *scale, *shift;
	struct node *conv;
	int i;

	if (!norm_constants(g, n, &scale, &shift))
		return;
	one.dim[0] = x->shape.dim[1];
	if (x->shape.rank != 3 && x->shape.rank != 4) {
		s.rank = x->shape.rank - 1;
		for (i = 0; i < s.rank; i++)
			s.dim[i] = i ? 1 : x->shape.dim[1];
		v = build_binary(g, n, OP_Mul, x, const_floats(g, n->name, &s, scale));
		replace_node(n, build_binary(g, n, OP_Add, v, const_floats(g, n->name, &s, shift)));
		return;
	}
	s = x->shape;
	for (i = 0; i < s.rank; i++)
		s.dim[i] = i ? 1 : x->shape.dim[1];
	conv = node_build(g, n, OP_Conv, "", &x->shape, x, const_floats(g, n->name, &s, scale));
	conv->in = arena_array(g->arena, 4, sizeof(*conv->in));
	conv->in[0] = x;
	conv->n_in = 3;
	node_set_in(conv, 1, const_floats(g, n->name, &s, scale));
	node_set_in(conv, 2, const_floats(g, n->name, &one, shift));
	attr_set_int(g, conv, "group", x->shape.dim[1]);
	replace_node(n, conv->out[0]);
}

/* Zeros around @v, of a convolution's or pooling's own padding; the attribute becomes zero. */
static void explicit_padding(struct graph *g, struct node *n, const struct window *w)
{
	struct value *v = node_in(n, 0);
	int64_t pads[2 * SHAPE_MAX_RANK] = { 0 }, none[4] = { 0 };
	int rank = v->shape.rank, axes = rank - 2, i;
	struct shape s = v->shape;
	struct node *pad;

	for (i = 0; i < axes; i++) {
		int at = 2 - axes + i;

		pads[2 + i] = w->begin[at];
		pads[rank + 2 + i] = w->end[at];
		s.dim[2 + i] += w->begin[at] + w->end[at];
	}
	pad = node_build(g, n, OP_Pad, "/pad", &s, v, NULL);
	attr_set_ints(g, pad, "pads", pads, 2 * (size_t)rank);
	attr_set_ints(g, n, "pads", none, 2 * (size_t)axes);
	node_set_in(n, 0, pad->out[0]);
}

static bool pads_too_large(const struct window *w, int i)
{
	int64_t reach = w->dilation[i] * (w->kernel[i] - 1) + 1;

	return w->begin[i] >= reach || w->end[i] + w->extra[i] >= reach;
}

/* The format's padding is less than the kernel, and counts in averages all or not at all. */
static void window_padding(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0), *weights = n->op == OP_Conv ? node_in(n, 1) : NULL;
	struct window w;

	if (!window_geometry(g, n, &v->shape, weights ? &weights->shape : NULL, &w))
		return;
	if (n->op == OP_AveragePool && attr_int(n, "count_include_pad", 0) &&
	    (w.extra[0] || w.extra[1])) {
		explicit_padding(g, n, &w);
		attr_set_int(g, n, "count_include_pad", 0);
	} else if (pads_too_large(&w, 0) || pads_too_large(&w, 1)) {
		if (n->op == OP_Conv)
			explicit_padding(g, n, &w);
		else
			issue(g, n, "pads", "are not less than the kernel");
	}
}

static struct value *transposed(struct graph *g, struct node *n, struct value *v)
{
	static const int64_t perm[] = { 1, 0 };

	return build_transpose(g, n, v, perm);
}

/*
 * What a linear layer is not: a transposed input, a computed matrix, a bias that is
 * computed or differs from row to row.
 */
static void gemm(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = node_in(n, 1), *c = node_in(n, 2), *v;
	const struct shape *s = &n->out[0]->shape;
	float alpha = attr_float(n, "alpha", 1), beta = attr_float(n, "beta", 1);
	bool linear = b && b->constant, trans = attr_int(n, "transB", 0);

	if (!b || (linear && !attr_int(n, "transA", 0) &&
		   (!c || (c->constant && beta == 1 &&
			   c->constant->count == (size_t)s->dim[s->rank - 1]))))
		return;
	if (attr_int(n, "transA", 0))
		a = transposed(g, n, a);
	if (!linear && trans)
		b = transposed(g, n, b);
	v = node_build(g, n, linear ? OP_Gemm : OP_MatMul, "/matmul", s, a, b)->out[0];
	if (linear)
		attr_set_int(g, v->producer, "transB", trans);
	else if (alpha != 1)
		v = build_binary(g, n, OP_Mul, v, build_scalar(g, "alpha", alpha));
	if (c && beta != 1)
		c = node_build(g, n, OP_Mul, "/beta", &c->shape, c,
			       build_scalar(g, "beta", beta))->out[0];
	if (c)
		v = node_build(g, n, OP_Add, "/bias", s, v, c)->out[0];
	replace_node(n, v);
}

void pass_expand(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g) {
		if (n->reported || !n->n_in || !node_in(n, 0) || n->out[0]->shape.rank < 0 ||
		    node_in(n, 0)->shape.rank < 0 || expand_layout(g, n) ||
		    expand_compare(g, n))
			continue;
		switch (n->op) {
		case OP_AveragePool:
		case OP_MaxPool:
		case OP_Conv:
			window_padding(g, n);
			break;
		case OP_BatchNormalization:
			batch_norm(g, n);
			break;
		case OP_Gemm:
			gemm(g, n);
			break;
		case OP_LogSoftmax:
			log_softmax(g, n);
			break;
		case OP_LRN:
			lrn(g, n);
			break;
		case OP_Max:
		case OP_Min:
			min_max(g, n);
			break;
		case OP_Mean:
		case OP_Sum:
			sum(g, n);
			break;
		case OP_ReduceL2:
			reduce_l2(g, n);
			break;
		case OP_ReduceMin:
			reduce_min(g, n);
			break;
		case OP_Selu:
			selu(g, n);
			break;
		case OP_Softsign:
			softsign(g, n);
			break;
		default:
			break;
		}
	}
	pass_dead(g);
}
