// SPDX-License-Identifier: MIT
/*
 * Activation traffic of fused groups, counted from the plan: bytes that kernels read and
 * write of tensors in memory. One operator a step: every input and every output, once.
 * Fused: the group's inputs, with the rows that two tiles both need counted twice, its
 * output, and residuals that come from elsewhere; what lies between stays in the scratch.
 */
#include <stdlib.h>
#include <unistd.h>

#include "netbench.h"
#include "plan.h"

static u64 floats_of(const struct pat_program *p, u32 tensor)
{
	const struct patcnn_tensor *t = &p->tensors[tensor];

	return (u64)t->c * t->h * t->w;
}

/* Whether stage @i's operand is the output of the stage before. */
static bool inside(const struct pat_task *stages, u32 i, u32 tensor)
{
	return i && stages[i - 1].op->output == tensor;
}

/* Rows of stage 0's input that all tiles together read. */
static u64 input_rows(const struct pat_chain_task *chain, const struct pat_task *stages)
{
	u32 out_h = stages[chain->stages - 1].roll.out_h, at, i;
	u64 rows = 0;

	for (at = 0; at < out_h; at += chain->band_rows) {
		s64 lo = at, hi = at + chain->band_rows < out_h ? at + chain->band_rows : out_h;

		for (i = chain->stages; i--;) {
			const struct pat_roll *r = &stages[i].roll;

			hi = (hi - 1) * r->stride - r->pad_top + r->span;
			lo = lo * r->stride - r->pad_top;
			lo = lo < 0 ? 0 : lo;
			hi = hi > r->in_h ? r->in_h : hi;
		}
		rows += (u64)(hi - lo);
	}
	return rows;
}

static void count_chain(const struct pat_program *p, const struct pat_task *t, u64 *apart, u64 *fused)
{
	const struct pat_task *stages = t + 1;
	u32 i, k, last = t->chain.stages - 1;

	for (i = 0; i <= last; i++) {
		const struct patcnn_operator *op = stages[i].op;

		for (k = 0; k < op->operand_count; k++) {
			u32 tensor = p->operands[op->operand_first + k];

			if (p->tensors[tensor].role == PATCNN_ROLE_CONSTANT)
				continue;
			*apart += floats_of(p, tensor);
			if (!i && !k)
				*fused += floats_of(p, tensor) / stages[0].roll.in_h * input_rows(&t->chain, stages);
			else if (!inside(stages, i, tensor))
				*fused += floats_of(p, tensor);
		}
		*apart += floats_of(p, op->output);
	}
	*fused += floats_of(p, stages[last].op->output);
}

bool net_traffic(const char *name, const char *variant, const char *path, const struct options *o)
{
	struct pat_plan_opts opts = {
		.isa = o->isa, .workers = o->threads,
		.l1_bytes = (u32)sysconf(_SC_LEVEL1_DCACHE_SIZE),
		.l2_bytes = (u32)sysconf(_SC_LEVEL2_CACHE_SIZE),
	};
	const struct pat_plan_full *full;
	struct model_file file;
	struct pat_error err = { "" };
	struct pat_plan *plan;
	u64 apart = 0, fused = 0;
	u32 groups = 0, operators = 0, i, k;

	if (!model_file_open(&file, path))
		return false;
	plan = memory(pat_plan_bytes(&file.prog));
	if (pat_plan_build(plan, &file.prog, &opts, &err)) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		return false;
	}
	full = (const struct pat_plan_full *)plan;
	for (i = 0; i < plan->step_count; i++)
		for (k = 0; k < full->step_tasks[i].count; k++) {
			const struct pat_task *t = &full->tasks[full->step_tasks[i].first + k];

			if (t->fn != PAT_FN_CHAIN)
				continue;
			groups++;
			operators += t->chain.stages;
			count_chain(&file.prog, t, &apart, &fused);
		}
	printf("{\"kind\":\"traffic\",\"net\":\"%s\",\"variant\":\"%s\",\"threads\":%u,\"groups\":%u,\"operators\":%u,"
	       "\"of\":%u,\"bytes\":%llu,\"fused_bytes\":%llu}\n", name, variant, o->threads, groups, operators,
	       file.prog.operator_count, (unsigned long long)(4 * apart), (unsigned long long)(4 * fused));
	free(plan);
	model_file_close(&file);
	return true;
}
