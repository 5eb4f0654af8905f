// SPDX-License-Identifier: MIT
/*
 * patcnn run: a program on files. One job for each input file (for each group of
 * files, if the program has several inputs); the classes or the range of the
 * outputs, latencies, the step table.
 */

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "report.h"
#include "run.h"

static const char help[] =
	"usage: patcnn run MODEL INPUT... [OPTIONS]\n"
	"       patcnn run MODEL --dataset IMAGES [--labels-idx LABELS] [OPTIONS]\n"
	"\n"
	"Run a program on images (PNG, JPEG, PNM) or raw tensors. A program with N inputs\n"
	"takes N files a job.\n"
	"\n"
	"  -k, --top-k N         classes to show (default: 5)\n"
	"      --labels FILE     class names, one a line (default: those in the program)\n"
	"  -n, --repeat N        runs of each input (default: 1)\n"
	"      --warmup N        runs before that are not counted (default: 1)\n"
	"  -p, --profile         table of steps: algorithm, MACs, time\n"
	"  -j, --json            one JSON object instead of text\n"
	"  -o, --raw FILE        write the outputs there, as raw floats\n"
	"      --fit HOW         image to input size: stretch (default), crop or pad\n"
	"      --mean M[,M,M]    float inputs: (value - M) * S\n"
	"      --scale S[,S,S]   (default: M 0, S 1/255; u8 inputs take the values as they are)\n"
	"      --bgr             the net wants blue first\n"
	"\n"
	"Data sets (IDX files of bytes, as MNIST has them):\n"
	"      --dataset FILE    images\n"
	"      --labels-idx FILE their classes; prints the accuracy\n"
	"      --expect FILE     predictions, IDX or one a line; exit status 1 if one differs\n"
	"      --show N          draw N images with prediction and confidence\n"
	"      --colour WHEN     in colours: auto (default), always or never\n"
	"      --compare DENSE   run a second program too, side by side\n"
	"      --compare-expect FILE  predictions of that one\n"
	"\n"
	"What runs it:\n"
	ENGINE_HELP;

enum {
	OPT_LABELS = 1, OPT_WARMUP, OPT_FIT, OPT_MEAN, OPT_SCALE, OPT_BGR, OPT_DATASET,
	OPT_LABELS_IDX, OPT_EXPECT, OPT_SHOW, OPT_COMPARE, OPT_COMPARE_EXPECT,
	OPT_COLOUR,
};

static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "top-k", required_argument, NULL, 'k' },
	{ "labels", required_argument, NULL, OPT_LABELS },
	{ "repeat", required_argument, NULL, 'n' },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "profile", no_argument, NULL, 'p' },
	{ "json", no_argument, NULL, 'j' },
	{ "raw", required_argument, NULL, 'o' },
	{ "fit", required_argument, NULL, OPT_FIT },
	{ "mean", required_argument, NULL, OPT_MEAN },
	{ "scale", required_argument, NULL, OPT_SCALE },
	{ "bgr", no_argument, NULL, OPT_BGR },
	{ "dataset", required_argument, NULL, OPT_DATASET },
	{ "labels-idx", required_argument, NULL, OPT_LABELS_IDX },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "show", required_argument, NULL, OPT_SHOW },
	{ "compare", required_argument, NULL, OPT_COMPARE },
	{ "compare-expect", required_argument, NULL, OPT_COMPARE_EXPECT },
	{ "colour", required_argument, NULL, OPT_COLOUR },
	ENGINE_OPTIONS,
	{ NULL, 0, NULL, 0 },
};

/* Which of three words @s is, or -1 after a complaint. */
static int parse_word(const char *what, const char *s, const char *const words[3])
{
	int i;

	for (i = 0; i < 3; i++)
		if (!strcmp(s, words[i]))
			return i;
	complain("%s: '%s' is not %s, %s or %s", what, s, words[0], words[1], words[2]);
	return -1;
}

static bool parse_fit(const char *s, enum image_fit *fit)
{
	static const char *const words[] = { "stretch", "crop", "pad" };
	int i = parse_word("--fit", s, words);

	*fit = i < 0 ? FIT_STRETCH : (enum image_fit)i;
	return i >= 0;
}

static bool parse_colour(const char *s, enum draw_colour *colour)
{
	static const char *const words[] = { "auto", "always", "never" };
	int i = parse_word("--colour", s, words);

	*colour = i < 0 ? COLOUR_AUTO : (enum draw_colour)i;
	return i >= 0;
}

static bool parse_option(int opt, const char *arg, struct run_opts *o)
{
	switch (opt) {
	case 'k':
		return parse_u32("--top-k", arg, 1, 1000, &o->top_k);
	case 'n':
		return parse_u32("--repeat", arg, 1, 100000000, &o->repeat);
	case OPT_WARMUP:
		return parse_u32("--warmup", arg, 0, 1000000, &o->warmup);
	case OPT_SHOW:
		return parse_u32("--show", arg, 0, 10000, &o->show);
	case OPT_COLOUR:
		return parse_colour(arg, &o->colour);
	case OPT_FIT:
		return parse_fit(arg, &o->feed.fit);
	case OPT_MEAN:
		o->feed.mean_count = parse_floats("--mean", arg, o->feed.mean, 3);
		if (!o->feed.scale_count) {	/* --mean alone: of the values 0 to 255 */
			o->feed.scale_count = 1;
			o->feed.scale[0] = 1;
		}
		return o->feed.mean_count;
	case OPT_SCALE:
		o->feed.scale_count = parse_floats("--scale", arg, o->feed.scale, 3);
		return o->feed.scale_count;
	case OPT_BGR:
		o->feed.bgr = true;
		return true;
	case 'p':
		o->engine.profile = true;
		return true;
	case 'j':
		o->json = true;
		return true;
	case 'o':
		o->raw = arg;
		return true;
	case OPT_LABELS:
		o->labels = arg;
		return true;
	case OPT_DATASET:
		o->dataset = arg;
		return true;
	case OPT_LABELS_IDX:
		o->labels_idx = arg;
		return true;
	case OPT_EXPECT:
		o->expect = arg;
		return true;
	case OPT_COMPARE:
		o->compare = arg;
		return true;
	case OPT_COMPARE_EXPECT:
		o->compare_expect = arg;
		return true;
	default:
		return engine_option(opt, arg, &o->engine) == 1;
	}
}

/* What one invocation gathers over its jobs. */
struct run {
	const struct run_opts *opts;
	struct engine *engine;
	struct samples latency;
	struct step_times times;
	FILE *raw;
	cJSON *results;		/* --json */
};

static void show_classes(const struct run *run, const struct patcnn_tensor *t, const float *values,
			 cJSON *json)
{
	const struct model_file *file = run->engine->file;
	uint32_t n, i, k = run->opts->top_k;
	struct score *best = xcalloc(k, sizeof(*best));
	cJSON *list = json ? cJSON_AddArrayToObject(json, "top") : NULL;

	n = best_classes(&file->prog, t, values, k, best);
	for (i = 0; i < n; i++) {
		const char *label = class_label(file, best[i].index);
		cJSON *o;

		if (!json) {
			printf("  %6.2f%%  %s\n", 100.0 * (double)best[i].confidence, label);
			continue;
		}
		o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "class", best[i].index);
		cJSON_AddStringToObject(o, "label", label);
		cJSON_AddNumberToObject(o, "confidence", (double)best[i].confidence);
		cJSON_AddItemToArray(list, o);
	}
	free(best);
}

static void show_range(const struct run *run, const struct patcnn_tensor *t, const float *values,
		       cJSON *json)
{
	uint64_t n = pat_tensor_bytes(t) / sizeof(float), i;
	float min = values[0], max = values[0];
	double sum = 0;
	char shape[80];

	for (i = 0; i < n; i++) {
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
		sum += (double)values[i];
	}
	tensor_shape(t, shape, sizeof(shape));
	if (!json) {
		printf("  %-24s %-16s min %g  mean %g  max %g\n",
		       tensor_name(&run->engine->file->prog, t), shape, (double)min,
		       sum / (double)n, (double)max);
		return;
	}
	cJSON_AddStringToObject(json, "shape", shape);
	cJSON_AddNumberToObject(json, "min", (double)min);
	cJSON_AddNumberToObject(json, "mean", sum / (double)n);
	cJSON_AddNumberToObject(json, "max", (double)max);
}

static void show_outputs(struct run *run, const char *input)
{
	const struct model_file *file = run->engine->file;
	cJSON *result = NULL, *outputs = NULL, *json = NULL;
	uint32_t i;

	if (run->opts->json) {
		result = cJSON_CreateObject();
		cJSON_AddStringToObject(result, "input", input);
		outputs = cJSON_AddArrayToObject(result, "outputs");
		cJSON_AddItemToArray(run->results, result);
	} else {
		printf("%s\n", input);
	}
	for (i = 0; i < file->output_count; i++) {
		const struct patcnn_tensor *t = model_file_io(file, file->outputs[i]);
		const float *values = run->engine->io[file->outputs[i]];

		if (outputs) {
			json = cJSON_CreateObject();
			cJSON_AddStringToObject(json, "name", tensor_name(&file->prog, t));
			cJSON_AddItemToArray(outputs, json);
		}
		if (file->output_count == 1 && tensor_classes(t) > 1)
			show_classes(run, t, values, json);
		else
			show_range(run, t, values, json);
	}
}

static bool write_raw(const struct run *run)
{
	const struct model_file *file = run->engine->file;
	uint32_t i;

	for (i = 0; i < file->output_count; i++) {
		size_t bytes = pat_tensor_bytes(model_file_io(file, file->outputs[i]));

		if (fwrite(run->engine->io[file->outputs[i]], 1, bytes, run->raw) != bytes) {
			complain("%s: %s", run->opts->raw, strerror(errno));
			return false;
		}
	}
	return true;
}

/* One job: @paths has a file for each input. */
static bool run_job(struct run *run, char *const *paths)
{
	const struct model_file *file = run->engine->file;
	uint64_t ns;
	uint32_t i;

	for (i = 0; i < file->input_count; i++) {
		uint16_t at = file->inputs[i];

		if (!feed_file(paths[i], model_file_io(file, at), &run->opts->feed,
			       run->engine->io[at]))
			return false;
	}
	for (i = 0; i < run->opts->warmup + run->opts->repeat; i++) {
		if (!engine_run(run->engine, &ns))
			return false;
		if (i < run->opts->warmup)
			continue;
		samples_add(&run->latency, ns);
		if (run->opts->engine.profile)
			step_times_add(&run->times, run->engine);
	}
	show_outputs(run, paths[0]);
	return !run->raw || write_raw(run);
}

static void print_summary(struct run *run)
{
	struct percentiles p = samples_percentiles(&run->latency);
	cJSON *o;

	if (run->opts->json) {
		o = cJSON_CreateObject();
		json_engine(o, run->engine);
		cJSON_AddItemToObject(o, "results", run->results);
		cJSON_AddItemToObject(o, "latency_us", json_latency(&p, run->latency.count));
		if (run->opts->engine.profile)
			cJSON_AddItemToObject(o, "steps", json_step_times(run->engine, &run->times));
		run->results = NULL;
		print_json(o);
		return;
	}
	print_latency("latency", &p, run->latency.count);
	if (run->opts->engine.profile) {
		putchar('\n');
		print_step_times(run->engine, &run->times);
	}
}

static int run_files(const char *model, char **paths, int count, const struct run_opts *opts)
{
	struct run run = { .opts = opts };
	int status = STATUS_FAILED, i;
	struct model_file file;

	if (!model_file_open(&file, model))
		return STATUS_FAILED;
	if (opts->labels && !model_file_read_labels(&file, opts->labels))
		goto close_file;
	if (!file.input_count || !count || count % (int)file.input_count) {
		complain("%s has %u inputs, each job needs a file for each; %d files given", model,
			 file.input_count, count);
		goto close_file;
	}
	run.engine = engine_open(&file, &opts->engine);
	if (!run.engine)
		goto close_file;
	if (opts->raw) {
		run.raw = fopen(opts->raw, "wbe");
		if (!run.raw) {
			complain("%s: %s", opts->raw, strerror(errno));
			goto close;
		}
	}
	if (opts->json)
		run.results = cJSON_CreateArray();
	else
		print_engine(run.engine);
	for (i = 0; i < count; i += (int)file.input_count)
		if (!run_job(&run, paths + i))
			goto close;
	print_summary(&run);
	status = STATUS_OK;
close:
	if (run.raw && fclose(run.raw)) {
		complain("%s: %s", opts->raw, strerror(errno));
		status = STATUS_FAILED;
	}
	cJSON_Delete(run.results);
	step_times_free(&run.times);
	samples_free(&run.latency);
	engine_close(run.engine);
close_file:
	model_file_close(&file);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct run_opts opts = {
		.engine = { .priority = 1, .timeout_ms = 60000 },
		.top_k = 5,
		.repeat = 1,
		.warmup = 1,
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "hk:n:pjo:", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return STATUS_OK;
		}
		if (opt == '?' || !parse_option(opt, optarg, &opts))
			return STATUS_USAGE;
	}
	argc -= optind;
	argv += optind;
	if (opts.dataset && argc == 1)
		return run_dataset(argv[0], &opts);
	if (opts.dataset || opts.labels_idx || opts.expect || opts.compare || argc < 2) {
		complain("run: needs MODEL INPUT... or MODEL --dataset IMAGES; patcnn run --help");
		return STATUS_USAGE;
	}
	return run_files(argv[0], argv + 1, argc - 1, &opts);
}
