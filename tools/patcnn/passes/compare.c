// SPDX-License-Identifier: MIT
/*
 * Comparisons at run time, whose results become factors: detectors keep a score where it
 * is the largest of its neighbourhood. True is 1 and false 0, in single precision:
 *
 *	a == b:  max(0, 1 - HUGE * |a - b|)
 *	a > b:   min(1, max(0, HUGE * (a - b)))
 *	a >= b:  1 - (b > a)
 *
 * HUGE times the smallest difference that does not underflow is more than 1.
 */

#include "../onnx_types.h"
#include "passes.h"

#define HUGE_FACTOR	3e38f

static struct value *difference(struct graph *g, struct node *n, struct value *a, struct value *b)
{
	return node_build(g, n, OP_Sub, "/difference", &n->out[0]->shape, a, b)->out[0];
}

static struct value *clipped(struct graph *g, struct node *n, struct value *v)
{
	v = build_unary(g, n, OP_Clip, v);
	attr_set_float(g, v->producer, "min", 0);
	attr_set_float(g, v->producer, "max", 1);
	return v;
}

static struct value *scaled(struct graph *g, struct node *n, struct value *v, float factor)
{
	return build_binary(g, n, OP_Mul, v, build_scalar(g, "huge", factor));
}

static struct value *negated(struct graph *g, struct node *n, struct value *v)
{
	v = scaled(g, n, v, -1);
	return build_binary(g, n, OP_Add, v, build_scalar(g, "one", 1));
}

static bool floats(const struct value *v)
{
	return v && is_float_type(v->dtype) && (!v->constant || v->constant->is_float);
}

bool expand_compare(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = n->n_in > 1 ? node_in(n, 1) : NULL, *v;

	switch (n->op) {
	case OP_Cast:
		/* Truth has become a float. */
		if (!is_float_type(n->out[0]->dtype) || !floats(a))
			return false;
		replace_node(n, a);
		return true;
	case OP_Not:
		if (!floats(a))
			return false;
		replace_node(n, negated(g, n, a));
		return true;
	case OP_Equal:
		if (!floats(a) || !floats(b))
			return false;
		v = build_unary(g, n, OP_Abs, difference(g, n, a, b));
		v = negated(g, n, scaled(g, n, v, HUGE_FACTOR));
		replace_node(n, clipped(g, n, v));
		return true;
	case OP_Greater:
	case OP_Less:
		if (!floats(a) || !floats(b))
			return false;
		v = n->op == OP_Greater ? difference(g, n, a, b) : difference(g, n, b, a);
		replace_node(n, clipped(g, n, scaled(g, n, v, HUGE_FACTOR)));
		return true;
	case OP_GreaterOrEqual:
	case OP_LessOrEqual:
		if (!floats(a) || !floats(b))
			return false;
		v = n->op == OP_LessOrEqual ? difference(g, n, a, b) : difference(g, n, b, a);
		v = clipped(g, n, scaled(g, n, v, HUGE_FACTOR));
		replace_node(n, negated(g, n, v));
		return true;
	default:
		return false;
	}
}
