// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Softmax, reductions and norms
 *
 * Axes fall into those reduced over and the others. If the columns are among the
 * others they are lanes, treated side by side as vectors; else a row is reduced
 * across its vector.
 */
#include "plan.h"

static u64 count_of(const struct pat_nd *nd)
{
	u64 n = 1;
	u32 a;

	for (a = 0; a < nd->rank; a++)
		n *= nd->n[a];
	return n;
}

static void add_axis(struct pat_nd *nd, const struct pat_nd *all, u32 axis)
{
	u32 k;

	nd->n[nd->rank] = all->n[axis];
	for (k = 0; k < PAT_ND_OPERANDS; k++)
		nd->stride[k][nd->rank] = all->stride[k][axis];
	nd->rank++;
}

/* Axes whose bit is set in @inside go into the inner loop. */
static void take_apart(struct pat_reduce_task *r, const struct pat_nd *all, u32 inside,
		       u32 operands)
{
	u32 a;

	for (a = 0; a < all->rank; a++)
		add_axis(inside >> a & 1 ? &r->inner : &r->outer, all, a);
	pat_nd_merge(&r->inner, operands);
	pat_nd_merge(&r->outer, operands);
	r->count = count_of(&r->inner);
	r->lanes = 1;
	r->blocks = 1;
}

static void find_lanes(struct pat_reduce_task *r)
{
	u32 last = r->outer.rank - 1;

	if (r->outer.stride[0][last] != 1 || r->outer.stride[1][last] != 1 ||
	    r->inner.stride[1][r->inner.rank - 1] == 1)
		return;
	r->lanes = r->outer.n[last];
	r->blocks = (r->lanes + PAT_LANES - 1) / PAT_LANES;
	/* Leaves an outer loop over what is before the lanes. */
	r->outer.n[last] = 1;
}

static u32 finish(struct pat_builder *b, struct pat_task *t, u32 work)
{
	struct pat_reduce_task *r = &t->reduce;
	u32 lanes = r->lanes < PAT_LANES ? r->lanes : PAT_LANES;

	/* Running values of PAT_LANES lanes, two of each. */
	pat_task_scratch(b, 2 * PAT_LANES * sizeof(u32));
	pat_task_split(b, t, count_of(&r->outer) * r->blocks, work * lanes * r->count + 64);
	return 0;
}

static struct pat_task *start(struct pat_builder *b, const struct patcnn_operator *op, u32 fn,
			      struct pat_nd *all)
{
	struct pat_task *t = pat_task_new(b, fn, op);
	const struct patcnn_tensor *in = pat_operand(b->prog, op, 0);
	u32 i;

	__builtin_memset(all, 0, sizeof(*all));
	all->rank = in->rank;
	for (i = 0; i < in->rank; i++)
		all->n[i] = in->shape[i];
	pat_use(b, &t->out, op->output, true);
	pat_axis_strides(b, op->output, in->rank, all->stride[0]);
	for (i = 0; i < op->operand_count; i++)
		pat_use(b, &t->in[i], b->prog->operands[op->operand_first + i], false);
	pat_axis_strides(b, b->prog->operands[op->operand_first], in->rank, all->stride[1]);
	return t;
}

int pat_plan_softmax(struct pat_builder *b, const struct patcnn_operator *op)
{
	struct pat_nd all;
	struct pat_task *t = start(b, op, PAT_FN_SOFTMAX, &all);

	take_apart(&t->reduce, &all, 1U << op->axis.axis, 2);
	find_lanes(&t->reduce);
	return finish(b, t, 16);
}

int pat_plan_reduce(struct pat_builder *b, const struct patcnn_operator *op)
{
	struct pat_nd all;
	struct pat_task *t = start(b, op, PAT_FN_REDUCE, &all);

	take_apart(&t->reduce, &all, op->axis.axes, 2);
	find_lanes(&t->reduce);
	t->reduce.kind = op->axis.kind;
	return finish(b, t, 2);
}

/* Strides of a tensor with one value for each channel along the channel's axes. */
static void channel_strides(struct pat_builder *b, u32 tensor, const struct patcnn_tensor *in,
			    u32 *stride)
{
	u32 own[PATCNN_MAX_RANK], step = 0, a;
	const struct patcnn_tensor *t = &b->prog->tensors[tensor];

	pat_axis_strides(b, tensor, t->rank, own);
	for (a = 0; a < t->rank; a++)
		step |= own[a];
	for (a = in->axis_h; a--;) {
		stride[a] = step;
		step *= in->shape[a];
	}
}

int pat_plan_norm(struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *in = pat_operand(b->prog, op, 0);
	struct pat_nd all;
	struct pat_task *t = start(b, op, PAT_FN_NORM, &all);
	bool layer = op->kind == PATCNN_OP_LAYER_NORM;
	u32 first = layer ? op->axis.axis : in->axis_h, i;

	for (i = 1; i < op->operand_count; i++) {
		u32 tensor = b->prog->operands[op->operand_first + i];

		if (layer)
			pat_axis_strides(b, tensor, in->rank, all.stride[i + 1]);
		else
			channel_strides(b, tensor, in, all.stride[i + 1]);
	}
	take_apart(&t->reduce, &all, ~0U << first, 1 + op->operand_count);
	t->reduce.epsilon = op->axis.epsilon;
	return finish(b, t, 8);
}
