// SPDX-License-Identifier: MIT
/* The compute core in this process as an engine. */

#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "host.h"
#include "util.h"

struct host_engine {
	struct engine base;
	struct host *host;
	struct host_times times;
	void *memory;		/* of all inputs and outputs */
	bool profile;
};

/* Jobs run where they are waited for: there is nobody else who could. */
static int host_submit(struct engine *e, uint32_t slot)
{
	(void)e;
	(void)slot;
	return 0;
}

static int host_wait(struct engine *e, uint32_t slot, uint64_t *ns)
{
	struct host_engine *h = (struct host_engine *)e;
	uint64_t start = now_ns();

	(void)slot;
	host_run(h->host, e->io, h->profile ? &h->times : NULL);
	*ns = now_ns() - start;
	e->profile = (struct engine_profile){
		.queued_ns = start,
		.start_ns = h->times.start_ns,
		.end_ns = h->times.end_ns,
		.wall_ns = h->times.wall_ns,
		.busy_ns = h->times.busy_ns,
	};
	return 0;
}

static void *host_slot_io(struct engine *e, uint32_t slot, uint32_t io)
{
	(void)slot;
	return e->io[io];
}

static void host_engine_close(struct engine *e)
{
	struct host_engine *h = (struct host_engine *)e;

	host_close(h->host);
	free(h->times.wall_ns);
	free(h->times.busy_ns);
	free(h->memory);
	free(e->steps);
	free(h);
}

static const struct engine_ops host_ops = {
	.submit = host_submit,
	.wait = host_wait,
	.slot_io = host_slot_io,
	.close = host_engine_close,
};

static uint64_t aligned(uint64_t bytes)
{
	return (bytes + PAT_ALIGN - 1) & ~(uint64_t)(PAT_ALIGN - 1);
}

static bool alloc_io(struct host_engine *h)
{
	const struct model_file *file = h->base.file;
	uint64_t bytes = PAT_ALIGN, at = 0;
	uint32_t i;

	for (i = 0; i < file->prog.io_count; i++)
		bytes += aligned(pat_tensor_bytes(model_file_io(file, i)));
	h->memory = aligned_alloc(PAT_ALIGN, bytes);
	if (!h->memory) {
		complain("%s: no memory for inputs and outputs (%s)", file->path, show_bytes(bytes));
		return false;
	}
	memset(h->memory, 0, bytes);
	for (i = 0; i < file->prog.io_count; i++) {
		h->base.io[i] = (char *)h->memory + at;
		at += aligned(pat_tensor_bytes(model_file_io(file, i)));
	}
	return true;
}

static void describe_steps(struct host_engine *h)
{
	const struct pat_plan *plan = host_get_plan(h->host);
	const struct pat_program *prog = &h->base.file->prog;
	uint32_t i;

	h->base.step_count = plan->step_count;
	h->base.steps = xcalloc(plan->step_count, sizeof(*h->base.steps));
	for (i = 0; i < plan->step_count; i++) {
		const struct pat_step *from = &plan->steps[i];
		struct engine_step *s = &h->base.steps[i];

		s->op_first = from->op_first;
		s->op_count = from->op_count;
		s->tiles = from->tiles;
		s->macs_dense = from->macs_dense;
		s->macs_kept = from->macs_kept;
		s->kind = from->op_count ? operator_kind_name(from->kind) : "copy";
		memcpy(s->algorithm, from->algorithm, sizeof(s->algorithm));
		if (from->op_count)
			snprintf(s->name, sizeof(s->name), "%s",
				 prog->strings + prog->operators[from->op_first].name);
	}
}

struct engine *engine_host_open(const struct model_file *file, const struct engine_opts *opts)
{
	struct host_opts host_opts = {
		.isa = host_isa(opts->isa),
		.threads = opts->threads ? opts->threads : host_threads(),
		.plan_flags = opts->no_fuse ? PAT_PLAN_NO_FUSE : 0,
		.have_cpus = opts->have_cpus,
		.cpu_time = opts->cpu_time,
	};
	const struct pat_plan *plan;
	struct host_engine *h;

	if (!host_opts.isa)
		return NULL;
	memcpy(host_opts.cpus, opts->cpus, sizeof(host_opts.cpus));
	h = xcalloc(1, sizeof(*h));
	h->base.file = file;
	h->base.ops = &host_ops;
	h->base.depth = 1;
	h->base.workers = host_opts.threads;
	h->profile = opts->profile;
	snprintf(h->base.where, sizeof(h->base.where), "host");
	snprintf(h->base.isa, sizeof(h->base.isa), "%s", pat_isa_name(host_opts.isa));
	h->host = host_open(file->path, &file->prog, &host_opts);
	if (!h->host || !alloc_io(h)) {
		host_engine_close(&h->base);
		return NULL;
	}
	plan = host_get_plan(h->host);
	h->base.prepared_bytes = pat_plan_bytes(&file->prog) + plan->packed_bytes;
	h->base.arena_bytes = plan->arena_bytes;
	h->base.scratch_bytes = plan->scratch_bytes;
	describe_steps(h);
	h->times.wall_ns = xcalloc(plan->step_count, sizeof(uint64_t));
	h->times.busy_ns = xcalloc((size_t)plan->step_count * host_opts.threads, sizeof(uint64_t));
	return &h->base;
}
