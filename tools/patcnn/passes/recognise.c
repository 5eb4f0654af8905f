// SPDX-License-Identifier: MIT
/*
 * Activations and LayerNormalization from the elementwise operators that exporters
 * make of them. Matching goes from the last operator of a formula up through its
 * producers; the nodes in between lose their reader and are removed as dead code.
 */

#include <math.h>

#include "../infer.h"
#include "passes.h"

/* Constants of formulas are written with 4 or more digits. */
static bool near(double x, double want)
{
	return fabs(x - want) <= 2e-4 * (1 + fabs(want));
}

static struct node *made_by(struct value *v, enum op op)
{
	v = value_resolve(v);
	return v && v->producer && v->producer->op == op && !v->producer->reported ?
		       v->producer : NULL;
}

/* @n is x op constant (or constant op x where that is the same); gives x. */
static struct value *with_scalar(struct node *n, enum op op, double *c)
{
	if (!n || n->op != op)
		return NULL;
	if (const_scalar(node_in(n, 1), c))
		return node_in(n, 0);
	if ((op == OP_Add || op == OP_Mul) && const_scalar(node_in(n, 0), c))
		return node_in(n, 1);
	return NULL;
}

/* v = x * c, also when written as a division. */
static struct value *scaled(struct value *v, double *c)
{
	struct value *x = with_scalar(made_by(v, OP_Mul), OP_Mul, c);

	if (x)
		return x;
	x = with_scalar(made_by(v, OP_Div), OP_Div, c);
	if (x)
		*c = 1 / *c;
	return x;
}

static void become(struct graph *g, struct node *n, enum op op, struct value *x)
{
	struct node *act = node_build(g, n, op, "", &n->out[0]->shape, x, NULL);

	act->out[0]->name = n->out[0]->name;
	act->out[0]->dtype = n->out[0]->dtype;
	replace_node(n, act->out[0]);
}

/* v = clip(x + b, 0, m): what HardSigmoid is before its division. */
static struct value *shifted_clip(struct graph *g, struct value *v, double *b, double *m)
{
	struct node *clip = made_by(v, OP_Clip);
	struct value *x;
	struct act act;

	if (!clip || !act_of(g, clip, &act) || act.a != 0)
		return NULL;
	*m = (double)act.b;
	x = with_scalar(made_by(node_in(clip, 0), OP_Add), OP_Add, b);
	return x;
}

static bool hard_sigmoid(struct graph *g, struct node *n)
{
	struct value *clip, *x;
	double c, b, m;

	clip = with_scalar(n, OP_Div, &c);
	if (clip)
		c = 1 / c;
	else
		clip = with_scalar(n, OP_Mul, &c);
	x = clip ? shifted_clip(g, clip, &b, &m) : NULL;
	if (!x || !near(c * m, 1))
		return false;
	become(g, n, OP_HardSigmoid, x);
	x = value_resolve(n->out[0]);
	attr_set_float(g, x->producer, "alpha", (float)(1 / m));
	attr_set_float(g, x->producer, "beta", (float)(b / m));
	return true;
}

/* x * f(x) */
static bool self_gated(struct graph *g, struct node *n)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct value *x = node_in(n, i), *gate = node_in(n, 1 - i);
		struct node *f;

		f = made_by(gate, OP_Sigmoid);
		if (f && node_in(f, 0) == x) {
			become(g, n, OP_Silu, x);
			return true;
		}
		f = made_by(gate, OP_HardSigmoid);
		if (f && node_in(f, 0) == x && near((double)attr_float(f, "alpha", 0.2f), 1 / 6.) &&
		    near((double)attr_float(f, "beta", 0.5f), 0.5)) {
			become(g, n, OP_HardSwish, x);
			return true;
		}
		f = made_by(gate, OP_Tanh);
		f = f ? made_by(node_in(f, 0), OP_Softplus) : NULL;
		if (f && node_in(f, 0) == x) {
			become(g, n, OP_Mish, x);
			return true;
		}
	}
	return false;
}

/* (x * clip(x + 3, 0, 6)) / 6 */
static bool hard_swish(struct graph *g, struct node *n)
{
	struct value *product;
	struct node *mul;
	unsigned int i;
	double c, b, m;

	product = with_scalar(n, OP_Div, &c);
	if (product)
		c = 1 / c;
	else
		product = with_scalar(n, OP_Mul, &c);
	mul = product && near(c, 1 / 6.) ? made_by(product, OP_Mul) : NULL;
	for (i = 0; mul && i < 2; i++)
		if (shifted_clip(g, node_in(mul, i), &b, &m) == node_in(mul, 1 - i) &&
		    near(b, 3) && near(m, 6)) {
			become(g, n, OP_HardSwish, node_in(mul, 1 - i));
			return true;
		}
	return false;
}

/* v = 1 + erf(x / sqrt 2); gives x. */
static struct value *erf_term(struct value *v)
{
	struct value *e, *x;
	struct node *erf_node;
	double one, c;

	e = with_scalar(made_by(v, OP_Add), OP_Add, &one);
	erf_node = e && near(one, 1) ? made_by(e, OP_Erf) : NULL;
	if (!erf_node)
		return NULL;
	x = scaled(node_in(erf_node, 0), &c);
	return x && near(c, M_SQRT1_2) ? x : NULL;
}

/* The factors x, 1/2 and 1 + erf(x / sqrt 2), multiplied in any order. */
static bool gelu(struct graph *g, struct node *n)
{
	struct value *factor[3];
	struct node *inner = NULL;
	unsigned int i, j;

	for (i = 0; i < 2; i++) {
		struct value *x;
		double half;

		inner = made_by(node_in(n, i), OP_Mul);
		if (!inner)
			continue;
		factor[0] = node_in(n, 1 - i);
		factor[1] = node_in(inner, 0);
		factor[2] = node_in(inner, 1);
		for (j = 0; j < 3; j++) {
			struct value *a = factor[(j + 1) % 3], *b = factor[(j + 2) % 3];

			x = erf_term(factor[j]);
			if (x && ((x == a && const_scalar(b, &half)) ||
				  (x == b && const_scalar(a, &half))) && near(half, 0.5)) {
				become(g, n, OP_Gelu, x);
				return true;
			}
		}
	}
	return false;
}

/* v = x - mean(x) over trailing axes; gives x and the first of them. */
static struct value *centred(struct graph *g, struct value *v, int *axis)
{
	struct node *sub = made_by(v, OP_Sub), *mean;
	int set, rank;

	mean = sub ? made_by(node_in(sub, 1), OP_ReduceMean) : NULL;
	if (!mean || node_in(mean, 0) != node_in(sub, 0))
		return NULL;
	rank = node_in(mean, 0)->shape.rank;
	set = reduce_axes(g, mean, rank);
	if (set < 0)
		return NULL;
	for (*axis = 0; *axis < rank && !(set >> *axis & 1); ++*axis)
		;
	if (*axis == rank || set >> *axis != (1 << (rank - *axis)) - 1)
		return NULL;
	return node_in(sub, 0);
}

/* (x - mean) / sqrt(mean((x - mean)^2) + epsilon) */
static bool layer_norm(struct graph *g, struct node *n)
{
	struct node *root = made_by(node_in(n, 1), OP_Sqrt), *mean, *square, *norm;
	struct value *x, *variance, *base;
	double epsilon, two;
	int axis, axis2;

	x = centred(g, node_in(n, 0), &axis);
	variance = root ? with_scalar(made_by(node_in(root, 0), OP_Add), OP_Add, &epsilon) : NULL;
	mean = variance ? made_by(variance, OP_ReduceMean) : NULL;
	if (!x || !mean)
		return false;
	square = made_by(node_in(mean, 0), OP_Pow);
	base = square && const_scalar(node_in(square, 1), &two) && two == 2 ?
		       node_in(square, 0) : NULL;
	square = made_by(node_in(mean, 0), OP_Mul);
	if (square && node_in(square, 0) == node_in(square, 1))
		base = node_in(square, 0);
	if (!base || centred(g, base, &axis2) != x || axis2 != axis ||
	    node_in(mean, 0)->shape.rank != x->shape.rank ||
	    reduce_axes(g, mean, x->shape.rank) != ((1 << x->shape.rank) - 1) >> axis << axis)
		return false;
	norm = node_build(g, n, OP_LayerNormalization, "", &n->out[0]->shape, x, NULL);
	norm->in = arena_array(g->arena, 4, sizeof(*norm->in));
	norm->in[0] = x;
	norm->n_in = 3;
	norm->out[0]->name = n->out[0]->name;
	attr_set_int(g, norm, "axis", axis);
	attr_set_float(g, norm, "epsilon", (float)epsilon);
	replace_node(n, norm->out[0]);
	return true;
}

/* Scale and bias of a norm recognised above, once it is clear what follows it. */
static bool norm_affine(struct node *n)
{
	unsigned int i, slot = n->op == OP_Mul ? 1 : 2;

	for (i = 0; i < 2; i++) {
		struct node *norm = made_by(node_in(n, i), OP_LayerNormalization);
		struct value *c = node_in(n, 1 - i);
		int axis, d;

		if (!norm || !c || !c->constant || !c->constant->is_float || node_in(norm, slot) ||
		    norm->out[0]->uses != 1 || (slot == 2 && !node_in(norm, 1)) ||
		    (slot == 1 && node_in(norm, 2)))
			continue;
		axis = (int)attr_int(norm, "axis", -1);
		if (axis < 0)
			axis += norm->out[0]->shape.rank;
		if (c->shape.rank != norm->out[0]->shape.rank - axis)
			continue;
		for (d = 0; d < c->shape.rank; d++)
			if (c->shape.dim[d] != norm->out[0]->shape.dim[axis + d])
				break;
		if (d < c->shape.rank || norm->n_in <= slot)
			continue;
		node_set_in(norm, slot, c);
		norm->out[0]->name = n->out[0]->name;
		replace_node(n, norm->out[0]);
		return true;
	}
	return false;
}

void pass_recognise(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g) {
		if (n->reported || n->n_in != 2 || !node_in(n, 0) || !node_in(n, 1))
			continue;
		if (n->op == OP_Mul &&
		    (self_gated(g, n) || gelu(g, n) || hard_swish(g, n) || norm_affine(n)))
			continue;
		if (n->op == OP_Div && (hard_swish(g, n) || layer_norm(g, n)))
			continue;
		if (n->op == OP_Add && norm_affine(n))
			continue;
		if (n->op == OP_Mul || n->op == OP_Div)
			hard_sigmoid(g, n);
	}
	pass_dead(g);
}
