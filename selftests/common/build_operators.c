// SPDX-License-Identifier: MIT
/* The operators of a program under construction, and the shapes of what they write. */

#include <string.h>

#include "build_program.h"

static __u32 like(struct pb *pb, __u32 of)
{
	struct patcnn_tensor t = pb->tensors[of];

	return pb_tensor(pb, PATCNN_ROLE_INTERMEDIATE, t.rank, t.axis_h, t.axis_w, t.shape);
}

static __u32 like_shape(struct pb *pb, __u32 of, const __u32 *shape)
{
	struct patcnn_tensor t = pb->tensors[of];

	return pb_tensor(pb, PATCNN_ROLE_INTERMEDIATE, t.rank, t.axis_h, t.axis_w, shape);
}

static struct pb_conv with_defaults(const struct pb_conv *spec)
{
	struct pb_conv s = *spec;
	__u16 *ones[] = { &s.kh, &s.kw, &s.sh, &s.sw, &s.dh, &s.dw };

	for (unsigned int i = 0; i < sizeof(ones) / sizeof(ones[0]); i++)
		if (!*ones[i])
			*ones[i] = 1;
	if (!s.groups)
		s.groups = 1;
	return s;
}

static struct patcnn_window window(const struct pb_conv *s)
{
	return (struct patcnn_window){
		.kernel_h = s->kh, .kernel_w = s->kw, .stride_h = s->sh, .stride_w = s->sw,
		.dilation_h = s->dh, .dilation_w = s->dw, .pad_top = s->pt, .pad_left = s->pl,
		.pad_bottom = s->pb, .pad_right = s->pr,
	};
}

static __u32 slide(__u32 in, __u32 kernel, __u32 stride, __u32 dilation, __u32 pads)
{
	return (in + pads - (kernel - 1) * dilation - 1) / stride + 1;
}

__u32 pb_conv(struct pb *pb, const struct pb_conv *spec)
{
	struct pb_conv s = with_defaults(spec);
	struct patcnn_tensor in = pb->tensors[s.in];
	const __u32 operands[] = { s.in, s.residual };
	struct patcnn_operator *op;
	struct patcnn_weights w;
	__u32 out;

	pb_weights(pb, &s, in.c, &w);
	out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, s.out,
			 slide(in.h, s.kh, s.sh, s.dh, s.pt + s.pb),
			 slide(in.w, s.kw, s.sw, s.dw, s.pl + s.pr));
	op = pb_op(pb, "conv", PATCNN_OP_CONV, out, s.residual ? 2 : 1, operands);
	op->conv.window = window(&s);
	op->conv.groups = s.groups;
	op->conv.weights = w;
	pb_act(pb, s.act, s.a, s.b);
	return out;
}

__u32 pb_conv_transpose(struct pb *pb, const struct pb_conv *spec, __u32 extra_h, __u32 extra_w)
{
	struct pb_conv s = with_defaults(spec);
	struct patcnn_tensor in = pb->tensors[s.in];
	struct patcnn_operator *op;
	struct patcnn_weights w = { .storage = PATCNN_STORAGE_DENSE, .dtype = PATCNN_DTYPE_F32 };
	__u32 out;

	w.values = pb_random_floats(pb, (__u64)in.c * (s.out / s.groups) * s.kh * s.kw, 0.5f);
	if (!s.no_bias)
		w.bias = pb_random_floats(pb, s.out, 0.5f);
	out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, s.out,
			 (in.h - 1) * s.sh + (s.kh - 1) * s.dh + 1 - s.pt - s.pb + extra_h,
			 (in.w - 1) * s.sw + (s.kw - 1) * s.dw + 1 - s.pl - s.pr + extra_w);
	op = pb_op(pb, "convt", PATCNN_OP_CONV_TRANSPOSE, out, 1, &s.in);
	op->conv.window = window(&s);
	op->conv.groups = s.groups;
	op->conv.weights = w;
	pb_act(pb, s.act, s.a, s.b);
	return out;
}

static __u32 linear(struct pb *pb, __u32 in, __u32 features, __u16 storage, bool row)
{
	struct patcnn_tensor t = pb->tensors[in];
	struct pb_conv s = with_defaults(&(struct pb_conv){ .in = in, .out = features,
							    .storage = storage, .taps = 1,
							    .patterns = 1 });
	struct patcnn_operator *op;
	struct patcnn_weights w;
	__u32 out;

	if ((t.h == 1 && t.w == 1) || row) {
		const __u32 shape[] = { 1, features };

		pb_weights(pb, &s, t.c * t.h * t.w, &w);
		out = pb_tensor(pb, PATCNN_ROLE_INTERMEDIATE, 2, 2, 2, shape);
	} else {
		pb_weights(pb, &s, t.shape[t.rank - 1], &w);
		t.shape[t.rank - 1] = features;
		out = like_shape(pb, in, t.shape);
	}
	op = pb_op(pb, "linear", PATCNN_OP_LINEAR, out, 1, &in);
	op->conv.window = window(&s);
	op->conv.groups = 1;
	op->conv.weights = w;
	return out;
}

__u32 pb_linear(struct pb *pb, __u32 in, __u32 features, __u16 storage)
{
	return linear(pb, in, features, storage, false);
}

__u32 pb_linear_row(struct pb *pb, __u32 in, __u32 features, __u16 storage)
{
	return linear(pb, in, features, storage, true);
}

__u32 pb_pool(struct pb *pb, __u16 kind, const struct pb_conv *spec, bool count_pad)
{
	struct pb_conv s = with_defaults(spec);
	struct patcnn_tensor in = pb->tensors[s.in];
	struct patcnn_operator *op;
	__u32 out;

	out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, in.c,
			 slide(in.h, s.kh, s.sh, s.dh, s.pt + s.pb),
			 slide(in.w, s.kw, s.sw, s.dw, s.pl + s.pr));
	op = pb_op(pb, kind == PATCNN_OP_MAX_POOL ? "maxpool" : "avgpool", kind, out, 1, &s.in);
	op->pool.window = window(&s);
	op->pool.count_pad = count_pad;
	pb_act(pb, s.act, s.a, s.b);
	return out;
}

__u32 pb_binary(struct pb *pb, __u16 kind, __u32 a, __u32 b)
{
	const char *const names[] = {
		[PATCNN_OP_ADD] = "add", [PATCNN_OP_SUB] = "sub", [PATCNN_OP_MUL] = "mul",
		[PATCNN_OP_DIV] = "div", [PATCNN_OP_PRELU] = "prelu",
	};
	struct patcnn_tensor ta = pb->tensors[a], tb = pb->tensors[b];
	const __u32 operands[] = { a, b };
	__u32 out;

	for (__u32 i = 0; i < ta.rank; i++)
		if (tb.shape[i] > ta.shape[i])
			ta.shape[i] = tb.shape[i];
	out = like_shape(pb, a, ta.shape);
	pb_op(pb, names[kind], kind, out, 2, operands);
	return out;
}

__u32 pb_activation(struct pb *pb, __u32 in, __u32 act, float a, float b)
{
	__u32 out = like(pb, in);

	pb_op(pb, "act", PATCNN_OP_ACTIVATION, out, 1, &in);
	pb_act(pb, act, a, b);
	return out;
}

__u32 pb_convert(struct pb *pb, __u32 in, const float *mean, const float *scale, bool swap)
{
	__u32 c = pb->tensors[in].c;
	__u32 out = like(pb, in);
	struct patcnn_operator *op = pb_op(pb, "convert", PATCNN_OP_CONVERT, out, 1, &in);

	if (mean)
		op->convert.mean = pb_floats(pb, mean, c);
	if (scale)
		op->convert.scale = pb_floats(pb, scale, c);
	op->convert.swap_rb = swap;
	return out;
}

__u32 pb_concat(struct pb *pb, __u32 axis, __u32 count, const __u32 *in)
{
	struct patcnn_tensor t = pb->tensors[in[0]];
	__u32 out;

	for (__u32 i = 1; i < count; i++)
		t.shape[axis] += pb->tensors[in[i]].shape[axis];
	out = like_shape(pb, in[0], t.shape);
	pb_op(pb, "concat", PATCNN_OP_CONCAT, out, count, in)->axis.axis = axis;
	return out;
}

__u32 pb_slice(struct pb *pb, __u32 in, const __u32 *start, const __u32 *step, const __u32 *size)
{
	__u8 rank = pb->tensors[in].rank;
	__u32 out = like_shape(pb, in, size);
	struct patcnn_operator *op = pb_op(pb, "slice", PATCNN_OP_SLICE, out, 1, &in);

	for (__u8 i = 0; i < rank; i++) {
		op->slice.start[i] = start ? start[i] : 0;
		op->slice.step[i] = step ? step[i] : 1;
	}
	return out;
}

__u32 pb_permute(struct pb *pb, __u32 in, const __u32 *perm, __u8 axis_h, __u8 axis_w)
{
	struct patcnn_tensor t = pb->tensors[in];
	struct patcnn_operator *op;
	__u32 shape[PATCNN_MAX_RANK];
	__u32 out;

	for (__u8 i = 0; i < t.rank; i++)
		shape[i] = t.shape[perm[i]];
	out = pb_tensor(pb, PATCNN_ROLE_INTERMEDIATE, t.rank, axis_h, axis_w, shape);
	op = pb_op(pb, "permute", PATCNN_OP_PERMUTE, out, 1, &in);
	memcpy(op->axis.perm, perm, t.rank * sizeof(*perm));
	return out;
}

__u32 pb_reshape(struct pb *pb, __u32 in, __u8 rank, __u8 axis_h, __u8 axis_w, const __u32 *shape)
{
	__u32 out = pb_tensor(pb, PATCNN_ROLE_INTERMEDIATE, rank, axis_h, axis_w, shape);

	pb_op(pb, "reshape", PATCNN_OP_RESHAPE, out, 1, &in);
	return out;
}

__u32 pb_pad(struct pb *pb, __u32 in, __u32 mode, float value, const __u32 *before,
	     const __u32 *after)
{
	struct patcnn_tensor t = pb->tensors[in];
	struct patcnn_operator *op;
	__u32 out;

	for (__u8 i = 0; i < t.rank; i++)
		t.shape[i] += before[i] + after[i];
	out = like_shape(pb, in, t.shape);
	op = pb_op(pb, "pad", PATCNN_OP_PAD, out, 1, &in);
	memcpy(op->pad.before, before, t.rank * sizeof(*before));
	op->pad.mode = mode;
	op->pad.value = pb_bits(value);
	return out;
}

__u32 pb_resize(struct pb *pb, __u32 in, __u32 h, __u32 w, __u32 mode, __u32 coord, __u32 round)
{
	__u32 out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, pb->tensors[in].c, h, w);
	struct patcnn_operator *op = pb_op(pb, "resize", PATCNN_OP_RESIZE, out, 1, &in);

	op->resize.mode = mode;
	op->resize.coord = coord;
	op->resize.round = round;
	return out;
}

__u32 pb_softmax(struct pb *pb, __u32 in, __u32 axis)
{
	__u32 out = like(pb, in);

	pb_op(pb, "softmax", PATCNN_OP_SOFTMAX, out, 1, &in)->axis.axis = axis;
	return out;
}

__u32 pb_reduce(struct pb *pb, __u32 in, __u32 kind, __u32 axes)
{
	struct patcnn_tensor t = pb->tensors[in];
	struct patcnn_operator *op;
	__u32 out;

	for (__u8 i = 0; i < t.rank; i++)
		if (axes >> i & 1)
			t.shape[i] = 1;
	out = like_shape(pb, in, t.shape);
	op = pb_op(pb, "reduce", PATCNN_OP_REDUCE, out, 1, &in);
	op->axis.kind = kind;
	op->axis.axes = axes;
	return out;
}

__u32 pb_matmul(struct pb *pb, __u32 a, __u32 b)
{
	struct patcnn_tensor ta = pb->tensors[a], tb = pb->tensors[b];
	const __u32 operands[] = { a, b };
	__u32 out;

	ta.shape[ta.rank - 1] = tb.shape[tb.rank - 1];
	out = like_shape(pb, a, ta.shape);
	pb_op(pb, "matmul", PATCNN_OP_MATMUL, out, 2, operands);
	return out;
}

__u32 pb_layer_norm(struct pb *pb, __u32 in, __u32 axis)
{
	struct patcnn_tensor t = pb->tensors[in];
	struct patcnn_operator *op;
	__u32 operands[3] = { in };
	__u32 out;

	for (__u32 i = 0; i < axis; i++)
		t.shape[i] = 1;
	operands[1] = pb_constant(pb, t.rank, t.axis_h, t.axis_w, t.shape);
	operands[2] = pb_constant(pb, t.rank, t.axis_h, t.axis_w, t.shape);
	out = like(pb, in);
	op = pb_op(pb, "layernorm", PATCNN_OP_LAYER_NORM, out, 3, operands);
	op->axis.axis = axis;
	op->axis.epsilon = pb_bits(1e-5f);
	return out;
}

__u32 pb_instance_norm(struct pb *pb, __u32 in)
{
	const __u32 shape[] = { 1, pb->tensors[in].c, 1, 1 };
	struct patcnn_operator *op;
	__u32 operands[3] = { in };
	__u32 out;

	operands[1] = pb_constant(pb, 4, 2, 3, shape);
	operands[2] = pb_constant(pb, 4, 2, 3, shape);
	out = like(pb, in);
	op = pb_op(pb, "instancenorm", PATCNN_OP_INSTANCE_NORM, out, 3, operands);
	op->axis.epsilon = pb_bits(1e-5f);
	return out;
}
