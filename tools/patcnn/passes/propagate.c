// SPDX-License-Identifier: MIT
/*
 * One walk forward gives every value its shape and computes what is constant, so
 * that the arithmetic on shapes that exporters leave around Reshape and Resize is
 * gone afterwards. Nodes that change nothing disappear on the way.
 */

#include "../infer.h"
#include "../onnx_types.h"
#include "passes.h"

void pass_dead(struct graph *g)
{
	struct node *n, *prev;
	unsigned int i;

	for (n = g->nodes.prev; n != &g->nodes; n = prev) {
		bool used = false;

		prev = n->prev;
		for (i = 0; i < n->n_out; i++)
			used |= n->out[i] && n->out[i]->uses;
		if (!used)
			node_remove(n);
	}
}

/* Nothing is known of the outputs but what the file states. */
static void use_declared(struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_out; i++)
		if (n->out[i] && n->out[i]->shape.rank < 0)
			n->out[i]->shape = n->out[i]->declared;
}

static bool inputs_known(const struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_in; i++)
		if (node_in(n, i) && node_in(n, i)->shape.rank < 0)
			return false;
	return true;
}

static bool inputs_constant(const struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_in; i++)
		if (node_in(n, i) && !node_in(n, i)->constant)
			return false;
	return node_in(n, 0);
}

static bool is_identity_perm(const struct node *n)
{
	const int64_t *perm = NULL;
	size_t count = attr_ints(n, "perm", &perm), i;

	for (i = 0; i < count; i++)
		if (perm[i] != (int64_t)i)
			return false;
	return true;
}

static bool same_shape(const struct node *n)
{
	return shape_equal(&node_in(n, 0)->shape, &n->out[0]->shape);
}

static bool changes_nothing(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	struct slice_spec s;
	int i;

	switch (n->op) {
	case OP_Dropout:
	case OP_Identity:
		return true;
	case OP_Cast:
		/* All floats are single precision here, and bytes of an input become floats. */
		return is_float_type(n->out[0]->dtype) &&
		       (is_float_type(v->dtype) || v->dtype == ONNX_UINT8);
	case OP_Reshape:
	case OP_Flatten:
	case OP_Squeeze:
	case OP_Unsqueeze:
	case OP_Expand:
	case OP_Tile:
	case OP_Pad:
		return same_shape(n);
	case OP_Slice:
		if (!same_shape(n) || !slice_spec(g, n, &s))
			return false;
		for (i = 0; i < s.out.rank; i++)
			if (s.step[i] < 0)
				return false;
		return true;
	case OP_Transpose:
		return is_identity_perm(n);
	case OP_Concat:
	case OP_Sum:
	case OP_Mean:
	case OP_Max:
	case OP_Min:
		return n->n_in == 1;
	default:
		return false;
	}
}

static void check_outputs(struct graph *g, struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_out; i++) {
		struct value *v = n->out[i];

		if (!v || !v->uses)
			continue;
		if (v->shape.rank < 0)
			issue(g, n, "", "output %u ('%s') is not supported", i, v->name);
		else if (shape_elements(&v->shape) < 0)
			issue(g, n, "", "its output is too large");
		else
			continue;
		v->shape.rank = -1;
		return;
	}
}

static void visit(struct graph *g, struct node *n)
{
	const struct op_info *info = op_info(n->op);
	unsigned int i;

	if (n->op == OP_NONE) {
		issue(g, n, "", "operator is not supported");
		use_declared(n);
		return;
	}
	if (!n->n_out || !n->out[0]) {
		issue(g, n, "", "its first output is missing");
		return;
	}
	if (!inputs_known(n)) {
		n->reported = true;
		use_declared(n);
		return;
	}
	if (!info->infer(g, n)) {
		for (i = 0; i < n->n_out; i++)
			if (n->out[i])
				n->out[i]->shape.rank = -1;
		if (!n->reported)
			issue(g, n, "", "an input is missing, or its shape cannot be known");
		use_declared(n);
		return;
	}
	check_outputs(g, n);
	if (n->reported)
		return;
	if (!n->out[0]->constant && info->fold && inputs_constant(n))
		info->fold(g, n);
	if (n->out[0]->constant) {
		for (i = 1; i < n->n_out; i++)
			if (n->out[i] && n->out[i]->uses && !n->out[i]->constant)
				return;
		node_remove(n);
	} else if (!shape_elements(&n->out[0]->shape) && n->op != OP_Split) {
		issue(g, n, "", "its output is empty (%s)", shape_text(g, &n->out[0]->shape));
		n->out[0]->shape.rank = -1;
	} else if (changes_nothing(g, n)) {
		/* What else reads the bytes may mean integers. */
		if (n->op == OP_Cast && node_in(n, 0)->uses == 1)
			node_in(n, 0)->dtype = ONNX_FLOAT;
		replace_node(n, node_in(n, 0));
	}
}

void replace_node(struct node *n, struct value *v)
{
	value_replace(n->out[0], v);
	node_remove(n);
}

void pass_propagate(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g)
		visit(g, n);
}
