// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Packing
 *
 * Weights into the order that kernels read them in. Values are moved as bits: no
 * vector register and no float is used, so the kernel may be preempted meanwhile.
 */
#include "plan.h"

/* Weight [@col][@row] of a linear operator, by what its storage names it. */
static void put_weight(const struct pat_matmul_task *m, u32 *dst, u64 row, u64 col, u32 value)
{
	if (row < m->depth && col < m->out.w)
		dst[row * m->b_pitch + col] = value;
}

/* Columns of dense weights that are moved per pass, so that their lines stay in cache. */
#define PACK_COLS	16

static void pack_dense(const struct pat_matmul_task *m, const struct pat_weights *w, u32 *dst)
{
	u32 col, row, c;

	for (col = 0; col < m->out.w; col += PACK_COLS)
		for (row = 0; row < m->depth; row++)
			for (c = col; c < col + PACK_COLS && c < m->out.w; c++)
				dst[(u64)row * m->b_pitch + c] = w->values[(u64)c * m->depth + row];
}

static void pack_csr(const struct pat_matmul_task *m, const struct pat_weights *w, u32 *dst)
{
	u32 col, k;

	for (col = 0; col < m->out.w; col++)
		for (k = w->offset[col]; k < w->offset[col + 1]; k++)
			put_weight(m, dst, w->index[k], col, w->values[k]);
}

static void pack_blocks(const struct pat_matmul_task *m, const struct pat_weights *w, u32 *dst)
{
	u32 rows = (m->out.w + w->block_out - 1) / w->block_out, r, k, o, i;
	const u32 *v = w->values;

	for (r = 0; r < rows; r++)
		for (k = w->offset[r]; k < w->offset[r + 1]; k++)
			for (o = 0; o < w->block_out; o++)
				for (i = 0; i < w->block_in; i++)
					put_weight(m, dst, (u64)w->index[k] * w->block_in + i,
						   (u64)r * w->block_out + o, *v++);
}

/* Transposed and filled up with zeros: [depth][columns], and the bias as a row behind it. */
static void pack_product(const struct pat_program *prog, const struct pat_task *t, u32 *dst)
{
	const struct pat_weights w = pat_weights_of(prog, t->op);
	const struct pat_matmul_task *m = &t->matmul;

	switch (w.storage) {
	case PATCNN_STORAGE_DENSE:
		pack_dense(m, &w, dst);
		break;
	case PATCNN_STORAGE_CSR:
		pack_csr(m, &w, dst);
		break;
	default:
		pack_blocks(m, &w, dst);
	}
	if (w.bias)
		__builtin_memcpy(dst + (u64)m->depth * m->b_pitch, w.bias, 4ULL * m->out.w);
}

/* "3 fused, columns 7x2" */
static void describe_chain(u32 stages, const void *packed, char *text)
{
	static const char fused[] = "n fused, ";
	char kernel[32];
	u32 i, at = sizeof(fused) - 1;

	__builtin_memcpy(text, fused, at);
	text[0] = '0' + stages;
	pat_conv_describe(packed, kernel);
	for (i = 0; kernel[i] && at + 1 < sizeof(kernel); i++)
		text[at++] = kernel[i];
	text[at] = 0;
}

static void pack_conv(struct pat_plan_full *plan, u32 step, const struct pat_task *t, void *dst)
{
	const struct pat_weights w = pat_weights_of(plan->pub.program, t->op);

	const struct pat_task *head = &plan->tasks[plan->step_tasks[step].first];
	char *text = plan->steps[step].algorithm;

	/* The same arguments succeeded in pat_plan_build(). */
	pat_conv_pack(plan->conv_isa, &t->conv.tune, &t->conv.conv, &w, dst);
	if (head->fn != PAT_FN_CHAIN)
		pat_conv_describe(dst, text);
	else if (head->op == t->op)
		describe_chain(head->chain.stages, dst, text);
}

bool pat_plan_pack(struct pat_plan *pub, void *packed, struct pat_pack_cursor *cur)
{
	struct pat_plan_full *plan = (struct pat_plan_full *)pub;
	const struct pat_task *t;

	plan->packed = packed;
	while (cur->step < pub->step_count) {
		if (cur->op == plan->step_tasks[cur->step].count) {
			cur->step++;
			cur->op = 0;
			continue;
		}
		t = &plan->tasks[plan->step_tasks[cur->step].first + cur->op++];
		if (!t->packed_bytes)
			continue;
		if (t->fn == PAT_FN_CONV)
			pack_conv(plan, cur->step, t, (u8 *)packed + t->packed);
		else
			pack_product(pub->program, t, (u32 *)((u8 *)packed + t->packed));
		return false;
	}
	return true;
}
