// SPDX-License-Identifier: MIT
/*
 * Comparisons at run time, whose results become factors: detectors keep a score where it
 * is the largest of its neighbourhood, converters write activations as choices. True is 1
 * and false 0, in single precision:
 *
 *	a == b:  max(0, 1 - HUGE * |a - b|)
 *	a > b:   min(1, max(0, HUGE * (a - b)))
 *	a >= b:  1 - (b > a)
 *	c ? a : b:  a * c + b * (1 - c), of what is infinite the largest finite number
 *
 * HUGE times the smallest difference that does not underflow is more than 1.
 */

#include <float.h>
#include <math.h>

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

/* @v if it is a truth that has become a float, or such a constant; else NULL. */
static struct value *factor(struct graph *g, struct value *v)
{
	float *f;
	size_t i;

	if (floats(v))
		return v;
	if (!v || !v->constant || v->constant->is_float || v->dtype != ONNX_BOOL)
		return NULL;
	f = arena_array(g->arena, v->constant->count + 1, sizeof(*f));
	for (i = 0; i < v->constant->count; i++)
		f[i] = v->constant->i[i] ? 1 : 0;
	return const_floats(g, v->name, &v->shape, f);
}

static struct value *bounded(struct graph *g, struct node *n, struct value *v)
{
	float *f;
	size_t i;

	if (!v->constant) {
		v = build_unary(g, n, OP_Clip, v);
		attr_set_float(g, v->producer, "min", -FLT_MAX);
		attr_set_float(g, v->producer, "max", FLT_MAX);
		return v;
	}
	f = arena_array(g->arena, v->constant->count + 1, sizeof(*f));
	for (i = 0; i < v->constant->count; i++)
		f[i] = fminf(fmaxf(v->constant->f[i], -FLT_MAX), FLT_MAX);
	return const_floats(g, v->name, &v->shape, f);
}

static struct value *with(struct graph *g, struct node *n, enum op op, const char *suffix,
			  struct value *a, struct value *b)
{
	return node_build(g, n, op, suffix, &n->out[0]->shape, a, b)->out[0];
}

static bool expand_where(struct graph *g, struct node *n)
{
	struct value *c = factor(g, node_in(n, 0)), *a = node_in(n, 1), *b = node_in(n, 2);

	if (!c || !floats(a) || !floats(b))
		return false;
	a = with(g, n, OP_Mul, "/true", bounded(g, n, a), c);
	b = with(g, n, OP_Mul, "/false", bounded(g, n, b), negated(g, n, c));
	replace_node(n, with(g, n, OP_Add, "/choice", a, b));
	return true;
}

static bool expand_logic(struct graph *g, struct node *n)
{
	struct value *a = factor(g, node_in(n, 0)), *b = factor(g, node_in(n, 1));

	if (!a || !b)
		return false;
	replace_node(n, n->op == OP_And ? with(g, n, OP_Mul, "/and", a, b) :
		     clipped(g, n, with(g, n, OP_Add, "/or", a, b)));
	return true;
}

bool expand_compare(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = n->n_in > 1 ? node_in(n, 1) : NULL, *v;

	switch (n->op) {
	case OP_Where:
		return expand_where(g, n);
	case OP_And:
	case OP_Or:
		return expand_logic(g, n);
	case OP_Cast:
		if (n->out[0]->dtype == ONNX_BOOL && floats(a)) {
			v = scaled(g, n, build_unary(g, n, OP_Abs, a), HUGE_FACTOR);
			replace_node(n, clipped(g, n, v));
			return true;
		}
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
