// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: The plan
 *
 * Turns the operators of a program into steps of tasks. No float is touched and
 * nothing is allocated: all of a plan lies in the block that the caller brought,
 * sized by the counts of the program alone.
 *
 * plan_layout.c  how tensors lie in memory, which are parts of others
 * plan_window.c  tasks of convolutions, pooling and other operators on planes
 * plan_nd.c      tasks of elementwise operators and of those that move data
 * plan_reduce.c  tasks of reductions, softmax and norms
 * plan_chain.c   operators that run depth-first together
 * plan_tune.c    choices that were measured and come with the program
 * plan_memory.c  arena addresses by lifetime
 */
#include "plan.h"

/* An operator is at most a step of its own and an activation behind it; so are copies. */
static u64 max_steps(const struct pat_program *prog)
{
	return 2ULL * prog->operator_count + prog->io_count;
}

static u64 max_tasks(const struct pat_program *prog)
{
	/* A chain has a task besides those of its operators, which are two at least. */
	u64 n = max_steps(prog) + prog->operator_count / 2;
	u32 i;

	for (i = 0; i < prog->operator_count; i++)
		if (prog->operators[i].kind == PATCNN_OP_CONCAT)
			n += prog->operators[i].operand_count;
	return n;
}

u64 pat_plan_bytes(const struct pat_program *prog)
{
	return pat_up(sizeof(struct pat_plan_full), PAT_ALIGN) +
	       pat_up(prog->tensor_count * sizeof(struct pat_map), PAT_ALIGN) +
	       pat_up(max_steps(prog) * sizeof(struct pat_step), PAT_ALIGN) +
	       pat_up(max_steps(prog) * sizeof(struct pat_step_tasks), PAT_ALIGN) +
	       pat_up(max_tasks(prog) * sizeof(struct pat_task), PAT_ALIGN) +
	       pat_up(prog->operator_count * sizeof(struct pat_link), PAT_ALIGN);
}

static void *take(u8 **p, u64 bytes)
{
	void *mem = *p;

	*p += pat_up(bytes, PAT_ALIGN);
	return mem;
}

const struct pat_map *pat_map_of(const struct pat_builder *b, u32 tensor)
{
	return &b->plan->maps[tensor];
}

struct pat_planes pat_planes_of(const struct pat_builder *b, u32 tensor)
{
	const struct patcnn_tensor *t = &b->prog->tensors[tensor];
	const struct pat_map *m = pat_map_of(b, tensor);

	return (struct pat_planes){ m->plane, m->pitch, t->c, t->h, t->w };
}

/* @tensor is read or written by the step being built: its memory must last that long. */
void pat_use(struct pat_builder *b, struct pat_ref *ref, u32 tensor, bool write)
{
	struct pat_map *m = &b->plan->maps[tensor];

	ref->tensor = tensor;
	ref->used = 1;
	for (;; m = &b->plan->maps[m->parent]) {
		if (write && (m->first == PAT_NONE || b->step < m->first))
			m->first = b->step;
		if (m->last == PAT_NONE || b->step > m->last)
			m->last = b->step;
		if (m->parent == PAT_NONE)
			break;
	}
}

struct pat_task *pat_task_new(struct pat_builder *b, u32 fn, const struct patcnn_operator *op)
{
	struct pat_plan_full *plan = b->plan;
	struct pat_task *t = &plan->tasks[plan->task_count++];

	t->fn = fn;
	t->op = op;
	if (op)
		t->act = op->activation;
	plan->step_tasks[b->step].count++;
	return t;
}

/* Even shares for the workers, some more than they are so that none waits long for the last. */
void pat_task_split(struct pat_builder *b, struct pat_task *t, u64 units, u64 unit_work)
{
	struct pat_step *step = &b->plan->steps[b->step];
	u64 tiles = pat_mul(units, unit_work) / PAT_TILE_WORK;

	if (tiles > 8ULL * b->plan->opts.workers)
		tiles = 8ULL * b->plan->opts.workers;
	if (tiles > units)
		tiles = units;
	t->units = units;
	t->chunk = unit_work < PAT_CHUNK_MACS ? PAT_CHUNK_MACS / (unit_work + 1) + 1 : 1;
	t->tile_first = step->tiles;
	t->tiles = tiles ? tiles : 1;
	step->tiles += t->tiles;
}

void pat_task_scratch(struct pat_builder *b, u64 bytes)
{
	bytes = pat_up(bytes, PAT_ALIGN);
	if (bytes > b->plan->pub.scratch_bytes)
		b->plan->pub.scratch_bytes = bytes;
}

static void name_step(struct pat_step *step, const char *name)
{
	u32 i;

	for (i = 0; name[i] && i + 1 < sizeof(step->algorithm); i++)
		step->algorithm[i] = name[i];
}

static void step_open(struct pat_builder *b, u32 op, u32 count)
{
	struct pat_step *step = &b->plan->steps[b->step];

	step->op_first = op;
	step->op_count = count;
	step->kind = count ? b->prog->operators[op].kind : PATCNN_OP_CONVERT;
	if (count) {
		step->macs_dense = pat_operator_macs(b->prog, op, true);
		step->macs_kept = pat_operator_macs(b->prog, op, false);
	}
	b->plan->step_tasks[b->step].first = b->plan->task_count;
}

/* A step without a task, because views do its work, is not kept. */
static void step_close(struct pat_builder *b)
{
	struct pat_step *step = &b->plan->steps[b->step];

	if (!b->plan->step_tasks[b->step].count) {
		__builtin_memset(step, 0, sizeof(*step));
		return;
	}
	if (!step->algorithm[0])
		name_step(step, step->op_count ? pat_kind_name(step->kind) : "copy");
	b->step++;
}

static int plan_operator(struct pat_builder *b, const struct patcnn_operator *op)
{
	switch (op->kind) {
	case PATCNN_OP_CONV:
		return pat_plan_conv(b, op);
	case PATCNN_OP_LINEAR:
		return pat_plan_linear(b, op);
	case PATCNN_OP_MATMUL:
		return pat_plan_matmul(b, op);
	case PATCNN_OP_CONVERT:
	case PATCNN_OP_CONV_TRANSPOSE:
	case PATCNN_OP_MAX_POOL:
	case PATCNN_OP_AVG_POOL:
	case PATCNN_OP_RESIZE:
		return pat_plan_planes(b, op);
	case PATCNN_OP_CONCAT:
		return pat_plan_concat(b, op);
	case PATCNN_OP_SLICE:
		return pat_plan_slice(b, op);
	case PATCNN_OP_PERMUTE:
		return pat_plan_permute(b, op);
	case PATCNN_OP_RESHAPE:
		return pat_plan_reshape(b, op);
	case PATCNN_OP_PAD:
		return pat_plan_pad(b, op);
	case PATCNN_OP_SOFTMAX:
		return pat_plan_softmax(b, op);
	case PATCNN_OP_REDUCE:
		return pat_plan_reduce(b, op);
	case PATCNN_OP_LAYER_NORM:
	case PATCNN_OP_INSTANCE_NORM:
		return pat_plan_norm(b, op);
	default:
		return pat_plan_map(b, op);
	}
}

/* Kernels that do not know an activation leave it to a step behind theirs. */
static bool activation_apart(const struct pat_builder *b, const struct patcnn_operator *op)
{
	return (op->kind == PATCNN_OP_CONV ||
		(op->kind == PATCNN_OP_LINEAR && !pat_linear_rows(b->prog, op))) &&
	       !pat_conv_act(op->activation.kind);
}

static int plan_activation(struct pat_builder *b, const struct patcnn_operator *op, u32 index)
{
	int err;

	step_open(b, index, 1);
	b->plan->steps[b->step].macs_dense = 0;
	b->plan->steps[b->step].macs_kept = 0;
	name_step(&b->plan->steps[b->step], "activation");
	err = pat_plan_copy(b, op->output);
	b->plan->tasks[b->plan->task_count - 1].act = op->activation;
	step_close(b);
	return err;
}

static int plan_steps(struct pat_builder *b)
{
	const struct pat_program *prog = b->prog;
	u32 i;
	int err = 0;

	for (i = 0; !err && i < prog->operator_count; i++) {
		const struct patcnn_operator *op = &prog->operators[i];

		b->ck.op = op;
		b->ck.op_index = i;
		/* A chain runs where its last operator stands. */
		if (b->plan->links[i].inside)
			continue;
		if (!pat_is_view(b, op)) {
			step_open(b, i, 1);
			err = b->plan->links[i].prev == PAT_NONE ? plan_operator(b, op) :
			      pat_plan_chain(b, i);
			step_close(b);
			if (!err && activation_apart(b, op))
				err = plan_activation(b, op, i);
		}
		if (!err && b->plan->maps[op->output].copy_out) {
			step_open(b, i, 0);
			err = pat_plan_copy(b, op->output);
			step_close(b);
		}
	}
	return err;
}

static int build(void *mem, const struct pat_program *prog, const struct pat_plan_opts *opts,
		 bool tuned, struct pat_error *err)
{
	struct pat_plan_full *plan;
	struct pat_builder b = { .prog = prog, .tuned = tuned };
	u8 *p = mem;
	int ret;

	plan = take(&p, sizeof(*plan));
	plan->maps = take(&p, prog->tensor_count * sizeof(*plan->maps));
	plan->step_max = max_steps(prog);
	plan->steps = take(&p, plan->step_max * sizeof(*plan->steps));
	plan->step_tasks = take(&p, plan->step_max * sizeof(*plan->step_tasks));
	plan->task_max = max_tasks(prog);
	plan->tasks = take(&p, plan->task_max * sizeof(*plan->tasks));
	plan->links = take(&p, prog->operator_count * sizeof(*plan->links));
	plan->opts = *opts;
	if (!plan->opts.workers)
		plan->opts.workers = 1;
	plan->conv_isa = pat_conv_isa_get(opts->isa->id);
	plan->pub.program = prog;
	plan->pub.steps = plan->steps;

	b.plan = plan;
	b.ck.prog = (struct pat_program *)prog;
	b.ck.err = err;
	err->text[0] = 0;
	pat_layout(&b);
	pat_chains(&b);
	ret = plan_steps(&b);
	plan->pub.step_count = b.step;
	b.ck.op = NULL;
	return ret ? ret : pat_place(&b);
}

int pat_plan_build(void *mem, const struct pat_program *prog,
		   const struct pat_plan_opts *opts, struct pat_error *err)
{
	int ret = build(mem, prog, opts, prog->tuning_count, err);

	if (!ret || !prog->tuning_count)
		return ret;
	/* A limit may be exceeded by a hint alone, and then it is not followed. */
	__builtin_memset(mem, 0, pat_plan_bytes(prog));
	return build(mem, prog, opts, false, err);
}
