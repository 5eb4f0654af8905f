// SPDX-License-Identifier: MIT
/* Random correct programs. See random_net.h. */

#include <stdio.h>
#include <string.h>

#include "random_net.h"

static __u32 range(struct pb *pb, __u32 from, __u32 to)
{
	return to <= from ? from : from + pb_random(pb, to - from + 1);
}

static bool chance(struct pb *pb, __u32 percent)
{
	return pb_random(pb, 100) < percent;
}

/* Sizes around powers of two, one, and anything. */
static __u32 size(struct pb *pb, __u32 max)
{
	__u32 n;

	switch (pb_random(pb, 4)) {
	case 0:
		return range(pb, 1, max < 3 ? max : 3);
	case 1:
		n = 1u << pb_random(pb, 7);
		n += pb_random(pb, 3) - (n > 1);
		break;
	default:
		n = range(pb, 1, max);
		break;
	}
	return n > max ? max : n ? n : 1;
}

static void random_act(struct pb *pb)
{
	/* What grows without bound, or is defined for half of the numbers only, has tests of its own. */
	static const __u32 kinds[] = {
		PATCNN_ACT_NONE, PATCNN_ACT_NONE, PATCNN_ACT_RELU, PATCNN_ACT_RELU,
		PATCNN_ACT_CLIP, PATCNN_ACT_LEAKY_RELU, PATCNN_ACT_SIGMOID,
		PATCNN_ACT_HARD_SIGMOID, PATCNN_ACT_HARD_SWISH, PATCNN_ACT_SILU,
		PATCNN_ACT_TANH, PATCNN_ACT_ELU, PATCNN_ACT_GELU, PATCNN_ACT_ABS,
		PATCNN_ACT_NEG, PATCNN_ACT_ERF, PATCNN_ACT_SOFTPLUS, PATCNN_ACT_MISH,
	};
	__u32 kind = kinds[pb_random(pb, sizeof(kinds) / sizeof(kinds[0]))];

	pb_act(pb, kind, kind == PATCNN_ACT_CLIP ? -0.5f : 0.125f + pb_random_float(pb) * 0.125f,
	       kind == PATCNN_ACT_CLIP ? 0.75f : 0.5f);
}

static __u32 divisor(struct pb *pb, __u32 n)
{
	for (int i = 0; i < 20; i++) {
		__u32 d = range(pb, 1, n);

		if (n % d == 0)
			return d;
	}
	return 1;
}

/* Kernel, stride, dilation and padding along one axis of @in elements. */
static void random_axis(struct pb *pb, __u32 in, __u32 max, __u16 *k, __u16 *s, __u16 *d,
			__u16 *before, __u16 *after)
{
	__u32 dilated;

	*k = chance(pb, 50) ? 3 : range(pb, 1, max);
	if (*k > max)
		*k = max;
	*s = chance(pb, 60) ? 1 : range(pb, 1, 4);
	*d = chance(pb, 75) ? 1 : range(pb, 1, 3);
	dilated = (*k - 1) * *d + 1;
	*before = chance(pb, 50) ? dilated / 2 : range(pb, 0, dilated - 1);
	*after = chance(pb, 50) ? dilated / 2 : range(pb, 0, dilated - 1);
	if (in + *before + *after < dilated) {
		*d = 1;
		*k = in;
		*before = 0;
		*after = 0;
		if (*k > max)
			*k = max;
	}
}

static void random_window(struct pb *pb, struct pb_conv *c, const struct rn_limits *lim)
{
	const struct patcnn_tensor *t = &pb->tensors[c->in];

	random_axis(pb, t->h, lim->kernel, &c->kh, &c->sh, &c->dh, &c->pt, &c->pb);
	random_axis(pb, t->w, lim->kernel, &c->kw, &c->sw, &c->dw, &c->pl, &c->pr);
}

__u32 rn_conv(struct pb *pb, __u32 in, __u16 storage, const struct rn_limits *lim, char *text,
	      size_t text_size)
{
	struct pb_conv c = { .in = in, .storage = storage };
	__u32 channels = pb->tensors[in].c, out;

	random_window(pb, &c, lim);
	c.groups = chance(pb, 60) ? 1 : chance(pb, 60) ? channels : divisor(pb, channels);
	c.out = c.groups == 1 ? size(pb, lim->channels) :
		c.groups * range(pb, 1, lim->channels / c.groups < 3 ? 1 : 3);
	c.taps = range(pb, 1, c.kh * c.kw < 6 ? c.kh * c.kw : 6);
	c.patterns = range(pb, 1, 8);
	c.keep = chance(pb, 15) ? 3 : range(pb, 10, 100);
	c.no_bias = chance(pb, 25);
	if (storage == PATCNN_STORAGE_BLOCK) {
		c.block_out = range(pb, 1, 9);
		c.block_in = range(pb, 1, 9);
		/* Blocks may not straddle groups. */
		if (c.groups > 1)
			c.block_out = divisor(pb, c.out / c.groups);
	}
	out = pb_conv(pb, &c);
	random_act(pb);
	if (chance(pb, 30)) {
		struct patcnn_tensor t = pb->tensors[out];
		struct patcnn_operator op = *pb_last(pb);
		__u32 both[2] = { in, pb_input(pb, t.c, t.h, t.w) };

		/* The same operator once more, now with a residual. */
		pb->operator_count--;
		*pb_op(pb, "residual", PATCNN_OP_CONV, out, 2, both) = op;
		pb_last(pb)->operand_count = 2;
		pb_last(pb)->operand_first = pb->operand_count - 2;
	}
	if (text)
		snprintf(text, text_size,
			 "conv storage %u, %ux%ux%u to %u, kernel %ux%u, stride %u %u, dilation %u %u, pads %u %u %u %u, groups %u, keep %u, block %u %u, bias %d, act %u, operands %u",
			 storage, channels, pb->tensors[in].h, pb->tensors[in].w, c.out, c.kh,
			 c.kw, c.sh, c.sw, c.dh, c.dw, c.pt, c.pl, c.pb, c.pr, c.groups, c.keep,
			 c.block_out, c.block_in, !c.no_bias, pb_last(pb)->activation.kind,
			 pb_last(pb)->operand_count);
	return out;
}

static __u32 random_transpose(struct pb *pb, __u32 in, const struct rn_limits *lim)
{
	struct pb_conv c = { .in = in };
	struct patcnn_tensor t = pb->tensors[in];
	__u32 channels = t.c, slack_h, slack_w;

	c.kh = range(pb, 1, lim->kernel < 5 ? lim->kernel : 5);
	c.kw = range(pb, 1, lim->kernel < 5 ? lim->kernel : 5);
	c.sh = range(pb, 1, 3);
	c.sw = range(pb, 1, 3);
	c.dh = range(pb, 1, 2);
	c.dw = range(pb, 1, 2);
	c.groups = chance(pb, 60) ? 1 : divisor(pb, channels);
	c.out = c.groups * range(pb, 1, 3);
	c.no_bias = chance(pb, 25);
	/* Padding takes away from the output: at least one row must stay. */
	if ((t.h - 1) * c.sh + 1 > 2)
		c.pt = range(pb, 0, c.kh / 2);
	if ((t.w - 1) * c.sw + 1 > 2)
		c.pr = range(pb, 0, c.kw / 2);
	slack_h = pb_random(pb, c.sh > c.dh ? c.sh : c.dh);
	slack_w = pb_random(pb, c.sw > c.dw ? c.sw : c.dw);
	if (((t.h - 1) * c.sh + 2 * c.kh) * ((t.w - 1) * c.sw + 2 * c.kw) > 40000)
		return RN_NONE;
	return pb_conv_transpose(pb, &c, slack_h, slack_w);
}

/* A tensor that broadcasts to @like: constant or input. */
static __u32 random_peer(struct pb *pb, __u32 like, float low)
{
	struct patcnn_tensor t = pb->tensors[like];
	bool constant = chance(pb, 60);
	__u64 n;
	__u32 p;

	for (__u8 i = 0; i < t.rank; i++)
		if (chance(pb, constant ? 60 : 15))
			t.shape[i] = 1;
	if (!constant)
		return pb_tensor(pb, PATCNN_ROLE_INPUT, t.rank, t.axis_h, t.axis_w, t.shape);
	p = pb_constant(pb, t.rank, t.axis_h, t.axis_w, t.shape);
	n = pb->tensors[p].data_size / sizeof(float);
	for (__u64 i = 0; i < n; i++)
		pb_constant_data(pb, p)[i] += low;
	return p;
}

static __u32 random_slice(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 start[PATCNN_MAX_RANK], step[PATCNN_MAX_RANK], n[PATCNN_MAX_RANK];

	for (__u8 i = 0; i < t.rank; i++) {
		start[i] = chance(pb, 40) ? 0 : pb_random(pb, t.shape[i]);
		step[i] = chance(pb, 60) ? 1 : range(pb, 1, 4);
		n[i] = range(pb, 1, (t.shape[i] - start[i] - 1) / step[i] + 1);
	}
	return pb_slice(pb, in, start, step, n);
}

static __u32 random_permute(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 perm[PATCNN_MAX_RANK];
	__u8 axis_h = range(pb, 0, t.rank);

	for (__u8 i = 0; i < t.rank; i++)
		perm[i] = i;
	for (__u8 i = t.rank; i > 1; i--) {
		__u32 j = pb_random(pb, i), x = perm[j];

		perm[j] = perm[i - 1];
		perm[i - 1] = x;
	}
	if (chance(pb, 60))
		return pb_permute(pb, in, perm, t.axis_h, t.axis_w);
	return pb_permute(pb, in, perm, axis_h, range(pb, axis_h, t.rank));
}

static __u32 random_reshape(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 n = t.c * t.h * t.w, shape[PATCNN_MAX_RANK];
	__u8 rank = range(pb, 1, PATCNN_MAX_RANK);
	__u8 axis_h = range(pb, 0, rank);

	for (__u8 i = 0; i + 1 < rank; i++) {
		shape[i] = chance(pb, 30) ? 1 : divisor(pb, n);
		n /= shape[i];
	}
	shape[rank - 1] = n;
	return pb_reshape(pb, in, rank, axis_h, range(pb, axis_h, rank), shape);
}

static __u32 random_pad(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 before[PATCNN_MAX_RANK], after[PATCNN_MAX_RANK];
	__u32 mode = pb_random(pb, 3);
	__u64 total = 1;

	for (__u8 i = 0; i < t.rank; i++) {
		__u32 max = mode == PATCNN_PAD_REFLECT ? t.shape[i] - 1 : 4;

		if (max > 4)
			max = 4;
		before[i] = chance(pb, 50) ? 0 : range(pb, 0, max);
		after[i] = chance(pb, 50) ? 0 : range(pb, 0, max);
		total *= t.shape[i] + before[i] + after[i];
	}
	if (total > 200000)
		return RN_NONE;
	return pb_pad(pb, in, mode, mode == PATCNN_PAD_CONSTANT ? 0.5f : 0, before, after);
}

static __u32 random_resize(struct pb *pb, __u32 in, const struct rn_limits *lim)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 mode = pb_random(pb, 2), out;
	__u32 h = chance(pb, 50) ? t.h * 2 : size(pb, lim->side);
	__u32 w = chance(pb, 50) ? t.w * 2 : size(pb, lim->side);

	if (t.rank != 4 || t.axis_h != 2 || t.axis_w != 3 || h * w * t.c > 200000)
		return RN_NONE;
	out = pb_resize(pb, in, h, w, mode, pb_random(pb, 4), mode ? 0 : pb_random(pb, 4));
	if (chance(pb, 20)) {
		pb_last(pb)->resize.scale_h = pb_bits((float)h / t.h);
		pb_last(pb)->resize.scale_w = pb_bits((float)w / t.w);
	}
	return out;
}

static __u32 random_concat(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 axis = pb_random(pb, t.rank), n = range(pb, 1, 5), list[5], at = pb_random(pb, n);

	for (__u32 i = 0; i < n; i++) {
		struct patcnn_tensor u = t;

		u.shape[axis] = size(pb, 9);
		list[i] = i == at ? in : chance(pb, 50) ?
			pb_constant(pb, u.rank, u.axis_h, u.axis_w, u.shape) :
			pb_tensor(pb, PATCNN_ROLE_INPUT, u.rank, u.axis_h, u.axis_w, u.shape);
	}
	return pb_concat(pb, axis, n, list);
}

static __u32 random_pool(struct pb *pb, __u16 kind, __u32 in, const struct rn_limits *lim)
{
	struct pb_conv c = { .in = in };

	if (pb->tensors[in].rank != 4 || pb->tensors[in].axis_h != 2 ||
	    pb->tensors[in].axis_w != 3)
		return RN_NONE;
	random_window(pb, &c, lim);
	return pb_pool(pb, kind, &c, kind == PATCNN_OP_AVG_POOL && chance(pb, 50));
}

static __u32 random_matmul(struct pb *pb, __u32 in)
{
	struct patcnn_tensor t = pb->tensors[in];
	__u32 shape[4] = { 1, chance(pb, 50) ? 1 : t.c, t.w, size(pb, 20) };

	if (t.rank != 4 || t.axis_h != 2 || t.axis_w != 3)
		return RN_NONE;
	if (chance(pb, 50))
		return pb_matmul(pb, in, pb_constant(pb, 4, 2, 3, shape));
	return pb_matmul(pb, in, pb_tensor(pb, PATCNN_ROLE_INPUT, 4, 2, 3, shape));
}

static bool is_image(const struct pb *pb, __u32 t)
{
	const struct patcnn_tensor *x = &pb->tensors[t];

	return x->rank == 4 && x->axis_h == 2 && x->axis_w == 3 && x->shape[0] == 1;
}

static __u32 random_convert(struct pb *pb, __u32 in)
{
	struct patcnn_tensor *t = &pb->tensors[in];
	bool swap = t->c == 3 && chance(pb, 50);
	float mean[64], scale[64];

	if (t->c > 64 || t->role != PATCNN_ROLE_INPUT)
		return RN_NONE;
	for (__u32 i = 0; i < t->c; i++) {
		mean[i] = pb_random_float(pb) * 100;
		scale[i] = pb_random_float(pb) / 50;
	}
	t->dtype = chance(pb, 70) ? PATCNN_DTYPE_U8 : PATCNN_DTYPE_F32;
	t->layout = chance(pb, 60) ? PATCNN_LAYOUT_HWC : PATCNN_LAYOUT_CHW;
	return pb_convert(pb, in, chance(pb, 70) ? mean : NULL, chance(pb, 70) ? scale : NULL,
			  swap);
}

static __u32 add_operator(struct pb *pb, __u16 kind, __u32 in, const struct rn_limits *lim)
{
	const struct patcnn_tensor *t = &pb->tensors[in];
	__u16 storages[] = { PATCNN_STORAGE_DENSE, PATCNN_STORAGE_CSR, PATCNN_STORAGE_BLOCK };

	switch (kind) {
	case PATCNN_OP_CONVERT:
		return random_convert(pb, in);
	case PATCNN_OP_CONV:
		return is_image(pb, in) ? rn_conv(pb, in, pb_random(pb, 4), lim, NULL, 0) : RN_NONE;
	case PATCNN_OP_CONV_TRANSPOSE:
		return is_image(pb, in) ? random_transpose(pb, in, lim) : RN_NONE;
	case PATCNN_OP_LINEAR:
		if (chance(pb, 30) && t->c * t->h * t->w <= 4096)
			return pb_linear_row(pb, in, size(pb, lim->channels * 2),
					     storages[pb_random(pb, 3)]);
		if ((t->h != 1 || t->w != 1) && t->axis_w != t->rank - 1)
			return RN_NONE;
		return pb_linear(pb, in, size(pb, lim->channels * 2),
				 storages[pb_random(pb, 3)]);
	case PATCNN_OP_MATMUL:
		return random_matmul(pb, in);
	case PATCNN_OP_MAX_POOL:
	case PATCNN_OP_AVG_POOL:
		return random_pool(pb, kind, in, lim);
	case PATCNN_OP_ADD:
	case PATCNN_OP_SUB:
	case PATCNN_OP_MUL:
		if (chance(pb, 20))
			return pb_binary(pb, kind, in, in);
		return chance(pb, 50) ? pb_binary(pb, kind, in, random_peer(pb, in, 0)) :
					pb_binary(pb, kind, random_peer(pb, in, 0), in);
	case PATCNN_OP_DIV:
		return pb_binary(pb, kind, in, random_peer(pb, in, 3));
	case PATCNN_OP_PRELU:
		return pb_binary(pb, kind, in, random_peer(pb, in, 0));
	case PATCNN_OP_ACTIVATION:
		return pb_activation(pb, in, PATCNN_ACT_RELU, 0, 0);
	case PATCNN_OP_CONCAT:
		return random_concat(pb, in);
	case PATCNN_OP_SLICE:
		return random_slice(pb, in);
	case PATCNN_OP_PERMUTE:
		return random_permute(pb, in);
	case PATCNN_OP_RESHAPE:
		return random_reshape(pb, in);
	case PATCNN_OP_PAD:
		return random_pad(pb, in);
	case PATCNN_OP_RESIZE:
		return random_resize(pb, in, lim);
	case PATCNN_OP_SOFTMAX:
		return pb_softmax(pb, in, pb_random(pb, t->rank));
	case PATCNN_OP_REDUCE:
		return pb_reduce(pb, in, pb_random(pb, 3), range(pb, 1, (1u << t->rank) - 1));
	case PATCNN_OP_LAYER_NORM:
		return pb_layer_norm(pb, in, pb_random(pb, t->rank));
	case PATCNN_OP_INSTANCE_NORM:
		return pb_instance_norm(pb, in);
	default:
		return RN_NONE;
	}
}

__u32 rn_operator(struct pb *pb, __u16 kind, __u32 in, const struct rn_limits *lim)
{
	__u32 out = add_operator(pb, kind, in, lim);

	if (out != RN_NONE && kind != PATCNN_OP_CONV)
		random_act(pb);
	return out;
}

__u32 rn_input(struct pb *pb, __u16 kind, const struct rn_limits *lim)
{
	__u32 c = size(pb, lim->channels), h = size(pb, lim->side), w = size(pb, lim->side);
	__u32 shape[PATCNN_MAX_RANK];
	__u8 rank, axis_h;

	switch (kind) {
	case PATCNN_OP_CONVERT:
		if (chance(pb, 60))
			c = chance(pb, 80) ? 3 : 1;
		return pb_input(pb, c, h, w);
	case PATCNN_OP_LINEAR:
		return chance(pb, 60) ? pb_input(pb, c * 5, 1, 1) : pb_input(pb, c, h, w);
	case PATCNN_OP_CONV:
	case PATCNN_OP_CONV_TRANSPOSE:
	case PATCNN_OP_MATMUL:
	case PATCNN_OP_MAX_POOL:
	case PATCNN_OP_AVG_POOL:
	case PATCNN_OP_RESIZE:
		return pb_input(pb, c, h, w);
	}
	if (chance(pb, 60))
		return pb_input(pb, c, h, w);
	/* Any rank, and the row and column wherever. */
	rank = range(pb, 1, PATCNN_MAX_RANK);
	axis_h = range(pb, 0, rank);
	for (__u8 i = 0; i < rank; i++)
		shape[i] = size(pb, rank > 4 ? 4 : rank > 3 ? 7 : 20);
	return pb_tensor(pb, PATCNN_ROLE_INPUT, rank, axis_h, range(pb, axis_h, rank), shape);
}

void rn_tune(struct pb *pb)
{
	for (__u32 op = 0; op < pb->operator_count; op++)
		for (__u8 isa = 0; isa < 5; isa++) {
			struct patcnn_tuning t = { .op = op, .isa = isa };

			if (chance(pb, 20))
				continue;
			t.algorithm = chance(pb, 70) ? pb_random(pb, 10) : pb_random(pb, 256);
			t.tile_rows = chance(pb, 80) ? pb_random(pb, 12) : pb_random(pb, 256);
			t.tile_vectors = chance(pb, 80) ? pb_random(pb, 5) : pb_random(pb, 256);
			t.block = chance(pb, 80) ? pb_random(pb, 33) : pb_random(pb, 65536);
			t.band_rows = chance(pb, 80) ? pb_random(pb, 20) : pb_random(pb, 65536);
			t.fuse = chance(pb, 80) ? pb_random(pb, 5) : pb_random(pb, 256);
			pb_tune(pb, &t);
		}
}

void rn_net(struct pb *pb, unsigned int operators, const struct rn_limits *lim)
{
	__u32 made[64];
	unsigned int n = 0, used[64] = { 0 };

	made[n++] = rn_input(pb, PATCNN_OP_CONV, lim);
	used[0] = 1;
	for (unsigned int i = 0; i < operators && n < 60 && pb->tensor_count < 50; i++) {
		/* Mostly a chain, sometimes a branch. */
		unsigned int from = chance(pb, 75) ? n - 1 : pb_random(pb, n);
		const struct patcnn_tensor *t = &pb->tensors[made[from]];
		__u16 kind = chance(pb, 40) ? PATCNN_OP_CONV : range(pb, 1, 23);
		__u32 out;

		if ((__u64)t->c * t->h * t->w > 60000 || t->dtype == PATCNN_DTYPE_U8 ||
		    t->layout || (kind == PATCNN_OP_CONVERT && from))
			continue;
		/* An input that is read elsewhere must stay float planes. */
		if (kind == PATCNN_OP_CONVERT && pb->operator_count)
			continue;
		out = rn_operator(pb, kind, made[from], lim);
		if (out == RN_NONE)
			continue;
		used[from]++;
		made[n++] = out;
	}
	if (n == 1)
		made[n++] = pb_activation(pb, made[0], PATCNN_ACT_RELU, 0, 0);
	/* What nobody reads is an output, and sometimes what somebody reads, too. */
	for (unsigned int i = 1; i < n; i++)
		if (!used[i] || chance(pb, 10))
			pb_output(pb, made[i]);
}
