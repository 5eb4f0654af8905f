// SPDX-License-Identifier: MIT
/* Mutations of the parameters and shapes of every kind of operator. */

#include <errno.h>
#include <stdlib.h>

#include "spoil.h"

/* Shapes that agree with themselves, so that only the operator's rule is broken. */
static void reshape(struct patcnn_tensor *t, __u32 c, __u32 h, __u32 w)
{
	t->shape[1] = c;
	t->shape[2] = h;
	t->shape[3] = w;
	t->c = c;
	t->h = h;
	t->w = w;
}

static void grow(struct patcnn_tensor *t, int c, int h, int w)
{
	reshape(t, t->c + c, t->h + h, t->w + w);
}

#define OP(kind) op_of(pb, PATCNN_OP_##kind, 0)
#define OUT(kind) out_of(pb, OP(kind))

/* ---- activation, parameters that must be zero ---- */

SPOIL(act_kind, EINVAL, "activation") { OP(CONV)->activation.kind = 21; }
SPOIL(act_a_nan, EINVAL, "activation") { OP(CONV)->activation.a = 0x7fc00000; }
SPOIL(act_b_inf, EINVAL, "activation") { OP(CONV)->activation.b = 0xff800000; }
SPOIL(act_reserved, EINVAL, "activation") { OP(CONV)->activation.reserved = 1; }
SPOIL(act_pow_large, EINVAL, "power")
{
	OP(CONV)->activation.kind = PATCNN_ACT_POW;
	OP(CONV)->activation.a = pb_bits(300.0f);
}

SPOIL(act_pow_fraction, EINVAL, "power")
{
	OP(CONV)->activation.kind = PATCNN_ACT_POW;
	OP(CONV)->activation.a = pb_bits(1.25f);
}

SPOIL(act_pow_small, EINVAL, "power")
{
	OP(CONV)->activation.kind = PATCNN_ACT_POW;
	OP(CONV)->activation.a = pb_bits(0.25f);
}

SPOIL(unused_add, EINVAL, "parameters") { OP(ADD)->bytes[0] = 1; }
SPOIL(unused_act, EINVAL, "parameters") { OP(ACTIVATION)->bytes[175] = 1; }
SPOIL(unused_reshape, EINVAL, "parameters") { OP(RESHAPE)->bytes[8] = 1; }
SPOIL(unused_pool, EINVAL, "parameters") { OP(MAX_POOL)->bytes[100] = 1; }
SPOIL(unused_conv, EINVAL, "parameters") { OP(CONV)->bytes[175] = 1; }
SPOIL(unused_softmax, EINVAL, "parameters") { OP(SOFTMAX)->axis.epsilon = 1; }
SPOIL(unused_matmul, EINVAL, "parameters") { OP(MATMUL)->axis.axes = 1; }
SPOIL(unused_reduce, EINVAL, "parameters") { OP(REDUCE)->axis.perm[5] = 1; }

/* ---- convert ---- */

SPOIL(convert_shape, EINVAL, "shape") { grow(OUT(CONVERT), 0, 1, 0); }
SPOIL(convert_mean_count, EINVAL, "mean") { OP(CONVERT)->convert.mean.count = 2; }
SPOIL(convert_mean_offset, EINVAL, "mean") { OP(CONVERT)->convert.mean.offset += 2; }
SPOIL(convert_scale_outside, EINVAL, "scale")
{
	OP(CONVERT)->convert.scale.offset = (pb->data_size + 3) / 4 * 4;
}

SPOIL(convert_scale_wraps, EINVAL, "scale") { OP(CONVERT)->convert.scale.offset = ~3ull; }
SPOIL(convert_absent_offset, EINVAL, "mean")
{
	OP(CONVERT)->convert.mean.count = 0;
	OP(CONVERT)->convert.mean.offset = 64;
}

SPOIL(convert_swap, EINVAL, "swap_rb") { OP(CONVERT)->convert.swap_rb = 2; }
SPOIL(convert_reserved, EINVAL, "") { OP(CONVERT)->convert.reserved = 1; }
SPOIL(convert_swap_channels, EINVAL, "swap_rb")
{
	struct patcnn_operator *op = OP(CONVERT);

	/* A second convert, of the eight channels of the second input. */
	op->convert.swap_rb = 0;
	pb_convert(pb, 1, NULL, NULL, true);
}

/* ---- windows ---- */

#define WINDOW(kind) (&OP(kind)->conv.window)

SPOIL(kernel_zero, EINVAL, "kernel_h") { WINDOW(CONV)->kernel_h = 0; }
SPOIL(kernel_huge, EINVAL, "kernel_w") { WINDOW(CONV)->kernel_w = 0xffff; }
SPOIL(stride_zero, EINVAL, "stride_h") { WINDOW(CONV)->stride_h = 0; }
SPOIL(dilation_zero, EINVAL, "dilation_w") { WINDOW(CONV)->dilation_w = 0; }
SPOIL(dilation_huge, EINVAL, "kernel") { WINDOW(CONV)->dilation_h = 0xffff; }
SPOIL(pad_top, EINVAL, "padding") { WINDOW(CONV)->pad_top = 3; }
SPOIL(pad_right, EINVAL, "padding") { WINDOW(CONV)->pad_right = 0xffff; }
SPOIL(conv_out_h, EINVAL, "output h") { WINDOW(CONV)->stride_h = 2; }
SPOIL(conv_out_w, EINVAL, "output w") { WINDOW(CONV)->pad_left = 0; }
SPOIL(conv_groups_zero, EINVAL, "groups") { OP(CONV)->conv.groups = 0; }
SPOIL(conv_groups, EINVAL, "groups") { OP(CONV)->conv.groups = 2; }
SPOIL(conv_groups_huge, EINVAL, "groups") { OP(CONV)->conv.groups = ~0u; }
SPOIL(conv_residual, EINVAL, "operand 1")
{
	struct patcnn_operator *op = op_of(pb, PATCNN_OP_CONV, 1);

	pb->operands[op->operand_first + 1] = OP(CONVERT)->output;
}

SPOIL(pool_kernel, EINVAL, "kernel") { OP(MAX_POOL)->pool.window.kernel_h = 200; }
SPOIL(pool_pad, EINVAL, "padding") { OP(AVG_POOL)->pool.window.pad_left = 2; }
SPOIL(pool_max_count_pad, EINVAL, "count_pad") { OP(MAX_POOL)->pool.count_pad = 1; }
SPOIL(pool_count_pad, EINVAL, "count_pad") { OP(AVG_POOL)->pool.count_pad = 2; }
SPOIL(pool_channels, EINVAL, "output c") { grow(OUT(MAX_POOL), 1, 0, 0); }
SPOIL(pool_stride_zero, EINVAL, "stride") { OP(AVG_POOL)->pool.window.stride_w = 0; }
SPOIL(pool_out, EINVAL, "output h") { grow(OUT(AVG_POOL), 0, -1, 0); }
SPOIL(convt_small, EINVAL, "output") { grow(OUT(CONV_TRANSPOSE), 0, -1, 0); }
SPOIL(convt_large, EINVAL, "output") { grow(OUT(CONV_TRANSPOSE), 0, 0, 2); }
SPOIL(convt_groups, EINVAL, "groups") { OP(CONV_TRANSPOSE)->conv.groups = 5; }
SPOIL(convt_storage, EINVAL, "storage")
{
	OP(CONV_TRANSPOSE)->conv.weights.storage = PATCNN_STORAGE_CSR;
}

SPOIL(convt_values, EINVAL, "values") { OP(CONV_TRANSPOSE)->conv.weights.values.count--; }
SPOIL(convt_pad, EINVAL, "padding") { WINDOW(CONV_TRANSPOSE)->pad_top = 2; }

SPOIL(linear_kernel, EINVAL, "window") { WINDOW(LINEAR)->kernel_h = 2; }
SPOIL(linear_pad, EINVAL, "window") { WINDOW(LINEAR)->pad_left = 1; }
SPOIL(linear_groups, EINVAL, "groups") { OP(LINEAR)->conv.groups = 2; }
SPOIL(linear_fkw, EINVAL, "FKW") { OP(LINEAR)->conv.weights.storage = PATCNN_STORAGE_FKW; }
SPOIL(linear_rows, EINVAL, "rows")
{
	OUT(LINEAR)->shape[0] = 3;
	OUT(LINEAR)->c = 30;
}

SPOIL(linear_values, EINVAL, "values") { OP(LINEAR)->conv.weights.values.count++; }

/* ---- shapes ---- */

SPOIL(add_shape, EINVAL, "operand 0") { grow(OUT(ADD), 1, 0, 0); }
SPOIL(add_rank, EINVAL, "rank")
{
	struct patcnn_tensor *t = OUT(ADD);

	t->rank = 3;
	t->axis_h = 1;
	t->axis_w = 2;
	t->shape[0] = t->c;
	t->shape[1] = t->h;
	t->shape[2] = t->w;
	t->shape[3] = 0;
}

SPOIL(act_shape, EINVAL, "shape")
{
	OUT(ACTIVATION)->shape[1]++;
	OUT(ACTIVATION)->c++;
}

SPOIL(prelu_slope, EINVAL, "operand 1")
{
	struct patcnn_tensor *t = in_of(pb, OP(PRELU), 1);

	reshape(t, 2, 4, 1);
}

SPOIL(concat_axis, EINVAL, "axis") { OP(CONCAT)->axis.axis = 4; }
SPOIL(concat_axis_huge, EINVAL, "axis") { OP(CONCAT)->axis.axis = ~0u; }
SPOIL(concat_other_axis, EINVAL, "shape") { OP(CONCAT)->axis.axis = 2; }
SPOIL(concat_sum, EINVAL, "output shape") { grow(OUT(CONCAT), 1, 0, 0); }
SPOIL(slice_start, EINVAL, "start") { OP(SLICE)->slice.start[1] = 6; }
SPOIL(slice_start_wraps, EINVAL, "start") { OP(SLICE)->slice.start[1] = ~0u; }
SPOIL(slice_step_zero, EINVAL, "step") { OP(SLICE)->slice.step[1] = 0; }
SPOIL(slice_step_wraps, EINVAL, "step") { OP(SLICE)->slice.step[1] = ~0u; }
SPOIL(slice_beyond, EINVAL, "beyond") { OP(SLICE)->slice.start[5] = 1; }
SPOIL(permute_twice, EINVAL, "perm") { OP(PERMUTE)->axis.perm[2] = 2; }
SPOIL(permute_index, EINVAL, "perm") { OP(PERMUTE)->axis.perm[2] = 4; }
SPOIL(permute_huge, EINVAL, "perm") { OP(PERMUTE)->axis.perm[2] = ~0u; }
SPOIL(permute_beyond, EINVAL, "perm") { OP(PERMUTE)->axis.perm[4] = 4; }
SPOIL(permute_shape, EINVAL, "shape")
{
	OP(PERMUTE)->axis.perm[2] = 2;
	OP(PERMUTE)->axis.perm[3] = 3;
}

SPOIL(reshape_elements, EINVAL, "elements") { grow(OUT(RESHAPE), 1, 0, 0); }
SPOIL(pad_mode, EINVAL, "mode") { OP(PAD)->pad.mode = 3; }
SPOIL(pad_value_unused, EINVAL, "value") { OP(PAD)->pad.mode = PATCNN_PAD_EDGE; }
SPOIL(pad_before, EINVAL, "before") { OP(PAD)->pad.before[2] = 3; }
SPOIL(pad_before_huge, EINVAL, "before") { OP(PAD)->pad.before[3] = ~0u; }
SPOIL(pad_beyond, EINVAL, "before") { OP(PAD)->pad.before[4] = 1; }
SPOIL(pad_reflect, EINVAL, "reflect")
{
	OP(PAD)->pad.mode = PATCNN_PAD_REFLECT;
	OP(PAD)->pad.value = 0;
	grow(OUT(PAD), 0, 8, 0);
}

SPOIL(resize_mode, EINVAL, "mode") { OP(RESIZE)->resize.mode = 2; }
SPOIL(resize_coord, EINVAL, "coord") { OP(RESIZE)->resize.coord = 4; }
SPOIL(resize_round, EINVAL, "round") { OP(RESIZE)->resize.round = 4; }
SPOIL(resize_round_unused, EINVAL, "round") { OP(RESIZE)->resize.round = 1; }
SPOIL(resize_channels, EINVAL, "output c") { grow(OUT(RESIZE), 1, 0, 0); }
SPOIL(resize_scale_negative, EINVAL, "scale") { OP(RESIZE)->resize.scale_h = pb_bits(-2.0f); }
SPOIL(resize_scale_inf, EINVAL, "scale") { OP(RESIZE)->resize.scale_w = 0x7f800000; }
SPOIL(resize_scale_denormal, EINVAL, "scale") { OP(RESIZE)->resize.scale_w = 1; }
SPOIL(softmax_axis, EINVAL, "axis") { OP(SOFTMAX)->axis.axis = 4; }
SPOIL(softmax_shape, EINVAL, "shape") { grow(OUT(SOFTMAX), 0, 1, 0); }
SPOIL(reduce_axes_none, EINVAL, "axes") { OP(REDUCE)->axis.axes = 0; }
SPOIL(reduce_axes_beyond, EINVAL, "axes") { OP(REDUCE)->axis.axes |= 1u << 4; }
SPOIL(reduce_axes_huge, EINVAL, "axes") { OP(REDUCE)->axis.axes = ~0u; }
SPOIL(reduce_kind, EINVAL, "kind") { OP(REDUCE)->axis.kind = 3; }
SPOIL(reduce_shape, EINVAL, "output shape") { OP(REDUCE)->axis.axes = 0x4; }
SPOIL(norm_axis, EINVAL, "axis") { OP(LAYER_NORM)->axis.axis = 4; }
SPOIL(norm_epsilon_zero, EINVAL, "epsilon") { OP(LAYER_NORM)->axis.epsilon = 0; }
SPOIL(norm_epsilon_negative, EINVAL, "epsilon")
{
	OP(INSTANCE_NORM)->axis.epsilon = pb_bits(-1e-5f);
}

SPOIL(norm_epsilon_nan, EINVAL, "epsilon") { OP(INSTANCE_NORM)->axis.epsilon = 0x7fc00000; }
SPOIL(layer_norm_scale, EINVAL, "operand 1")
{
	OP(LAYER_NORM)->axis.axis = 2;
	reshape(in_of(pb, OP(LAYER_NORM), 1), 1, 4, 7);
}

SPOIL(layer_norm_scale_axis, EINVAL, "operand 2")
{
	reshape(in_of(pb, OP(LAYER_NORM), 2), 4, 7, 1);
}

SPOIL(instance_norm_scale, EINVAL, "operand 1")
{
	struct patcnn_tensor *t = in_of(pb, OP(INSTANCE_NORM), 1);

	reshape(t, 3, 1, 1);
	t->data_size = 12;
}

SPOIL(instance_norm_bias, EINVAL, "operand 2")
{
	reshape(in_of(pb, OP(INSTANCE_NORM), 2), 2, 2, 1);
}

SPOIL(matmul_k, EINVAL, "operand 1")
{
	struct patcnn_tensor *t = in_of(pb, OP(MATMUL), 1);

	reshape(t, 1, 14, 10);
}

SPOIL(matmul_channels, EINVAL, "operand 1") { reshape(in_of(pb, OP(MATMUL), 1), 2, 14, 5); }
SPOIL(matmul_out, EINVAL, "operand 0") { grow(OUT(MATMUL), 0, 1, 0); }

/* ---- work ---- */

SPOIL(work, E2BIG, "work")
{
	struct pb_conv spec = { .out = 1024, .kh = 31, .kw = 31, .pt = 15, .pl = 15, .pb = 15,
				.pr = 15, .groups = 1024, .no_bias = true };

	/* 2^28 elements times 961 taps, eight times over: 2^40.9. */
	spec.in = pb_input(pb, 1024, 512, 512);
	for (int i = 0; i < 8; i++)
		spec.in = pb_conv(pb, &spec);
}

/* ---- ranks and rows that differ although the elements agree ---- */

static void merge_rows(struct patcnn_tensor *t)
{
	/* [1, c, h, w] as [1, c, h * w]: the same elements, one axis fewer. */
	t->rank = 3;
	t->shape[2] = t->h * t->w;
	t->shape[3] = 0;
	t->h = t->shape[2];
	t->w = 1;
	t->axis_h = 2;
	t->axis_w = 3;
}

SPOIL(softmax_rank, EINVAL, "rank") { merge_rows(OUT(SOFTMAX)); }
SPOIL(concat_rank, EINVAL, "rank") { merge_rows(OUT(CONCAT)); }
SPOIL(slice_rank, EINVAL, "rank") { merge_rows(OUT(SLICE)); }
SPOIL(pad_rank, EINVAL, "rank") { merge_rows(OUT(PAD)); }
SPOIL(reduce_rank, EINVAL, "rank") { merge_rows(OUT(REDUCE)); }
SPOIL(convert_axes, EINVAL, "axis_h")
{
	struct patcnn_tensor *t = OUT(CONVERT);

	t->axis_w = 4;
	t->h *= t->w;
	t->w = 1;
}

SPOIL(norm_axes, EINVAL, "axis_h")
{
	struct patcnn_tensor *t = OUT(INSTANCE_NORM);

	t->axis_w = 4;
	t->h *= t->w;
	t->w = 1;
}

SPOIL(linear_row_shape, EINVAL, "rows")
{
	__u32 in = pb_input(pb, 2, 3, 40), out = pb_linear(pb, in, 7, PATCNN_STORAGE_DENSE);

	reshape(&pb->tensors[out], 3, 2, 7);
}

SPOIL(operands_in_all, E2BIG, "operand_count")
{
	__u32 *many = malloc(40000 * sizeof(*many));
	__u32 one = pb_input(pb, 1, 1, 1);

	for (int i = 0; i < 40000; i++)
		many[i] = one;
	/* Two operators over the same words of OPERANDS: the section stays within its limit. */
	for (int i = 0; i < 2; i++) {
		reshape(&pb->tensors[pb_concat(pb, 1, 20, many)], 40000, 1, 1);
		pb_last(pb)->operand_count = 40000;
		pb_last(pb)->operand_first = pb->operand_count - 20 * (i + 1);
	}
	pb_op(pb, "filler", PATCNN_OP_CONCAT, pb_last(pb)->output, 40000, many);
	pb->operator_count--;
	free(many);
}

SPOIL(filter_too_long, E2BIG, "filter")
{
	__u32 in = pb_input(pb, 1u << 20, 1, 1);
	__u32 out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, 1, 1, 1);
	struct patcnn_operator *op = pb_op(pb, "long", PATCNN_OP_CONV, out, 1, &in);

	op->conv.window = (struct patcnn_window){ 255, 255, 1, 1, 1, 1, 127, 127, 127, 127 };
	op->conv.groups = 1;
	op->conv.weights.dtype = PATCNN_DTYPE_F32;
}

SPOIL(taps_shared, E2BIG, "shared")
{
	__u32 first = pb->tap_count, n = 255 * 255;

	pb->taps = realloc(pb->taps, (first + n) * sizeof(*pb->taps));
	pb->patterns = realloc(pb->patterns,
					 (pb->pattern_count + 40) * sizeof(*pb->patterns));
	for (__u32 i = 0; i < n; i++)
		pb->taps[pb->tap_count++] = (struct patcnn_tap){ i / 255, i % 255 };
	for (int i = 0; i < 40; i++)
		pb->patterns[pb->pattern_count++] = (struct patcnn_pattern){ first, n, 255, 255 };
}
