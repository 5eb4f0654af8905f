// SPDX-License-Identifier: MIT
/* Nodes that rewriting passes put into the graph, with their shapes. */

#include "passes.h"

struct value *build_slice(struct graph *g, struct node *at, struct value *v, int axis,
			  int64_t start, int64_t count, int64_t step)
{
	struct shape s = v->shape;
	int64_t axes = axis, ends = start + (count - 1) * step + 1;
	struct node *n;

	s.dim[axis] = count;
	n = node_build(g, at, OP_Slice, "/slice", &s, v, NULL);
	attr_set_ints(g, n, "axes", &axes, 1);
	attr_set_ints(g, n, "starts", &start, 1);
	attr_set_ints(g, n, "ends", &ends, 1);
	attr_set_ints(g, n, "steps", &step, 1);
	n->out[0]->dtype = v->dtype;
	return n->out[0];
}

struct value *build_concat(struct graph *g, struct node *at, struct value **list,
			   unsigned int count, int axis)
{
	struct node *n = node_new(g, OP_Concat, arena_printf(g->arena, "%s/concat", at->name),
				  count, 1);
	struct value *out = value_new(g, n->name);
	unsigned int i;

	out->shape = list[0]->shape;
	out->dtype = list[0]->dtype;
	out->shape.dim[axis] = 0;
	for (i = 0; i < count; i++) {
		node_set_in(n, i, list[i]);
		out->shape.dim[axis] += list[i]->shape.dim[axis];
	}
	attr_set_int(g, n, "axis", axis);
	node_set_out(n, 0, out);
	node_insert_before(at, n);
	return out;
}

struct value *build_transpose(struct graph *g, struct node *at, struct value *v,
			      const int64_t *perm)
{
	struct shape s = v->shape;
	struct node *n;
	int i;

	for (i = 0; i < s.rank; i++)
		s.dim[i] = v->shape.dim[perm[i]];
	n = node_build(g, at, OP_Transpose, "/transpose", &s, v, NULL);
	attr_set_ints(g, n, "perm", perm, (size_t)s.rank);
	n->out[0]->dtype = v->dtype;
	return n->out[0];
}

struct value *build_unary(struct graph *g, struct node *at, enum op op, struct value *v)
{
	return node_build(g, at, op, arena_printf(g->arena, "/%s", op_info(op)->name),
			  &v->shape, v, NULL)->out[0];
}

struct value *build_binary(struct graph *g, struct node *at, enum op op, struct value *a,
			   struct value *b)
{
	return node_build(g, at, op, arena_printf(g->arena, "/%s", op_info(op)->name),
			  &a->shape, a, b)->out[0];
}

struct value *build_scalar(struct graph *g, const char *name, float x)
{
	struct shape s = { .rank = 1, .dim = { 1 } };
	float *f = arena_alloc(g->arena, sizeof(*f));

	*f = x;
	return const_floats(g, name, &s, f);
}
