// SPDX-License-Identifier: MIT
/* Constant folding of what moves elements. See fold.h. */

#include <string.h>

#include "fold.h"
#include "infer.h"
#include "onnx_types.h"

/* Elements that all folding of one model may produce. */
#define MAX_FOLDED	(1ULL << 28)

struct folded fold_output(struct graph *g, struct value *out)
{
	struct folded r = { .c = arena_alloc(g->arena, sizeof(*r.c)) };
	int64_t count = shape_elements(&out->shape);

	if (count > 0)
		g->folded += (uint64_t)count;
	if (count < 0 || g->folded > MAX_FOLDED)
		arena_fail(g->arena, "folding the constants of '%s' takes too much memory",
			   out->name);
	r.c->count = (size_t)count;
	r.c->is_float = is_float_type(out->dtype);
	if (r.c->is_float)
		r.c->f = r.f = arena_array(g->arena, r.c->count, sizeof(*r.f));
	else
		r.c->i = r.i = arena_array(g->arena, r.c->count, sizeof(*r.i));
	out->constant = r.c;
	return r;
}

void broadcast_strides(const struct shape *from, const struct shape *to, int64_t *stride)
{
	int64_t step = 1;
	int i;

	for (i = 1; i <= to->rank; i++) {
		int64_t dim = i <= from->rank ? from->dim[from->rank - i] : 1;

		stride[to->rank - i] = dim == 1 ? 0 : step;
		step *= dim;
	}
}

void next_index(const struct shape *shape, int64_t *index)
{
	int d;

	for (d = shape->rank - 1; d >= 0; d--) {
		if (++index[d] < shape->dim[d])
			return;
		index[d] = 0;
	}
}

/* Element x of @out is source element base + sum of x[d] * stride[d]. */
static int copy_strided(struct graph *g, struct node *n, struct value *out, int64_t base,
			const int64_t *stride)
{
	const struct constant *src = node_in(n, 0)->constant;
	struct folded r;
	int64_t index[SHAPE_MAX_RANK] = { 0 };
	size_t at;
	int d;

	out->dtype = node_in(n, 0)->dtype;
	r = fold_output(g, out);
	for (at = 0; at < r.c->count; at++) {
		int64_t from = base;

		for (d = 0; d < out->shape.rank; d++)
			from += index[d] * stride[d];
		if (r.f)
			r.f[at] = src->f[from];
		else
			r.i[at] = src->i[from];
		next_index(&out->shape, index);
	}
	return 1;
}

static void row_major(const struct shape *s, int64_t *stride)
{
	int64_t step = 1;
	int i;

	for (i = s->rank - 1; i >= 0; i--) {
		stride[i] = step;
		step *= s->dim[i];
	}
}

int fold_identity(struct graph *g, struct node *n)
{
	(void)g;
	n->out[0]->constant = node_in(n, 0)->constant;
	return 1;
}

int fold_reshape(struct graph *g, struct node *n)
{
	return fold_identity(g, n);
}

int fold_expand(struct graph *g, struct node *n)
{
	int64_t stride[SHAPE_MAX_RANK];

	broadcast_strides(&node_in(n, 0)->shape, &n->out[0]->shape, stride);
	return copy_strided(g, n, n->out[0], 0, stride);
}

int fold_transpose(struct graph *g, struct node *n)
{
	int64_t from[SHAPE_MAX_RANK], stride[SHAPE_MAX_RANK];
	const int64_t *perm = NULL;
	int i;

	attr_ints(n, "perm", &perm);
	row_major(&node_in(n, 0)->shape, from);
	for (i = 0; i < n->out[0]->shape.rank; i++)
		stride[i] = from[perm[i]];
	return copy_strided(g, n, n->out[0], 0, stride);
}

int fold_slice(struct graph *g, struct node *n)
{
	int64_t from[SHAPE_MAX_RANK], stride[SHAPE_MAX_RANK], base = 0;
	struct slice_spec s;
	int i;

	if (!slice_spec(g, n, &s))
		return 0;
	row_major(&node_in(n, 0)->shape, from);
	for (i = 0; i < s.out.rank; i++) {
		stride[i] = from[i] * s.step[i];
		base += from[i] * s.start[i];
	}
	return copy_strided(g, n, n->out[0], base, stride);
}

int fold_split(struct graph *g, struct node *n)
{
	const struct shape *s = &node_in(n, 0)->shape;
	int axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), s->rank);
	int64_t stride[SHAPE_MAX_RANK], at = 0;
	unsigned int i;

	row_major(s, stride);
	for (i = 0; i < n->n_out; i++) {
		if (!n->out[i])
			return 0;
		copy_strided(g, n, n->out[i], at * stride[axis], stride);
		at += n->out[i]->shape.dim[axis];
	}
	return 1;
}

int fold_tile(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	struct folded r = fold_output(g, n->out[0]);
	int64_t index[SHAPE_MAX_RANK] = { 0 }, stride[SHAPE_MAX_RANK];
	size_t at;
	int d;

	row_major(&v->shape, stride);
	for (at = 0; at < r.c->count; at++) {
		int64_t from = 0;

		for (d = 0; d < v->shape.rank; d++)
			from += index[d] % v->shape.dim[d] * stride[d];
		if (r.f)
			r.f[at] = v->constant->f[from];
		else
			r.i[at] = v->constant->i[from];
		next_index(&n->out[0]->shape, index);
	}
	return 1;
}

int fold_concat(struct graph *g, struct node *n)
{
	struct value *out = n->out[0];
	struct folded r = fold_output(g, out);
	int axis = param_axis(g, n, "axis", attr_int(n, "axis", 1), out->shape.rank);
	size_t outer = 1, inner = 1, at = 0, o;
	unsigned int i;
	int d;

	for (d = 0; d < axis; d++)
		outer *= (size_t)out->shape.dim[d];
	for (d = axis + 1; d < out->shape.rank; d++)
		inner *= (size_t)out->shape.dim[d];
	for (i = 0; i < n->n_in; i++)
		if (node_in(n, i)->constant->is_float != r.c->is_float) {
			issue(g, n, "", "mixes floats and integers");
			out->constant = NULL;
			return 0;
		}
	for (o = 0; o < outer; o++)
		for (i = 0; i < n->n_in; i++) {
			const struct value *v = node_in(n, i);
			size_t part = (size_t)v->shape.dim[axis] * inner;

			if (part && r.f)
				memcpy(r.f + at, v->constant->f + o * part, part * sizeof(*r.f));
			else if (part)
				memcpy(r.i + at, v->constant->i + o * part, part * sizeof(*r.i));
			at += part;
		}
	return 1;
}

int fold_gather(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0), *index = node_in(n, 1);
	struct folded r;
	int axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), v->shape.rank);
	int64_t size = v->shape.dim[axis];
	size_t outer = 1, inner = 1, o, i, k;
	int d;

	if (index->constant->is_float) {
		issue(g, n, "indices", "are not integers");
		return 0;
	}
	for (i = 0; i < index->constant->count; i++)
		if (index->constant->i[i] < -size || index->constant->i[i] >= size) {
			issue(g, n, "indices", "%lld is out of range",
			      (long long)index->constant->i[i]);
			return 0;
		}
	r = fold_output(g, n->out[0]);
	for (d = 0; d < axis; d++)
		outer *= (size_t)v->shape.dim[d];
	for (d = axis + 1; d < v->shape.rank; d++)
		inner *= (size_t)v->shape.dim[d];
	for (o = 0; o < outer; o++)
		for (i = 0; i < index->constant->count; i++) {
			int64_t at = index->constant->i[i];
			size_t row = (size_t)(at < 0 ? at + size : at);
			size_t from = (o * (size_t)size + row) * inner;
			size_t to = (o * index->constant->count + i) * inner;

			for (k = 0; k < inner; k++) {
				if (r.f)
					r.f[to + k] = v->constant->f[from + k];
				else
					r.i[to + k] = v->constant->i[from + k];
			}
		}
	return 1;
}

int fold_range(struct graph *g, struct node *n)
{
	struct folded r = fold_output(g, n->out[0]);
	const struct constant *first = node_in(n, 0)->constant, *step = node_in(n, 2)->constant;
	size_t i;

	if (first->is_float != r.c->is_float || step->is_float != r.c->is_float) {
		n->out[0]->constant = NULL;
		return 0;
	}
	for (i = 0; i < r.c->count; i++) {
		if (r.f)
			r.f[i] = (float)((double)first->f[0] + (double)i * (double)step->f[0]);
		else
			r.i[i] = (int64_t)((uint64_t)first->i[0] + i * (uint64_t)step->i[0]);
	}
	return 1;
}
