// SPDX-License-Identifier: MIT
/* Values that are constant by what the node is: Constant, ConstantOfShape, Shape, Size, Range, NonZero. */

#include "fold.h"
#include "infer.h"
#include "onnx_types.h"

static void set_out(struct node *n, unsigned int i, const struct shape *s, int dtype)
{
	if (i < n->n_out && n->out[i]) {
		n->out[i]->shape = *s;
		n->out[i]->dtype = dtype;
	}
}

int infer_constant(struct graph *g, struct node *n)
{
	const struct attr *a = n->n_attr == 1 ? &n->attr[0] : node_attr(n, "value");
	struct shape s = { .rank = 0 };
	struct value *v = NULL;
	float *f;
	int64_t *i;

	if (a && a->tensor && a->tensor->constant) {
		v = a->tensor;
	} else if (a && a->type == ATTR_FLOAT) {
		f = arena_alloc(g->arena, sizeof(*f));
		*f = a->f;
		v = const_floats(g, n->name, &s, f);
	} else if (a && a->type == ATTR_INT) {
		i = arena_alloc(g->arena, sizeof(*i));
		*i = a->i;
		v = const_ints(g, n->name, &s, i);
	} else if (a && (a->type == ATTR_FLOATS || a->type == ATTR_INTS)) {
		s.rank = 1;
		s.dim[0] = (int64_t)a->count;
		v = a->type == ATTR_FLOATS ? const_floats(g, n->name, &s, a->floats) :
					     const_ints(g, n->name, &s, a->ints);
	}
	if (!v) {
		issue(g, n, a ? a->name : "value", "is not a dense tensor of numbers");
		return 0;
	}
	set_out(n, 0, &v->shape, v->dtype);
	n->out[0]->constant = v->constant;
	return 1;
}

int infer_constant_of_shape(struct graph *g, struct node *n)
{
	const struct attr *a = node_attr(n, "value");
	const struct value *fill = a ? a->tensor : NULL;
	struct shape s;
	struct constant *c;
	int64_t count, at;
	double x = 0;

	s.rank = const_int_list(node_in(n, 0), s.dim, SHAPE_MAX_RANK);
	count = shape_elements(&s);
	if (s.rank < 0 || count < 0 || (fill && !const_scalar(fill, &x))) {
		issue(g, n, "input", "is not a constant shape");
		return 0;
	}
	g->folded += (uint64_t)count;
	if (count > 1 << 24) {
		issue(g, n, "input", "asks for %lld elements", (long long)count);
		return 0;
	}
	c = arena_alloc(g->arena, sizeof(*c));
	c->count = (size_t)count;
	c->is_float = !fill || fill->constant->is_float;
	if (c->is_float) {
		float *f = arena_array(g->arena, c->count, sizeof(*f));

		for (at = 0; at < count; at++)
			f[at] = (float)x;
		c->f = f;
	} else {
		int64_t *i = arena_array(g->arena, c->count, sizeof(*i));

		for (at = 0; at < count; at++)
			i[at] = fill->constant->i[0];
		c->i = i;
	}
	set_out(n, 0, &s, fill ? fill->dtype : ONNX_FLOAT);
	n->out[0]->constant = c;
	return 1;
}

int infer_shape(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t first = attr_int(n, "start", 0), last = attr_int(n, "end", SHAPE_MAX_RANK);
	struct shape s = { .rank = 1 };
	int64_t *dims;
	int rank, i;

	if (!v)
		return 0;
	rank = v->shape.rank;
	if (first < 0)
		first += rank;
	if (last < 0)
		last += rank;
	if (first < 0)
		first = 0;
	if (first > rank)
		first = rank;
	if (last > rank)
		last = rank;
	if (last < first)
		last = first;
	dims = arena_array(g->arena, (size_t)rank + 1, sizeof(*dims));
	for (i = 0; i < rank; i++)
		dims[i] = v->shape.dim[i];
	s.dim[0] = last - first;
	set_out(n, 0, &s, ONNX_INT64);
	n->out[0]->constant = const_ints(g, n->name, &s, dims + first)->constant;
	return 1;
}

int infer_size(struct graph *g, struct node *n)
{
	struct shape s = { .rank = 0 };
	int64_t *i;

	if (!node_in(n, 0))
		return 0;
	i = arena_alloc(g->arena, sizeof(*i));
	*i = shape_elements(&node_in(n, 0)->shape);
	set_out(n, 0, &s, ONNX_INT64);
	n->out[0]->constant = const_ints(g, n->name, &s, i)->constant;
	return 1;
}

int infer_range(struct graph *g, struct node *n)
{
	double first, last, step, count;
	struct shape s = { .rank = 1 };

	if (!const_scalar(node_in(n, 0), &first) || !const_scalar(node_in(n, 1), &last) ||
	    !const_scalar(node_in(n, 2), &step) || step == 0) {
		issue(g, n, "limit", "is not constant");
		return 0;
	}
	count = (last - first) / step;
	if (!(count < 1 << 24)) {
		issue(g, n, "limit", "gives more than 2^24 elements");
		return 0;
	}
	s.dim[0] = count > 0 ? (int64_t)count : 0;
	if ((double)s.dim[0] < count)
		s.dim[0]++;
	set_out(n, 0, &s, node_in(n, 0)->dtype);
	return 1;
}

static bool is_set(const struct constant *c, size_t i)
{
	return c->is_float ? c->f[i] != 0 : c->i[i] != 0;
}

/* How many there are is only known of constants. */
int infer_nonzero(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	const struct constant *c = v ? v->constant : NULL;
	int64_t index[SHAPE_MAX_RANK] = { 0 }, *list;
	struct shape s = { .rank = 2 };
	size_t i, count = 0, at = 0;
	int d;

	if (!c) {
		issue(g, n, "X", "is not constant");
		return 0;
	}
	for (i = 0; i < c->count; i++)
		count += is_set(c, i);
	s.dim[0] = v->shape.rank;
	s.dim[1] = (int64_t)count;
	list = arena_array(g->arena, count * (size_t)v->shape.rank + 1, sizeof(*list));
	for (i = 0; i < c->count; i++, next_index(&v->shape, index))
		if (is_set(c, i)) {
			for (d = 0; d < v->shape.rank; d++)
				list[(size_t)d * count + at] = index[d];
			at++;
		}
	set_out(n, 0, &s, ONNX_INT64);
	n->out[0]->constant = const_ints(g, n->name, &s, list)->constant;
	return 1;
}
