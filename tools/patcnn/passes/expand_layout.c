// SPDX-License-Identifier: MIT
/*
 * Operators that only move elements, as slices, concatenations, reshapes and
 * permutations: the plan makes views of most of those.
 */

#include <string.h>

#include "../infer.h"
#include "passes.h"

/* Parts of a concatenation: enough for every real model, and bounded for others. */
#define MAX_PARTS	1024

static bool split(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0);
	int axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), v->shape.rank);
	const int64_t *sizes = NULL;
	size_t count = attr_ints(n, "sizes", &sizes), i;
	int64_t at = 0;

	for (i = 0; i < count; i++) {
		struct value *out = n->out[i], *part;

		if (out && out->uses) {
			part = build_slice(g, n, v, axis, at, sizes[i], 1);
			part->name = out->name;
			value_replace(out, part);
		}
		at += sizes[i];
	}
	node_remove(n);
	return true;
}

/* Elements of one axis, each as a slice: @index of 0 to its size - 1. */
static struct value *pick(struct graph *g, struct node *n, struct value *v, int axis,
			  const int64_t *index, size_t count)
{
	struct value **part;
	unsigned int parts = 0;
	size_t i, run;

	part = arena_array(g->arena, count, sizeof(struct value *));
	for (i = 0; i < count; i += run) {
		for (run = 1; i + run < count && index[i + run] == index[i] + (int64_t)run; run++)
			;
		if (parts == MAX_PARTS) {
			issue(g, n, "indices", "pick more than %d separate ranges", MAX_PARTS);
			return NULL;
		}
		part[parts++] = build_slice(g, n, v, axis, index[i], (int64_t)run, 1);
	}
	return parts == 1 ? part[0] : build_concat(g, n, part, parts, axis);
}

static bool gather(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0), *list = node_in(n, 1), *r;
	int axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), v->shape.rank);
	int64_t size = v->shape.dim[axis], *index;
	size_t i;

	if (!list->constant || list->constant->is_float || !list->constant->count) {
		issue(g, n, "indices", "are not constant integers");
		return true;
	}
	index = arena_array(g->arena, list->constant->count, sizeof(*index));
	for (i = 0; i < list->constant->count; i++) {
		index[i] = list->constant->i[i];
		if (index[i] < 0)
			index[i] += size;
		if (index[i] < 0 || index[i] >= size) {
			issue(g, n, "indices", "%lld is out of range",
			      (long long)list->constant->i[i]);
			return true;
		}
	}
	r = pick(g, n, v, axis, index, list->constant->count);
	if (r)
		replace_node(n, build_reshape(g, n, r, &n->out[0]->shape));
	return true;
}

/* The format steps forwards only. */
static bool slice(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0);
	struct slice_spec s;
	bool backwards = false;
	int axis;
	int64_t i;

	if (!slice_spec(g, n, &s))
		return true;
	for (axis = 0; axis < s.out.rank; axis++)
		backwards |= s.step[axis] < 0;
	for (axis = 0; backwards && axis < s.out.rank; axis++) {
		int64_t count = s.out.dim[axis], *index;

		if (s.step[axis] > 0) {
			if (count != v->shape.dim[axis])
				v = build_slice(g, n, v, axis, s.start[axis], count, s.step[axis]);
			continue;
		}
		if (count > MAX_PARTS) {
			issue(g, n, "steps", "%lld over %lld elements is not supported",
			      (long long)s.step[axis], (long long)count);
			return true;
		}
		index = arena_array(g->arena, (size_t)count, sizeof(*index));
		for (i = 0; i < count; i++)
			index[i] = s.start[axis] + i * s.step[axis];
		v = pick(g, n, v, axis, index, (size_t)count);
		if (!v)
			return true;
	}
	if (backwards)
		replace_node(n, v);
	return backwards;
}

static bool tile(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0);
	int axis;

	for (axis = 0; axis < n->out[0]->shape.rank; axis++) {
		int64_t times = n->out[0]->shape.dim[axis] / v->shape.dim[axis], i;
		struct value **part;

		if (times == 1)
			continue;
		if (times > MAX_PARTS) {
			issue(g, n, "repeats", "%lld is not supported", (long long)times);
			return true;
		}
		part = arena_array(g->arena, (size_t)times, sizeof(struct value *));
		for (i = 0; i < times; i++)
			part[i] = v;
		v = build_concat(g, n, part, (unsigned int)times, axis);
	}
	replace_node(n, v);
	return true;
}

/* Broadcasting comes with elementwise operators: a product with ones of the target shape. */
static bool expand(struct graph *g, struct node *n)
{
	const struct shape *s = &n->out[0]->shape;
	size_t count = (size_t)shape_elements(s), i;
	float *ones;

	if (count > 1 << 22) {
		issue(g, n, "shape", "of %zu elements is not supported", count);
		return true;
	}
	ones = arena_array(g->arena, count, sizeof(*ones));
	for (i = 0; i < count; i++)
		ones[i] = 1;
	replace_node(n, node_build(g, n, OP_Mul, "/expand", s, node_in(n, 0),
				   const_floats(g, n->name, s, ones))->out[0]);
	return true;
}

static bool depth_to_space(struct graph *g, struct node *n)
{
	static const int64_t dcr[] = { 0, 3, 4, 1, 5, 2 }, crd[] = { 0, 1, 4, 2, 5, 3 };
	const struct shape *in = &node_in(n, 0)->shape;
	int64_t b = attr_int(n, "blocksize", 1), c = in->dim[1] / (b * b);
	bool columns = !strcmp(attr_str(n, "mode", "DCR"), "CRD");
	struct shape s = { 6, { in->dim[0], columns ? c : b, b, columns ? b : c,
				in->dim[2], in->dim[3] } };
	struct value *v = build_reshape(g, n, node_in(n, 0), &s);

	v = build_transpose(g, n, v, columns ? crd : dcr);
	replace_node(n, build_reshape(g, n, v, &n->out[0]->shape));
	return true;
}

static bool space_to_depth(struct graph *g, struct node *n)
{
	static const int64_t perm[] = { 0, 3, 5, 1, 2, 4 };
	const struct shape *in = &node_in(n, 0)->shape;
	int64_t b = attr_int(n, "blocksize", 1);
	struct shape s = { 6, { in->dim[0], in->dim[1], in->dim[2] / b, b, in->dim[3] / b, b } };
	struct value *v = build_reshape(g, n, node_in(n, 0), &s);

	v = build_transpose(g, n, v, perm);
	replace_node(n, build_reshape(g, n, v, &n->out[0]->shape));
	return true;
}

/* Negative padding cuts off; what remains is padding. */
static bool pad(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0);
	int64_t pads[2 * SHAPE_MAX_RANK];
	struct pad_spec p;
	int axis, rank = v->shape.rank;
	bool cut = false, grow = false;
	struct node *rest;

	if (!pad_spec(g, n, &p))
		return true;
	for (axis = 0; axis < rank; axis++) {
		cut |= p.before[axis] < 0 || p.after[axis] < 0;
		grow |= p.before[axis] > 0 || p.after[axis] > 0;
	}
	if (!cut)
		return false;
	if (grow && strcmp(attr_str(n, "mode", "constant"), "constant")) {
		issue(g, n, "pads", "mix negative and positive values");
		return true;
	}
	for (axis = 0; axis < rank; axis++) {
		int64_t from = p.before[axis] < 0 ? -p.before[axis] : 0;
		int64_t size = v->shape.dim[axis] - from + (p.after[axis] < 0 ? p.after[axis] : 0);

		if (size != v->shape.dim[axis])
			v = build_slice(g, n, v, axis, from, size, 1);
		pads[axis] = p.before[axis] < 0 ? 0 : p.before[axis];
		pads[rank + axis] = p.after[axis] < 0 ? 0 : p.after[axis];
	}
	if (grow) {
		rest = node_build(g, n, OP_Pad, "/pad", &n->out[0]->shape, v, NULL);
		rest->in = arena_array(g->arena, 4, sizeof(*rest->in));
		rest->in[0] = v;
		rest->n_in = 3;
		if (node_in(n, 2))
			node_set_in(rest, 2, node_in(n, 2));
		else
			attr_set_float(g, rest, "value", attr_float(n, "value", 0));
		attr_set_ints(g, rest, "pads", pads, 2 * (size_t)rank);
		v = rest->out[0];
	}
	replace_node(n, v);
	return true;
}

bool expand_layout(struct graph *g, struct node *n)
{
	switch (n->op) {
	case OP_DepthToSpace:
		return depth_to_space(g, n);
	case OP_Expand:
		return expand(g, n);
	case OP_Gather:
		return gather(g, n);
	case OP_Pad:
		return pad(g, n);
	case OP_Slice:
		return slice(g, n);
	case OP_SpaceToDepth:
		return space_to_depth(g, n);
	case OP_Split:
		return split(g, n);
	case OP_Tile:
		return tile(g, n);
	default:
		return false;
	}
}
