// SPDX-License-Identifier: MIT
/*
 * Arithmetic per channel behind a convolution or linear layer becomes part of its
 * weights and bias: batch norm, and Mul, Div, Add, Sub with constants. Products with
 * zero stay zero, so that pruned weights are recognisable afterwards. MatMul with a
 * constant matrix becomes Gemm on the way, to have a place for the bias.
 */

#include <math.h>
#include <string.h>

#include "../infer.h"
#include "passes.h"

/* What a node does to channel c: scale[c] * x + shift[c]. */
struct affine {
	int64_t channels;
	float *scale;
	float *shift;
};

static const float *channel_floats(const struct value *v, int64_t channels)
{
	if (!v || !v->constant || !v->constant->is_float ||
	    v->constant->count != (size_t)channels)
		return NULL;
	return v->constant->f;
}

bool norm_constants(struct graph *g, struct node *n, float **scale, float **shift)
{
	int64_t channels = node_in(n, 0)->shape.rank > 1 ? node_in(n, 0)->shape.dim[1] : 1, c;
	const float *p[4];
	float epsilon = attr_float(n, "epsilon", 1e-5f);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		p[i] = channel_floats(node_in(n, i + 1), channels);
		if (!p[i]) {
			issue(g, n, "scale",
			      "bias, mean and variance must be constant, one a channel");
			return false;
		}
	}
	if (attr_int(n, "training_mode", 0) || !attr_int(n, "spatial", 1)) {
		issue(g, n, "training_mode", "is set: export the model for inference");
		return false;
	}
	*scale = arena_array(g->arena, (size_t)channels, sizeof(**scale));
	*shift = arena_array(g->arena, (size_t)channels, sizeof(**shift));
	for (c = 0; c < channels; c++) {
		double s = (double)p[0][c] / sqrt((double)p[3][c] + (double)epsilon);

		(*scale)[c] = (float)s;
		(*shift)[c] = (float)((double)p[1][c] - (double)p[2][c] * s);
	}
	return true;
}

/* @c as one value a channel of @s, whose channels are on @axis; NULL if it is not that. */
static float *per_channel(struct graph *g, const struct value *c, const struct shape *s, int axis)
{
	const struct constant *k = c->constant;
	int64_t channels = s->dim[axis], i;
	int d, at;
	float *f;

	if (!k || !k->is_float || c->shape.rank > s->rank)
		return NULL;
	for (d = 0; d < c->shape.rank; d++) {
		at = s->rank - c->shape.rank + d;
		if (c->shape.dim[d] != 1 && (at != axis || c->shape.dim[d] != channels))
			return NULL;
	}
	f = arena_array(g->arena, (size_t)channels, sizeof(*f));
	for (i = 0; i < channels; i++)
		f[i] = k->f[k->count == 1 ? 0 : i];
	return f;
}

static bool affine_of(struct graph *g, struct node *n, const struct value *x, int axis,
		      struct affine *a)
{
	const struct value *other;
	float *c;
	int64_t i;

	a->channels = x->shape.dim[axis];
	if (n->op == OP_BatchNormalization)
		return axis == 1 && node_in(n, 0) == x &&
		       norm_constants(g, n, &a->scale, &a->shift);
	other = node_in(n, 0) == x ? node_in(n, 1) : node_in(n, 0);
	if (!other || !shape_equal(&n->out[0]->shape, &x->shape))
		return false;
	c = per_channel(g, other, &x->shape, axis);
	if (!c || (n->op == OP_Div && other != node_in(n, 1)))
		return false;
	a->scale = arena_array(g->arena, (size_t)a->channels, sizeof(*a->scale));
	a->shift = arena_array(g->arena, (size_t)a->channels, sizeof(*a->shift));
	for (i = 0; i < a->channels; i++) {
		switch (n->op) {
		case OP_Mul:
			a->scale[i] = c[i];
			break;
		case OP_Div:
			a->scale[i] = 1 / c[i];
			if (!isfinite(a->scale[i]))
				return false;
			break;
		case OP_Add:
			a->scale[i] = 1;
			a->shift[i] = c[i];
			break;
		default:
			/* constant - x turns the sign of x, x - constant that of the constant. */
			a->scale[i] = other == node_in(n, 1) ? 1 : -1;
			a->shift[i] = other == node_in(n, 1) ? -c[i] : c[i];
			break;
		}
	}
	return true;
}

/* Output channel of weight @i. */
struct channel_map {
	int64_t divisor;
	int64_t modulus;
	/** @group_size, @group_channels: transposed convolutions count channels within a group. */
	int64_t group_size;
	int64_t group_channels;
};

static struct channel_map map_channels(const struct node *n, const struct shape *w)
{
	int64_t kernel = 1, group = attr_int(n, "group", 1);
	int d;

	if (n->op == OP_Gemm)
		return attr_int(n, "transB", 0) ?
			       (struct channel_map){ w->dim[1], w->dim[0], INT64_MAX, 0 } :
			       (struct channel_map){ 1, w->dim[1], INT64_MAX, 0 };
	for (d = 2; d < w->rank; d++)
		kernel *= w->dim[d];
	if (n->op == OP_Conv)
		return (struct channel_map){ kernel * w->dim[1], w->dim[0], INT64_MAX, 0 };
	return (struct channel_map){ kernel, w->dim[1], w->dim[0] / group * w->dim[1] * kernel,
				     w->dim[1] };
}

static void fold_into(struct graph *g, struct node *n, const struct affine *a)
{
	const struct value *w = node_in(n, 1), *b = node_in(n, 2);
	struct channel_map m = map_channels(n, &w->shape);
	const struct shape bias_shape = { 1, { a->channels } };
	float *weights = arena_array(g->arena, w->constant->count, sizeof(*weights));
	float *bias = arena_array(g->arena, (size_t)a->channels, sizeof(*bias));
	int64_t i;

	for (i = 0; i < (int64_t)w->constant->count; i++) {
		int64_t c = i / m.divisor % m.modulus + i / m.group_size * m.group_channels;

		weights[i] = w->constant->f[i] * a->scale[c];
	}
	for (i = 0; i < a->channels; i++)
		bias[i] = (float)((b ? (double)b->constant->f[i] : 0) * (double)a->scale[i] +
				  (double)a->shift[i]);
	node_set_in(n, 1, const_floats(g, w->name, &w->shape, weights));
	node_set_in(n, 2, const_floats(g, n->name, &bias_shape, bias));
}

/* Room for three inputs, whatever the node was read with. */
static void widen(struct graph *g, struct node *n)
{
	struct value **in;

	if (n->n_in >= 3)
		return;
	in = arena_array(g->arena, 4, sizeof(*in));
	memcpy(in, n->in, n->n_in * sizeof(*in));
	n->in = in;
	n->n_in = 3;
}

/* The node that makes @v, if per-channel arithmetic on @v can go into its weights. */
static struct node *foldable(struct graph *g, struct value *v, int *axis)
{
	struct node *n = v ? v->producer : NULL;
	const struct value *w, *b;

	if (!n || v->uses != 1 || n->act.kind || n->residual || n->out[0] != v || n->reported ||
	    (n->op != OP_Conv && n->op != OP_ConvTranspose && n->op != OP_Gemm))
		return NULL;
	widen(g, n);
	w = node_in(n, 1);
	b = node_in(n, 2);
	*axis = n->op == OP_Gemm ? v->shape.rank - 1 : 1;
	if (!w || !w->constant || !w->constant->is_float || v->shape.rank < 2)
		return NULL;
	if (b && !channel_floats(b, v->shape.dim[*axis]))
		return NULL;
	if (n->op == OP_Gemm && (attr_float(n, "alpha", 1) != 1 || attr_float(n, "beta", 1) != 1))
		return NULL;
	return n;
}

static void fold_affine(struct graph *g, struct node *n)
{
	struct affine a;
	unsigned int i;
	int axis;

	for (i = 0; i < (n->op == OP_BatchNormalization ? 1 : 2); i++) {
		struct value *v = node_in(n, i);
		struct node *before = foldable(g, v, &axis);

		if (!before || !affine_of(g, n, v, axis, &a))
			continue;
		fold_into(g, before, &a);
		v->name = n->out[0]->name;
		replace_node(n, v);
		return;
	}
}

/* x times a constant matrix; x may have any rank, its last axis is multiplied. */
static void matmul_to_gemm(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = node_in(n, 1);

	if (!b || !b->constant || !b->constant->is_float || b->shape.rank != 2 ||
	    a->shape.rank < 2 || a->constant)
		return;
	n->op = OP_Gemm;
	n->op_name = op_info(OP_Gemm)->name;
	widen(g, n);
}

/* alpha and beta into weights and bias; a bias of one element into one for each column. */
static void normalise_gemm(struct graph *g, struct node *n)
{
	float alpha = attr_float(n, "alpha", 1), beta = attr_float(n, "beta", 1);
	const struct value *w = node_in(n, 1), *c = node_in(n, 2);
	int64_t channels = n->out[0]->shape.dim[n->out[0]->shape.rank - 1], i;
	const struct shape s = { 1, { channels } };
	float *f;

	if (!w || !w->constant || !w->constant->is_float)
		return;
	if (alpha != 1) {
		f = arena_array(g->arena, w->constant->count, sizeof(*f));
		for (i = 0; i < (int64_t)w->constant->count; i++)
			f[i] = alpha * w->constant->f[i];
		node_set_in(n, 1, const_floats(g, w->name, &w->shape, f));
		attr_set_float(g, n, "alpha", 1);
	}
	if (!c)
		return;
	f = per_channel(g, c, &n->out[0]->shape, n->out[0]->shape.rank - 1);
	if (!f)
		return;
	for (i = 0; i < channels; i++)
		f[i] *= beta;
	node_set_in(n, 2, const_floats(g, c->name, &s, f));
	attr_set_float(g, n, "beta", 1);
}

void pass_affine(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g) {
		if (n->reported || !n->n_in || !node_in(n, 0) || node_in(n, 0)->shape.rank < 1 ||
		    n->out[0]->shape.rank < 1)
			continue;
		switch (n->op) {
		case OP_MatMul:
			matmul_to_gemm(g, n);
			break;
		case OP_Gemm:
			normalise_gemm(g, n);
			break;
		case OP_Add:
		case OP_BatchNormalization:
		case OP_Div:
		case OP_Mul:
		case OP_Sub:
			fold_affine(g, n);
			break;
		default:
			break;
		}
	}
	pass_dead(g);
}
