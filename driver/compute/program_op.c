// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Validation of operators: number of operands, parameters, shapes
 */
#include "program_check.h"

static const struct patcnn_tensor *in_of(const struct pat_check *ck, u32 i)
{
	return pat_operand(ck->prog, ck->op, i);
}

static const struct patcnn_tensor *out_of(const struct pat_check *ck)
{
	return pat_output(ck->prog, ck->op);
}

static int check_rank(struct pat_check *ck, u32 i)
{
	if (in_of(ck, i)->rank != out_of(ck)->rank)
		return pat_fail(ck, -EINVAL, "operand %u: rank = %u is not the output's %u", i,
				(u32)in_of(ck, i)->rank, (u32)out_of(ck)->rank);
	return 0;
}

static int bad_axis(struct pat_check *ck, u32 i, u32 axis, u32 have, u64 want)
{
	return pat_fail(ck, -EINVAL, "operand %u: shape[%u] = %u is not %U", i, axis, have, want);
}

static int check_same_shape(struct pat_check *ck, u32 i)
{
	u32 a;
	int err = check_rank(ck, i);

	for (a = 0; !err && a < out_of(ck)->rank; a++)
		if (in_of(ck, i)->shape[a] != out_of(ck)->shape[a])
			err = bad_axis(ck, i, a, in_of(ck, i)->shape[a], out_of(ck)->shape[a]);
	return err;
}

/* Axes are aligned at the last one; axes before @first must not be broadcast over. */
static int check_broadcast(struct pat_check *ck, u32 i, u32 first)
{
	const struct patcnn_tensor *t = in_of(ck, i), *out = out_of(ck);
	u32 a, o;

	if (t->rank > out->rank)
		return pat_fail(ck, -EINVAL, "operand %u: rank = %u is above the output's %u", i,
				(u32)t->rank, (u32)out->rank);
	for (a = 0; a < t->rank; a++) {
		o = a + out->rank - t->rank;
		if (t->shape[a] != 1 && (t->shape[a] != out->shape[o] || o < first))
			return bad_axis(ck, i, a, t->shape[a], o < first ? 1 : out->shape[o]);
	}
	return 0;
}

/* One value for each channel: at most one axis is not 1, and that is @c long. */
static int check_per_channel(struct pat_check *ck, u32 i, u32 c)
{
	const struct patcnn_tensor *t = in_of(ck, i);
	u32 a;

	if (pat_elements(t) != c)
		return pat_fail(ck, -EINVAL, "operand %u: %U elements are not %u channels", i,
				pat_elements(t), c);
	for (a = 0; a < t->rank; a++)
		if (t->shape[a] != 1 && t->shape[a] != c)
			return bad_axis(ck, i, a, t->shape[a], c);
	return 0;
}

static int check_convert(struct pat_check *ck)
{
	const struct patcnn_convert_params *p = &ck->op->convert;
	u32 c = out_of(ck)->c;
	int err = check_same_shape(ck, 0);

	if (!err && (in_of(ck, 0)->c != c || in_of(ck, 0)->h != out_of(ck)->h))
		return pat_fail(ck, -EINVAL, "operand 0: axis_h, axis_w are not the output's");
	if (!err)
		err = pat_check_array(ck, "mean", &p->mean, p->mean.count ? c : 0);
	if (!err)
		err = pat_check_array(ck, "scale", &p->scale, p->scale.count ? c : 0);
	if (!err && (p->swap_rb > 1 || p->reserved || (p->swap_rb && c != 3)))
		return pat_fail(ck, -EINVAL, "swap_rb = %u with %u channels", p->swap_rb, c);
	return err;
}

static int check_matmul(struct pat_check *ck)
{
	const struct patcnn_tensor *a = in_of(ck, 0), *b = in_of(ck, 1), *out = out_of(ck);

	if (a->c != out->c || a->h != out->h)
		return pat_fail(ck, -EINVAL, "operand 0: c, h = %u, %u are not the output's", a->c,
				a->h);
	if ((b->c != 1 && b->c != out->c) || b->h != a->w || b->w != out->w)
		return pat_fail(ck, -EINVAL, "operand 1: c, h, w = %u, %u, %u do not fit", b->c,
				b->h, b->w);
	return 0;
}

static int check_elementwise(struct pat_check *ck)
{
	u32 i;
	int err = 0;

	for (i = 0; !err && i < ck->op->operand_count; i++)
		err = check_broadcast(ck, i, 0);
	return err;
}

static int check_prelu(struct pat_check *ck)
{
	int err = check_same_shape(ck, 0);

	return err ? err : check_broadcast(ck, 1, 0);
}

static int check_activation_op(struct pat_check *ck)
{
	return check_same_shape(ck, 0);
}

static int check_axis(struct pat_check *ck, u32 rank)
{
	if (ck->op->axis.axis >= rank)
		return pat_fail(ck, -EINVAL, "axis = %u is not below rank %u", ck->op->axis.axis,
				rank);
	return 0;
}

static int check_concat(struct pat_check *ck)
{
	const struct patcnn_tensor *out = out_of(ck);
	u32 axis = ck->op->axis.axis, i, a;
	u64 sum = 0;
	int err = check_axis(ck, out->rank);

	for (i = 0; !err && i < ck->op->operand_count; i++) {
		err = check_rank(ck, i);
		for (a = 0; !err && a < out->rank; a++)
			if (a != axis && in_of(ck, i)->shape[a] != out->shape[a])
				err = bad_axis(ck, i, a, in_of(ck, i)->shape[a], out->shape[a]);
		sum += in_of(ck, i)->shape[axis];
	}
	if (!err && sum != out->shape[axis])
		return pat_fail(ck, -EINVAL, "output shape[%u] = %u is not %U", axis,
				out->shape[axis], sum);
	return err;
}

static int check_slice(struct pat_check *ck)
{
	const struct patcnn_slice_params *p = &ck->op->slice;
	const struct patcnn_tensor *in = in_of(ck, 0), *out = out_of(ck);
	u32 a;
	int err = check_rank(ck, 0);

	for (a = 0; !err && a < PATCNN_MAX_RANK; a++) {
		if (a >= out->rank) {
			if (p->start[a] || p->step[a])
				return pat_fail(ck, -EINVAL, "start[%u], step[%u] beyond rank", a,
						a);
			continue;
		}
		if (!p->step[a])
			return pat_fail(ck, -EINVAL, "step[%u] = 0", a);
		/* A shape is at most 2^20, so this cannot wrap in 64 bits. */
		if (p->start[a] + (u64)(out->shape[a] - 1) * p->step[a] >= in->shape[a])
			return pat_fail(ck, -EINVAL,
					"start[%u] = %u, step[%u] = %u exceed shape[%u] = %u", a,
					p->start[a], a, p->step[a], a, in->shape[a]);
	}
	return err;
}

static int check_permute(struct pat_check *ck)
{
	const u32 *perm = ck->op->axis.perm;
	const struct patcnn_tensor *in = in_of(ck, 0), *out = out_of(ck);
	u32 a, seen = 0;
	int err = check_rank(ck, 0);

	for (a = 0; !err && a < PATCNN_MAX_RANK; a++) {
		if (a >= out->rank) {
			if (perm[a])
				return pat_fail(ck, -EINVAL, "perm[%u] = %u beyond rank", a,
						perm[a]);
			continue;
		}
		if (perm[a] >= out->rank || (seen >> perm[a] & 1))
			return pat_fail(ck, -EINVAL, "perm[%u] = %u: no permutation", a, perm[a]);
		seen |= 1U << perm[a];
		if (out->shape[a] != in->shape[perm[a]])
			return bad_axis(ck, 0, perm[a], in->shape[perm[a]], out->shape[a]);
	}
	return err;
}

static int check_reshape(struct pat_check *ck)
{
	if (pat_elements(in_of(ck, 0)) != pat_elements(out_of(ck)))
		return pat_fail(ck, -EINVAL, "operand 0: %U elements are not the output's %U",
				pat_elements(in_of(ck, 0)), pat_elements(out_of(ck)));
	return 0;
}

static int check_pad(struct pat_check *ck)
{
	const struct patcnn_pad_params *p = &ck->op->pad;
	const struct patcnn_tensor *in = in_of(ck, 0), *out = out_of(ck);
	u32 a;
	int err = check_rank(ck, 0);

	if (err)
		return err;
	if (p->mode > PATCNN_PAD_EDGE)
		return pat_fail(ck, -EINVAL, "mode = %u is unknown", p->mode);
	if (p->mode != PATCNN_PAD_CONSTANT && p->value)
		return pat_fail(ck, -EINVAL, "value is not used by mode %u", p->mode);
	for (a = 0; a < PATCNN_MAX_RANK; a++) {
		u64 before = p->before[a], after;

		if (a >= out->rank) {
			if (before)
				return pat_fail(ck, -EINVAL, "before[%u] = %U beyond rank", a,
						before);
			continue;
		}
		if (before + in->shape[a] > out->shape[a])
			return pat_fail(ck, -EINVAL,
					"before[%u] = %U: output shape[%u] = %u is too small", a,
					before, a, out->shape[a]);
		after = out->shape[a] - in->shape[a] - before;
		if (p->mode == PATCNN_PAD_REFLECT &&
		    (before >= in->shape[a] || after >= in->shape[a]))
			return pat_fail(ck, -EINVAL,
					"before[%u] = %U, %U after: too much to reflect shape[%u] = %u",
					a, before, after, a, in->shape[a]);
	}
	return 0;
}

static int check_resize(struct pat_check *ck)
{
	const struct patcnn_resize_params *p = &ck->op->resize;

	if (in_of(ck, 0)->c != out_of(ck)->c)
		return pat_fail(ck, -EINVAL, "output c = %u is not %u", out_of(ck)->c,
				in_of(ck, 0)->c);
	if (p->mode > PATCNN_RESIZE_LINEAR || p->coord > PATCNN_COORD_PYTORCH_HALF_PIXEL ||
	    p->round > PATCNN_ROUND_PREFER_CEIL)
		return pat_fail(ck, -EINVAL, "mode, coord, round = %u, %u, %u", p->mode, p->coord,
				p->round);
	if (p->mode != PATCNN_RESIZE_NEAREST && p->round)
		return pat_fail(ck, -EINVAL, "round = %u is not used by mode %u", p->round,
				p->mode);
	if ((p->scale_h && !pat_float_positive(p->scale_h)) ||
	    (p->scale_w && !pat_float_positive(p->scale_w)))
		return pat_fail(ck, -EINVAL, "scale_h, scale_w: not positive");
	return 0;
}

static int check_softmax(struct pat_check *ck)
{
	int err = check_same_shape(ck, 0);

	return err ? err : check_axis(ck, out_of(ck)->rank);
}

static int check_reduce(struct pat_check *ck)
{
	const struct patcnn_axis_params *p = &ck->op->axis;
	u32 a;
	int err = check_rank(ck, 0);

	if (err)
		return err;
	if (!p->axes || p->axes >> out_of(ck)->rank)
		return pat_fail(ck, -EINVAL, "axes = %u do not fit rank %u", p->axes,
				(u32)out_of(ck)->rank);
	if (p->kind > PATCNN_REDUCE_MAX)
		return pat_fail(ck, -EINVAL, "kind = %u is unknown", p->kind);
	for (a = 0; a < out_of(ck)->rank; a++) {
		u32 want = p->axes >> a & 1 ? 1 : in_of(ck, 0)->shape[a];

		if (out_of(ck)->shape[a] != want)
			return pat_fail(ck, -EINVAL, "output shape[%u] = %u is not %u", a,
					out_of(ck)->shape[a], want);
	}
	return 0;
}

static int check_norm(struct pat_check *ck)
{
	bool layer = ck->op->kind == PATCNN_OP_LAYER_NORM;
	u32 i;
	int err = check_same_shape(ck, 0);

	if (!err && (in_of(ck, 0)->axis_h != out_of(ck)->axis_h ||
		     in_of(ck, 0)->axis_w != out_of(ck)->axis_w))
		return pat_fail(ck, -EINVAL, "operand 0: axis_h, axis_w are not the output's");
	if (!err && !pat_float_positive(ck->op->axis.epsilon))
		return pat_fail(ck, -EINVAL, "epsilon is not positive");
	if (!err && layer)
		err = check_axis(ck, out_of(ck)->rank);
	for (i = 1; !err && i < ck->op->operand_count; i++)
		err = layer ? check_broadcast(ck, i, ck->op->axis.axis) :
			      check_per_channel(ck, i, out_of(ck)->c);
	return err;
}

/* Members of struct patcnn_axis_params that a kind uses. */
#define USES_AXIS	1
#define USES_AXES	2
#define USES_EPSILON	4
#define USES_PERM	8

struct kind_rule {
	int (*check)(struct pat_check *ck);
	/* 0: any number. */
	u8 operands_min;
	u8 operands_max;
	/* Bytes of parameters; those behind must be zero. */
	u8 params;
	u8 uses;
};

#define CONV	sizeof(struct patcnn_conv_params)
#define POOL	sizeof(struct patcnn_pool_params)
#define AXIS	sizeof(struct patcnn_axis_params)

static const struct kind_rule rules[] = {
	[PATCNN_OP_CONVERT] = { check_convert, 1, 1, sizeof(struct patcnn_convert_params), 0 },
	[PATCNN_OP_CONV] = { pat_check_conv, 1, 2, CONV, 0 },
	[PATCNN_OP_CONV_TRANSPOSE] = { pat_check_conv_transpose, 1, 1, CONV, 0 },
	[PATCNN_OP_LINEAR] = { pat_check_linear, 1, 1, CONV, 0 },
	[PATCNN_OP_MATMUL] = { check_matmul, 2, 2, AXIS, 0 },
	[PATCNN_OP_MAX_POOL] = { pat_check_pool, 1, 1, POOL, 0 },
	[PATCNN_OP_AVG_POOL] = { pat_check_pool, 1, 1, POOL, 0 },
	[PATCNN_OP_ADD] = { check_elementwise, 2, 2, 0, 0 },
	[PATCNN_OP_SUB] = { check_elementwise, 2, 2, 0, 0 },
	[PATCNN_OP_MUL] = { check_elementwise, 2, 2, 0, 0 },
	[PATCNN_OP_DIV] = { check_elementwise, 2, 2, 0, 0 },
	[PATCNN_OP_ACTIVATION] = { check_activation_op, 1, 1, 0, 0 },
	[PATCNN_OP_PRELU] = { check_prelu, 2, 2, 0, 0 },
	[PATCNN_OP_CONCAT] = { check_concat, 1, 0, AXIS, USES_AXIS },
	[PATCNN_OP_SLICE] = { check_slice, 1, 1, sizeof(struct patcnn_slice_params), 0 },
	[PATCNN_OP_PERMUTE] = { check_permute, 1, 1, AXIS, USES_PERM },
	[PATCNN_OP_RESHAPE] = { check_reshape, 1, 1, 0, 0 },
	[PATCNN_OP_PAD] = { check_pad, 1, 1, sizeof(struct patcnn_pad_params), 0 },
	[PATCNN_OP_RESIZE] = { check_resize, 1, 1, sizeof(struct patcnn_resize_params), 0 },
	[PATCNN_OP_SOFTMAX] = { check_softmax, 1, 1, AXIS, USES_AXIS },
	[PATCNN_OP_REDUCE] = { check_reduce, 1, 1, AXIS, USES_AXES },
	[PATCNN_OP_LAYER_NORM] = { check_norm, 1, 3, AXIS, USES_AXIS | USES_EPSILON },
	[PATCNN_OP_INSTANCE_NORM] = { check_norm, 1, 3, AXIS, USES_EPSILON },
};

static int check_unused(struct pat_check *ck, const struct kind_rule *rule)
{
	const struct patcnn_axis_params *p = &ck->op->axis;
	u32 i, perm = 0;

	for (i = rule->params; i < sizeof(ck->op->bytes); i++)
		if (ck->op->bytes[i])
			return pat_fail(ck, -EINVAL, "parameters: byte %u is not zero", i);
	if (rule->params != AXIS ||
	    (rule->check != check_matmul && !rule->uses))
		return 0;
	for (i = 0; i < PATCNN_MAX_RANK; i++)
		perm |= p->perm[i];
	if ((p->axis && !(rule->uses & USES_AXIS)) ||
	    ((p->axes || p->kind) && !(rule->uses & USES_AXES)) ||
	    (p->epsilon && !(rule->uses & USES_EPSILON)) || (perm && !(rule->uses & USES_PERM)))
		return pat_fail(ck, -EINVAL,
				"parameters: axis, axes, kind, epsilon, perm: one is not used here");
	return 0;
}

static int check_activation(struct pat_check *ck)
{
	const struct patcnn_activation *a = &ck->op->activation;
	u32 bits = a->a & 0x7fffffff, exponent = bits >> 23, fraction;

	if (a->kind > PATCNN_ACT_POW)
		return pat_fail(ck, -EINVAL, "activation.kind = %u is unknown", a->kind);
	if (!pat_float_finite(a->a) || !pat_float_finite(a->b))
		return pat_fail(ck, -EINVAL, "activation.a, b: not finite");
	if (a->reserved)
		return pat_fail(ck, -EINVAL, "activation.reserved is not zero");
	if (a->kind != PATCNN_ACT_POW || !bits)
		return 0;
	/* Twice the power is an integer of at most 2^7: no bit of it below 1/2. */
	if (exponent > 127 + 6 || exponent < 127 - 1)
		return pat_fail(ck, -EINVAL, "activation.a: power out of range");
	fraction = (bits & 0x7fffff) << (exponent - 126);
	return fraction & 0x7fffff ?
		pat_fail(ck, -EINVAL, "activation.a: power is not a multiple of 1/2") : 0;
}

int pat_check_operator(struct pat_check *ck)
{
	const struct patcnn_operator *op = ck->op;
	const struct kind_rule *rule;
	int err;

	if (!op->kind || op->kind >= ARRAY_SIZE(rules))
		return pat_fail(ck, -EINVAL, "kind = %u is unknown", (u32)op->kind);
	rule = &rules[op->kind];
	if (op->operand_count < rule->operands_min ||
	    (rule->operands_max && op->operand_count > rule->operands_max))
		return pat_fail(ck, -EINVAL, "operand_count = %u does not fit %s",
				(u32)op->operand_count, pat_kind_name(op->kind));
	if (op->reserved[0] || op->reserved[1])
		return pat_fail(ck, -EINVAL, "reserved is not zero");
	err = check_activation(ck);
	if (!err)
		err = check_unused(ck, rule);
	return err ? err : rule->check(ck);
}
