/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_REPORT_H
#define PATCNN_REPORT_H

/* What commands print about outputs, latencies and steps; as text or JSON. */

#include <cjson/cJSON.h>

#include "engine.h"
#include "util.h"

struct score {
	uint32_t index;
	float confidence;	/* 0 to 1 */
};

/*
 * The @k best of the scores of output @t at @values, best first, at most
 * tensor_classes(); returns how many. Confidence is the softmax of the scores,
 * unless the program ends in a softmax already.
 */
uint32_t best_classes(const struct pat_program *prog, const struct patcnn_tensor *t,
		      const float *values, uint32_t k, struct score *best);

/* Times of several runs. Tables show medians: a mean tells more of the machine's other work. */
struct step_times {
	uint64_t runs;
	struct samples *wall;	/* [steps], of the first STEP_TIMES_MAX runs */
	struct samples kernel;	/* start to end, of these */
	uint64_t *wall_ns;	/* [steps], sums of all runs */
	uint64_t *busy_ns;	/* [steps], and of all workers */
	uint32_t step_count;
};

#define STEP_TIMES_MAX	10000

void step_times_add(struct step_times *times, const struct engine *e);
void step_times_free(struct step_times *times);
void print_step_times(const struct engine *e, struct step_times *times);
cJSON *json_step_times(const struct engine *e, struct step_times *times);

void print_latency(const char *name, const struct percentiles *p, size_t runs);
cJSON *json_latency(const struct percentiles *p, size_t runs);

/* "model.patcnn on /dev/accel/accel0 (avx2, 2 workers)". */
void print_engine(const struct engine *e);
void json_engine(cJSON *object, const struct engine *e);

/* Prints and deletes @object. */
void print_json(cJSON *object);

#endif
