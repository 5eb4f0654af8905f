// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Which operators become a chain
 *
 * Operators on planes where each alone reads what the one before wrote form lines.
 * A line is cut into chains, and single operators, such that the sum of their
 * costs is least; costs are in multiply-accumulates at the full rate of the vector
 * unit. What counts: arithmetic, with the rows that both neighbours of a tile's edge
 * compute and the loss of short runs of rows; bytes of activations, cheap within the
 * second-level cache and dear beyond it; and the weights, which pass once for
 * each piece of rows. A chain must fit the cache with its buffers and weights.
 */
#include "plan.h"

/* Most rows of the last stage's output that are made at a time. */
#define MAX_SUB_ROWS	32
/* A chain is taken if it saves at least one part in this many. */
#define GAIN		32

/* struct stage - an operator as the cost model sees it */
struct stage {
	u64 macs;
	/* outside of a chain, where kernels may count on whole bands */
	u64 macs_alone;
	/* in one, where bands are short */
	u64 macs_inside;
	u64 weight_bytes;
	/* of a row of all channels, in floats of the padded layout */
	u64 in_row;
	u64 out_row;
	u32 in_h;
	u32 out_h;
	u32 out_w;
	u32 stride;
	u32 span;
};

/* struct fit - how a chain runs */
struct fit {
	u64 cost;
	u32 sub_rows;
	u32 tiles;
};

static u64 cache_bytes(const struct pat_builder *b)
{
	return b->plan->opts.l2_bytes ? b->plan->opts.l2_bytes : 512U << 10;
}

/*
 * Cost of a byte, in eighths of a multiply-accumulate of one lane; a vector unit
 * of more lanes waits more operations for a byte.
 */
static u64 traffic(const struct pat_builder *b, u64 bytes, u64 extent)
{
	u32 lanes = b->plan->opts.isa->lanes;

	return bytes * (extent > cache_bytes(b) / 2 ? 4 * lanes : lanes) / 8;
}

static const struct patcnn_window *window_of(const struct patcnn_operator *op)
{
	static const struct patcnn_window none = {
		.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1,
		.dilation_h = 1, .dilation_w = 1,
	};

	return op->kind == PATCNN_OP_CONV ? &op->conv.window :
	       op->kind == PATCNN_OP_CONVERT ? &none : &op->pool.window;
}

static u64 work_alone(const struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct pat_weights weights = pat_weights_of(b->prog, op);
	const struct patcnn_tensor *in = pat_operand(b->prog, op, 0);
	const struct patcnn_tensor *out = pat_output(b->prog, op);
	const struct patcnn_window *w = &op->conv.window;
	const struct pat_tune tune = {
		.l1_bytes = b->plan->opts.l1_bytes,
		.l2_bytes = b->plan->opts.l2_bytes,
	};
	const struct pat_conv conv = {
		.in = { .pitch = pat_up(in->w, 16), .c = in->c, .h = in->h, .w = in->w },
		.out = { .pitch = pat_up(out->w, 16), .c = out->c, .h = out->h, .w = out->w },
		.kernel_h = w->kernel_h,
		.kernel_w = w->kernel_w,
		.stride_h = w->stride_h,
		.stride_w = w->stride_w,
		.dilation_h = w->dilation_h,
		.dilation_w = w->dilation_w,
		.pad_top = w->pad_top,
		.pad_left = w->pad_left,
		.groups = op->conv.groups,
	};

	return pat_conv_work(b->plan->conv_isa, &tune, &conv, &weights);
}

/* Whether most filters have the pattern and channels of another: kernels then share loads. */
static bool shares_loads(const struct pat_weights *w, u32 filters)
{
	u32 pairs = filters - 1 < 16 ? filters - 1 : 16, equal = 0, i;
	u64 row = w->pattern_count + 1;

	for (i = 0; i < pairs; i++) {
		u32 first = w->offset[i], next = w->offset[i + 1], count = next - first;

		equal += w->offset[i + 2] - next == count &&
			 !__builtin_memcmp(w->stride + i * row, w->stride + (i + 1) * row,
					   4 * row) &&
			 (!count || !__builtin_memcmp(w->index + first, w->index + next,
						      4ULL * count));
	}
	return equal * 8 >= pairs * 3;
}

/*
 * Kernels for patterns that nothing shares read their stream of weights for every band:
 * in the few rows of a chain they were measured to take three times their work.
 */
static u64 work_inside(const struct pat_builder *b, const struct patcnn_operator *op, u64 macs)
{
	const struct pat_weights weights = pat_weights_of(b->prog, op);

	return weights.storage == PATCNN_STORAGE_FKW &&
	       !shares_loads(&weights, pat_output(b->prog, op)->c) ? 3 * macs : macs;
}

static void stage_of(const struct pat_builder *b, u32 index, struct stage *s)
{
	const struct patcnn_operator *op = &b->prog->operators[index];
	const struct patcnn_window *w = window_of(op);
	const struct patcnn_tensor *in = pat_operand(b->prog, op, 0);
	const struct patcnn_tensor *out = pat_output(b->prog, op);

	*s = (struct stage){
		.macs = pat_operator_macs(b->prog, index, false),
		.in_row = in->c * pat_up(in->w, 16),
		.out_row = out->c * pat_up(out->w, 16),
		.in_h = in->h,
		.out_h = out->h,
		.out_w = out->w,
		.stride = w->stride_h,
		.span = (w->kernel_h - 1) * w->dilation_h + 1,
	};
	if (op->kind == PATCNN_OP_CONV) {
		s->weight_bytes = 5 * op->conv.weights.values.count;
		s->macs_alone = work_alone(b, op);
		s->macs_inside = work_inside(b, op, s->macs);
		return;
	}
	s->macs = out->c * (u64)out->h * out->w * (w->kernel_h + w->kernel_w);
	s->macs_alone = s->macs;
	s->macs_inside = s->macs;
}

/* Arithmetic of @rows rows made @run rows at a time: a short run leaves vectors unfilled. */
static u64 row_work(const struct pat_builder *b, const struct stage *s, u64 work, u64 rows,
		    u32 run)
{
	u64 macs = work / s->out_h * rows;

	return macs + macs * 3 * b->plan->opts.isa->lanes / ((u64)run * s->out_w);
}

static u64 single_cost(const struct pat_builder *b, const struct stage *s)
{
	u64 in = 4 * s->in_row * s->in_h, out = 4 * s->out_row * s->out_h;
	u64 passes = 1 + in / (cache_bytes(b) / 2);

	return row_work(b, s, s->macs_alone, s->out_h, (s->out_h + passes - 1) / passes) +
	       traffic(b, in, in) + traffic(b, out, out) +
	       traffic(b, passes * s->weight_bytes, s->weight_bytes);
}

/* Rows of each stage's output for @rows of the last, inner tensors only at their height. */
static void rows_for(const struct stage *s, u32 count, u32 rows, u32 *need)
{
	need[count - 1] = rows;
	while (--count) {
		u64 n = (need[count] - 1ULL) * s[count].stride + s[count].span;

		need[count - 1] = n < s[count - 1].out_h ? n : s[count - 1].out_h;
	}
}

/* What a chain has in use while it makes @rows rows: buffers, the largest panel, weights. */
static u64 in_use(const struct stage *s, u32 count, u32 rows)
{
	u32 need[PAT_CHAIN_MAX], k;
	u64 bytes = 0, panel = 0;

	rows_for(s, count, rows, need);
	for (k = 0; k < count; k++) {
		u64 in = (need[k] - 1ULL) * s[k].stride + s[k].span;

		if (in > s[k].in_h)
			in = s[k].in_h;
		if (4 * in * s[k].in_row > panel)
			panel = 4 * in * s[k].in_row;
		if (k + 1 < count)
			bytes += 4 * need[k] * s[k].out_row;
		bytes += s[k].weight_bytes;
	}
	return bytes + panel;
}

static bool find_rows(const struct pat_builder *b, const struct stage *s, u32 count,
		      struct fit *fit)
{
	u32 height = s[count - 1].out_h, workers = b->plan->opts.workers;
	u32 rows = height < MAX_SUB_ROWS ? height : MAX_SUB_ROWS;

	while (rows && in_use(s, count, rows) > cache_bytes(b) * 3 / 4)
		rows = rows > 8 ? rows - 4 : rows - 1;
	if (!rows)
		return false;
	fit->tiles = 1;
	if (workers > 1) {
		fit->tiles = 3 * workers < height / 4 ? 3 * workers : height / 4;
		if (fit->tiles > workers)
			fit->tiles -= fit->tiles % workers;
		if (fit->tiles < workers)
			fit->tiles = workers < height ? workers : height;
	}
	/* Even pieces. */
	height = (height + fit->tiles - 1) / fit->tiles;
	if (rows > height)
		rows = height;
	fit->sub_rows = (height + (height + rows - 1) / rows - 1) / ((height + rows - 1) / rows);
	return true;
}

static bool chain_cost(const struct pat_builder *b, const struct stage *s, u32 count,
		       struct fit *fit)
{
	u32 need[PAT_CHAIN_MAX], sub[PAT_CHAIN_MAX], height = s[count - 1].out_h, k, passes;
	u64 in = 4 * s[0].in_row * s[0].in_h, out = 4 * s[count - 1].out_row * height;

	if (!find_rows(b, s, count, fit))
		return false;
	rows_for(s, count, (height + fit->tiles - 1) / fit->tiles, need);
	rows_for(s, count, fit->sub_rows, sub);
	passes = (height + fit->sub_rows - 1) / fit->sub_rows;
	fit->cost = traffic(b, in, in) + traffic(b, out, out);
	for (k = 0; k < count; k++) {
		fit->cost += row_work(b, &s[k], s[k].macs_inside,
				      (u64)need[k] * fit->tiles, sub[k]);
		fit->cost += traffic(b, passes * s[k].weight_bytes, 0);
		/* Written, read, and the rows that are carried moved once more. */
		if (k + 1 < count)
			fit->cost += traffic(b, 8 * (u64)s[k].out_row * need[k] * fit->tiles, 0) +
				     traffic(b, 8 * (u64)s[k].out_row * passes *
					     (s[k + 1].span - 1), 0);
	}
	return true;
}

static bool can_stage(const struct pat_builder *b, u32 index)
{
	const struct patcnn_operator *op = &b->prog->operators[index];
	const struct patcnn_tensor *out = pat_output(b->prog, op);
	const struct patcnn_window *w = window_of(op);
	u64 span = (u64)(w->kernel_h - 1) * w->dilation_h + 1;

	if (op->kind != PATCNN_OP_CONV && op->kind != PATCNN_OP_MAX_POOL &&
	    op->kind != PATCNN_OP_AVG_POOL && op->kind != PATCNN_OP_CONVERT)
		return false;
	if (op->kind == PATCNN_OP_CONV && !pat_conv_act(op->activation.kind))
		return false;
	/* The kernels take a short way for one pixel; a wide window would need many rows. */
	return out->h > 3 && out->w > 1 && span <= 16 && w->stride_h <= 4 && w->stride_w <= 4 &&
	       w->dilation_w <= 64;
}

/* Whether operator @index may run depth-first behind the one that wrote its operand. */
static bool can_follow(const struct pat_builder *b, u32 index, u32 writer)
{
	const struct patcnn_operator *op = &b->prog->operators[index];
	u32 t = b->prog->operands[op->operand_first];
	const struct pat_map *m = pat_map_of(b, t);

	return op->kind != PATCNN_OP_CONVERT && can_stage(b, index) && can_stage(b, writer) &&
	       m->uses == 1 && m->parent == PAT_NONE && m->padded &&
	       b->prog->tensors[t].role == PATCNN_ROLE_INTERMEDIATE;
}

static void find_lines(struct pat_builder *b)
{
	struct pat_link *links = b->plan->links;
	u32 i, t;

	for (i = 0; i < b->prog->operator_count; i++)
		links[i] = (struct pat_link){ PAT_NONE, PAT_NONE, 0 };
	/* The writer of a tensor is kept in its map until addresses are given out. */
	for (i = 0; i < b->prog->tensor_count; i++)
		b->plan->maps[i].chain = PAT_NONE;
	for (i = 0; i < b->prog->operator_count; i++) {
		const struct patcnn_operator *op = &b->prog->operators[i];

		t = b->plan->maps[b->prog->operands[op->operand_first]].chain;
		if (t != PAT_NONE && can_follow(b, i, t)) {
			links[i].prev = t;
			links[t].next = i;
		}
		b->plan->maps[op->output].chain = i;
	}
}

/* Costs of the first n operators of a line, at n modulo this: as far back as a chain reaches. */
#define RING	(PAT_CHAIN_MAX + 1)

/*
 * Cuts the line that starts at operator @first: the least cost of everything up to
 * an operator is that of a last piece and of everything before it. The length of that
 * piece is noted in the link until the cuts are walked back.
 */
static void cut_line(struct pat_builder *b, u32 first)
{
	struct pat_link *links = b->plan->links;
	u64 best[RING] = { 0 };
	struct stage s[PAT_CHAIN_MAX];
	u32 i, at = 0, last = first, len, k;

	for (i = first; i != PAT_NONE; i = links[i].next, at++) {
		const struct patcnn_tuning *tuning = pat_tuning_of(b, i);
		u64 least = PAT_SATURATED;

		__builtin_memmove(s, s + 1, sizeof(s) - sizeof(s[0]));
		stage_of(b, i, &s[PAT_CHAIN_MAX - 1]);
		for (len = 1; len <= PAT_CHAIN_MAX && len <= at + 1; len++) {
			const struct stage *from = s + PAT_CHAIN_MAX - len;
			struct fit fit;

			if (len == 1)
				fit.cost = single_cost(b, from);
			else if (!chain_cost(b, from, len, &fit))
				continue;
			else
				fit.cost += fit.cost / GAIN;
			/* What was measured comes before what is estimated. */
			if (tuning && tuning->fuse == len)
				fit.cost = 0;
			fit.cost = pat_add(fit.cost, best[(at + 1 - len) % RING]);
			if (fit.cost < least) {
				least = fit.cost;
				links[i].inside = len;
			}
		}
		best[(at + 1) % RING] = least;
		last = i;
	}
	while (last != PAT_NONE) {
		len = links[last].inside;
		links[last].inside = 0;
		for (k = 1, i = links[last].prev; k < len; k++, i = links[i].prev)
			links[i].inside = 1;
		/* The next piece ends at i; a cut separates the two. */
		if (i != PAT_NONE)
			links[i].next = PAT_NONE;
		for (k = 1, at = last; k < len; k++)
			at = links[at].prev;
		links[at].prev = PAT_NONE;
		last = i;
	}
}

void pat_chains(struct pat_builder *b)
{
	struct pat_link *links = b->plan->links;
	u32 i;

	find_lines(b);
	for (i = 0; i < b->prog->operator_count; i++) {
		if (b->plan->opts.flags & PAT_PLAN_NO_FUSE)
			links[i] = (struct pat_link){ PAT_NONE, PAT_NONE, 0 };
		else if (links[i].prev == PAT_NONE && links[i].next != PAT_NONE)
			cut_line(b, i);
	}
}

/* Shapes and rows of a stage; the plane strides of what is between stages come later. */
static void stage_geometry(struct pat_builder *b, struct pat_task *t, const struct stage *s)
{
	const struct patcnn_operator *op = t->op;
	u64 unit_work;

	t->roll.stride = s->stride;
	t->roll.span = s->span;
	t->roll.pad_top = window_of(op)->pad_top;
	t->roll.in_h = s->in_h;
	t->roll.out_h = s->out_h;
	/* Behind every tile: the chain alone is found by a tile's number. */
	t->tile_first = PAT_NONE;
	if (op->kind == PATCNN_OP_CONV) {
		pat_conv_geometry(b, t, op);
		t->roll.row_work = s->macs / s->out_h;
		return;
	}
	t->window.in = pat_planes_of(b, b->prog->operands[op->operand_first]);
	t->window.out = pat_planes_of(b, op->output);
	unit_work = op->kind == PATCNN_OP_CONVERT ? pat_convert_geometry(b, t) :
		    pat_pool_geometry(t);
	t->chunk = PAT_CHUNK_MACS / (unit_work + 1) + 1;
	t->roll.row_work = unit_work * t->window.segments * t->window.out.c;
}

/* The output of @t becomes a buffer of @rows rows, which the next stage reads. */
static u64 set_buffer(struct pat_task *t, struct pat_task *next, u64 at, u32 rows)
{
	struct pat_planes *out = t->fn == PAT_FN_CONV ? &t->conv.conv.out : &t->window.out;
	struct pat_planes *in = next->fn == PAT_FN_CONV ? &next->conv.conv.in : &next->window.in;

	out->plane = (u64)rows * out->pitch;
	if (out->plane / 16 % 2 == 0)
		out->plane += 16;
	in->plane = out->plane;
	in->pitch = out->pitch;
	t->roll.buffer = at;
	t->roll.rows = rows;
	return pat_up(at + 4 * out->plane * out->c, PAT_ALIGN);
}

static u32 fn_of(u32 kind)
{
	return kind == PATCNN_OP_CONV ? PAT_FN_CONV :
	       kind == PATCNN_OP_CONVERT ? PAT_FN_CONVERT : PAT_FN_POOL;
}

/* @sub: rows of each stage's output that are made at a time. */
static int plan_stages(struct pat_builder *b, struct pat_task *head, const struct stage *s,
		       const u32 *sub)
{
	u64 at = PAT_CHAIN_STATE, scratch = 0;
	struct pat_task *t = head + 1;
	u32 count = head->chain.stages, k;
	struct pat_conv_info info;
	int err;

	for (k = 0; k < count; k++)
		stage_geometry(b, &t[k], &s[k]);
	for (k = 0; k + 1 < count; k++)
		at = set_buffer(&t[k], &t[k + 1], at, sub[k]);
	for (k = 0; k < count; k++) {
		u64 bytes;

		if (t[k].fn == PAT_FN_CONV) {
			t[k].conv.tune.band_rows = sub[k];
			t[k].conv.tune.any_row = 1;
			err = pat_conv_sizes(b, &t[k], &info);
			if (err)
				return err;
			bytes = info.scratch_bytes;
		} else {
			bytes = 4ULL * t[k].window.row_floats;
		}
		if (bytes > scratch)
			scratch = bytes;
	}
	head->chain.kernel_scratch = at;
	pat_task_scratch(b, at + scratch);
	return 0;
}

/* Rows made at a time as measured, unless they need more than was ever meant. */
static void tune_rows(const struct pat_builder *b, const struct stage *s, u32 count, u32 last,
		      struct fit *fit)
{
	const struct patcnn_tuning *tuning = pat_tuning_of(b, last);
	u32 height = (s[count - 1].out_h + fit->tiles - 1) / fit->tiles;

	if (tuning && tuning->fuse == count && tuning->band_rows &&
	    tuning->band_rows <= height && tuning->band_rows <= MAX_SUB_ROWS &&
	    in_use(s, count, tuning->band_rows) <= 2 * cache_bytes(b))
		fit->sub_rows = tuning->band_rows;
}

/* The chain whose last operator is @last, as one step. */
int pat_plan_chain(struct pat_builder *b, u32 last)
{
	const struct patcnn_operator *all = b->prog->operators;
	struct pat_step *step = &b->plan->steps[b->step];
	u32 ops[PAT_CHAIN_MAX], sub[PAT_CHAIN_MAX], count = 0, i, k;
	struct stage s[PAT_CHAIN_MAX];
	struct pat_task *head;
	struct fit fit = { 0 };
	u64 most = 0;

	for (i = last; i != PAT_NONE; i = b->plan->links[i].prev)
		count++;
	for (i = last, k = count; k--; i = b->plan->links[i].prev)
		ops[k] = i;
	for (k = 0; k < count; k++)
		stage_of(b, ops[k], &s[k]);
	chain_cost(b, s, count, &fit);
	tune_rows(b, s, count, last, &fit);
	rows_for(s, count, fit.sub_rows, sub);

	head = pat_task_new(b, PAT_FN_CHAIN, &all[last]);
	head->chain.stages = count;
	head->chain.sub_rows = fit.sub_rows;
	head->chain.band_rows = (s[count - 1].out_h + fit.tiles - 1) / fit.tiles;
	head->tiles = (s[count - 1].out_h + head->chain.band_rows - 1) / head->chain.band_rows;
	head->units = head->tiles;
	step->tiles = head->tiles;
	step->op_first = ops[0];
	step->op_count = count;
	step->macs_dense = 0;
	step->macs_kept = 0;
	for (k = 0; k < count; k++) {
		struct pat_task *t = pat_task_new(b, fn_of(all[ops[k]].kind), &all[ops[k]]);

		step->macs_dense += pat_operator_macs(b->prog, ops[k], true);
		step->macs_kept += pat_operator_macs(b->prog, ops[k], false);
		if (s[k].macs > most) {
			most = s[k].macs;
			/* The chain is known by its main operator. */
			head->op = t->op;
			step->kind = t->op->kind;
		}
		if (!k)
			pat_use(b, &t->in[0], b->prog->operands[t->op->operand_first], false);
		if (k + 1 == count)
			pat_use(b, &t->out, t->op->output, true);
	}
	return plan_stages(b, head, s, sub);
}
