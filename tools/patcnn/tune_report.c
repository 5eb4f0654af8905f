// SPDX-License-Identifier: MIT
/* What tuning gained, layer by layer. See tune.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

static uint32_t root(const uint32_t *set, uint32_t op)
{
	while (set[op] != op)
		op = set[op];
	return op;
}

static void join(const struct tuner *t, const struct tune_variant *v, uint32_t *set)
{
	uint32_t i, n, op;

	for (i = 0; i < v->engine->step_count; i++) {
		const struct engine_step *s = &v->engine->steps[i];

		for (n = 1, op = s->op_first; n < s->op_count && t->layers[op].next != TUNE_NONE;
		     n++) {
			uint32_t a = root(set, op), b;

			op = t->layers[op].next;
			b = root(set, op);
			set[a < b ? b : a] = a < b ? a : b;
		}
	}
}

uint32_t *tune_sets(const struct tuner *t, struct tune_variant *const *v, uint32_t n)
{
	uint32_t *set = xcalloc(t->count, sizeof(*set)), i;

	for (i = 0; i < t->count; i++)
		set[i] = i;
	for (i = 0; i < n; i++)
		join(t, v[i], set);
	for (i = 0; i < t->count; i++)
		set[i] = root(set, i);
	return set;
}

uint64_t tune_set_ns(const struct tune_variant *v, const uint32_t *set, uint32_t op,
		     const char **algorithm)
{
	uint64_t ns = 0, longest = 0;
	uint32_t i;

	*algorithm = "";
	for (i = 0; i < v->engine->step_count; i++) {
		const struct engine_step *s = &v->engine->steps[i];

		if (!s->op_count || set[s->op_first] != op)
			continue;
		ns += v->step_ns[i];
		if (v->step_ns[i] >= longest) {
			longest = v->step_ns[i];
			*algorithm = s->algorithm;
		}
	}
	return ns;
}

void tune_report(const struct tuner *t, struct tune_variant *before, struct tune_variant *after)
{
	uint32_t *set = tune_sets(t, (struct tune_variant *[]){ before, after }, 2);
	uint32_t *size = xcalloc(t->count, sizeof(*size)), i;
	const struct pat_program *prog = &t->file.prog;

	for (i = 0; i < t->count; i++)
		size[set[i]]++;
	printf("%4s %-26s %10s %10s %7s  %-26s %s\n", "", "operator", "untuned us", "tuned us",
	       "gain", "untuned", "tuned");
	for (i = 0; i < t->count; i++) {
		const char *name = prog->strings + prog->operators[i].name, *was, *is;
		uint64_t a = tune_set_ns(before, set, i, &was), b = tune_set_ns(after, set, i, &is);
		size_t length = strlen(name);
		char more[16] = "";

		if (set[i] != i || !a || !b || (!strcmp(was, is) && size[i] == 1))
			continue;
		if (size[i] > 1)
			snprintf(more, sizeof(more), " +%u", size[i] - 1);
		printf("%4u %-22.22s%-4s %10.1f %10.1f %6.2fx  %-26s %s\n", i,
		       length > 22 ? name + length - 22 : name, more, (double)a / 1e3,
		       (double)b / 1e3, (double)a / (double)b, was, is);
	}
	free(set);
	free(size);
}
