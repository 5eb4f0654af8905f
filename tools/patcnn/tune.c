// SPDX-License-Identifier: MIT
/*
 * The way through the choices: first each operator alone, one kind of choice after the
 * other, all operators of the net in the same runs; then which of them run depth-first
 * together, by the least sum of measured times along each line; at last whole nets, tuned
 * and not, in turn. What is not faster there is not stored. See tune.h.
 */

#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

#define ROUND_NS	150000000ULL	/* of runs for one comparison, about */
#define GAIN		0.98		/* a choice has to be this much faster */
#define SECOND		1000000000ULL

static uint32_t rounds_for(const struct tuner *t)
{
	uint64_t n = ROUND_NS / (t->run_ns + 1);

	return n < 3 ? 3 : n > 20 ? 20 : (uint32_t)n;
}

/* For one more variant beside one that is open. */
static bool time_for_try(const struct tuner *t)
{
	return tune_time_for(t, 1, 2 * rounds_for(t) + 1);
}

/* One variant in which every operator that has a try @k takes it. */
static bool measure_try(struct tuner *t, struct tune_variant *ref, uint32_t k, double *least,
			uint32_t *which)
{
	struct tune_variant v;
	uint32_t i;
	bool ok;

	tune_variant_init(t, &v, TUNE_BEST);
	for (i = 0; i < t->count; i++)
		if (k < t->layers[i].try_count)
			v.entries[i] = t->layers[i].tries[k];
	ok = tune_variant_open(t, &v) &&
	     tune_measure((struct tune_variant *[]){ ref, &v }, 2, rounds_for(t));
	for (i = 0; ok && i < t->count; i++) {
		uint64_t a = tune_step_ns(ref, i, 1), b = tune_step_ns(&v, i, 1);
		struct tune_layer *l = &t->layers[i];
		double ratio = (double)b / (double)(a + !a);
		float *known;

		if (k >= l->try_count || !a || !b)
			continue;
		t->measured++;
		known = &l->algorithm[l->tries[k].algorithm % TUNE_ALGORITHMS];
		if (!*known || ratio < (double)*known)
			*known = (float)ratio;
		if (ratio < least[i]) {
			least[i] = ratio;
			which[i] = k;
		}
	}
	tune_variant_close(&v);
	return ok;
}

static void leave_out(struct tuner *t, uint32_t k)
{
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		struct tune_layer *l = &t->layers[i];

		if (k >= l->try_count)
			continue;
		t->left_out += l->try_count - k;
		l->incomplete = true;
	}
}

static bool tune_kind(struct tuner *t, enum tune_kind kind)
{
	double *least = xcalloc(t->count, sizeof(*least));
	uint32_t *which = xcalloc(t->count, sizeof(*which)), most = 0, i, k;
	struct tune_variant ref;
	bool ok = tune_space_tries(t, kind);

	if (ok && kind == TUNE_ALGORITHM)
		tune_cache_read(t);
	for (i = 0; ok && i < t->count; i++) {
		struct tune_layer *l = &t->layers[i];

		least[i] = GAIN;
		which[i] = TUNE_NONE;
		l->tried |= l->try_count;
		if (l->cached)
			l->try_count = 0;
		if (l->try_count > most)
			most = l->try_count;
	}
	tune_variant_init(t, &ref, TUNE_BEST);
	if (ok && most && !tune_time_for(t, 2, 2 * rounds_for(t) + 3)) {
		leave_out(t, 0);
		most = 0;
	}
	ok = ok && (!most || (tune_variant_open(t, &ref) &&
			      tune_measure((struct tune_variant *[]){ &ref }, 1, 1)));
	for (k = 0; ok && k < most; k++) {
		if (!time_for_try(t)) {
			leave_out(t, k);
			break;
		}
		ok = measure_try(t, &ref, k, least, which);
	}
	for (i = 0; ok && i < t->count; i++)
		if (which[i] != TUNE_NONE)
			t->layers[i].best = t->layers[i].tries[which[i]];
	tune_variant_close(&ref);
	free(least);
	free(which);
	return ok;
}

/* Of many noisy times the least is often luck: the chosen ones are measured once more. */
static bool check_layers(struct tuner *t)
{
	struct tune_variant own, best;
	uint32_t i;
	bool ok;

	if (!tune_time_for(t, 2, 2 * rounds_for(t) + 4))
		return true;
	tune_variant_init(t, &own, TUNE_ALONE);
	tune_variant_init(t, &best, TUNE_BEST);
	ok = tune_variant_open(t, &own) && tune_variant_open(t, &best) &&
	     tune_measure((struct tune_variant *[]){ &own, &best }, 2, 1) &&
	     tune_measure((struct tune_variant *[]){ &own, &best }, 2, rounds_for(t));
	for (i = 0; ok && i < t->count; i++) {
		struct tune_layer *l = &t->layers[i];
		double a = (double)tune_step_ns(&own, i, 1), b = (double)tune_step_ns(&best, i, 1);

		l->ns = b;
		if (a <= 0 || b <= 0 || l->cached)
			continue;
		l->ratio = b / a;
		if (l->ratio > GAIN) {
			l->best = (struct patcnn_tuning){ .op = i, .isa = t->isa, .fuse = 1 };
			l->ratio = 1;
			l->ns = a;
		}
	}
	tune_variant_close(&own);
	tune_variant_close(&best);
	return ok;
}

/* Whether a chain of @length that ends at @op belongs to the cut with @offset. */
static bool ends_chain(const struct tune_layer *l, uint32_t length, uint32_t offset)
{
	return l->depth + 1 >= length + offset && (l->depth + 1 - offset) % length == 0;
}

/* All lines cut into chains of one length: every chain there can be is in one of the cuts. */
static bool measure_cut(struct tuner *t, struct tune_variant *ref, uint32_t length,
			uint32_t offset)
{
	struct tune_variant v;
	uint32_t i, k, n = 0, op;
	bool ok;

	tune_variant_init(t, &v, TUNE_BEST);
	for (i = 0; i < t->count; i++) {
		if (!ends_chain(&t->layers[i], length, offset) || t->layers[i].chain[length] > 0)
			continue;
		n++;
		for (k = 0, op = i; k < length; k++, op = t->layers[op].prev)
			v.entries[op].fuse = op == i ? (uint8_t)length : 0;
		v.entries[i].band_rows = 0;
	}
	if (!n) {
		tune_variant_close(&v);
		return true;
	}
	ok = tune_variant_open(t, &v) &&
	     tune_measure((struct tune_variant *[]){ ref, &v }, 2, rounds_for(t));
	for (i = 0; ok && i < t->count; i++) {
		uint64_t alone = 0, together;

		if (!ends_chain(&t->layers[i], length, offset) || t->layers[i].chain[length] > 0)
			continue;
		for (k = 0, op = i; k < length; k++, op = t->layers[op].prev)
			alone += tune_step_ns(ref, op, 1);
		together = tune_step_ns(&v, tune_chain_first(t, i, length), length);
		if (alone && together)
			t->layers[i].chain[length] = (double)together / (double)alone;
		t->measured++;
	}
	tune_variant_close(&v);
	return ok;
}

static double alone_ns(const struct tuner *t, uint32_t op, uint32_t length)
{
	double ns = 0;

	for (; length; length--, op = t->layers[op].prev)
		ns += t->layers[op].ns;
	return ns;
}

/* The cuts of one line with the least sum, from its last operator back to its first. */
static void cut_line(struct tuner *t, uint32_t last, const uint32_t *cut)
{
	uint32_t op = last, n;

	while (op != TUNE_NONE) {
		uint32_t length = cut[op];

		t->layers[op].best.fuse = (uint8_t)length;
		if (length > 1)
			t->layers[op].best.band_rows = 0;
		for (n = 1; n < length; n++) {
			op = t->layers[op].prev;
			t->layers[op].best.fuse = 0;
		}
		op = t->layers[op].prev;
	}
}

static void choose_cuts(struct tuner *t)
{
	double *cost = xcalloc(t->count, sizeof(*cost));
	uint32_t *cut = xcalloc(t->count, sizeof(*cut)), i, n;

	for (i = 0; i < t->count; i++) {
		const struct tune_layer *l = &t->layers[i];

		for (n = 1; n <= TUNE_CHAIN && n <= l->depth + 1; n++) {
			uint32_t first = tune_chain_first(t, i, n), before = t->layers[first].prev;
			double c = alone_ns(t, i, n) * (n == 1 ? 1 : l->chain[n] / GAIN);

			if (n > 1 && l->chain[n] <= 0)
				continue;
			c += before == TUNE_NONE ? 0 : cost[before];
			if (!cut[i] || c < cost[i]) {
				cost[i] = c;
				cut[i] = n;
			}
		}
	}
	for (i = 0; i < t->count; i++)
		if (t->layers[i].next == TUNE_NONE && t->layers[i].depth)
			cut_line(t, i, cut);
	free(cost);
	free(cut);
}

static bool tune_chains(struct tuner *t)
{
	uint32_t length, offset, i, lines = 0;
	struct tune_variant ref;
	bool ok;

	/* What takes how long alone is known if there was time to check it. */
	for (i = 0; i < t->count; i++)
		lines += t->layers[i].depth > 0 && t->layers[i].ns > 0;
	if (!lines || !tune_time_for(t, 2, 2 * rounds_for(t) + 3))
		return true;
	tune_variant_init(t, &ref, TUNE_BEST);
	ok = tune_variant_open(t, &ref) &&
	     tune_measure((struct tune_variant *[]){ &ref }, 1, 1);
	for (length = 2; length <= TUNE_CHAIN; length++)
		for (offset = 0; ok && offset < length && time_for_try(t); offset++)
			ok = measure_cut(t, &ref, length, offset);
	tune_variant_close(&ref);
	if (ok)
		choose_cuts(t);
	return ok;
}

/* The instruction set and workers of the engine, for plans like its own. */
static bool know_engine(struct tuner *t)
{
	struct tune_variant v;
	uint32_t id;
	bool ok;

	tune_variant_init(t, &v, TUNE_FREE);
	ok = tune_variant_open(t, &v) && tune_measure((struct tune_variant *[]){ &v }, 1, 1);
	if (ok) {
		t->host.threads = v.engine->workers;
		t->host.isa = host_isa(v.engine->isa);
		for (id = 0; id < PAT_ISA_COUNT; id++)
			if (pat_isa_get((enum pat_isa_id)id) == t->host.isa)
				t->isa = (uint8_t)id;
		printf("tuning on %s (%s, %u workers), at most about %.0f s\n", v.engine->where,
		       v.engine->isa, v.engine->workers, t->opts->budget);
	}
	tune_variant_close(&v);
	return ok && t->host.isa;
}

/* For the last comparison, should it take longer than it would now, and to check operators. */
static uint64_t last_ns(const struct tuner *t)
{
	return 3 * (TUNE_LAST_OPENS * t->open_ns + TUNE_LAST_RUNS * t->run_ns) / 2;
}

static uint64_t check_ns(const struct tuner *t)
{
	return 2 * t->open_ns + (2 * rounds_for(t) + 4) * t->run_ns;
}

/* Operators alone, then chains, each phase with its part of what @end leaves. */
static bool search(struct tuner *t, uint64_t end)
{
	uint64_t now = now_ns(), left = end > now ? end - now : 0;
	uint64_t keep = last_ns(t) + check_ns(t), limit;
	enum tune_kind kind;
	bool ok = true;

	/* Estimates of a busy machine may be far too long: some of the time in any case. */
	t->deadline = now + (keep < left / 2 ? (left - keep) * 8 / 10 : left * 4 / 10);
	limit = t->deadline;
	for (kind = TUNE_ALGORITHM; ok && kind < TUNE_KINDS; kind++) {
		/* Half of what is left for each, so that the last ones have some. */
		now = now_ns();
		t->deadline = limit;
		if (kind + 1 < TUNE_KINDS && now < limit)
			t->deadline = now + (limit - now) / 2;
		ok = tune_kind(t, kind);
	}
	now = now_ns();
	left = end > now ? end - now : 0;
	t->deadline = now + (last_ns(t) < left / 2 ? left - last_ns(t) : left / 2);
	ok = ok && check_layers(t);
	ok = ok && tune_chains(t);
	if (ok)
		tune_cache_write(t);
	return ok;
}

bool tune_model(const void *blob, size_t size, const char *name, const struct tune_opts *opts,
		void **tuned, size_t *tuned_size)
{
	struct tuner t = { .opts = opts };
	uint64_t start = now_ns(), end = start + (uint64_t)(opts->budget * (double)SECOND);
	size_t copy_size;
	void *copy;
	bool ok;

	copy = tune_store(blob, size, NULL, 0, &copy_size);
	if (!model_file_from(&t.file, name, copy, copy_size))
		return false;
	t.count = t.file.prog.operator_count;
	ok = know_engine(&t) && tune_space_open(&t) && search(&t, end);
	t.deadline = end;
	ok = ok && tune_finish(&t);
	if (ok)
		printf("tuning took %.1f s\n", (double)(now_ns() - start) / 1e9);
	if (ok && t.stored) {
		*tuned = t.stored;
		*tuned_size = t.stored_size;
	} else if (ok) {
		/* To the byte: nothing about it can be slower. */
		*tuned = xcalloc(size, 1);
		memcpy(*tuned, blob, size);
		*tuned_size = size;
	}
	free(t.layers);
	model_file_close(&t.file);
	return ok;
}
