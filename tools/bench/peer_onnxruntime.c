// SPDX-License-Identifier: MIT
/*
 * ONNX Runtime, out of the npm package onnxruntime-node, which brings the library but no
 * header. Its C interface is a table of functions whose order is frozen for ever;
 * those used here are named by their place in it.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum {
	GET_ERROR_MESSAGE = 2,
	CREATE_ENV = 3,
	CREATE_SESSION = 7,
	CREATE_SESSION_FROM_ARRAY = 8,
	RUN = 9,
	CREATE_SESSION_OPTIONS = 10,
	SET_GRAPH_OPTIMIZATION_LEVEL = 23,
	SET_INTRA_OP_THREADS = 24,
	SESSION_GET_INPUT_TYPE_INFO = 33,
	SESSION_GET_INPUT_NAME = 36,
	SESSION_GET_OUTPUT_NAME = 37,
	CREATE_TENSOR_WITH_DATA = 49,
	GET_TENSOR_DATA = 51,
	CAST_TO_TENSOR_INFO = 55,
	GET_DIMENSIONS_COUNT = 61,
	GET_DIMENSIONS = 62,
	GET_ELEMENT_COUNT = 64,
	GET_TENSOR_SHAPE = 65,
	CREATE_CPU_MEMORY_INFO = 69,
	GET_DEFAULT_ALLOCATOR = 78,
	RELEASE_SESSION = 95,
	RELEASE_VALUE = 96,
	RELEASE_SESSION_OPTIONS = 100,
	ADD_SESSION_CONFIG = 130,
};

struct api_base {
	void *const *(*get)(uint32_t version);
	const char *(*version)(void);
};

struct ort_model {
	void *session;
	void *in, *out;
	float *data;
	u64 count;
	char *in_name, *out_name;
};

static void *const *api;
static void *env, *memory_info;

#define CALL(n, types, ...) check(((void *(*) types)api[n])(__VA_ARGS__))

static void check(void *status)
{
	if (!status)
		return;
	fprintf(stderr, "ONNX Runtime: %s\n", ((const char *(*)(void *))api[GET_ERROR_MESSAGE])(status));
	exit(1);
}

/* Where `npm install --prefix` puts it. */
static void *load(void)
{
	const char *cache = getenv("PATCNN_CACHE"), *home = getenv("HOME");
	char path[512], dir[256];
	void *lib = NULL;
	int napi;

	snprintf(dir, sizeof(dir), "%s%s", cache ? cache : home ? home : "", cache ? "" : "/.cache/patcnn");
	for (napi = 9; !lib && napi >= 3; napi--) {
		snprintf(path, sizeof(path), "%s/onnxruntime/node_modules/onnxruntime-node/bin/napi-v%d/linux/%s/"
			 "libonnxruntime.so.1", dir, napi, sizeof(void *) == 8 ? "x64" : "");
		lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return lib;
}

bool ort_load(char *version, size_t size)
{
	void *lib = load();
	const struct api_base *(*base)(void) = lib ? (void *)dlsym(lib, "OrtGetApiBase") : NULL;

	if (!base)
		return false;
	snprintf(version, size, "%s", base()->version());
	api = base()->get(11);
	if (!api)
		return false;
	/* 3: errors only */
	CALL(CREATE_ENV, (int, const char *, void **), 3, "bench", &env);
	CALL(CREATE_CPU_MEMORY_INFO, (int, int, void **), 0, 0, &memory_info);
	return true;
}

static struct ort_model *finish(struct ort_model *m)
{
	void *info, *shape, *alloc;
	int64_t dims[8] = { 0 };
	size_t rank, i;

	m->count = 1;
	CALL(GET_DEFAULT_ALLOCATOR, (void **), &alloc);
	CALL(SESSION_GET_INPUT_NAME, (void *, size_t, void *, char **), m->session, 0, alloc, &m->in_name);
	CALL(SESSION_GET_OUTPUT_NAME, (void *, size_t, void *, char **), m->session, 0, alloc, &m->out_name);
	CALL(SESSION_GET_INPUT_TYPE_INFO, (void *, size_t, void **), m->session, 0, &info);
	CALL(CAST_TO_TENSOR_INFO, (void *, void **), info, &shape);
	CALL(GET_DIMENSIONS_COUNT, (void *, size_t *), shape, &rank);
	CALL(GET_DIMENSIONS, (void *, int64_t *, size_t), shape, dims, rank);
	for (i = 0; i < rank; i++)
		m->count *= (u64)dims[i];
	m->data = memory(m->count * sizeof(float));
	fill_floats(m->data, m->count, 2);
	/* 1: float */
	CALL(CREATE_TENSOR_WITH_DATA, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory_info,
	     m->data, m->count * sizeof(float), dims, rank, 1, &m->in);
	return m;
}

static void *options(u32 threads)
{
	void *o;

	CALL(CREATE_SESSION_OPTIONS, (void **), &o);
	/* 99: every optimisation there is, layouts included */
	CALL(SET_GRAPH_OPTIMIZATION_LEVEL, (void *, int), o, 99);
	CALL(SET_INTRA_OP_THREADS, (void *, int), o, (int)threads);
	/* Its threads would go on spinning between runs, where others are measured. */
	CALL(ADD_SESSION_CONFIG, (void *, const char *, const char *), o, "session.force_spinning_stop", "1");
	return o;
}

static void release(int what, void *p)
{
	((void (*)(void *))api[what])(p);
}

struct ort_model *ort_open(const char *path, u32 threads)
{
	struct ort_model *m = calloc(1, sizeof(*m));
	void *o = options(threads);

	CALL(CREATE_SESSION, (void *, const char *, void *, void **), env, path, o, &m->session);
	release(RELEASE_SESSION_OPTIONS, o);
	return finish(m);
}

void ort_run(struct ort_model *m)
{
	const char *in = m->in_name, *out = m->out_name;
	void *value = m->in;

	CALL(RUN, (void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t, void **),
	     m->session, NULL, &in, &value, 1, &out, 1, &m->out);
}

void *ort_input(struct ort_model *m, u64 *count)
{
	*count = m->count;
	return m->data;
}

const float *ort_output(struct ort_model *m, u64 *count)
{
	void *shape, *data;
	size_t n;

	CALL(GET_TENSOR_SHAPE, (void *, void **), m->out, &shape);
	CALL(GET_ELEMENT_COUNT, (void *, size_t *), shape, &n);
	CALL(GET_TENSOR_DATA, (void *, void **), m->out, &data);
	*count = n;
	return data;
}

void ort_close(struct ort_model *m)
{
	release(RELEASE_VALUE, m->in);
	if (m->out)
		release(RELEASE_VALUE, m->out);
	release(RELEASE_SESSION, m->session);
	free(m->data);
	free(m);
}

static void *layer_open(const struct shape *s, const float *weights, u32 threads)
{
	struct ort_model *m = calloc(1, sizeof(*m));
	void *o, *model;
	size_t size;

	if (!api)
		return NULL;
	o = options(threads);
	model = onnx_layer(s, weights, &size);
	CALL(CREATE_SESSION_FROM_ARRAY, (void *, const void *, size_t, void *, void **), env, model, size, o,
	     &m->session);
	free(model);
	release(RELEASE_SESSION_OPTIONS, o);
	return finish(m);
}

static void layer_run(void *m)
{
	ort_run(m);
}

static void layer_close(void *m)
{
	ort_close(m);
}

const struct peer peer_onnxruntime = { "onnxruntime", layer_open, layer_run, layer_close };
