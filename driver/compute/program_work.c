// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Work of an operator
 *
 * Multiply-accumulates for people and for the split into tiles, and everything
 * else an operator does in the same unit, for the bound on a model's time.
 */
#include "program_check.h"

static u64 weights_kept(const struct patcnn_weights *w, u64 dense)
{
	return w->storage == PATCNN_STORAGE_DENSE ? dense : w->values.count;
}

u64 pat_operator_macs(const struct pat_program *prog, u32 i, bool dense)
{
	const struct patcnn_operator *op = &prog->operators[i];
	const struct patcnn_tensor *in = pat_operand(prog, op, 0);
	const struct patcnn_tensor *out = pat_output(prog, op);
	const struct patcnn_conv_params *p = &op->conv;
	u64 weights, uses;

	switch (op->kind) {
	case PATCNN_OP_CONV:
		uses = (u64)out->h * out->w;
		weights = pat_mul((u64)out->c * (in->c / p->groups),
				  (u64)p->window.kernel_h * p->window.kernel_w);
		break;
	case PATCNN_OP_CONV_TRANSPOSE:
		uses = (u64)in->h * in->w;
		weights = pat_mul((u64)in->c * (out->c / p->groups),
				  (u64)p->window.kernel_h * p->window.kernel_w);
		break;
	case PATCNN_OP_LINEAR:
		uses = pat_elements(out) / out->shape[out->rank - 1];
		weights = pat_mul(pat_elements(in) / uses, out->shape[out->rank - 1]);
		break;
	case PATCNN_OP_MATMUL:
		return pat_mul(pat_elements(out), in->w);
	default:
		return 0;
	}
	return pat_mul(uses, dense ? weights : weights_kept(&p->weights, weights));
}

/* Operations an element costs besides its multiply-accumulates. */
static u64 element_work(const struct patcnn_operator *op)
{
	u64 n = 1;

	switch (op->kind) {
	case PATCNN_OP_SOFTMAX:
	case PATCNN_OP_LAYER_NORM:
	case PATCNN_OP_INSTANCE_NORM:
		n = 16;
		break;
	case PATCNN_OP_RESIZE:
		n = 8;
		break;
	case PATCNN_OP_MAX_POOL:
	case PATCNN_OP_AVG_POOL:
		n = (u64)op->pool.window.kernel_h * op->pool.window.kernel_w;
		break;
	}
	return n + (op->activation.kind > PATCNN_ACT_LEAKY_RELU ? 16 : 1);
}

u64 pat_operator_work(const struct pat_program *prog, u32 i)
{
	const struct patcnn_operator *op = &prog->operators[i];
	u64 work = pat_operator_macs(prog, i, true);
	u64 kept = pat_operator_macs(prog, i, false);
	u32 k;

	/* Partial blocks store more than the dense layer has. */
	if (kept > work)
		work = kept;
	work = pat_add(work, pat_mul(pat_elements(pat_output(prog, op)), element_work(op)));
	for (k = 0; k < op->operand_count; k++)
		work = pat_add(work, pat_elements(pat_operand(prog, op, k)));
	return work;
}
