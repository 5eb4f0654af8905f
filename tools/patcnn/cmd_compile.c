// SPDX-License-Identifier: MIT
/* patcnn compile: arguments, files, and what is said about the result. */

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <patcnn_compute.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "compile.h"
#include "tune.h"
#include "util.h"

#define MAX_CHANNELS	64
#define MAX_SHAPES	32
#define MAX_OUTPUTS	64

static const char help[] =
"usage: patcnn compile MODEL.onnx -o MODEL.patcnn [OPTION]...\n"
"\n"
"  -o, --output FILE       the program to write\n"
"      --check             only say what would be unsupported; writes nothing\n"
"      --input-type TYPE   f32 (default) or u8: what a submitter's buffer holds\n"
"      --layout ORDER      chw (default) or hwc: the order of its elements\n"
"      --bgr               its channels are blue, green, red; the model wants the reverse\n"
"      --mean A[,B,...]    subtracted from each element, one for all channels or one each\n"
"      --scale S[,T,...]   then multiplied by this\n"
"      --outputs A,B       compute these values of the model instead of its outputs\n"
"      --shape NAME=DIMS   of an input (1,3,224,224), or of one symbolic dimension (224)\n"
"      --no-sparse         store all weights dense, whatever zeros they have\n"
"      --labels FILE       names of the classes, one a line\n"
"      --description FILE  JSON: labels, mean and scale of the input, as training wrote it\n"
"  -v, --verbose           one line for each operator\n"
"  -h, --help\n"
"\n"
"      --tune              measure which kernels are fastest here and store the choices\n"
"      --tune-budget S     for about so many seconds (default: 60)\n"
"      --no-tune-cache     measure what was measured before, and do not keep it\n"
"with --tune:\n"
ENGINE_HELP;

struct arguments {
	struct compile_options opts;
	struct shape_option shapes[MAX_SHAPES];
	const char *outputs[MAX_OUTPUTS];
	float mean[MAX_CHANNELS];
	float scale[MAX_CHANNELS];
	const char *in;
	const char *out;
	struct tune_opts tune_opts;
	bool tune;
	/** @tunes: an option is given that only says how to tune. */
	bool tunes;
	bool check;
	bool verbose;
	/** @labels: read from a file; opts points to it. */
	char *labels;
};

/* "name=1,3,224,224" (or x between the numbers); the name may hold '=' itself. */
static bool parse_shape(struct arguments *a, char *s)
{
	char *eq = strrchr(s, '='), *at;
	struct shape_option *o;

	if (!eq || eq == s || a->opts.read.n_shapes == MAX_SHAPES) {
		complain("--shape wants NAME=DIMS, not '%s'", s);
		return false;
	}
	o = &a->shapes[a->opts.read.n_shapes++];
	*eq = '\0';
	o->name = s;
	for (at = eq + 1; *at; ) {
		char *end;
		long long v = strtoll(at, &end, 10);

		if (end == at || v < 1 || v > 1 << 24 || o->rank == SHAPE_MAX_RANK ||
		    (*end && *end != ',' && *end != 'x') || ((*end == ',' || *end == 'x') &&
							     !end[1])) {
			complain("--shape %s: '%s' is no list of dimensions", s, eq + 1);
			return false;
		}
		o->dim[o->rank++] = v;
		at = *end ? end + 1 : end;
	}
	if (!o->rank)
		complain("--shape %s: no dimensions", s);
	return o->rank;
}

static bool parse_outputs(struct arguments *a, char *s)
{
	char *name = strtok(s, ",");

	for (; name; name = strtok(NULL, ",")) {
		if (a->opts.read.n_outputs == MAX_OUTPUTS) {
			complain("--outputs: more than %d", MAX_OUTPUTS);
			return false;
		}
		a->outputs[a->opts.read.n_outputs++] = name;
	}
	return true;
}

static bool choose(const char *what, const char *s, const char *no, const char *yes, bool *set)
{
	*set = !strcmp(s, yes);
	if (*set || !strcmp(s, no))
		return true;
	complain("%s is %s or %s, not '%s'", what, no, yes, s);
	return false;
}

static unsigned int json_floats(const cJSON *list, float *v)
{
	const cJSON *e;
	unsigned int n = 0;

	cJSON_ArrayForEach(e, list) {
		if (!cJSON_IsNumber(e) || n == MAX_CHANNELS)
			return 0;
		v[n++] = (float)e->valuedouble;
	}
	return n;
}

/* What tools/train writes beside a model; options on the command line come after and win. */
static bool read_description(struct arguments *a, const char *path)
{
	struct lower_options *o = &a->opts.lower;
	size_t size, used = 0, room = 1;
	const cJSON *labels, *input, *e;
	char *text = read_file(path, &size);
	cJSON *json = text ? cJSON_ParseWithLength(text, size) : NULL;

	free(text);
	if (!cJSON_IsObject(json)) {
		complain("%s: no JSON description", path);
		cJSON_Delete(json);
		return false;
	}
	input = cJSON_GetObjectItem(json, "input");
	o->n_mean = json_floats(cJSON_GetObjectItem(input, "mean"), a->mean);
	o->n_scale = json_floats(cJSON_GetObjectItem(input, "scale"), a->scale);
	labels = cJSON_GetObjectItem(json, "labels");
	cJSON_ArrayForEach(e, labels)
		room += cJSON_IsString(e) ? strlen(e->valuestring) + 1 : 1;
	free(a->labels);
	a->labels = xcalloc(room, 1);
	cJSON_ArrayForEach(e, labels) {
		const char *s = cJSON_IsString(e) ? e->valuestring : "";

		used += (size_t)snprintf(a->labels + used, room - used, "%s\n", s);
	}
	cJSON_Delete(json);
	return true;
}

enum {
	OPT_INPUT_TYPE = 256,
	OPT_LAYOUT,
	OPT_BGR,
	OPT_MEAN,
	OPT_SCALE,
	OPT_OUTPUTS,
	OPT_SHAPE,
	OPT_NO_SPARSE,
	OPT_LABELS,
	OPT_DESCRIPTION,
	OPT_CHECK,
	OPT_TUNE,
	OPT_TUNE_BUDGET,
	OPT_NO_TUNE_CACHE,
};

static bool take_option(struct arguments *a, int c)
{
	struct lower_options *o = &a->opts.lower;
	size_t size;

	switch (c) {
	case 'o':
		a->out = optarg;
		return true;
	case 'v':
		a->verbose = true;
		return true;
	case OPT_CHECK:
		a->check = true;
		return true;
	case OPT_INPUT_TYPE:
		return choose("--input-type", optarg, "f32", "u8", &o->input_u8);
	case OPT_LAYOUT:
		return choose("--layout", optarg, "chw", "hwc", &o->input_hwc);
	case OPT_BGR:
		o->input_bgr = true;
		return true;
	case OPT_MEAN:
		o->n_mean = parse_floats("--mean", optarg, a->mean, MAX_CHANNELS);
		return o->n_mean;
	case OPT_SCALE:
		o->n_scale = parse_floats("--scale", optarg, a->scale, MAX_CHANNELS);
		for (size = 0; size < o->n_scale; size++)
			if (a->scale[size] == 0) {
				complain("--scale: 0 would leave nothing of the input");
				return false;
			}
		return o->n_scale;
	case OPT_OUTPUTS:
		return parse_outputs(a, optarg);
	case OPT_SHAPE:
		return parse_shape(a, optarg);
	case OPT_NO_SPARSE:
		o->no_sparse = true;
		return true;
	case OPT_LABELS:
		free(a->labels);
		a->labels = read_file(optarg, &size);
		return a->labels;
	case OPT_DESCRIPTION:
		return read_description(a, optarg);
	case OPT_TUNE:
		a->tune = true;
		return true;
	case OPT_TUNE_BUDGET:
		a->tunes = true;
		return parse_seconds("--tune-budget", optarg, &a->tune_opts.budget);
	case OPT_NO_TUNE_CACHE:
		a->tunes = true;
		a->tune_opts.no_cache = true;
		return true;
	default:
		a->tunes = true;
		return engine_option(c, optarg, &a->tune_opts.engine) > 0;
	}
}

/* Return: an exit status, or -1 to go on. */
static int parse_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "input-type", required_argument, NULL, OPT_INPUT_TYPE },
		{ "layout", required_argument, NULL, OPT_LAYOUT },
		{ "bgr", no_argument, NULL, OPT_BGR },
		{ "mean", required_argument, NULL, OPT_MEAN },
		{ "scale", required_argument, NULL, OPT_SCALE },
		{ "outputs", required_argument, NULL, OPT_OUTPUTS },
		{ "shape", required_argument, NULL, OPT_SHAPE },
		{ "no-sparse", no_argument, NULL, OPT_NO_SPARSE },
		{ "labels", required_argument, NULL, OPT_LABELS },
		{ "description", required_argument, NULL, OPT_DESCRIPTION },
		{ "tune", no_argument, NULL, OPT_TUNE },
		{ "tune-budget", required_argument, NULL, OPT_TUNE_BUDGET },
		{ "no-tune-cache", no_argument, NULL, OPT_NO_TUNE_CACHE },
		ENGINE_OPTIONS,
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "o:vh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return STATUS_OK;
		}
		if (!take_option(a, c))
			return STATUS_USAGE;
	}
	if (optind + 1 != argc || (!a->out && !a->check)) {
		complain("compile wants one ONNX file and -o FILE (or --check); see --help");
		return STATUS_USAGE;
	}
	if (a->tunes && !a->tune) {
		complain("what to tune on and for how long wants --tune");
		return STATUS_USAGE;
	}
	a->in = argv[optind];
	a->opts.read.shapes = a->shapes;
	a->opts.read.outputs = a->outputs;
	a->opts.lower.mean = a->mean;
	a->opts.lower.scale = a->scale;
	a->opts.labels = a->labels;
	return -1;
}

static const char *storage_text(const struct patcnn_operator *op, char *s, size_t size)
{
	const struct patcnn_weights *w = &op->conv.weights;

	if (op->kind != PATCNN_OP_CONV && op->kind != PATCNN_OP_LINEAR)
		return "";
	switch (w->storage) {
	case PATCNN_STORAGE_FKW:
		snprintf(s, size, "FKW, %u patterns, %llu kernels", w->pattern_count,
			 (unsigned long long)w->index.count);
		break;
	case PATCNN_STORAGE_CSR:
		snprintf(s, size, "CSR, %llu weights", (unsigned long long)w->values.count);
		break;
	case PATCNN_STORAGE_BLOCK:
		snprintf(s, size, "blocks of %ux%u, %llu", w->block_out, w->block_in,
			 (unsigned long long)w->index.count);
		break;
	default:
		snprintf(s, size, "dense");
		break;
	}
	return s;
}

static bool report(const struct arguments *a, const struct compile_result *r)
{
	struct pat_program *p = xcalloc(1, sizeof(*p));
	void *work = xcalloc(1, PAT_WORK_BYTES);
	struct pat_error err;
	char text[64];
	uint32_t i;
	bool ok = !pat_program_open(p, r->program, r->size, work, &err);

	if (!ok)
		complain("%s", err.text);
	for (i = 0; ok && a->verbose && i < p->operator_count; i++)
		printf("%4u  %-40s kind %2u  act %2u  %s\n", i,
		       p->strings + p->operators[i].name, p->operators[i].kind,
		       p->operators[i].activation.kind,
		       storage_text(&p->operators[i], text, sizeof(text)));
	if (ok)
		printf("%s: %u operators, %s MACs dense, %s kept, %s\n", a->in, p->operator_count,
		       show_count(p->macs_dense), show_count(p->macs_kept), show_bytes(r->size));
	free(work);
	free(p);
	return ok;
}

static bool write_file(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "wb");
	bool ok = f && fwrite(data, 1, size, f) == size;

	if (f && fclose(f))
		ok = false;
	if (!ok) {
		complain("%s: %s", path, strerror(errno));
		if (f)
			remove(path);
	}
	return ok;
}

static bool tune_and_write(const struct arguments *a, const struct compile_result *r)
{
	size_t size;
	void *tuned;
	bool ok = tune_model(r->program, r->size, a->in, &a->tune_opts, &tuned, &size);

	if (ok) {
		ok = write_file(a->out, tuned, size);
		free(tuned);
	}
	return ok;
}

static void print_issues(const struct arguments *a, struct compile_result *r, const void *bytes,
			 size_t size)
{
	const struct issue *i;
	char *cut;

	complain("%s: cannot be compiled:", a->in);
	compile_print_issues(r, stderr);
	for (i = r->graph.issues; i && !*i->node; i = i->next)
		;
	if (!i)
		return;
	cut = compile_cut(r, bytes, size, &a->opts);
	if (cut && *cut)
		fprintf(stderr, "What comes before these can be compiled:\n  --outputs '%s'\n",
			cut);
	else if (!cut)
		fputs("  (--outputs NAME,... computes values before these instead)\n", stderr);
	free(cut);
}

static int run(struct arguments *a)
{
	struct compile_result r;
	size_t size;
	void *bytes = read_file(a->in, &size);
	bool ok;

	if (!bytes)
		return STATUS_FAILED;
	ok = compile_model(&r, bytes, size, &a->opts);
	if (*r.error)
		complain("%s: %s", a->in, r.error);
	if (r.graph.n_issues)
		print_issues(a, &r, bytes, size);
	free(bytes);
	ok = ok && report(a, &r) &&
	     (a->check || (a->tune ? tune_and_write(a, &r) :
			   write_file(a->out, r.program, r.size)));
	compile_release(&r);
	return ok ? STATUS_OK : STATUS_FAILED;
}

int cmd_compile(int argc, char **argv)
{
	struct arguments *a = xcalloc(1, sizeof(*a));
	int status;

	a->tune_opts.budget = TUNE_BUDGET;
	a->tune_opts.engine = (struct engine_opts){ .priority = 1, .timeout_ms = 60000,
						    .profile = true, .cpu_time = true };
	status = parse_arguments(a, argc, argv);
	if (status < 0)
		status = run(a);
	free(a->labels);
	free(a);
	return status;
}
