/* SPDX-License-Identifier: MIT */
#ifndef SELFTESTS_ONNX_MODEL_H
#define SELFTESTS_ONNX_MODEL_H

/* ONNX models of a few nodes for tests of the compiler, and what they compute. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnx_types.h"

#define MAX_NODES	16
#define MAX_CONSTANTS	16
#define MAX_ELEMENTS	(1 << 14)

struct constant_def {
	const char *name;
	int type;			/* ONNX_FLOAT, ONNX_FLOAT16: random; ONNX_INT64: @i */
	int64_t dims[4];
	unsigned int rank;
	int64_t i[8];
};

struct model_def {
	/*
	 * "Op in,in out name=1,2 name=0.5 name=:text": a number with a point is a float.
	 * With - before it its output never becomes one of the graph. In: . for none, _ for
	 * one that is left out.
	 */
	const char *nodes[MAX_NODES];
	struct constant_def constants[MAX_CONSTANTS];
	int64_t input[4];		/* of "x" */
	unsigned int rank;
	int type;			/* of "x"; 0: float */
	const char *output;
};

#define RANDOM(name, ...) TENSOR(name, ONNX_FLOAT, __VA_ARGS__)
#define TENSOR(name, type, ...) { name, type, { __VA_ARGS__ }, \
			    sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), { 0 } }
#define INTS(name, ...) { name, ONNX_INT64, { sizeof((int64_t[]){ __VA_ARGS__ }) / \
			  sizeof(int64_t) }, 1, { __VA_ARGS__ } }
#define SCALAR(name, value) { name, ONNX_INT64, { 0 }, 0, { value } }

/*
 * What nodes write becomes an output each if @all, else only def->output does. @wide: the
 * numbers of halves as floats.
 */
void *model(const struct model_def *def, bool all, bool wide, size_t *size);

struct result {
	float values[MAX_ELEMENTS];
	size_t count;
	unsigned int operators;
	unsigned int steps;
	unsigned int of_kind[32];
	bool bytes_in, channels_last;
};

/* Compile and run: NULL, or what went wrong. */
const char *run(const void *onnx, size_t size, const char *output, struct result *r);
bool agree(const struct result *a, const struct result *b);

#endif
