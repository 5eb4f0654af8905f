// SPDX-License-Identifier: MIT
/* patcnn info on a program: its tensors and layers, and the plan for a CPU. */

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "host.h"
#include "info.h"

/* What the weights of one operator take in memory, held in one way or another. */
struct storage {
	uint64_t weights;	/* zeros included */
	uint64_t kept;
	uint64_t dense_bytes;
	uint64_t csr_bytes;
	uint64_t stored_bytes;	/* as the program has them: bias excluded */
};

static const char *storage_name(uint16_t storage)
{
	static const char *const names[] = { "dense", "fkw", "csr", "block", "n:m" };

	return storage < ARRAY_SIZE(names) ? names[storage] : "?";
}

static bool has_weights(const struct patcnn_operator *op)
{
	return op->kind == PATCNN_OP_CONV || op->kind == PATCNN_OP_CONV_TRANSPOSE ||
	       op->kind == PATCNN_OP_LINEAR;
}

static uint64_t elements(const struct patcnn_tensor *t)
{
	return (uint64_t)t->c * t->h * t->w;
}

static struct storage storage_of(const struct pat_program *prog, const struct patcnn_operator *op)
{
	const struct patcnn_conv_params *conv = &op->conv;
	const struct patcnn_weights *w = &conv->weights;
	const struct patcnn_tensor *in = &prog->tensors[prog->operands[op->operand_first]];
	const struct patcnn_tensor *out = &prog->tensors[op->output];
	bool linear = op->kind == PATCNN_OP_LINEAR;
	uint64_t filters = linear ? out->shape[out->rank - 1] : out->c;
	uint64_t rows = elements(out) / filters;	/* of a linear operator */
	uint64_t inputs = linear ? elements(in) / rows : in->c / conv->groups;
	const float *values = (const float *)(prog->data + w->values.offset);
	struct storage s = { 0 };
	uint64_t i;

	s.weights = filters * inputs * conv->window.kernel_h * conv->window.kernel_w;
	for (i = 0; i < w->values.count; i++)
		s.kept += values[i] != 0;
	s.dense_bytes = s.weights * sizeof(float);
	s.csr_bytes = s.kept * (sizeof(float) + sizeof(u32)) + (filters + 1) * sizeof(u32);
	s.stored_bytes = (w->values.count + w->offset.count + w->index.count + w->reorder.count +
			  w->stride.count) * sizeof(u32);
	return s;
}

static void print_tensors(const struct model_file *file)
{
	static const char *const types[] = { "?", "f32", "u8", "s8", "f16", "s32", "s64" };
	uint32_t i;

	for (i = 0; i < file->prog.io_count; i++) {
		const struct patcnn_tensor *t = model_file_io(file, i);
		char shape[80];

		tensor_shape(t, shape, sizeof(shape));
		printf("  %-6s  %-24s %-4s %-18s %s%s\n",
		       t->role == PATCNN_ROLE_INPUT ? "input" : "output",
		       tensor_name(&file->prog, t), t->dtype < ARRAY_SIZE(types) ? types[t->dtype] : "?",
		       shape, show_bytes(pat_tensor_bytes(t)),
		       t->layout == PATCNN_LAYOUT_HWC ? ", channels last" : "");
	}
}

/* The step of the plan that runs operator @op: of fused operators the fusion group. */
static uint32_t step_of(const struct pat_plan *plan, uint32_t op)
{
	struct pat_choice choice;

	return pat_plan_choice(plan, op, &choice) ? choice.step : UINT32_MAX;
}

/* Choices that came with the program for @isa, PAT_ISA_COUNT: for any. */
static uint32_t tuned_count(const struct pat_program *prog, uint32_t isa)
{
	uint32_t i, n = 0;

	for (i = 0; i < prog->tuning_count; i++)
		n += isa == PAT_ISA_COUNT || prog->tuning[i].isa == isa;
	return n;
}

static uint32_t isa_id(const struct pat_isa *isa)
{
	uint32_t id;

	for (id = 0; id < PAT_ISA_COUNT && pat_isa_get((enum pat_isa_id)id) != isa; id++)
		;
	return id;
}

static void print_layer(const struct pat_program *prog, const struct pat_plan *plan, uint32_t i)
{
	const struct patcnn_operator *op = &prog->operators[i];
	uint64_t dense = pat_operator_macs(prog, i, true), kept = pat_operator_macs(prog, i, false);
	uint32_t step = step_of(plan, i);
	const char *name = prog->strings + op->name;
	char shape[80], group[16] = "";
	size_t length = strlen(name);
	struct storage s;

	tensor_shape(&prog->tensors[op->output], shape, sizeof(shape));
	if (step != UINT32_MAX)
		snprintf(group, sizeof(group), "%u", step);
	/* The end of a long name says more than its start. */
	printf("%4u %s%-*s %-12.12s %-14s %4s ", i, length > 22 ? "…" : "", length > 22 ? 21 : 22,
	       length > 22 ? name + length - 21 : name, operator_kind_name(op->kind), shape, group);
	if (!dense) {
		printf("%8s %8s %6s\n", "", "", "");
		return;
	}
	printf("%8s %8s %5.1f%% ", show_count(dense), show_count(kept),
	       100.0 * (double)kept / (double)dense);
	if (has_weights(op)) {
		s = storage_of(prog, op);
		printf("%9s %9s %9s %-5s ", show_bytes(s.dense_bytes), show_bytes(s.csr_bytes),
		       show_bytes(s.stored_bytes), storage_name(op->conv.weights.storage));
	} else {
		printf("%9s %9s %9s %-5s ", "", "", "", "");
	}
	/* A fused step's algorithm stands once, at its first operator. */
	printf("%s\n", step != UINT32_MAX && plan->steps[step].op_first == i ?
	       plan->steps[step].algorithm : "");
}

static void print_text(const struct model_file *file, const struct pat_plan *plan,
		       const struct pat_isa *isa, uint32_t workers)
{
	const struct pat_program *prog = &file->prog;
	struct storage s, sum = { 0 };
	uint32_t i;

	printf("%s: program version %u.%u, %s", file->path, prog->header->version_major,
	       prog->header->version_minor, show_bytes(file->size));
	if (file->name)
		printf(", \"%s\"", file->name);
	putchar('\n');
	print_tensors(file);
	if (file->label_count) {
		printf("  labels ");
		for (i = 0; i < file->label_count && i < 12; i++)
			printf(" %s", file->labels[i]);
		printf(file->label_count > 12 ? " … (%u)\n" : "\n", file->label_count);
	}
	for (i = 0; i < prog->operator_count; i++) {
		if (!has_weights(&prog->operators[i]))
			continue;
		s = storage_of(prog, &prog->operators[i]);
		sum.weights += s.weights;
		sum.kept += s.kept;
		sum.dense_bytes += s.dense_bytes;
		sum.csr_bytes += s.csr_bytes;
		sum.stored_bytes += s.stored_bytes;
	}

	printf("\n%4s %-22s %-12s %-14s %4s %8s %8s %6s %9s %9s %9s %-5s %s\n", "", "operator", "kind",
	       "output", "step", "MACs", "kept", "", "dense", "CSR", "stored", "as", "algorithm");
	for (i = 0; i < prog->operator_count; i++)
		print_layer(prog, plan, i);
	printf("\nMACs %s, kept %s (%.2f times fewer); weights %s, kept %s (%.2f times fewer)\n",
	       show_count(prog->macs_dense), show_count(prog->macs_kept),
	       prog->macs_kept ? (double)prog->macs_dense / (double)prog->macs_kept : 1,
	       show_count(sum.weights), show_count(sum.kept),
	       sum.kept ? (double)sum.weights / (double)sum.kept : 1);
	printf("weights in memory: dense %s, CSR %s, stored %s\n", show_bytes(sum.dense_bytes),
	       show_bytes(sum.csr_bytes), show_bytes(sum.stored_bytes));
	printf("plan for %s, %u workers: %u steps; peak activations %s, scratch %s a worker, packed weights %s\n",
	       pat_isa_name(isa), workers, plan->step_count, show_bytes(plan->arena_bytes),
	       show_bytes(plan->scratch_bytes), show_bytes(plan->packed_bytes));
	if (prog->tuning_count)
		printf("tuned: %u of %u choices are for %s\n", tuned_count(prog, isa_id(isa)),
		       tuned_count(prog, PAT_ISA_COUNT), pat_isa_name(isa));
}

static cJSON *json_layer(const struct pat_program *prog, const struct pat_plan *plan, uint32_t i)
{
	const struct patcnn_operator *op = &prog->operators[i];
	uint32_t step = step_of(plan, i);
	cJSON *o = cJSON_CreateObject();
	struct storage s;
	char shape[80];

	tensor_shape(&prog->tensors[op->output], shape, sizeof(shape));
	cJSON_AddStringToObject(o, "operator", prog->strings + op->name);
	cJSON_AddStringToObject(o, "kind", operator_kind_name(op->kind));
	cJSON_AddStringToObject(o, "output", shape);
	cJSON_AddNumberToObject(o, "macs_dense", (double)pat_operator_macs(prog, i, true));
	cJSON_AddNumberToObject(o, "macs_kept", (double)pat_operator_macs(prog, i, false));
	if (step != UINT32_MAX) {
		cJSON_AddNumberToObject(o, "step", step);
		cJSON_AddStringToObject(o, "algorithm", plan->steps[step].algorithm);
	}
	if (has_weights(op)) {
		s = storage_of(prog, op);
		cJSON_AddStringToObject(o, "storage", storage_name(op->conv.weights.storage));
		cJSON_AddNumberToObject(o, "weights", (double)s.weights);
		cJSON_AddNumberToObject(o, "weights_kept", (double)s.kept);
		cJSON_AddNumberToObject(o, "bytes_dense", (double)s.dense_bytes);
		cJSON_AddNumberToObject(o, "bytes_csr", (double)s.csr_bytes);
		cJSON_AddNumberToObject(o, "bytes_stored", (double)s.stored_bytes);
	}
	return o;
}

static cJSON *json_program(const struct model_file *file, const struct pat_plan *plan,
			   const struct pat_isa *isa, uint32_t workers)
{
	const struct pat_program *prog = &file->prog;
	cJSON *o = cJSON_CreateObject(), *list, *t;
	char shape[80];
	uint32_t i;

	cJSON_AddStringToObject(o, "program", file->path);
	cJSON_AddNumberToObject(o, "bytes", (double)file->size);
	cJSON_AddNumberToObject(o, "macs_dense", (double)prog->macs_dense);
	cJSON_AddNumberToObject(o, "macs_kept", (double)prog->macs_kept);
	list = cJSON_AddArrayToObject(o, "tensors");
	for (i = 0; i < prog->io_count; i++) {
		const struct patcnn_tensor *io = model_file_io(file, i);

		tensor_shape(io, shape, sizeof(shape));
		t = cJSON_CreateObject();
		cJSON_AddStringToObject(t, "name", tensor_name(prog, io));
		cJSON_AddStringToObject(t, "role", io->role == PATCNN_ROLE_INPUT ? "input" : "output");
		cJSON_AddStringToObject(t, "shape", shape);
		cJSON_AddNumberToObject(t, "bytes", (double)pat_tensor_bytes(io));
		cJSON_AddItemToArray(list, t);
	}
	list = cJSON_AddArrayToObject(o, "operators");
	for (i = 0; i < prog->operator_count; i++)
		cJSON_AddItemToArray(list, json_layer(prog, plan, i));
	t = cJSON_AddObjectToObject(o, "plan");
	cJSON_AddStringToObject(t, "isa", pat_isa_name(isa));
	cJSON_AddNumberToObject(t, "workers", workers);
	cJSON_AddNumberToObject(t, "tuned", tuned_count(prog, isa_id(isa)));
	cJSON_AddNumberToObject(t, "steps", plan->step_count);
	cJSON_AddNumberToObject(t, "arena_bytes", (double)plan->arena_bytes);
	cJSON_AddNumberToObject(t, "scratch_bytes", (double)plan->scratch_bytes);
	cJSON_AddNumberToObject(t, "packed_bytes", (double)plan->packed_bytes);
	return o;
}

int info_program(const char *path, const struct info_opts *opts)
{
	struct host_opts host_opts = {
		.isa = host_isa(opts->isa),
		.threads = opts->threads ? opts->threads : host_threads(),
		.plan_flags = opts->no_fuse ? PAT_PLAN_NO_FUSE : 0,
	};
	struct model_file file;
	struct host *host;
	bool opened;

	if (!host_opts.isa)
		return STATUS_USAGE;
	if (!model_file_open(&file, path))
		return STATUS_FAILED;
	/* Not the plan alone: packing decides the last of the algorithms. */
	host = host_open(path, &file.prog, &host_opts);
	if (host && opts->json)
		print_json(json_program(&file, host_get_plan(host), host_opts.isa,
					host_opts.threads));
	else if (host)
		print_text(&file, host_get_plan(host), host_opts.isa, host_opts.threads);
	opened = host;
	host_close(host);
	model_file_close(&file);
	return opened ? STATUS_OK : STATUS_FAILED;
}
