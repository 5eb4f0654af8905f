// SPDX-License-Identifier: MIT
/* Explicit padding becomes that of the convolution or pooling behind it. */

#include <math.h>
#include <string.h>

#include "../infer.h"
#include "passes.h"

static double pad_value(const struct node *n)
{
	double x = (double)attr_float(n, "value", 0);

	if (node_in(n, 2) && !const_scalar(node_in(n, 2), &x))
		return NAN;
	return x;
}

/* Whether no element of @v is negative, so that zeros are nothing to a maximum. */
static bool not_negative(const struct value *v)
{
	return v->producer && (v->producer->op == OP_Relu || v->producer->op == OP_Sigmoid ||
			       v->producer->op == OP_HardSigmoid || v->producer->op == OP_Abs);
}

static bool fits(const struct node *n, const struct value *inner, double value)
{
	switch (n->op) {
	case OP_Conv:
		return value == 0;
	case OP_AveragePool:
		return value == 0 && attr_int(n, "count_include_pad", 0);
	case OP_MaxPool:
		return value < -1e30 || (value == 0 && not_negative(inner));
	default:
		return false;
	}
}

/* An average that counts no padding of its own may count all of the explicit one. */
static void count_padding(struct graph *g, struct node *n)
{
	const int64_t *own = NULL;
	size_t count = attr_ints(n, "pads", &own), i;

	for (i = 0; i < count; i++)
		if (own[i])
			return;
	if (n->op == OP_AveragePool && !attr_int(n, "ceil_mode", 0))
		attr_set_int(g, n, "count_include_pad", 1);
}

static void try_fuse(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0), *inner;
	struct node *pad = v ? v->producer : NULL;
	const int64_t *own = NULL;
	int64_t pads[4] = { 0 };
	struct pad_spec p;
	int axes, d;

	if (!pad || pad->op != OP_Pad || pad->reported || v->uses != 1 || v->shape.rank < 3 ||
	    v->shape.rank > 4 ||
	    strcmp(attr_str(pad, "mode", "constant"), "constant") ||
	    strcmp(attr_str(n, "auto_pad", "NOTSET"), "NOTSET") || !pad_spec(g, pad, &p))
		return;
	inner = node_in(pad, 0);
	axes = v->shape.rank - 2;
	count_padding(g, n);
	if (!fits(n, inner, pad_value(pad)) || p.before[0] || p.before[1] || p.after[0] ||
	    p.after[1])
		return;
	if (attr_ints(n, "pads", &own) == 2 * (size_t)axes)
		memcpy(pads, own, 2 * (size_t)axes * sizeof(*pads));
	for (d = 0; d < axes; d++) {
		pads[d] += p.before[2 + d];
		pads[axes + d] += p.after[2 + d];
		if (p.before[2 + d] < 0 || p.after[2 + d] < 0 || pads[d] > 1024 ||
		    pads[axes + d] > 1024)
			return;
	}
	attr_set_ints(g, n, "pads", pads, 2 * (size_t)axes);
	node_set_in(n, 0, inner);
	node_remove(pad);
}

void pass_pad(struct graph *g)
{
	struct node *n;

	for_each_node(n, g)
		if (!n->reported &&
		    (n->op == OP_Conv || n->op == OP_AveragePool || n->op == OP_MaxPool))
			try_fuse(g, n);
}
