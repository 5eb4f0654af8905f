/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_COMPILE_H
#define PATCNN_COMPILE_H

/* The compiler as a function: bytes of an ONNX file to bytes of a program. */

#include <stdio.h>

#include "lower.h"
#include "onnx_read.h"

struct compile_options {
	struct read_options read;
	struct lower_options lower;
	/** @labels: text, one class a line, or NULL. */
	const char *labels;
	/** @memory_limit: bytes; 0: by the size of the file. */
	size_t memory_limit;
};

struct compile_result {
	/** @arena: holds everything below; compile_release() gives it back. */
	struct arena arena;
	struct graph graph;
	/** @program: 64-byte aligned; NULL if the model cannot be compiled. */
	void *program;
	size_t size;
	/** @error: what stopped the compile other than the issues of @graph; "" if nothing. */
	const char *error;
};

/* Return: true if there is a program. Always followed by compile_release(). */
bool compile_model(struct compile_result *r, const void *bytes, size_t size,
		   const struct compile_options *opts);
void compile_release(struct compile_result *r);

/* One line for each issue. */
void compile_print_issues(const struct compile_result *r, FILE *out);

/*
 * For --outputs: the values that would have to be computed instead of the outputs of the
 * model that @failed to compile, which was compiled with @opts: "a,b", to be freed. ""
 * if there are none, NULL if that does not compile either.
 */
char *compile_cut(struct compile_result *failed, const void *bytes, size_t size,
		  const struct compile_options *opts);

/* META text: name, labels, origin. */
const char *compile_meta(struct graph *g, const char *labels);

#endif
