// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Chains
 *
 * Consecutive operators on planes run depth-first over a band of rows of the last
 * one's output (Guo, Teodorescu and Agrawal: fused inference): what lies between them
 * is a few rows at a time in the worker's scratch and never reaches memory. See
 * struct pat_chain_task.
 *
 * Where a tile is, is kept in the scratch: the cursor only says whether it has begun.
 */
#include "plan.h"

/* struct rows - rows lo to hi - 1 of a stage's output */
struct rows {
	u32 lo;
	u32 hi;
};

struct chain_state {
	/* first row of the last stage that is not done */
	u32 at;
	u32 stage;
	/* next row that the stage computes */
	u32 row;
	/* the stage's buffer is ready for its rows */
	u32 begun;
	struct pat_cursor cur;
	/* rows of each stage that are there */
	struct rows have[PAT_CHAIN_MAX];
};

_Static_assert(sizeof(struct chain_state) <= PAT_CHAIN_STATE, "room in front of the buffers");

/* The rows that stage @i's input must have for its output rows @out. */
static struct rows input_rows(const struct pat_roll *r, struct rows out)
{
	s64 lo = (s64)out.lo * r->stride - r->pad_top;
	s64 hi = (s64)(out.hi - 1) * r->stride - r->pad_top + r->span;

	if (lo < 0)
		lo = 0;
	if (hi > r->in_h)
		hi = r->in_h;
	/* A window that lies in the padding alone needs no row. */
	if (lo > hi)
		lo = hi;
	return (struct rows){ lo, hi };
}

static void needed(const struct pat_task *stages, u32 count, struct rows last, struct rows *need)
{
	need[count - 1] = last;
	while (--count)
		need[count - 1] = input_rows(&stages[count].roll, need[count]);
}

static u64 plane_of(const struct pat_task *t)
{
	return t->fn == PAT_FN_CONV ? t->conv.conv.out.plane : t->window.out.plane;
}

static u32 pitch_of(const struct pat_task *t)
{
	return t->fn == PAT_FN_CONV ? t->conv.conv.out.pitch : t->window.out.pitch;
}

static u32 channels_of(const struct pat_task *t)
{
	return t->fn == PAT_FN_CONV ? t->conv.conv.out.c : t->window.out.c;
}

/* Rows that are needed again move to the front of the buffer, the others leave it. */
static void roll(const struct pat_ops *ops, const struct pat_task *t, float *buffer,
		 struct rows *have, struct rows need)
{
	u64 plane = plane_of(t), skip;
	u32 c, keep;

	if (need.lo >= have->hi) {
		*have = (struct rows){ need.lo, need.lo };
		return;
	}
	keep = have->hi - need.lo;
	skip = (u64)(need.lo - have->lo) * pitch_of(t);
	for (c = 0; skip && c < channels_of(t); c++)
		ops->move(buffer + c * plane, buffer + c * plane + skip, (u64)keep * pitch_of(t));
	have->lo = need.lo;
}

/* Row 0 of a stage's output, were it all there: rows of @have are where the buffer has them. */
static float *row_zero(const struct pat_task *t, void *scratch, const struct rows *have)
{
	unsigned long at = (unsigned long)scratch + t->roll.buffer;

	/* Below the buffer, as a number: only rows of @have are ever accessed. */
	return (float *)(at - (u64)have->lo * pitch_of(t) * sizeof(float));
}

static bool run_stage(const struct pat_plan_full *plan, struct pat_work *w, u32 row, u32 rows,
		      struct pat_cursor *cur, void *scratch)
{
	const struct pat_task *t = w->task;

	if (t->fn == PAT_FN_CONV) {
		struct pat_conv_tile tile = {
			.in = w->in[0],
			.out = w->out,
			.res = w->in[1],
			.row = row,
			.rows = rows,
			.parts = 1,
		};

		return pat_conv_run(plan->conv_isa, w->packed, &tile, cur, PAT_CHUNK_MACS,
				    scratch);
	}
	w->row = row;
	w->rows = rows;
	w->first = 0;
	w->count = (u64)t->window.out.c * rows * t->window.segments;
	return plan->opts.isa->ops->run[t->fn](w, cur, scratch);
}

static u32 piece_of(const struct pat_task *t, u32 left)
{
	u32 most = t->fn == PAT_FN_CONV ? t->conv.band_rows : left;

	return left < most ? left : most;
}

bool pat_exec_chain(const struct pat_plan_full *plan, const struct pat_run *run,
		    const struct pat_task *t, u32 tile, struct pat_cursor *cur, void *scratch)
{
	const struct pat_chain_task *chain = &t->chain;
	const struct pat_task *stages = t + 1;
	u32 last = chain->stages - 1, height = stages[last].roll.out_h;
	u32 end = (tile + 1) * chain->band_rows;
	struct chain_state *s = scratch;
	struct rows need[PAT_CHAIN_MAX];
	u64 work = 0;

	if (end > height)
		end = height;
	if (!cur->a) {
		__builtin_memset(s, 0, sizeof(*s));
		s->at = tile * chain->band_rows;
		cur->a = 1;
	}
	while (s->at < end) {
		u32 to = end - s->at < chain->sub_rows ? end : s->at + chain->sub_rows;

		needed(stages, chain->stages, (struct rows){ s->at, to }, need);
		for (; s->stage <= last; s->stage++, s->begun = 0) {
			const struct pat_task *st = &stages[s->stage];
			struct rows *have = &s->have[s->stage];
			struct pat_work w;

			if (!s->begun) {
				if (s->stage < last)
					roll(plan->opts.isa->ops, st,
					     (float *)((u8 *)scratch + st->roll.buffer), have,
					     need[s->stage]);
				s->row = s->stage < last ? have->hi : s->at;
				s->begun = 1;
			}
			pat_work_of(run, st, &w);
			if (s->stage)
				w.in[0] = row_zero(st - 1, scratch, have - 1);
			if (s->stage < last)
				w.out = row_zero(st, scratch, have);
			while (s->row < need[s->stage].hi) {
				u32 rows = piece_of(st, need[s->stage].hi - s->row);

				if (work >= PAT_CHUNK_MACS ||
				    !run_stage(plan, &w, s->row, rows, &s->cur,
					       (u8 *)scratch + chain->kernel_scratch))
					return false;
				s->cur = (struct pat_cursor){ 0 };
				s->row += rows;
				work += rows * st->roll.row_work;
			}
			have->hi = need[s->stage].hi > have->hi ? need[s->stage].hi : have->hi;
		}
		s->stage = 0;
		s->at = to;
	}
	return true;
}
