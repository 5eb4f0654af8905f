// SPDX-License-Identifier: MIT
/*
 * patcnn verify: every layer of a program against an independent runtime. The
 * program is run with its intermediate tensors made outputs, as many at a time as a
 * program may have; tensors carry the names that the ONNX model gives the values.
 */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "engine.h"
#include "util.h"
#include "verify.h"

static const char help[] =
"usage: patcnn verify MODEL.patcnn --onnx MODEL.onnx [OPTION]...\n"
"\n"
"Compares the output of every layer with onnxruntime's (the npm package\n"
"onnxruntime-node, looked for in ~/.cache/patcnn/onnxruntime) and names the first\n"
"that differs.\n"
"\n"
"      --onnx FILE         the model the program was compiled from\n"
"  -i, --input FILE        raw elements of an input, once for each (default: random)\n"
"      --seed N            of random inputs (default: 1)\n"
"      --pixels            random inputs are from 0 to 255, not around 0\n"
"      --tolerance T       allowed error, of the largest value of a tensor or\n"
"                          of 0.01 (default: 1e-4)\n"
"  -v, --verbose           a line for each layer\n"
"  -h, --help\n"
"\n"
"What runs it:\n"
ENGINE_HELP;

struct layer {
	uint32_t tensor;
	/** @got: as the program computes it. */
	float *got;
	size_t count;
	double max_error;
	double mean_error;
	double scale;
	bool shape_differs;
	bool unknown;
};

struct verify {
	const char *program;
	const char *onnx;
	const char *inputs[PAT_MAX_IO];
	unsigned int n_inputs;
	uint32_t seed;
	double tolerance;
	bool pixels;
	bool verbose;
	struct engine_opts engine;
	struct model_file file;
	/** @io: [input] what the program gets. */
	void *io[PAT_MAX_IO];
	struct layer *layers;
	unsigned int n_layers;
};

static const char *value_name(const struct verify *v, uint32_t tensor)
{
	return v->file.prog.strings + v->file.prog.tensors[tensor].name;
}

static size_t tensor_elements(const struct patcnn_tensor *t)
{
	return (size_t)t->c * t->h * t->w;
}

/* The first operator that writes a value of the model: later ones reshape it. */
static void find_layers(struct verify *v, const struct verify_model *m)
{
	const struct pat_program *p = &v->file.prog;
	uint32_t i;
	unsigned int k;

	v->layers = xcalloc(p->operator_count + 1, sizeof(*v->layers));
	for (i = 0; i < p->operator_count; i++) {
		uint32_t t = p->operators[i].output;

		if (!verify_model_has(m, value_name(v, t)))
			continue;
		for (k = 0; k < v->n_layers; k++)
			if (!strcmp(value_name(v, v->layers[k].tensor), value_name(v, t)))
				break;
		if (k == v->n_layers)
			v->layers[v->n_layers++].tensor = t;
	}
}

/* Numbers as a layer sees them: bell-shaped around zero, or any byte. */
static bool make_input(struct verify *v, uint32_t i)
{
	const struct patcnn_tensor *t = model_file_io(&v->file, v->file.inputs[i]);
	size_t n = tensor_elements(t), bytes = pat_tensor_bytes(t), k, size;
	uint64_t x = v->seed * 0x9e3779b97f4a7c15ULL + i + 1;

	if (i < v->n_inputs) {
		v->io[i] = read_file(v->inputs[i], &size);
		if (v->io[i] && size != bytes)
			complain("%s: has %zu bytes, the input %zu", v->inputs[i], size, bytes);
		return v->io[i] && size == bytes;
	}
	v->io[i] = xcalloc(bytes, 1);
	for (k = 0; k < n; k++) {
		double sum = 0;
		int s;

		for (s = 0; s < 4; s++) {
			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			sum += (double)(x >> 40) / (1 << 24) - 0.5;
		}
		if (t->dtype == PATCNN_DTYPE_U8)
			((uint8_t *)v->io[i])[k] = (uint8_t)(x >> 56);
		else
			((float *)v->io[i])[k] = v->pixels ? (float)(x >> 56) : (float)(sum * 1.7);
	}
	return true;
}

static const struct patcnn_operator *convert_of(const struct pat_program *p, uint32_t tensor)
{
	uint32_t i;

	for (i = 0; i < p->operator_count; i++)
		if (p->operators[i].kind == PATCNN_OP_CONVERT &&
		    p->operands[p->operators[i].operand_first] == tensor)
			return &p->operators[i];
	return NULL;
}

static float channel_value(const struct pat_program *p, const struct patcnn_array *a, uint32_t c,
			   float absent)
{
	float f = absent;

	if (a->count)
		memcpy(&f, p->data + a->offset + 4 * (uint64_t)c, sizeof(f));
	return f;
}

/* What the ONNX model gets for input @i: the definition of CONVERT, in plain loops. */
static float *model_input(const struct verify *v, uint32_t i, bool channels_last)
{
	const struct pat_program *p = &v->file.prog;
	const struct patcnn_tensor *t = model_file_io(&v->file, v->file.inputs[i]);
	const struct patcnn_operator *op = convert_of(p, p->io[v->file.inputs[i]]);
	uint32_t plane = t->h * t->w, c, k;
	float *out = xcalloc(tensor_elements(t), sizeof(*out));

	for (c = 0; c < t->c; c++) {
		uint32_t from = op && op->convert.swap_rb ? 2 - c : c;
		float mean = op ? channel_value(p, &op->convert.mean, c, 0) : 0;
		float scale = op ? channel_value(p, &op->convert.scale, c, 1) : 1;

		for (k = 0; k < plane; k++) {
			size_t at = t->layout == PATCNN_LAYOUT_HWC ? (size_t)k * t->c + from :
								     (size_t)from * plane + k;
			float x = t->dtype == PATCNN_DTYPE_U8 ? ((uint8_t *)v->io[i])[at] :
								((float *)v->io[i])[at];

			at = channels_last ? (size_t)k * t->c + c : (size_t)c * plane + k;
			out[at] = op ? (x - mean) * scale : x;
		}
	}
	return out;
}

/* A copy of the program in which layers [first, last) are outputs. */
static char *write_variant(const struct verify *v, unsigned int first, unsigned int last)
{
	const struct pat_program *p = &v->file.prog;
	size_t at = (size_t)((const char *)p->tensors - (const char *)v->file.blob);
	char *blob = xcalloc(v->file.size, 1), *path = xstrdup("/tmp/patcnn-verify-XXXXXX");
	struct patcnn_tensor *t;
	unsigned int i;
	int fd = mkstemp(path);
	bool ok;

	memcpy(blob, v->file.blob, v->file.size);
	t = (struct patcnn_tensor *)(blob + at);
	for (i = first; i < last; i++)
		t[v->layers[i].tensor].role = PATCNN_ROLE_OUTPUT;
	ok = fd >= 0 && write(fd, blob, v->file.size) == (ssize_t)v->file.size;
	if (fd >= 0)
		close(fd);
	free(blob);
	if (ok)
		return path;
	complain("%s: %s", path, strerror(errno));
	if (fd >= 0)
		unlink(path);
	free(path);
	return NULL;
}

static void take_outputs(struct verify *v, const struct model_file *file, const struct engine *e,
			 unsigned int first, unsigned int last)
{
	unsigned int i;
	uint32_t k;

	for (k = 0; k < file->prog.io_count; k++)
		for (i = first; i < last; i++) {
			struct layer *l = &v->layers[i];

			if (file->prog.io[k] != l->tensor)
				continue;
			l->count = tensor_elements(&file->prog.tensors[l->tensor]);
			l->got = xcalloc(l->count, sizeof(*l->got));
			memcpy(l->got, e->io[k], l->count * sizeof(*l->got));
		}
}

static bool run_part(struct verify *v, unsigned int first, unsigned int last)
{
	char *path = write_variant(v, first, last);
	struct model_file file;
	struct engine *e;
	bool ok = false;
	uint64_t ns;
	uint32_t i;

	if (!path || !model_file_open(&file, path)) {
		if (path)
			unlink(path);
		free(path);
		return false;
	}
	unlink(path);
	e = engine_open(&file, &v->engine);
	if (e) {
		for (i = 0; i < file.input_count; i++)
			memcpy(e->io[file.inputs[i]], v->io[i],
			       pat_tensor_bytes(model_file_io(&file, file.inputs[i])));
		ok = engine_run(e, &ns);
		if (ok)
			take_outputs(v, &file, e, first, last);
		engine_close(e);
	}
	model_file_close(&file);
	free(path);
	return ok;
}

static bool run_program(struct verify *v)
{
	unsigned int room = PAT_MAX_IO - v->file.prog.io_count, first;

	for (first = 0; first < v->n_layers; first += room) {
		unsigned int last = first + room < v->n_layers ? first + room : v->n_layers;

		if (!run_part(v, first, last))
			return false;
	}
	return true;
}

static void compare(struct layer *l, const struct verify_value *want)
{
	double sum = 0;
	size_t i;

	l->unknown = !want->data;
	l->shape_differs = want->data && want->count != l->count;
	if (l->unknown || l->shape_differs)
		return;
	for (i = 0; i < l->count; i++) {
		double error = fabs((double)l->got[i] - (double)want->data[i]);

		/* Not a number is only right where the other has none either. */
		if (isnan(error))
			error = isnan(l->got[i]) == isnan(want->data[i]) ? 0 : INFINITY;
		sum += error;
		if (error > l->max_error)
			l->max_error = error;
		if (fabs((double)want->data[i]) > l->scale)
			l->scale = fabs((double)want->data[i]);
	}
	l->mean_error = l->count ? sum / (double)l->count : 0;
}

/* What is small throughout, as scores far from 1 are, has the rounding of what it was made of. */
static double relative_error(const struct layer *l)
{
	return l->max_error / (l->scale > 1e-2 ? l->scale : 1e-2);
}

static bool layer_ok(const struct verify *v, const struct layer *l)
{
	return !l->shape_differs && relative_error(l) <= v->tolerance;
}

static bool report(const struct verify *v)
{
	const struct layer *bad = NULL;
	unsigned int i, compared = 0;
	double worst = 0;

	for (i = 0; i < v->n_layers; i++) {
		const struct layer *l = &v->layers[i];

		if (l->unknown)
			continue;
		compared++;
		if (relative_error(l) > worst)
			worst = relative_error(l);
		if (!bad && !layer_ok(v, l))
			bad = l;
		if (v->verbose)
			printf("%-5s %-44s max |x| %-10.4g max error %-10.3g mean %.3g\n",
			       layer_ok(v, l) ? "ok" : "DIFF", value_name(v, l->tensor), l->scale,
			       l->max_error, l->mean_error);
	}
	if (bad && bad->shape_differs)
		printf("%s: first difference in '%s': another number of elements\n", v->program,
		       value_name(v, bad->tensor));
	else if (bad)
		printf("%s: first difference in '%s': max error %.3g, mean %.3g, largest %.4g\n",
		       v->program, value_name(v, bad->tensor), bad->max_error, bad->mean_error,
		       bad->scale);
	if (!bad)
		printf("%s: %u layers agree, largest relative error %.2g\n", v->program, compared,
		       worst);
	if (!compared)
		complain("%s: no layer has the name of a value of %s", v->program, v->onnx);
	return !bad && compared;
}

static struct verify_value runtime_input(const struct verify *v, const struct verify_model *m,
					 uint32_t i, uint32_t *dims)
{
	const struct patcnn_tensor *t = model_file_io(&v->file, v->file.inputs[i]);
	const char *name = v->file.prog.strings + t->name;
	bool last = t->rank == 4 && verify_model_channels_last(m, name);

	memcpy(dims, t->shape, sizeof(t->shape));
	if (last) {
		dims[1] = t->shape[2];
		dims[2] = t->shape[3];
		dims[3] = t->shape[1];
	}
	return (struct verify_value){ name, model_input(v, i, last), tensor_elements(t), t->rank,
				      dims };
}

static bool run(struct verify *v)
{
	struct verify_model *m = verify_model_open(v->onnx);
	struct verify_value inputs[PAT_MAX_IO] = { 0 }, *outputs;
	uint32_t dims[PAT_MAX_IO][PATCNN_MAX_RANK];
	bool ok = m;
	unsigned int i;

	if (!m)
		return false;
	find_layers(v, m);
	outputs = xcalloc(v->n_layers + 1, sizeof(*outputs));
	for (i = 0; ok && i < v->file.input_count; i++) {
		ok = make_input(v, i);
		if (ok)
			inputs[i] = runtime_input(v, m, i, dims[i]);
	}
	for (i = 0; i < v->n_layers; i++)
		outputs[i].name = value_name(v, v->layers[i].tensor);
	ok = ok && run_program(v) &&
	     verify_model_run(m, inputs, v->file.input_count, outputs, v->n_layers);
	for (i = 0; ok && i < v->n_layers; i++)
		compare(&v->layers[i], &outputs[i]);
	ok = ok && report(v);
	for (i = 0; i < v->n_layers; i++) {
		free(outputs[i].data);
		free(v->layers[i].got);
	}
	for (i = 0; i < v->file.input_count; i++) {
		free(inputs[i].data);
		free(v->io[i]);
	}
	free(outputs);
	free(v->layers);
	verify_model_close(m);
	return ok;
}

enum { OPT_ONNX = 256, OPT_SEED, OPT_PIXELS, OPT_TOLERANCE };

static int parse_arguments(struct verify *v, int argc, char **argv)
{
	static const struct option options[] = {
		{ "onnx", required_argument, NULL, OPT_ONNX },
		{ "input", required_argument, NULL, 'i' },
		{ "seed", required_argument, NULL, OPT_SEED },
		{ "pixels", no_argument, NULL, OPT_PIXELS },
		{ "tolerance", required_argument, NULL, OPT_TOLERANCE },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		ENGINE_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	int c, r;

	while ((c = getopt_long(argc, argv, "i:vh", options, NULL)) != -1) {
		r = engine_option(c, optarg, &v->engine);
		if (r > 0)
			continue;
		if (c == 'h') {
			fputs(help, stdout);
			return STATUS_OK;
		}
		if (c == OPT_ONNX)
			v->onnx = optarg;
		else if (c == 'i' && v->n_inputs < PAT_MAX_IO)
			v->inputs[v->n_inputs++] = optarg;
		else if (c == OPT_PIXELS)
			v->pixels = true;
		else if (c == 'v')
			v->verbose = true;
		else if (!(c == OPT_SEED && parse_u32("--seed", optarg, 0, UINT32_MAX, &v->seed)) &&
			 !(c == OPT_TOLERANCE &&
			   parse_seconds("--tolerance", optarg, &v->tolerance)))
			return STATUS_USAGE;
	}
	if (optind + 1 != argc || !v->onnx) {
		complain("verify wants one program and --onnx FILE; see --help");
		return STATUS_USAGE;
	}
	v->program = argv[optind];
	return -1;
}

int cmd_verify(int argc, char **argv)
{
	struct verify *v = xcalloc(1, sizeof(*v));
	int status;

	v->seed = 1;
	v->tolerance = 1e-4;
	v->engine.priority = 1;
	v->engine.timeout_ms = 60000;
	status = parse_arguments(v, argc, argv);
	if (status < 0) {
		status = STATUS_FAILED;
		if (model_file_open(&v->file, v->program)) {
			if (run(v))
				status = STATUS_OK;
			model_file_close(&v->file);
		}
	}
	free(v);
	return status;
}
