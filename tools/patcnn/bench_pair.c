// SPDX-License-Identifier: MIT
/*
 * patcnn bench --against: two programs in turn, in one process, so that what else the
 * machine does, and its clock, meet both alike. Where memory lies decides about some
 * percent: both are set up anew for each sitting, in alternating order.
 */

#include <stdlib.h>

#include "bench.h"
#include "report.h"

#define SITTINGS	4
#define LEAST_PAIRS	5	/* of a sitting, however long they take */

struct side {
	struct model_file file;
	struct engine *engine;
	struct samples ns;
};

struct pair {
	struct side side[2];
	struct samples ratio;		/* of all sittings, in millionths */
	double sitting[SITTINGS];	/* its median */
};

static bool run_once(struct side *s, uint64_t *ns)
{
	if (!engine_run(s->engine, ns))
		return false;
	*ns = s->engine->profile.end_ns - s->engine->profile.start_ns;
	return true;
}

static bool pair_runs(struct pair *p, uint64_t until, unsigned int first)
{
	struct samples ratio = { 0 };
	uint64_t ns[2], n;
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (!run_once(&p->side[i], &ns[i]))
			return false;
	for (n = 0; n < LEAST_PAIRS || now_ns() < until; n++) {
		for (i = 0; i < 2; i++)
			if (!run_once(&p->side[(i + n) % 2], &ns[(i + n) % 2]))
				return false;
		for (i = 0; i < 2; i++)
			samples_add(&p->side[i].ns, ns[i]);
		samples_add(&p->ratio, ns[0] * 1000000 / (ns[1] + 1));
		samples_add(&ratio, ns[0] * 1000000 / (ns[1] + 1));
	}
	p->sitting[first] = samples_percentiles(&ratio).p50 / 1e3;
	samples_free(&ratio);
	return true;
}

static bool sit(struct pair *p, const struct engine_opts *opts, double seconds, unsigned int k)
{
	unsigned int i;
	bool ok = true;

	for (i = 0; ok && i < 2; i++) {
		struct side *s = &p->side[(i + k) % 2];

		s->engine = engine_open(&s->file, opts);
		ok = s->engine;
		if (ok)
			bench_fill_inputs(s->engine);
	}
	ok = ok && pair_runs(p, now_ns() + (uint64_t)(seconds * 1e9), k);
	for (i = 0; i < 2; i++) {
		engine_close(p->side[i].engine);
		p->side[i].engine = NULL;
	}
	return ok;
}

static void print_pair(struct pair *p, bool cpu_time, bool json)
{
	struct percentiles all = samples_percentiles(&p->ratio);
	struct percentiles a = samples_percentiles(&p->side[0].ns);
	struct percentiles b = samples_percentiles(&p->side[1].ns);
	double least = p->sitting[0], most = p->sitting[0];
	const char *clock = cpu_time ? "processor" : "wall-clock";
	cJSON *o;
	unsigned int i;

	for (i = 1; i < SITTINGS; i++) {
		least = p->sitting[i] < least ? p->sitting[i] : least;
		most = p->sitting[i] > most ? p->sitting[i] : most;
	}
	if (!json) {
		printf("%s: %.1f%% of the time of %s, median of %zu pairs; %.1f to %.1f%% in %d sittings\n",
		       p->side[0].file.path, all.p50 / 10, p->side[1].file.path, p->ratio.count,
		       least * 100, most * 100, SITTINGS);
		printf("%.1f and %.1f µs of %s time at the median, %.1f and %.1f at least\n",
		       a.p50, b.p50, clock, a.min, b.min);
		return;
	}
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "model", p->side[0].file.path);
	cJSON_AddStringToObject(o, "against", p->side[1].file.path);
	cJSON_AddStringToObject(o, "clock", clock);
	cJSON_AddNumberToObject(o, "ratio", all.p50 / 1000);
	cJSON_AddNumberToObject(o, "least_sitting", least);
	cJSON_AddNumberToObject(o, "largest_sitting", most);
	cJSON_AddItemToObject(o, "us", json_latency(&a, p->side[0].ns.count));
	cJSON_AddItemToObject(o, "against_us", json_latency(&b, p->side[1].ns.count));
	print_json(o);
}

bool bench_pair(const char *path, const char *against, struct engine_opts *opts, double seconds,
		bool json)
{
	struct pair *p = xcalloc(1, sizeof(*p));
	unsigned int i;
	bool ok;

	opts->cpu_time = true;
	ok = model_file_open(&p->side[0].file, path);
	if (ok && !model_file_open(&p->side[1].file, against)) {
		model_file_close(&p->side[0].file);
		ok = false;
	}
	if (!ok) {
		free(p);
		return false;
	}
	for (i = 0; ok && i < SITTINGS; i++)
		ok = sit(p, opts, seconds / SITTINGS, i);
	if (ok)
		print_pair(p, opts->host && opts->threads == 1, json);
	for (i = 0; i < 2; i++) {
		model_file_close(&p->side[i].file);
		samples_free(&p->side[i].ns);
	}
	samples_free(&p->ratio);
	free(p);
	return ok;
}
