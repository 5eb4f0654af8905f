// SPDX-License-Identifier: MIT
/*
 * Which choices there are. The planner is asked, not the kernels: a value is a choice for
 * an operator if the plan becomes another one with it, so that what is added to the
 * kernels is found here without being named. See tune.h.
 */

#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

/* The plan with @entries, of which those of op TUNE_NONE are left out. */
static struct pat_plan *plan_with(struct tuner *t, struct pat_program *prog,
				  const struct patcnn_tuning *entries)
{
	struct patcnn_tuning *used = xcalloc(t->count, sizeof(*used));
	struct pat_plan *plan;
	uint32_t i, n = 0;

	for (i = 0; i < t->count; i++)
		if (entries[i].op != TUNE_NONE)
			used[n++] = entries[i];
	*prog = t->file.prog;
	prog->tuning = used;
	prog->tuning_count = n;
	plan = host_plan(t->file.path, prog, &t->host);
	/* A plan refers to its program, but no longer to the choices. */
	prog->tuning_count = 0;
	free(used);
	return plan;
}

static bool same(const struct pat_choice *a, const struct pat_choice *b)
{
	return a->algo == b->algo && a->band_rows == b->band_rows &&
	       a->row_step == b->row_step && a->packed_bytes == b->packed_bytes &&
	       a->scratch_bytes == b->scratch_bytes;
}

static uint32_t writer_of(const struct pat_program *prog, uint32_t op)
{
	uint32_t tensor = prog->operands[prog->operators[op].operand_first], i;

	for (i = 0; i < op; i++)
		if (prog->operators[i].output == tensor)
			return i;
	return TUNE_NONE;
}

/* Two operators can be a chain if the planner makes one of them when told to. */
static bool find_lines(struct tuner *t)
{
	struct patcnn_tuning *entries = xcalloc(t->count, sizeof(*entries));
	struct pat_program prog;
	struct pat_choice c;
	uint32_t i;
	bool ok = true;

	for (i = 0; i < t->count; i++)
		entries[i].op = TUNE_NONE;
	for (i = 0; i < t->count; i++)
		t->layers[i].next = TUNE_NONE;
	for (i = 0; ok && i < t->count; i++) {
		struct tune_layer *l = &t->layers[i];
		struct pat_plan *plan;

		l->prev = writer_of(&t->file.prog, i);
		if (l->prev == TUNE_NONE)
			continue;
		entries[i] = (struct patcnn_tuning){ .op = i, .isa = t->isa, .fuse = 2 };
		plan = plan_with(t, &prog, entries);
		entries[i].op = TUNE_NONE;
		ok = plan;
		if (ok && pat_plan_choice(plan, i, &c) && c.stages == 2) {
			t->layers[l->prev].next = i;
			l->depth = t->layers[l->prev].depth + 1;
		} else {
			l->prev = TUNE_NONE;
		}
		free(plan);
	}
	free(entries);
	return ok;
}

uint32_t tune_chain_first(const struct tuner *t, uint32_t op, uint32_t length)
{
	while (--length && op != TUNE_NONE)
		op = t->layers[op].prev;
	return op;
}

static void mix(uint64_t *h, uint64_t v)
{
	*h = (*h ^ v) * 0x100000001b3ULL;
	*h ^= *h >> 29;
}

/* What decides how long an operator takes: its shape and storage, not its weights. */
static uint64_t geometry(const struct pat_program *prog, uint32_t op)
{
	const struct patcnn_operator *o = &prog->operators[op];
	const struct patcnn_window *w = &o->conv.window;
	uint64_t h = 0xcbf29ce484222325ULL;
	uint32_t i;

	mix(&h, o->kind);
	mix(&h, o->activation.kind);
	for (i = 0; i <= o->operand_count; i++) {
		const struct patcnn_tensor *x = &prog->tensors[i < o->operand_count ?
			prog->operands[o->operand_first + i] : o->output];

		mix(&h, x->c);
		mix(&h, x->h);
		mix(&h, x->w);
	}
	mix(&h, pat_operator_macs(prog, op, false));
	if (o->kind != PATCNN_OP_CONV && o->kind != PATCNN_OP_LINEAR)
		return h;
	mix(&h, (uint64_t)w->stride_h << 48 | w->stride_w << 16 | w->dilation_h);
	mix(&h, (uint64_t)w->kernel_h << 48 | (uint64_t)w->kernel_w << 32 | w->pad_top << 16 |
		w->pad_left);
	mix(&h, o->conv.groups);
	mix(&h, o->conv.weights.storage);
	mix(&h, o->conv.weights.index.count);
	mix(&h, o->conv.weights.pattern_count);
	mix(&h, o->conv.weights.block_out << 16 | o->conv.weights.block_in);
	return h;
}

/*
 * Values of @kind that are tried, 0 at the end. They are more than kernels know now: what
 * these do not know makes no other plan. Tiles: rows in the lower byte, then vectors or
 * strips; few of each first, as not all may have their time.
 */
static const uint16_t algorithms[] = {
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0
};
static const uint16_t tiles[] = {
	0x0108, 0x0107, 0x0204, 0x0404, 0x0207, 0x0802, 0x0104, 0x0106,
	0x0407, 0x1001, 0x010e, 0x0403, 0x0206, 0x0402, 0x0205, 0x0304,
	0x010a, 0x010c, 0x0203, 0x0208, 0x0105, 0x0109, 0x0804, 0x0801,
	0x0202, 0x0303, 0x0602, 0x0803, 0x0307, 0x0405, 0x0103, 0x0102,
	0x0406, 0x0302, 0x0604, 0x0c02, 0x0401, 0x0c01, 0x0603, 0x0502,
	0x0504, 0x0503, 0x0a01, 0x0a02, 0x0607, 0x0201, 0x0101, 0x020e,
	0
};
static const uint16_t blocks[] = { 16, 32, 64, 128, 256, 512, 1024, 0 };
static const uint16_t rows[] = { 1, 2, 4, 7, 8, 12, 14, 16, 21, 24, 28, 32, 56, 0 };
static const uint16_t *const values[TUNE_KINDS] = { algorithms, tiles, blocks, rows };

static struct patcnn_tuning changed(const struct patcnn_tuning *from, enum tune_kind kind,
				    uint16_t value)
{
	struct patcnn_tuning c = *from;

	switch (kind) {
	case TUNE_ALGORITHM:
		c.algorithm = (uint8_t)value;
		break;
	case TUNE_TILE:
		c.tile_rows = value & 0xff;
		c.tile_vectors = (uint8_t)(value >> 8);
		break;
	case TUNE_BLOCK:
		c.block = value;
		break;
	default:
		c.band_rows = value;
	}
	return c;
}

/* Plans that were seen for an operator. */
#define SEEN	(TUNE_TRIES + TUNE_ALGORITHMS + 1)
struct seen {
	struct pat_choice plans[SEEN];
	uint32_t count;
};

/* Whether @c is another plan than those seen; it is one of them then. */
static bool is_new(struct seen *s, const struct pat_choice *c)
{
	uint32_t k;

	for (k = 0; k < s->count; k++)
		if (same(c, &s->plans[k]))
			return false;
	if (s->count == SEEN)
		return false;
	s->plans[s->count++] = *c;
	return true;
}

/* An algorithm that is far behind with its own tiles does not win with others. */
#define NEAR	1.5f
static bool near(const struct tune_layer *l, uint8_t algorithm)
{
	return l->algorithm[algorithm] > 0 && l->algorithm[algorithm] < NEAR;
}

/*
 * Plans the net with the value of @kind changed to @value, by @algorithm if that is not 0;
 * what is new for an operator is one of its tries. Value 0 has been tried before.
 */
static bool try_value(struct tuner *t, enum tune_kind kind, uint16_t value, uint8_t algorithm,
		      struct seen *seen)
{
	struct patcnn_tuning *entries = xcalloc(t->count, sizeof(*entries));
	struct pat_program prog;
	struct pat_plan *plan;
	uint32_t i;
	bool ok;

	for (i = 0; i < t->count; i++) {
		entries[i] = value ? changed(&t->layers[i].best, kind, value) : t->layers[i].best;
		if (algorithm)
			entries[i].algorithm = algorithm;
	}
	plan = plan_with(t, &prog, entries);
	for (i = 0; plan && i < t->count; i++) {
		struct tune_layer *l = &t->layers[i];
		struct pat_choice c = { 0 };

		if (!pat_plan_choice(plan, i, &c) || (value && !c.algo) ||
		    (algorithm && (c.algo != algorithm || !near(l, algorithm))))
			continue;
		if (l->try_count == TUNE_TRIES || !is_new(&seen[i], &c) || !value)
			continue;
		l->tries[l->try_count++] = entries[i];
		if (kind == TUNE_ALGORITHM)
			t->algorithms |= 1U << c.algo % 32;
		/* Kernels of another shape are other kernels: what was kept is not for them. */
		if (kind == TUNE_ALGORITHM && !l->cached) {
			mix(&l->key, c.algo);
			mix(&l->key, c.packed_bytes);
			mix(&l->key, c.scratch_bytes);
		}
	}
	ok = plan;
	free(entries);
	free(plan);
	return ok;
}

bool tune_space_tries(struct tuner *t, enum tune_kind kind)
{
	struct seen *seen = xcalloc(t->count, sizeof(*seen));
	const uint16_t *v;
	uint32_t i, a;
	bool ok;

	for (i = 0; i < t->count; i++)
		t->layers[i].try_count = 0;
	ok = try_value(t, kind, 0, 0, seen);
	for (v = values[kind]; ok && *v; v++)
		ok = try_value(t, kind, *v, 0, seen);
	/* An algorithm that lost may win with other tiles. */
	for (a = 1; kind == TUNE_TILE && ok && a < TUNE_ALGORITHMS; a++) {
		if (!(t->algorithms >> a & 1))
			continue;
		ok = try_value(t, kind, 0, (uint8_t)a, seen);
		for (v = values[kind]; ok && *v; v++)
			ok = try_value(t, kind, *v, (uint8_t)a, seen);
	}
	free(seen);
	return ok;
}

bool tune_space_open(struct tuner *t)
{
	uint32_t i;

	t->count = t->file.prog.operator_count;
	t->layers = xcalloc(t->count, sizeof(*t->layers));
	for (i = 0; i < t->count; i++) {
		t->layers[i].best = (struct patcnn_tuning){ .op = i, .isa = t->isa, .fuse = 1 };
		t->layers[i].ratio = 1;
		t->layers[i].key = geometry(&t->file.prog, i);
	}
	return find_lines(t);
}
