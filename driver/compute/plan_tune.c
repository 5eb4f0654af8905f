// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Measured choices
 *
 * A program may say what was fastest for its operators on some CPU. Such a choice is
 * followed where kernels of this instruction set can do it and it costs little memory;
 * it is a hint from whoever made the program, so nothing may depend on its being sound.
 */
#include "plan.h"

/* The entry of operator @op for this instruction set, or NULL. */
const struct patcnn_tuning *pat_tuning_of(const struct pat_builder *b, u32 op)
{
	const struct patcnn_tuning *all = b->prog->tuning;
	u32 low = 0, high = b->tuned ? b->prog->tuning_count : 0;
	u32 isa = b->plan->opts.isa->id;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (all[mid].op < op || (all[mid].op == op && all[mid].isa < isa))
			low = mid + 1;
		else
			high = mid;
	}
	return b->tuned && low < b->prog->tuning_count && all[low].op == op &&
	       all[low].isa == isa ? &all[low] : NULL;
}

/* Least channels of a block: each has a table of its own in the packed weights. */
#define LEAST_BLOCK	8

/* A choice may make packed weights and scratch this many times as large, and a bit. */
#define MORE_MEMORY	8
#define SOME_MEMORY	(256U * 1024)

static bool affordable(const struct pat_conv_info *tuned, const struct pat_conv_info *own)
{
	return tuned->packed_bytes <= MORE_MEMORY * own->packed_bytes + SOME_MEMORY &&
	       tuned->scratch_bytes <= MORE_MEMORY * own->scratch_bytes + SOME_MEMORY;
}

/* pat_conv_plan() with the measured choice, or with none; @c->tune is what it was made with. */
int pat_tuned_plan(struct pat_builder *b, struct pat_conv_task *c, u32 op,
		   const struct pat_weights *w, struct pat_conv_info *info)
{
	const struct patcnn_tuning *t = pat_tuning_of(b, op);
	struct pat_tune tune = c->tune;
	struct pat_conv_info tuned;
	int ret;

	ret = pat_conv_plan(b->plan->conv_isa, &c->tune, &c->conv, w, info);
	if (!t || ret)
		return ret;
	tune.algo = t->algorithm;
	tune.tile_r = t->tile_rows;
	tune.tile_v = t->tile_vectors;
	tune.block = t->block >= LEAST_BLOCK ? t->block : 0;
	if (!pat_conv_plan(b->plan->conv_isa, &tune, &c->conv, w, &tuned) &&
	    affordable(&tuned, info)) {
		c->tune = tune;
		*info = tuned;
	}
	return 0;
}

bool pat_plan_choice(const struct pat_plan *pub, u32 op, struct pat_choice *choice)
{
	const struct pat_plan_full *plan = (const struct pat_plan_full *)pub;
	u32 step, k;

	for (step = 0; step < pub->step_count; step++) {
		const struct pat_step_tasks *tasks = &plan->step_tasks[step];
		const struct pat_task *head = &plan->tasks[tasks->first];

		/* The head of a chain has the operator of one of those behind it. */
		for (k = head->fn == PAT_FN_CHAIN; k < tasks->count; k++) {
			const struct pat_task *t = head + k;

			if (t->op != &pub->program->operators[op])
				continue;
			*choice = (struct pat_choice){
				.step = step,
				.stages = head->fn == PAT_FN_CHAIN ? head->chain.stages : 1,
			};
			if (t->fn == PAT_FN_CONV) {
				choice->algo = t->conv.algo;
				choice->band_rows = t->conv.band_rows;
				choice->row_step = t->conv.row_step;
				choice->packed_bytes = t->packed_bytes;
				choice->scratch_bytes = t->conv.scratch_bytes;
			}
			return true;
		}
	}
	return false;
}
