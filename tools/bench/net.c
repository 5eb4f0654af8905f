// SPDX-License-Identifier: MIT
/* Layers of a compiled net: shapes, weights, and the plan's own steps to run them. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

static const struct patcnn_operator *operator_of(const struct net *n, u32 step)
{
	return n->file.prog.operators + n->plan->steps[step].op_first;
}

static float as_float(u32 bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static struct shape shape_of(const struct net *n, const struct patcnn_operator *op)
{
	const struct pat_program *p = &n->file.prog;
	const struct patcnn_tensor *in = p->tensors + p->operands[op->operand_first];
	const struct patcnn_tensor *out = p->tensors + op->output;
	const struct patcnn_window *w = &op->conv.window;
	struct shape s = {
		.ic = in->c, .ih = in->h, .iw = in->w, .oc = out->c, .oh = out->h, .ow = out->w,
		.kh = w->kernel_h, .kw = w->kernel_w, .sh = w->stride_h, .sw = w->stride_w,
		.dh = w->dilation_h, .dw = w->dilation_w,
		.pad_top = w->pad_top, .pad_left = w->pad_left,
		.pad_bottom = w->pad_bottom, .pad_right = w->pad_right,
		.groups = op->conv.groups, .act = op->activation.kind,
		.act_a = as_float(op->activation.a), .act_b = as_float(op->activation.b),
		.residual = op->operand_count > 1, .linear = op->kind == PATCNN_OP_LINEAR,
	};

	if (s.linear) {
		/* One row of features, wherever they lie. */
		s.ic = in->c * in->h * in->w;
		s.oc = out->c * out->h * out->w;
		s.ih = s.iw = s.oh = s.ow = s.groups = 1;
	}
	return s;
}

static float *decode_fkw(const struct pat_program *p, const struct patcnn_weights *w, const struct shape *s,
			 float *to)
{
	const u32 *offset = (const u32 *)(p->data + w->offset.offset);
	const u32 *index = (const u32 *)(p->data + w->index.offset);
	const u32 *reorder = (const u32 *)(p->data + w->reorder.offset);
	const u32 *stride = (const u32 *)(p->data + w->stride.offset);
	const float *v = (const float *)(p->data + w->values.offset);
	u32 slot, k, pattern, t, in = s->ic / s->groups;

	for (slot = 0; slot < s->oc; slot++) {
		const u32 *st = stride + (u64)slot * (w->pattern_count + 1);

		for (pattern = 0; pattern < w->pattern_count; pattern++) {
			const struct patcnn_pattern *pt = p->patterns + w->pattern_first + pattern;

			for (k = st[pattern]; k < st[pattern + 1]; k++)
				for (t = 0; t < pt->tap_count; t++) {
					const struct patcnn_tap *tap = p->taps + pt->tap_first + t;

					to[(((u64)reorder[slot] * in + index[offset[slot] + k]) * s->kh +
					    tap->row) * s->kw + tap->col] = *v++;
				}
		}
	}
	return to;
}

static float *decode_block(const struct pat_program *p, const struct patcnn_weights *w, const struct shape *s,
			   float *to)
{
	const u32 *offset = (const u32 *)(p->data + w->offset.offset);
	const u32 *index = (const u32 *)(p->data + w->index.offset);
	const float *v = (const float *)(p->data + w->values.offset);
	u32 in = s->ic / s->groups, kk = s->kh * s->kw, row, k, o, c;

	for (row = 0; row * w->block_out < s->oc; row++)
		for (k = offset[row]; k < offset[row + 1]; k++)
			for (o = row * w->block_out; o < (row + 1) * w->block_out; o++)
				for (c = index[k] / kk * w->block_in; c < (index[k] / kk + 1) * w->block_in; c++, v++)
					if (o < s->oc && c < in)
						to[((u64)o * in + c) * kk + index[k] % kk] = *v;
	return to;
}

float *net_weights(const struct net *n, const struct net_layer *l)
{
	const struct pat_program *p = &n->file.prog;
	const struct patcnn_weights *w = &operator_of(n, l->step)->conv.weights;
	const float *values = (const float *)(p->data + w->values.offset);
	const struct shape *s = &l->shape;
	u64 per_filter = shape_weights(s) / s->oc;
	float *to = memory(shape_weights(s) * sizeof(*to));
	u32 o, k;

	switch (w->storage) {
	case PATCNN_STORAGE_DENSE:
		memcpy(to, values, shape_weights(s) * sizeof(*to));
		break;
	case PATCNN_STORAGE_FKW:
		decode_fkw(p, w, s, to);
		break;
	case PATCNN_STORAGE_BLOCK:
		decode_block(p, w, s, to);
		break;
	case PATCNN_STORAGE_CSR:
		for (o = 0; o < s->oc; o++) {
			const u32 *offset = (const u32 *)(p->data + w->offset.offset);
			const u32 *index = (const u32 *)(p->data + w->index.offset);

			for (k = offset[o]; k < offset[o + 1]; k++)
				to[o * per_filter + index[k]] = values[k];
		}
		break;
	}
	return to;
}

static void find_layers(struct net *n)
{
	u32 i;
	u64 k;

	n->layers = calloc(n->plan->step_count, sizeof(*n->layers));
	for (i = 0; i < n->plan->step_count; i++) {
		const struct pat_step *step = &n->plan->steps[i];
		struct net_layer *l = &n->layers[n->layer_count];
		float *w;

		if (!step->op_count || (step->kind != PATCNN_OP_CONV && step->kind != PATCNN_OP_LINEAR))
			continue;
		l->step = i;
		l->shape = shape_of(n, operator_of(n, i));
		l->macs_dense = shape_weights(&l->shape) * l->shape.oh * l->shape.ow;
		l->name = n->file.prog.strings + operator_of(n, i)->name;
		l->algorithm = step->algorithm;
		w = net_weights(n, l);
		for (k = 0; k < shape_weights(&l->shape); k++)
			l->nonzero += w[k] != 0;
		free(w);
		l->macs = l->nonzero * l->shape.oh * l->shape.ow;
		n->layer_count++;
	}
}

bool net_open(struct net *n, const char *variant, const char *path, const struct pat_isa *isa, u32 threads)
{
	struct pat_plan_opts opts = {
		.isa = isa, .workers = threads, .flags = PAT_PLAN_NO_FUSE,
		.l1_bytes = (u32)sysconf(_SC_LEVEL1_DCACHE_SIZE),
		.l2_bytes = (u32)sysconf(_SC_LEVEL2_CACHE_SIZE),
	};
	struct pat_pack_cursor cursor = { 0 };
	struct pat_error err = { "" };
	u64 bytes = 0;
	u32 i;

	*n = (struct net){ .variant = variant, .threads = threads };
	if (!model_file_open(&n->file, path))
		return false;
	n->plan = memory(pat_plan_bytes(&n->file.prog));
	if (pat_plan_build(n->plan, &n->file.prog, &opts, &err)) {
		fprintf(stderr, "%s: %s\n", path, err.text);
		return false;
	}
	n->packed = memory(n->plan->packed_bytes);
	n->arena = memory(n->plan->arena_bytes);
	while (!pat_plan_pack(n->plan, n->packed, &cursor))
		;
	for (i = 0; i < n->file.prog.io_count; i++)
		bytes += (pat_tensor_bytes(model_file_io(&n->file, i)) + 63) & ~63ULL;
	n->io_memory = memory(bytes);
	bytes = 0;
	for (i = 0; i < n->file.prog.io_count; i++) {
		n->io[i] = (char *)n->io_memory + bytes;
		bytes += (pat_tensor_bytes(model_file_io(&n->file, i)) + 63) & ~63ULL;
	}
	n->scratch = calloc(threads, sizeof(*n->scratch));
	for (i = 0; i < threads; i++)
		n->scratch[i] = memory(n->plan->scratch_bytes);
	find_layers(n);
	return true;
}

void net_fill(struct net *n)
{
	u32 i;

	fill_floats(n->arena, n->plan->arena_bytes / sizeof(float), 1);
	for (i = 0; i < n->file.prog.io_count; i++)
		fill_floats(n->io[i], pat_tensor_bytes(model_file_io(&n->file, i)) / sizeof(float), 2);
}

void net_close(struct net *n)
{
	u32 i;

	for (i = 0; i < n->threads; i++)
		free(n->scratch[i]);
	free(n->scratch);
	free(n->layers);
	free(n->io_memory);
	free(n->arena);
	free(n->packed);
	free(n->plan);
	model_file_close(&n->file);
}

struct step_run {
	struct net *net;
	u32 step, reps;
	_Alignas(64) atomic_uint next;
};

static void run_tiles(void *arg, u32 index)
{
	struct step_run *r = arg;
	struct pat_run run = { .plan = r->net->plan, .arena = r->net->arena, .io = r->net->io };
	u32 tiles = r->net->plan->steps[r->step].tiles, rep, tile;

	for (rep = 0; rep < r->reps; rep++) {
		while ((tile = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed)) < tiles) {
			struct pat_cursor cursor = { 0 };

			while (!pat_exec(&run, r->step, tile, &cursor, r->net->scratch[index]))
				;
		}
		pool_barrier();
		if (!index)
			atomic_store(&r->next, 0);
		pool_barrier();
	}
}

void net_run_step(struct net *n, u32 step, u32 reps)
{
	struct step_run r = { .net = n, .step = step, .reps = reps };

	pool_run(run_tiles, &r);
}
