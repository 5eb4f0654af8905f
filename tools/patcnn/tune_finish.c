// SPDX-License-Identifier: MIT
/*
 * Whole nets, tuned and not, in turn: what is not faster there is not stored. Where their
 * memory lies decides about some percent, so both are set up and compared twice. See tune.h.
 */

#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

/* An entry that says nothing but what the planner does anyway is left out. */
static void drop_empty(const struct tuner *t, struct tune_variant *v)
{
	uint32_t i;

	for (i = 0; i < v->count; i++) {
		const struct patcnn_tuning *e = &v->entries[i];

		if (!e->algorithm && !e->tile_rows && !e->block && !e->band_rows &&
		    (!e->fuse || (!t->layers[i].depth && t->layers[i].next == TUNE_NONE)))
			v->entries[i].op = TUNE_NONE;
	}
}

/* Pairs of runs are faster by this in the middle; the least times agree that it is faster. */
#define MIDDLE		0.99
#define NETS		3
/* Together TUNE_LAST_RUNS, each comparison with a run of each net before it. */
#define LEAST_ROUNDS	3
#define MIX_ROUNDS	2
#define MOST_ROUNDS	31
#define MOST_NS		1000000000ULL	/* of runs of the two, for more rounds than that */

/* Of each set of operators that some net runs in one step, what is fastest in a whole net. */
static void mix_nets(const struct tuner *t, struct tune_variant *const *v,
		     struct tune_variant *mixed)
{
	uint32_t *set = tune_sets(t, v, NETS), i, k;
	const char *algorithm;

	for (i = 0; i < t->count; i++) {
		uint64_t least = tune_set_ns(v[0], set, set[i], &algorithm) * 99 / 100;
		uint32_t fastest = 0;

		mixed->entries[i].op = TUNE_NONE;
		for (k = 1; k < NETS; k++) {
			uint64_t ns = tune_set_ns(v[k], set, set[i], &algorithm);

			if (ns && ns < least) {
				least = ns;
				fastest = k;
			}
		}
		for (k = 0; k < v[fastest]->count; k++)
			if (v[fastest]->entries[k].op == i)
				mixed->entries[i] = v[fastest]->entries[k];
	}
	free(set);
}

/* What has no time any more fails, and @t->late says that this is why. */
static bool in_time(struct tuner *t)
{
	t->late = t->late || now_ns() > t->deadline;
	return !t->late;
}

static bool open_in_time(struct tuner *t, struct tune_variant *v)
{
	return in_time(t) && tune_variant_open(t, v);
}

static bool measure_in_time(struct tuner *t, struct tune_variant *const *v, uint32_t n,
			    uint32_t rounds)
{
	while (rounds--)
		if (!in_time(t) || !tune_measure(v, n, 1))
			return false;
	return true;
}

/* The net that is compared with the untuned one at last, in @mixed. */
static bool make_mixed(struct tuner *t, struct tune_variant *untuned, struct tune_variant *mixed)
{
	struct tune_variant best, own_cuts, *v[NETS] = { untuned, &best, &own_cuts };
	uint32_t i, rounds = 0;
	bool ok;

	tune_variant_init(t, &best, TUNE_BEST);
	tune_variant_init(t, &own_cuts, TUNE_BEST);
	for (i = 0; i < t->count; i++)
		own_cuts.entries[i].fuse = 0;
	drop_empty(t, &best);
	drop_empty(t, &own_cuts);
	ok = open_in_time(t, &best) && open_in_time(t, &own_cuts) &&
	     measure_in_time(t, v, NETS, MIX_ROUNDS);
	/* The other comparisons have their time still: more rounds if there is more. */
	while (ok && rounds++ < 2 * MIX_ROUNDS &&
	       tune_time_for(t, TUNE_LAST_OPENS - NETS, 5 * LEAST_ROUNDS))
		ok = tune_measure(v, NETS, 1);
	if (ok)
		mix_nets(t, v, mixed);
	tune_variant_close(&best);
	tune_variant_close(&own_cuts);
	return ok;
}

/* Of one comparison. */
struct sitting {
	double middle;		/* median over pairs of runs, tuned to untuned */
	bool least;		/* the least times agree that it is faster */
	uint32_t runs;
};

/* @v[1] against @v[0], both from the start: what is compared is pairs of runs. */
static bool compare(struct tuner *t, struct tune_variant *const *v, uint64_t until,
		    struct sitting *s)
{
	uint64_t deadline = t->deadline;
	uint64_t rounds = LEAST_ROUNDS, most = MOST_NS / (t->run_ns + 1);
	bool ok;

	v[0]->runs = 0;
	v[1]->runs = 0;
	ok = measure_in_time(t, v, 2, LEAST_ROUNDS);
	t->deadline = until;
	while (ok && rounds++ < (most > MOST_ROUNDS ? most : MOST_ROUNDS) &&
	       tune_time_for(t, 0, 2))
		ok = tune_measure(v, 2, 1);
	t->deadline = deadline;
	if (!ok)
		return false;
	*s = (struct sitting){ tune_whole(v[1], v[0]), tune_least(v[1]) <= tune_least(v[0]),
			       v[1]->runs };
	return true;
}

/* Again, with memory of their own and the other one first. */
static bool open_again(struct tuner *t, struct tune_variant *untuned, struct tune_variant *mixed)
{
	struct tune_variant old = *mixed;

	tune_variant_close(untuned);
	tune_variant_init(t, untuned, TUNE_FREE);
	tune_variant_init(t, mixed, TUNE_FREE);
	memcpy(mixed->entries, old.entries, old.count * sizeof(*old.entries));
	mixed->count = old.count;
	tune_variant_close(&old);
	return open_in_time(t, mixed) && open_in_time(t, untuned);
}

static bool faster(const struct sitting *s)
{
	return s->middle <= MIDDLE && s->least;
}

static bool compare_twice(struct tuner *t, struct tune_variant *untuned,
			  struct tune_variant *mixed, struct sitting *s)
{
	struct tune_variant *v[] = { untuned, mixed };
	uint64_t now = now_ns(), end = t->deadline;

	/* Half of the time that is left when the second set-up is taken off. */
	now += 2 * t->open_ns;
	if (!compare(t, v, end > now ? end - (end - now) / 2 - 2 * t->open_ns : now, &s[0]))
		return false;
	if (!faster(&s[0]))
		return true;
	return open_again(t, untuned, mixed) && compare(t, v, end, &s[1]);
}

static void say(const struct tuner *t, const struct sitting *s, uint32_t count)
{
	if (!t->measured && !count)
		printf("not tuned: no choice was measured\n");
	else if (!count)
		printf("not tuned: none of %u choices is faster than the built-in cost model's\n",
		       t->measured);
	else if (faster(&s[0]) && faster(&s[1]))
		printf("tuned: %.1f%% of the untuned net's time, %.1f%% when set up again (%u and %u runs each, in turn), %u choices stored\n",
		       100 * s[0].middle, 100 * s[1].middle, s[0].runs, s[1].runs, count);
	else if (faster(&s[0]))
		printf("not tuned: what was found takes %.1f%% of the untuned net's time, but %.1f%% when set up again (%u and %u runs each, in turn)\n",
		       100 * s[0].middle, 100 * s[1].middle, s[0].runs, s[1].runs);
	else
		printf("not tuned: what was found takes %.1f%% of the untuned net's time (%u runs each, in turn); below 99%% is worth storing\n",
		       100 * s[0].middle, s[0].runs);
}

bool tune_finish(struct tuner *t)
{
	struct sitting s[2] = { { .runs = 0 } };
	struct tune_variant untuned, mixed;
	uint32_t count = 0;
	bool ok = true;

	tune_variant_init(t, &untuned, TUNE_FREE);
	tune_variant_init(t, &mixed, TUNE_FREE);
	if (!t->measured && !tune_cached(t)) {
		say(t, s, 0);
	} else {
		ok = open_in_time(t, &untuned) && make_mixed(t, &untuned, &mixed) &&
		     open_in_time(t, &mixed) &&
		     (!mixed.count || compare_twice(t, &untuned, &mixed, s));
		count = mixed.count;
		if (ok && !t->late && count && faster(&s[0]) && faster(&s[1]))
			tune_report(t, &untuned, &mixed);
		if (ok)
			say(t, s, count);
		else if (t->late)
			printf("not tuned: no time left to compare whole nets, about %.1f s here\n",
			       (double)(TUNE_LAST_OPENS * t->open_ns +
					TUNE_LAST_RUNS * t->run_ns) / 1e9);
		ok = ok || t->late;
	}
	if (ok && !t->late && count && faster(&s[0]) && faster(&s[1]))
		t->stored = tune_store(t->file.blob, t->file.size, mixed.entries, count,
				       &t->stored_size);
	if (ok && t->left_out)
		printf("%u choices were not measured for lack of time: --tune-budget\n",
		       t->left_out);
	tune_variant_close(&untuned);
	tune_variant_close(&mixed);
	return ok;
}
