// SPDX-License-Identifier: MIT
/* Elementwise operators, and those that move elements. */

#include <string.h>

#include "infer.h"
#include "lower.h"
#include "passes/passes.h"

void lower_unary(struct lower *l, struct node *n)
{
	struct tensor_shape t;
	struct act act;
	uint32_t in, to;

	if (!act_of(l->g, n, &act) || !plane_shape(l, &n->out[0]->shape, &t))
		return;
	in = tensor_as(l, node_in(n, 0), &t);
	to = output_as(l, n, &t);
	set_act(emit(l, PATCNN_OP_ACTIVATION, &in, 1, to, false), &act);
}

/* @v with leading ones up to the rank of @out. */
static uint32_t operand_for(struct lower *l, struct value *v, const struct shape *out)
{
	struct shape s = { .rank = out->rank };
	struct tensor_shape t;
	int i;

	for (i = 0; i < s.rank; i++)
		s.dim[i] = i < s.rank - v->shape.rank ? 1 :
			   v->shape.dim[i - (s.rank - v->shape.rank)];
	plane_shape(l, &s, &t);
	return tensor_as(l, v, &t);
}

void lower_binary(struct lower *l, struct node *n)
{
	unsigned int kind = n->op == OP_Add ? PATCNN_OP_ADD : n->op == OP_Sub ? PATCNN_OP_SUB :
			    n->op == OP_Mul ? PATCNN_OP_MUL : PATCNN_OP_DIV;
	const struct shape *s = &n->out[0]->shape;
	uint32_t operands[2], to;
	struct tensor_shape t;

	if (!plane_shape(l, s, &t))
		return;
	operands[0] = operand_for(l, node_in(n, 0), s);
	operands[1] = operand_for(l, node_in(n, 1), s);
	to = output_as(l, n, &t);
	emit(l, kind, operands, 2, to, true);
}

void lower_prelu(struct lower *l, struct node *n)
{
	const struct shape *s = &n->out[0]->shape;
	uint32_t operands[2], to;
	struct tensor_shape t;
	double slope;

	/* One slope for all is an activation. */
	if (const_scalar(node_in(n, 1), &slope)) {
		lower_unary(l, n);
		return;
	}
	if (!plane_shape(l, s, &t))
		return;
	operands[0] = operand_for(l, node_in(n, 0), s);
	operands[1] = operand_for(l, node_in(n, 1), s);
	to = output_as(l, n, &t);
	emit(l, PATCNN_OP_PRELU, operands, 2, to, true);
}

void lower_concat(struct lower *l, struct node *n)
{
	int rank = n->out[0]->shape.rank;
	int axis = param_axis(l->g, n, "axis", attr_int(n, "axis", 1), rank);
	struct patcnn_operator *op;
	struct tensor_shape t;
	uint32_t *operands, to;
	unsigned int i, count = 0;

	if (axis < 0)
		return;
	operands = arena_array(l->g->arena, n->n_in, sizeof(*operands));
	for (i = 0; i < n->n_in; i++) {
		if (!shape_elements(&node_in(n, i)->shape))
			continue;
		if (!plane_shape(l, &node_in(n, i)->shape, &t))
			return;
		operands[count++] = tensor_as(l, node_in(n, i), &t);
	}
	plane_shape(l, &n->out[0]->shape, &t);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_CONCAT, operands, count, to, true);
	op->axis.axis = (uint32_t)axis;
}

void lower_slice(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0);
	struct patcnn_operator *op;
	struct tensor_shape t;
	struct slice_spec s;
	uint32_t in, to;
	int i;

	if (!slice_spec(l->g, n, &s) || !plane_shape(l, &v->shape, &t))
		return;
	for (i = 0; i < s.out.rank; i++)
		if (s.step[i] < 1) {
			issue(l->g, n, "steps", "backwards are not supported here");
			return;
		}
	in = tensor_as(l, v, &t);
	plane_shape(l, &s.out, &t);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_SLICE, &in, 1, to, true);
	op->slice.step[0] = 1;
	for (i = 0; i < s.out.rank; i++) {
		op->slice.start[i] = (uint32_t)s.start[i];
		op->slice.step[i] = s.step[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)s.step[i];
	}
}

void lower_transpose(struct lower *l, struct node *n)
{
	const int64_t *perm = NULL;
	struct patcnn_operator *op;
	struct tensor_shape t;
	uint32_t in, to;
	size_t count, i;

	if (!plane_shape(l, &node_in(n, 0)->shape, &t))
		return;
	in = tensor_as(l, node_in(n, 0), &t);
	plane_shape(l, &n->out[0]->shape, &t);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_PERMUTE, &in, 1, to, true);
	count = attr_ints(n, "perm", &perm);
	for (i = 0; i < count; i++)
		op->axis.perm[i] = (uint32_t)perm[i];
}

void lower_reshape(struct lower *l, struct node *n)
{
	struct tensor_shape t;
	uint32_t in, to;

	if (!plane_shape(l, &n->out[0]->shape, &t))
		return;
	in = tensor_of(l, node_in(n, 0));
	to = output_as(l, n, &t);
	emit(l, PATCNN_OP_RESHAPE, &in, 1, to, true);
}

void lower_pad(struct lower *l, struct node *n)
{
	const char *mode = attr_str(n, "mode", "constant");
	struct value *v = node_in(n, 0);
	double fill = (double)attr_float(n, "value", 0);
	struct patcnn_operator *op;
	struct tensor_shape t;
	struct pad_spec p;
	uint32_t in, to;
	int i;

	if (!pad_spec(l->g, n, &p) || !plane_shape(l, &v->shape, &t))
		return;
	if (node_in(n, 2) && !const_scalar(node_in(n, 2), &fill)) {
		issue(l->g, n, "constant_value", "is not constant");
		return;
	}
	if (strcmp(mode, "constant") && strcmp(mode, "reflect") && strcmp(mode, "edge")) {
		issue(l->g, n, "mode", "'%s' is not supported", mode);
		return;
	}
	in = tensor_as(l, v, &t);
	plane_shape(l, &n->out[0]->shape, &t);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_PAD, &in, 1, to, true);
	for (i = 0; i < v->shape.rank; i++)
		op->pad.before[i] = (uint32_t)p.before[i];
	op->pad.mode = *mode == 'c' ? PATCNN_PAD_CONSTANT :
		       *mode == 'r' ? PATCNN_PAD_REFLECT : PATCNN_PAD_EDGE;
	if (op->pad.mode == PATCNN_PAD_CONSTANT)
		op->pad.value = float_bits((float)fill);
}

/* Before operator set 13 everything from the axis on was one row. */
static void softmax_of_rows(struct lower *l, struct node *n, int axis)
{
	struct value *v = node_in(n, 0);
	struct tensor_shape t = { .rank = 2, .axis_h = 0, .axis_w = 1, .dim = { 1, 1 } };
	struct patcnn_operator *op;
	uint32_t in, to;
	int i;

	for (i = 0; i < v->shape.rank; i++)
		t.dim[i >= axis] *= (uint32_t)v->shape.dim[i];
	in = tensor_as(l, v, &t);
	to = temp_tensor(l, &t);
	op = emit(l, PATCNN_OP_SOFTMAX, &in, 1, to, true);
	op->axis.axis = 1;
	finish_output(l, n, to);
}

void lower_softmax(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0);
	bool rows = l->g->opset < 13;
	int axis = param_axis(l->g, n, "axis", attr_int(n, "axis", rows ? 1 : -1), v->shape.rank);
	struct patcnn_operator *op;
	struct tensor_shape t;
	uint32_t in, to;
	int64_t rest = 1;
	int i;

	if (axis < 0 || !plane_shape(l, &v->shape, &t))
		return;
	for (i = axis + 1; i < v->shape.rank; i++)
		rest *= v->shape.dim[i];
	if (rows && rest != 1) {
		softmax_of_rows(l, n, axis);
		return;
	}
	in = tensor_as(l, v, &t);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_SOFTMAX, &in, 1, to, true);
	op->axis.axis = (uint32_t)axis;
}
