// SPDX-License-Identifier: MIT
/* Shape inference of arithmetic: elementwise, reductions, matrix products. See infer.h. */

#include <string.h>

#include "infer.h"
#include "onnx_types.h"

int param_ints(struct graph *g, struct node *n, const char *attr, unsigned int index,
	       int64_t *ints, int max)
{
	const struct value *v = node_in(n, index);
	const int64_t *list;
	size_t count;
	int r;

	if (v) {
		r = const_int_list(v, ints, max);
		if (r < 0)
			issue(g, n, attr, "is not a constant list of at most %d integers", max);
		return r < 0 ? -2 : r;
	}
	if (!node_attr(n, attr))
		return -1;
	count = attr_ints(n, attr, &list);
	if (count > (size_t)max) {
		issue(g, n, attr, "has more than %d entries", max);
		return -2;
	}
	if (count)
		memcpy(ints, list, count * sizeof(*ints));
	return (int)count;
}

int param_axis(struct graph *g, struct node *n, const char *attr, int64_t axis, int rank)
{
	if (axis < -rank || axis >= rank) {
		issue(g, n, attr, "%lld is out of range for rank %d", (long long)axis, rank);
		return -1;
	}
	return (int)(axis < 0 ? axis + rank : axis);
}

int infer_same(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);

	(void)g;
	if (!v || !n->out[0])
		return 0;
	n->out[0]->shape = v->shape;
	n->out[0]->dtype = v->dtype;
	return 1;
}

int infer_gelu(struct graph *g, struct node *n)
{
	if (strcmp(attr_str(n, "approximate", "none"), "none") != 0) {
		issue(g, n, "approximate", "'%s' is not supported",
		      attr_str(n, "approximate", "none"));
		return 0;
	}
	return infer_same(g, n);
}

int infer_dropout(struct graph *g, struct node *n)
{
	double training, ratio = 0.5;

	/* Since operator set 12 dropout of a training graph says so by its third input. */
	if (node_in(n, 2) && (!const_scalar(node_in(n, 2), &training) || training != 0) &&
	    (!node_in(n, 1) || !const_scalar(node_in(n, 1), &ratio) || ratio != 0)) {
		issue(g, n, "training_mode", "is set: export the model for inference");
		return 0;
	}
	return infer_same(g, n);
}

bool shape_broadcast(struct shape *a, const struct shape *b)
{
	struct shape out;
	int i;

	out.rank = a->rank > b->rank ? a->rank : b->rank;
	for (i = 1; i <= out.rank; i++) {
		int64_t x = i <= a->rank ? a->dim[a->rank - i] : 1;
		int64_t y = i <= b->rank ? b->dim[b->rank - i] : 1;

		if (x != y && x != 1 && y != 1)
			return false;
		out.dim[out.rank - i] = x == 1 ? y : x;
	}
	*a = out;
	return true;
}

/* Before operator set 7 the second operand was lined up at @axis, not at the end. */
static void legacy_broadcast(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = node_in(n, 1);
	struct shape s;
	int64_t axis;
	int i;

	if (g->opset >= 7 || !attr_int(n, "broadcast", 0) || !node_attr(n, "axis"))
		return;
	axis = attr_int(n, "axis", 0);
	if (axis < 0)
		axis += a->shape.rank;
	if (axis < 0 || axis + b->shape.rank > a->shape.rank)
		return;
	s.rank = a->shape.rank - (int)axis;
	for (i = 0; i < s.rank; i++)
		s.dim[i] = i < b->shape.rank ? b->shape.dim[i] : 1;
	node_set_in(n, 1, build_reshape(g, n, b, &s));
}

int infer_broadcast(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0);
	struct shape s;
	unsigned int i;
	bool any = n->op == OP_Sum || n->op == OP_Mean || n->op == OP_Max || n->op == OP_Min;

	if (!v || (!any && (n->n_in != 2 || !node_in(n, 1))))
		return 0;
	if (!any)
		legacy_broadcast(g, n);
	s = v->shape;
	for (i = 1; i < n->n_in; i++) {
		const struct value *b = node_in(n, i);

		if (!b || !shape_broadcast(&s, &b->shape)) {
			issue(g, n, "", "shapes %s and %s do not broadcast", shape_text(g, &s),
			      b ? shape_text(g, &b->shape) : "none");
			return 0;
		}
	}
	n->out[0]->shape = s;
	n->out[0]->dtype = v->dtype;
	if (n->op == OP_Equal || n->op == OP_Greater || n->op == OP_Less ||
	    n->op == OP_GreaterOrEqual || n->op == OP_LessOrEqual)
		n->out[0]->dtype = ONNX_BOOL;
	return 1;
}

int infer_where(struct graph *g, struct node *n)
{
	const struct value *a = node_in(n, 1), *b = node_in(n, 2);
	struct shape s;

	if (!node_in(n, 0) || !a || !b)
		return 0;
	s = node_in(n, 0)->shape;
	if (!shape_broadcast(&s, &a->shape) || !shape_broadcast(&s, &b->shape)) {
		issue(g, n, "", "shapes do not broadcast");
		return 0;
	}
	n->out[0]->shape = s;
	n->out[0]->dtype = a->dtype;
	return 1;
}

int infer_prelu(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0), *slope = node_in(n, 1);
	struct shape s;
	int i;

	if (!v || !slope)
		return 0;
	/* Old exporters write one slope per channel without the trailing axes. */
	if (slope->shape.rank == 1 && v->shape.rank > 2 && slope->shape.dim[0] != 1 &&
	    slope->shape.dim[0] == v->shape.dim[1] &&
	    (g->opset < 7 || slope->shape.dim[0] != v->shape.dim[v->shape.rank - 1])) {
		s.rank = v->shape.rank - 1;
		for (i = 0; i < s.rank; i++)
			s.dim[i] = i ? 1 : slope->shape.dim[0];
		node_set_in(n, 1, build_reshape(g, n, slope, &s));
	}
	s = v->shape;
	if (!shape_broadcast(&s, &node_in(n, 1)->shape) || !shape_equal(&s, &v->shape)) {
		issue(g, n, "slope", "of shape %s does not broadcast to %s",
		      shape_text(g, &slope->shape), shape_text(g, &v->shape));
		return 0;
	}
	return infer_same(g, n);
}

int infer_cast(struct graph *g, struct node *n)
{
	if (!infer_same(g, n))
		return 0;
	n->out[0]->dtype = (int)attr_int(n, "to", ONNX_FLOAT);
	if (n->out[0]->dtype == ONNX_BFLOAT16) {
		issue(g, n, "to", "bfloat16 is not supported");
		return 0;
	}
	return 1;
}

int infer_gemm(struct graph *g, struct node *n)
{
	const struct value *a = node_in(n, 0), *b = node_in(n, 1);
	int64_t ta = attr_int(n, "transA", 0), tb = attr_int(n, "transB", 0);
	struct shape s = { .rank = 2 }, c;

	if (!a || !b)
		return 0;
	if (a->shape.rank != 2 || b->shape.rank != 2 ||
	    a->shape.dim[ta ? 0 : 1] != b->shape.dim[tb ? 1 : 0]) {
		issue(g, n, "", "cannot multiply %s by %s", shape_text(g, &a->shape),
		      shape_text(g, &b->shape));
		return 0;
	}
	s.dim[0] = a->shape.dim[ta ? 1 : 0];
	s.dim[1] = b->shape.dim[tb ? 0 : 1];
	c = s;
	if (node_in(n, 2) &&
	    (!shape_broadcast(&c, &node_in(n, 2)->shape) || !shape_equal(&c, &s))) {
		issue(g, n, "C", "does not broadcast to %s", shape_text(g, &s));
		return 0;
	}
	n->out[0]->shape = s;
	return 1;
}

int infer_matmul(struct graph *g, struct node *n)
{
	struct value *a = node_in(n, 0), *b = node_in(n, 1);
	struct shape x, y, s;
	bool row, col;

	if (!a || !b || a->shape.rank < 1 || b->shape.rank < 1)
		return 0;
	x = a->shape;
	y = b->shape;
	row = x.rank == 1;
	col = y.rank == 1;
	if (row) {
		x.dim[1] = x.dim[0];
		x.dim[0] = 1;
		x.rank = 2;
	}
	if (col) {
		y.dim[1] = 1;
		y.rank = 2;
	}
	s = x;
	s.rank = x.rank - 2;
	if (x.dim[x.rank - 1] != y.dim[y.rank - 2]) {
		issue(g, n, "", "cannot multiply %s by %s", shape_text(g, &a->shape),
		      shape_text(g, &b->shape));
		return 0;
	}
	y.rank -= 2;
	if (!shape_broadcast(&s, &y)) {
		issue(g, n, "", "batches of %s and %s do not broadcast", shape_text(g, &a->shape),
		      shape_text(g, &b->shape));
		return 0;
	}
	if (!row)
		s.dim[s.rank++] = x.dim[x.rank - 2];
	if (!col)
		s.dim[s.rank++] = y.dim[y.rank + 1];
	n->out[0]->shape = s;
	return 1;
}

int reduce_axes(struct graph *g, struct node *n, int rank)
{
	int64_t axes[SHAPE_MAX_RANK];
	int count = param_ints(g, n, "axes", 1, axes, SHAPE_MAX_RANK);
	int set = 0, i;

	if (count == -2)
		return -1;
	if (count <= 0)
		return attr_int(n, "noop_with_empty_axes", 0) ? 0 : (1 << rank) - 1;
	for (i = 0; i < count; i++) {
		int axis = param_axis(g, n, "axes", axes[i], rank);

		if (axis < 0)
			return -1;
		set |= 1 << axis;
	}
	return set;
}

int infer_reduce(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t keep = attr_int(n, "keepdims", 1);
	struct shape s = { 0 };
	int set, i;

	if (!v)
		return 0;
	set = reduce_axes(g, n, v->shape.rank);
	if (set < 0)
		return 0;
	for (i = 0; i < v->shape.rank; i++) {
		if (!(set >> i & 1))
			s.dim[s.rank++] = v->shape.dim[i];
		else if (keep)
			s.dim[s.rank++] = 1;
	}
	n->out[0]->shape = s;
	n->out[0]->dtype = v->dtype;
	return 1;
}

int infer_global_pool(struct graph *g, struct node *n)
{
	int i;

	if (!infer_same(g, n))
		return 0;
	for (i = 2; i < n->out[0]->shape.rank; i++)
		n->out[0]->shape.dim[i] = 1;
	return 1;
}

int infer_layer_norm(struct graph *g, struct node *n)
{
	if (!infer_same(g, n))
		return 0;
	return param_axis(g, n, "axis", attr_int(n, "axis", -1), n->out[0]->shape.rank) >= 0;
}
