// SPDX-License-Identifier: MIT
/* Poolings, reductions, resizes and norms. */

#include <math.h>
#include <string.h>

#include "infer.h"
#include "lower.h"

void lower_pool(struct lower *l, struct node *n)
{
	bool average = n->op == OP_AveragePool;
	struct value *v = node_in(n, 0);
	struct tensor_shape in_shape, out_shape;
	struct patcnn_operator *op;
	struct window w;
	uint32_t in, to;

	if (!window_geometry(l->g, n, &v->shape, NULL, &w))
		return;
	if (w.kernel[0] > 255 || w.kernel[1] > 255) {
		issue(l->g, n, "kernel_shape", "is above 255");
		return;
	}
	window_shape(l, &v->shape, &in_shape);
	window_shape(l, &n->out[0]->shape, &out_shape);
	in = tensor_as(l, v, &in_shape);
	to = output_as(l, n, &out_shape);
	op = emit(l, average ? PATCNN_OP_AVG_POOL : PATCNN_OP_MAX_POOL, &in, 1, to, true);
	op->pool.window = (struct patcnn_window){
		.kernel_h = (uint16_t)w.kernel[0],
		.kernel_w = (uint16_t)w.kernel[1],
		.stride_h = (uint16_t)w.stride[0],
		.stride_w = (uint16_t)w.stride[1],
		.dilation_h = (uint16_t)w.dilation[0],
		.dilation_w = (uint16_t)w.dilation[1],
		.pad_top = (uint16_t)w.begin[0],
		.pad_left = (uint16_t)w.begin[1],
		.pad_bottom = (uint16_t)(w.end[0] + w.extra[0]),
		.pad_right = (uint16_t)(w.end[1] + w.extra[1]),
	};
	op->pool.count_pad = average && attr_int(n, "count_include_pad", 0);
}

void lower_reduce(struct lower *l, struct node *n)
{
	bool global = n->op == OP_GlobalAveragePool || n->op == OP_GlobalMaxPool;
	struct value *v = node_in(n, 0);
	struct shape kept = v->shape;
	struct patcnn_operator *op;
	struct tensor_shape t;
	uint32_t in, to;
	int set, i;

	if (global)
		set = ((1 << v->shape.rank) - 1) & ~3;
	else
		set = reduce_axes(l->g, n, v->shape.rank);
	if (set < 0)
		return;
	for (i = 0; i < kept.rank; i++)
		if (set >> i & 1)
			kept.dim[i] = 1;
	if (!plane_shape(l, &v->shape, &t))
		return;
	in = tensor_as(l, v, &t);
	plane_shape(l, &kept, &t);
	to = output_as(l, n, &t);
	/* A program's scalar has one axis; reducing it changes nothing. */
	if (!set) {
		emit(l, PATCNN_OP_ACTIVATION, &in, 1, to, true);
	} else {
		op = emit(l, PATCNN_OP_REDUCE, &in, 1, to, true);
		op->axis.axes = (uint32_t)set;
		op->axis.kind = n->op == OP_ReduceSum ? PATCNN_REDUCE_SUM :
				n->op == OP_ReduceMax || n->op == OP_GlobalMaxPool ?
				PATCNN_REDUCE_MAX : PATCNN_REDUCE_MEAN;
	}
	finish_output(l, n, to);
}

/* Nearest neighbour: the rounding of operator set 10 and of Upsample is downwards. */
static bool nearest(struct lower *l, struct node *n, const char *coord, uint32_t *round)
{
	const char *mode = attr_str(n, "nearest_mode", "round_prefer_floor");

	if (n->op == OP_Upsample || l->g->opset < 11)
		mode = "floor";
	if (!strcmp(mode, "floor"))
		*round = PATCNN_ROUND_FLOOR;
	else if (!strcmp(mode, "ceil"))
		*round = PATCNN_ROUND_CEIL;
	else if (!strcmp(mode, "round_prefer_floor"))
		*round = PATCNN_ROUND_PREFER_FLOOR;
	else if (!strcmp(mode, "round_prefer_ceil"))
		*round = PATCNN_ROUND_PREFER_CEIL;
	else
		return false;
	if (strcmp(coord, "tf_half_pixel_for_nn"))
		return true;
	/* This coordinate is the half-pixel one plus 1/2, which becomes part of the rounding. */
	if (*round == PATCNN_ROUND_FLOOR)
		*round = PATCNN_ROUND_PREFER_CEIL;
	else if (*round == PATCNN_ROUND_PREFER_FLOOR)
		*round = PATCNN_ROUND_CEIL;
	else
		return false;
	return true;
}

static bool resize_params(struct lower *l, struct node *n, struct patcnn_resize_params *p)
{
	const char *mode = attr_str(n, "mode", "nearest");
	const char *coord = attr_str(n, "coordinate_transformation_mode", "half_pixel");

	if (n->op == OP_Upsample || l->g->opset < 11)
		coord = "asymmetric";
	memset(p, 0, sizeof(*p));
	if (!strcmp(mode, "linear") || !strcmp(mode, "bilinear"))
		p->mode = PATCNN_RESIZE_LINEAR;
	else if (strcmp(mode, "nearest")) {
		issue(l->g, n, "mode", "'%s' is not supported", mode);
		return false;
	}
	if (!strcmp(coord, "asymmetric"))
		p->coord = PATCNN_COORD_ASYMMETRIC;
	else if (!strcmp(coord, "half_pixel") ||
		 (!strcmp(coord, "tf_half_pixel_for_nn") && p->mode == PATCNN_RESIZE_NEAREST))
		p->coord = PATCNN_COORD_HALF_PIXEL;
	else if (!strcmp(coord, "align_corners"))
		p->coord = PATCNN_COORD_ALIGN_CORNERS;
	else if (!strcmp(coord, "pytorch_half_pixel"))
		p->coord = PATCNN_COORD_PYTORCH_HALF_PIXEL;
	else {
		issue(l->g, n, "coordinate_transformation_mode", "'%s' is not supported", coord);
		return false;
	}
	if (p->mode == PATCNN_RESIZE_NEAREST && !nearest(l, n, coord, &p->round)) {
		issue(l->g, n, "nearest_mode", "'%s' is not supported",
		      attr_str(n, "nearest_mode", ""));
		return false;
	}
	if (attr_int(n, "antialias", 0) || attr_int(n, "exclude_outside", 0)) {
		issue(l->g, n, "antialias", "and exclude_outside are not supported");
		return false;
	}
	return true;
}

void lower_resize(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0);
	struct tensor_shape in_shape, out_shape;
	struct patcnn_resize_params p;
	float scales[SHAPE_MAX_RANK];
	struct patcnn_operator *op;
	struct shape out;
	uint32_t in, to;
	int i, rank = v->shape.rank;

	if (!resize_params(l, n, &p) || !resize_spec(l->g, n, &out, scales))
		return;
	for (i = 0; i < rank - 2; i++)
		if (out.dim[i] != v->shape.dim[i]) {
			issue(l->g, n, "scales", "of axis %d: only the last two may change", i);
			return;
		}
	if (!plane_shape(l, &v->shape, &in_shape) || !plane_shape(l, &out, &out_shape))
		return;
	p.scale_h = rank > 1 ? float_bits(scales[rank - 2]) : 0;
	p.scale_w = rank ? float_bits(scales[rank - 1]) : 0;
	in = tensor_as(l, v, &in_shape);
	to = output_as(l, n, &out_shape);
	op = emit(l, PATCNN_OP_RESIZE, &in, 1, to, true);
	op->resize = p;
}

/* A constant of one axis as operand. */
static uint32_t vector_operand(struct lower *l, struct value *v)
{
	struct tensor_shape t = { .rank = 1, .dim = { (uint32_t)v->constant->count } };

	return tensor_as(l, v, &t);
}

static bool epsilon_ok(struct lower *l, struct node *n)
{
	float epsilon = attr_float(n, "epsilon", 1e-5f);

	if (isfinite(epsilon) && epsilon > 0)
		return true;
	issue(l->g, n, "epsilon", "%g is not positive", (double)epsilon);
	return false;
}

void lower_instance_norm(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0), *scale = node_in(n, 1), *bias = node_in(n, 2);
	struct tensor_shape t;
	struct patcnn_operator *op;
	uint32_t operands[3], to;

	if (!scale || !bias || !scale->constant || !bias->constant || v->shape.rank < 3 ||
	    scale->constant->count != (size_t)v->shape.dim[1] ||
	    bias->constant->count != (size_t)v->shape.dim[1]) {
		issue(l->g, n, "scale", "and B must be constant, one a channel");
		return;
	}
	if (v->shape.dim[0] != 1) {
		issue(l->g, n, "", "a batch of %lld is not supported", (long long)v->shape.dim[0]);
		return;
	}
	if (!epsilon_ok(l, n))
		return;
	plane_shape(l, &v->shape, &t);
	/* The plane of a channel is all that follows it. */
	t.axis_h = 2;
	t.axis_w = t.rank > 3 ? 3 : 2;
	operands[0] = tensor_as(l, v, &t);
	operands[1] = vector_operand(l, scale);
	operands[2] = vector_operand(l, bias);
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_INSTANCE_NORM, operands, 3, to, true);
	op->axis.epsilon = float_bits(attr_float(n, "epsilon", 1e-5f));
}

void lower_layer_norm(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0);
	int axis = param_axis(l->g, n, "axis", attr_int(n, "axis", -1), v->shape.rank);
	struct tensor_shape t, norm;
	struct patcnn_operator *op;
	unsigned int count = 1, i;
	uint32_t operands[3], to;
	uint64_t size = 1;

	if (axis < 0 || !epsilon_ok(l, n) || !plane_shape(l, &v->shape, &t))
		return;
	plane_shape(l, &v->shape, &norm);
	for (i = 0; i < norm.rank; i++) {
		if (i < (unsigned int)axis)
			norm.dim[i] = 1;
		size *= norm.dim[i];
	}
	operands[0] = tensor_as(l, v, &t);
	for (i = 1; i < 3; i++) {
		struct value *c = node_in(n, i);

		if (!c)
			continue;
		if (!c->constant || c->constant->count != size || i != count) {
			issue(l->g, n, i == 1 ? "Scale" : "B",
			      "is not constant, or not of the normalised shape");
			return;
		}
		operands[count++] = tensor_as(l, c, &norm);
	}
	to = output_as(l, n, &t);
	op = emit(l, PATCNN_OP_LAYER_NORM, operands, count, to, true);
	op->axis.axis = (uint32_t)axis;
	op->axis.epsilon = float_bits(attr_float(n, "epsilon", 1e-5f));
}
