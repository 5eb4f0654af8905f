// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Execution
 *
 * Finds the task of a tile, turns its references into addresses and calls the
 * template of the plan's instruction set. The only state is the caller's: cursor
 * and scratch. Addresses depend on the plan alone, never on what buffers hold.
 */
#include "plan.h"

static void *ref_address(const struct pat_run *run, const struct pat_ref *ref)
{
	const struct pat_program *prog = run->plan->program;

	if (!ref->used)
		return NULL;
	switch (ref->base) {
	case PAT_BASE_ARENA:
		return (u8 *)run->arena + ref->off;
	case PAT_BASE_IO:
		return (u8 *)run->io[ref->io] + ref->off;
	default:
		return (u8 *)(unsigned long)prog->data + ref->off;
	}
}

/* The last task of the step that starts at or before @tile. */
static const struct pat_task *find_task(const struct pat_plan_full *plan, u32 step, u32 tile)
{
	const struct pat_task *t = plan->tasks + plan->step_tasks[step].first;
	u32 low = 0, high = plan->step_tasks[step].count;

	while (high - low > 1) {
		u32 mid = low + (high - low) / 2;

		if (t[mid].tile_first <= tile)
			low = mid;
		else
			high = mid;
	}
	return t + low;
}

static bool exec_conv(const struct pat_plan_full *plan, const struct pat_work *w, u32 tile,
		      struct pat_cursor *cur, void *scratch)
{
	const struct pat_conv_task *c = &w->task->conv;
	u32 band = tile / c->parts;
	struct pat_conv_tile t = {
		.in = w->in[0],
		.out = w->out,
		.res = w->in[1],
		.row = band * c->band_rows,
		.rows = c->band_rows,
		.part = tile % c->parts,
		.parts = c->parts,
	};

	if (t.rows > c->conv.out.h - t.row)
		t.rows = c->conv.out.h - t.row;
	return pat_conv_run(plan->conv_isa, w->packed, &t, cur, PAT_CHUNK_MACS, scratch);
}

void pat_work_of(const struct pat_run *run, const struct pat_task *t, struct pat_work *w)
{
	const struct pat_plan_full *plan = (const struct pat_plan_full *)run->plan;
	u32 i;

	w->task = t;
	w->out = ref_address(run, &t->out);
	for (i = 0; i < ARRAY_SIZE(w->in); i++)
		w->in[i] = ref_address(run, &t->in[i]);
	w->packed = plan->packed + t->packed;
}

bool pat_exec(const struct pat_run *run, u32 step, u32 tile,
	      struct pat_cursor *cur, void *scratch)
{
	const struct pat_plan_full *plan = (const struct pat_plan_full *)run->plan;
	const struct pat_task *t = find_task(plan, step, tile);
	struct pat_work w;

	tile -= t->tile_first;
	if (t->fn == PAT_FN_CHAIN)
		return pat_exec_chain(plan, run, t, tile, cur, scratch);
	pat_work_of(run, t, &w);
	if (t->fn == PAT_FN_CONV)
		return exec_conv(plan, &w, tile, cur, scratch);
	w.first = t->units * tile / t->tiles;
	w.count = t->units * (tile + 1) / t->tiles - w.first;
	/* Only operators on planes look at these. */
	w.row = 0;
	w.rows = t->window.out.h;
	return plan->opts.isa->ops->run[t->fn](&w, cur, scratch);
}
