// SPDX-License-Identifier: MIT
/*
 * Variants of a program, run in turn: what else the machine does meets all of them. A
 * step's time is its least, because other work only ever adds. See tune.h.
 */

#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

void tune_variant_init(struct tuner *t, struct tune_variant *v, enum tune_entries entries)
{
	uint32_t i;

	memset(v, 0, sizeof(*v));
	v->tuner = t;
	v->entries = xcalloc(t->count, sizeof(*v->entries));
	v->count = t->count;
	for (i = 0; i < t->count; i++) {
		v->entries[i] = (struct patcnn_tuning){ .op = i, .isa = t->isa, .fuse = 1 };
		if (entries == TUNE_BEST)
			v->entries[i] = t->layers[i].best;
		else if (entries == TUNE_FREE)
			v->entries[i].op = TUNE_NONE;
	}
}

static void fill_inputs(struct engine *e)
{
	uint64_t x = 88172645463325252ULL;
	uint32_t i;

	for (i = 0; i < e->file->input_count; i++) {
		uint32_t io = e->file->inputs[i];
		const struct patcnn_tensor *t = model_file_io(e->file, io);
		uint64_t n = pat_tensor_bytes(t), k;

		for (k = 0; k < (t->dtype == PATCNN_DTYPE_F32 ? n / 4 : n); k++) {
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			if (t->dtype == PATCNN_DTYPE_F32)
				((float *)e->io[io])[k] = (float)(x >> 40) / (1 << 24);
			else
				((uint8_t *)e->io[io])[k] = (uint8_t)(x >> 56);
		}
	}
}

static uint64_t lately(uint64_t old, uint64_t ns)
{
	return old ? (old + ns) / 2 : ns;
}

bool tune_time_for(const struct tuner *t, uint32_t opens, uint32_t runs)
{
	return now_ns() + opens * t->open_ns + runs * t->run_ns <= t->deadline;
}

bool tune_variant_open(struct tuner *t, struct tune_variant *v)
{
	uint64_t start = now_ns();
	uint32_t i, n = 0;

	for (i = 0; i < v->count; i++)
		if (v->entries[i].op != TUNE_NONE)
			v->entries[n++] = v->entries[i];
	v->count = n;
	v->file = t->file;
	if (t->opts->engine.host) {
		v->file.prog.tuning = v->entries;
		v->file.prog.tuning_count = n;
	} else {
		v->stored = tune_store(t->file.blob, t->file.size, v->entries, n, &v->file.size);
		v->file.blob = v->stored;
	}
	v->engine = engine_open(&v->file, &t->opts->engine);
	if (!v->engine)
		return false;
	fill_inputs(v->engine);
	v->step_ns = xcalloc(v->engine->step_count, sizeof(*v->step_ns));
	t->open_ns = lately(t->open_ns, now_ns() - start);
	return true;
}

void tune_variant_close(struct tune_variant *v)
{
	engine_close(v->engine);
	free(v->stored);
	free(v->entries);
	free(v->step_ns);
	free(v->run_ns);
	memset(v, 0, sizeof(*v));
}

static bool run_once(struct tune_variant *v, bool count)
{
	const struct engine *e = v->engine;
	uint64_t start = now_ns(), ns;
	uint32_t i;

	if (!engine_run(v->engine, &ns))
		return false;
	v->tuner->run_ns = lately(v->tuner->run_ns, now_ns() - start);
	if (!count)
		return true;
	for (i = 0; i < e->step_count; i++)
		if (!v->runs || e->profile.wall_ns[i] < v->step_ns[i])
			v->step_ns[i] = e->profile.wall_ns[i];
	if (v->runs == v->room) {
		v->room = v->room * 2 + 16;
		v->run_ns = realloc(v->run_ns, v->room * sizeof(*v->run_ns));
		if (!v->run_ns)
			abort();
	}
	v->run_ns[v->runs++] = e->profile.end_ns - e->profile.start_ns;
	return true;
}

bool tune_measure(struct tune_variant *const *v, uint32_t n, uint32_t rounds)
{
	uint32_t r, i;

	for (i = 0; i < n; i++)
		if (!v[i]->runs && !run_once(v[i], false))
			return false;
	for (r = 0; r < rounds; r++)
		for (i = 0; i < n; i++)
			if (!run_once(v[(i + r) % n], true))
				return false;
	return true;
}

uint64_t tune_step_ns(const struct tune_variant *v, uint32_t first, uint32_t count)
{
	const struct engine *e = v->engine;
	uint64_t ns = 0;
	uint32_t i;

	/* An activation that kernels do not know is a step of the same operator. */
	for (i = 0; i < e->step_count; i++)
		if (e->steps[i].op_first == first && e->steps[i].op_count == count)
			ns += v->step_ns[i];
	return ns;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double tune_whole(const struct tune_variant *v, const struct tune_variant *to)
{
	uint32_t n = v->runs < to->runs ? v->runs : to->runs, i;
	double *ratio = xcalloc(n + 1, sizeof(*ratio)), result;

	for (i = 0; i < n; i++)
		ratio[i] = (double)v->run_ns[i] / (double)(to->run_ns[i] + 1);
	qsort(ratio, n, sizeof(*ratio), compare);
	result = n ? ratio[n / 2] : 1;
	free(ratio);
	return result;
}

uint64_t tune_least(const struct tune_variant *v)
{
	uint64_t least = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < v->runs; i++)
		if (v->run_ns[i] < least)
			least = v->run_ns[i];
	return least;
}
