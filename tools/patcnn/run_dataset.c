// SPDX-License-Identifier: MIT
/*
 * patcnn run --dataset: every image of a data set through one program, or through
 * two side by side (pruned and dense), which then take turns image by image so
 * that both see the same machine.
 */

#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "idx.h"
#include "report.h"
#include "run.h"

/* One program and how it does. */
struct contestant {
	const char *name;
	struct model_file file;
	struct engine *engine;
	const struct patcnn_tensor *input;
	const struct patcnn_tensor *output;
	void *input_mem;
	const float *output_mem;
	struct score *scores;		/* [images] */
	uint32_t *expect;		/* [images] or NULL */
	uint32_t correct;
	uint32_t equal;
	struct samples latency;
	struct step_times times;
};

static bool contestant_open(struct contestant *c, const char *path, const char *expect,
			    const struct dataset *set, const struct run_opts *opts)
{
	if (!model_file_open(&c->file, path))
		return false;
	if (opts->labels && !model_file_read_labels(&c->file, opts->labels))
		return false;
	if (c->file.input_count != 1 || c->file.output_count != 1) {
		complain("%s: a data set needs a program with one input and one output", path);
		return false;
	}
	c->input = model_file_io(&c->file, c->file.inputs[0]);
	c->output = model_file_io(&c->file, c->file.outputs[0]);
	if (tensor_classes(c->output) < 2) {
		complain("%s: its output is not one score for each class", path);
		return false;
	}
	if (expect) {
		c->expect = predictions_load(expect, set->count);
		if (!c->expect)
			return false;
	}
	c->engine = engine_open(&c->file, &opts->engine);
	if (!c->engine)
		return false;
	c->input_mem = c->engine->io[c->file.inputs[0]];
	c->output_mem = c->engine->io[c->file.outputs[0]];
	c->scores = xcalloc(set->count, sizeof(*c->scores));
	return true;
}

static void contestant_close(struct contestant *c)
{
	engine_close(c->engine);
	free(c->scores);
	free(c->expect);
	samples_free(&c->latency);
	step_times_free(&c->times);
	if (c->file.blob)
		model_file_close(&c->file);
}

static bool run_image(struct contestant *c, const struct dataset *set, uint32_t i,
		      const struct run_opts *opts)
{
	struct image img = dataset_image(set, i);
	uint32_t n, runs = opts->repeat, skip = i ? 0 : opts->warmup;
	uint64_t ns;

	if (!feed_image(opts->dataset, c->input, &opts->feed, &img, c->input_mem))
		return false;
	for (n = 0; n < skip + runs; n++) {
		if (!engine_run(c->engine, &ns))
			return false;
		if (n < skip)
			continue;
		samples_add(&c->latency, ns);
		if (opts->engine.profile)
			step_times_add(&c->times, c->engine);
	}
	best_classes(&c->file.prog, c->output, c->output_mem, 1, &c->scores[i]);
	c->correct += set->labels && c->scores[i].index == set->labels[i];
	c->equal += c->expect && c->scores[i].index == c->expect[i];
	return true;
}

/* @n images evenly over the set, those of the first program's mistakes marked. */
static void show_images(const struct contestant *c, const struct dataset *set,
			const struct run_opts *opts)
{
	uint32_t n = opts->show < set->count ? opts->show : set->count, i, at;
	struct picture *pictures;
	char (*captions)[64];

	pictures = xcalloc(n, sizeof(*pictures));
	captions = xcalloc(n, sizeof(*captions));
	for (i = 0; i < n; i++) {
		at = (uint32_t)((uint64_t)i * set->count / n);
		pictures[i].image = dataset_image(set, at);
		pictures[i].caption = captions[i];
		snprintf(captions[i], sizeof(captions[i]), "%.40s %.0f%%",
			 class_label(&c->file, c->scores[at].index),
			 100.0 * (double)c->scores[at].confidence);
		if (set->labels && set->labels[at] != c->scores[at].index) {
			strncat(captions[i], " ✗", sizeof(captions[i]) - strlen(captions[i]) - 1);
			pictures[i].mark = "31";
		}
	}
	draw_pictures(pictures, n, opts->colour);
	putchar('\n');
	free(captions);
	free(pictures);
}

static double percent(uint32_t part, uint32_t whole)
{
	return 100.0 * part / whole;
}

static bool check_expected(const struct contestant *c, const struct dataset *set)
{
	uint32_t i;

	if (!c->expect || c->equal == set->count)
		return true;
	for (i = 0; c->scores[i].index == c->expect[i]; i++)
		;
	complain("%s: %u of %u predictions are not the expected ones; the first is image %u: %u, expected %u",
		 c->file.path, set->count - c->equal, set->count, i, c->scores[i].index,
		 c->expect[i]);
	return false;
}

static void print_one(struct contestant *c, const struct dataset *set)
{
	struct percentiles p = samples_percentiles(&c->latency);

	if (c->expect)
		printf("predictions as expected: %u of %u\n", c->equal, set->count);
	print_latency("latency", &p, c->latency.count);
	if (set->labels)
		printf("accuracy %.2f%% (%u of %u)\n", percent(c->correct, set->count), c->correct,
		       set->count);
}

static void print_both(struct contestant *c, const struct dataset *set)
{
	const struct pat_program *prog[] = { &c[0].file.prog, &c[1].file.prog };
	struct percentiles p[] = {
		samples_percentiles(&c[0].latency),
		samples_percentiles(&c[1].latency),
	};
	const struct {
		const char *name;
		double v[2];
	} rows[] = {
		{ "min", { p[0].min, p[1].min } },
		{ "avg", { p[0].avg, p[1].avg } },
		{ "p50", { p[0].p50, p[1].p50 } },
		{ "p90", { p[0].p90, p[1].p90 } },
		{ "p99", { p[0].p99, p[1].p99 } },
	};
	size_t i;

	printf("%-26s %12s %12s\n", "", c[0].name, c[1].name);
	printf("%-26s %12s %12s\n", "multiply-accumulates", show_count(prog[0]->macs_kept),
	       show_count(prog[1]->macs_kept));
	printf("%-26s %12s %12s\n", "program", show_bytes(c[0].file.size),
	       show_bytes(c[1].file.size));
	if (c[0].expect || c[1].expect) {
		printf("%-26s", "predictions as expected");
		for (i = 0; i < 2; i++) {
			char text[32] = "-";

			if (c[i].expect)
				snprintf(text, sizeof(text), "%u of %u", c[i].equal, set->count);
			printf(" %12s", text);
		}
		putchar('\n');
	}
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		printf("latency %-15s µs %12.1f %12.1f\n", rows[i].name, rows[i].v[0], rows[i].v[1]);
	printf("%s is %.2f times as fast as %s (p50)\n", c[0].name, p[1].p50 / p[0].p50, c[1].name);
	if (set->labels)
		printf("accuracy %s %.2f%% %s %.2f%%\n", c[0].name,
		       percent(c[0].correct, set->count), c[1].name,
		       percent(c[1].correct, set->count));
}

static cJSON *json_one(struct contestant *c, const struct dataset *set, bool profile)
{
	struct percentiles p = samples_percentiles(&c->latency);
	cJSON *o = cJSON_CreateObject(), *list;
	uint32_t i;

	json_engine(o, c->engine);
	cJSON_AddNumberToObject(o, "images", set->count);
	if (set->labels) {
		cJSON_AddNumberToObject(o, "correct", c->correct);
		cJSON_AddNumberToObject(o, "accuracy_percent", percent(c->correct, set->count));
	}
	if (c->expect)
		cJSON_AddNumberToObject(o, "as_expected", c->equal);
	list = cJSON_AddArrayToObject(o, "predictions");
	for (i = 0; i < set->count; i++)
		cJSON_AddItemToArray(list, cJSON_CreateNumber(c->scores[i].index));
	cJSON_AddItemToObject(o, "latency_us", json_latency(&p, c->latency.count));
	if (profile)
		cJSON_AddItemToObject(o, "steps", json_step_times(c->engine, &c->times));
	return o;
}

static void print_text(struct contestant *c, unsigned int count, const struct dataset *set,
		       const struct run_opts *opts)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		print_engine(c[i].engine);
	putchar('\n');
	if (opts->show)
		show_images(c, set, opts);
	for (i = 0; opts->engine.profile && i < count; i++) {
		if (count > 1)
			printf("%s: ", c[i].name);
		printf("%s\n", c[i].file.path);
		print_step_times(c[i].engine, &c[i].times);
		putchar('\n');
	}
	if (count > 1)
		print_both(c, set);
	else
		print_one(c, set);
}

int run_dataset(const char *model, const struct run_opts *opts)
{
	struct contestant c[2] = { { .name = "pruned" }, { .name = "dense" } };
	unsigned int count = opts->compare ? 2 : 1, k;
	int status = STATUS_FAILED;
	struct dataset set;
	cJSON *list;
	uint32_t i;

	if (!dataset_load(&set, opts->dataset, opts->labels_idx))
		return STATUS_FAILED;
	if (!contestant_open(&c[0], model, opts->expect, &set, opts) ||
	    (opts->compare && !contestant_open(&c[1], opts->compare, opts->compare_expect, &set,
					       opts)))
		goto out;
	for (i = 0; i < set.count; i++)
		for (k = 0; k < count; k++)
			if (!run_image(&c[k], &set, i, opts))
				goto out;

	if (opts->json) {
		list = cJSON_CreateArray();
		for (k = 0; k < count; k++)
			cJSON_AddItemToArray(list, json_one(&c[k], &set, opts->engine.profile));
		print_json(list);
	} else {
		print_text(c, count, &set, opts);
	}
	status = STATUS_OK;
	for (k = 0; k < count; k++)
		if (!check_expected(&c[k], &set))
			status = STATUS_FAILED;
out:
	for (k = 0; k < count; k++)
		contestant_close(&c[k]);
	dataset_free(&set);
	return status;
}
