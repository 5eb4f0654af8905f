// SPDX-License-Identifier: MIT
/* Outputs, latencies and step tables, as text or JSON. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static bool is_probability(const struct pat_program *prog, const struct patcnn_tensor *t)
{
	uint32_t tensor = (uint32_t)(t - prog->tensors), i;

	for (i = 0; i < prog->operator_count; i++)
		if (prog->operators[i].output == tensor)
			return prog->operators[i].kind == PATCNN_OP_SOFTMAX;
	return false;
}

uint32_t best_classes(const struct pat_program *prog, const struct patcnn_tensor *t,
		      const float *values, uint32_t k, struct score *best)
{
	uint32_t n = tensor_classes(t), i, j, found = 0;
	float max, sum = 0;

	/* Insertion into a short sorted list; of equal scores the first wins, as argmax has it. */
	for (i = 0; i < n; i++) {
		for (j = found; j && values[i] > values[best[j - 1].index]; j--)
			if (j < k)
				best[j] = best[j - 1];
		if (j < k) {
			best[j].index = i;
			found += found < k;
		}
	}
	if (!found)
		return 0;
	max = values[best[0].index];
	for (i = 0; i < n; i++)
		sum += expf(values[i] - max);
	for (i = 0; i < found; i++)
		best[i].confidence = is_probability(prog, t) ? values[best[i].index] :
				     expf(values[best[i].index] - max) / sum;
	return found;
}

void step_times_add(struct step_times *times, const struct engine *e)
{
	uint32_t i, j;

	if (!times->wall) {
		times->step_count = e->step_count;
		times->wall = xcalloc(e->step_count, sizeof(*times->wall));
		times->wall_ns = xcalloc(e->step_count, sizeof(uint64_t));
		times->busy_ns = xcalloc(e->step_count, sizeof(uint64_t));
	}
	for (i = 0; i < e->step_count; i++) {
		times->wall_ns[i] += e->profile.wall_ns[i];
		for (j = 0; j < e->workers; j++)
			times->busy_ns[i] += e->profile.busy_ns[(size_t)i * e->workers + j];
		if (times->runs < STEP_TIMES_MAX)
			samples_add(&times->wall[i], e->profile.wall_ns[i]);
	}
	if (times->runs++ < STEP_TIMES_MAX)
		samples_add(&times->kernel, e->profile.end_ns - e->profile.start_ns);
}

void step_times_free(struct step_times *times)
{
	uint32_t i;

	for (i = 0; i < times->step_count; i++)
		samples_free(&times->wall[i]);
	samples_free(&times->kernel);
	free(times->wall);
	free(times->wall_ns);
	free(times->busy_ns);
	*times = (struct step_times){ 0 };
}

/* How many workers computed, on average, while step @i ran. */
static double step_busy(const struct step_times *times, uint32_t i)
{
	return times->wall_ns[i] ? (double)times->busy_ns[i] / (double)times->wall_ns[i] : 0;
}

static void print_line(unsigned int columns)
{
	while (columns--)
		fputs("─", stdout);
	putchar('\n');
}

/* The name, the end of it if it is long, and how many operators are fused behind it. */
static void print_step_name(const struct engine_step *s, int width)
{
	char more[16] = "";
	int room, n = (int)strlen(s->name);

	if (s->op_count > 1)
		snprintf(more, sizeof(more), " +%u", s->op_count - 1);
	room = width - (int)strlen(more);
	if (n > room)
		printf("…%s%s", s->name + n - (room - 1), more);
	else
		printf("%s%-*s", s->name, width - n, more);
}

void print_step_times(const struct engine *e, struct step_times *times)
{
	double *us = xcalloc(e->step_count, sizeof(*us)), total = 0;
	uint64_t wall = 0, busy = 0, dense = 0, kept = 0;
	uint32_t i;

	for (i = 0; i < e->step_count; i++) {
		us[i] = samples_percentiles(&times->wall[i]).p50;
		total += us[i];
	}
	printf("step %-24s %-13s %-18s %9s %9s %6s %10s %6s %5s\n", "operator", "kind", "algorithm",
	       "MACs", "kept", "", "µs", "time", "busy");
	print_line(107);
	for (i = 0; i < e->step_count; i++) {
		const struct engine_step *s = &e->steps[i];

		printf("%4u ", i);
		print_step_name(s, 24);
		printf(" %-13s %-18.18s %9s %9s ", s->kind, s->algorithm,
		       s->macs_dense ? show_count(s->macs_dense) : "",
		       s->macs_dense ? show_count(s->macs_kept) : "");
		if (s->macs_dense)
			printf("%5.1f%%", 100.0 * (double)s->macs_kept / (double)s->macs_dense);
		else
			printf("%6s", "");
		printf(" %9.1f %5.1f%% %5.2f\n", us[i], total > 0 ? 100.0 * us[i] / total : 0,
		       step_busy(times, i));
		dense += s->macs_dense;
		kept += s->macs_kept;
		wall += times->wall_ns[i];
		busy += times->busy_ns[i];
	}
	print_line(107);
	printf("%4u %-24s %-13s %-18s %9s %9s %5.1f%% %9.1f %6s %5.2f\n", e->step_count, "steps",
	       "", "", show_count(dense), show_count(kept),
	       dense ? 100.0 * (double)kept / (double)dense : 100, total, "",
	       wall ? (double)busy / (double)wall : 0);
	printf("the whole job, from workers woken to last tile done: %.1f µs\n",
	       samples_percentiles(&times->kernel).p50);
	printf("medians of %llu runs; busy: workers that computed, on average\n",
	       (unsigned long long)times->runs);
	free(us);
}

cJSON *json_step_times(const struct engine *e, struct step_times *times)
{
	cJSON *list = cJSON_CreateArray();
	uint32_t i;

	for (i = 0; i < e->step_count; i++) {
		const struct engine_step *s = &e->steps[i];
		cJSON *o = cJSON_CreateObject();

		cJSON_AddStringToObject(o, "operator", s->name);
		cJSON_AddStringToObject(o, "kind", s->kind);
		cJSON_AddStringToObject(o, "algorithm", s->algorithm);
		cJSON_AddNumberToObject(o, "operators", s->op_count);
		cJSON_AddNumberToObject(o, "tiles", s->tiles);
		cJSON_AddNumberToObject(o, "macs_dense", (double)s->macs_dense);
		cJSON_AddNumberToObject(o, "macs_kept", (double)s->macs_kept);
		cJSON_AddNumberToObject(o, "wall_us", samples_percentiles(&times->wall[i]).p50);
		cJSON_AddNumberToObject(o, "workers_busy", step_busy(times, i));
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

void print_latency(const char *name, const struct percentiles *p, size_t runs)
{
	printf("%s µs: min %.1f  avg %.1f  p50 %.1f  p90 %.1f  p99 %.1f  max %.1f  (%zu runs)\n",
	       name, p->min, p->avg, p->p50, p->p90, p->p99, p->max, runs);
}

cJSON *json_latency(const struct percentiles *p, size_t runs)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "runs", (double)runs);
	cJSON_AddNumberToObject(o, "min", p->min);
	cJSON_AddNumberToObject(o, "avg", p->avg);
	cJSON_AddNumberToObject(o, "p50", p->p50);
	cJSON_AddNumberToObject(o, "p90", p->p90);
	cJSON_AddNumberToObject(o, "p99", p->p99);
	cJSON_AddNumberToObject(o, "max", p->max);
	return o;
}

void print_engine(const struct engine *e)
{
	printf("%s on %s (%s, %u worker%s)\n", e->file->path, e->where, e->isa, e->workers,
	       e->workers == 1 ? "" : "s");
}

void json_engine(cJSON *object, const struct engine *e)
{
	cJSON_AddStringToObject(object, "model", e->file->path);
	cJSON_AddStringToObject(object, "device", e->where);
	cJSON_AddStringToObject(object, "isa", e->isa);
	cJSON_AddNumberToObject(object, "workers", e->workers);
}

void print_json(cJSON *object)
{
	char *text = cJSON_Print(object);

	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(object);
}
