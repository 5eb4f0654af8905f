/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_FILE_H
#define PATCNN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "patcnn_compute.h"

/* A .patcnn file in memory, validated, with what tools need of its META text. */
struct model_file {
	const char *path;
	void *blob;
	size_t size;
	struct pat_program prog;
	char *name;			/* or NULL */
	char **labels;
	uint32_t label_count;
	/* Positions in prog.io, in the order of the program. */
	uint32_t input_count;
	uint32_t output_count;
	uint16_t inputs[PAT_MAX_IO];
	uint16_t outputs[PAT_MAX_IO];
};

/* Complains and returns false on failure. @path must outlive the file. */
bool model_file_open(struct model_file *file, const char *path);
/* The same of @size bytes at @blob, 64-byte aligned, which are free()d with the file. */
bool model_file_from(struct model_file *file, const char *path, void *blob, size_t size);
void model_file_close(struct model_file *file);

/* Replace the labels by the lines of the text file @path. */
bool model_file_read_labels(struct model_file *file, const char *path);

/* The META text, not NUL-terminated; NULL if there is none. */
const char *model_file_meta(const struct model_file *file, size_t *size);

static inline const struct patcnn_tensor *model_file_io(const struct model_file *file, uint32_t i)
{
	return &file->prog.tensors[file->prog.io[i]];
}

static inline const char *tensor_name(const struct pat_program *prog,
				      const struct patcnn_tensor *t)
{
	return prog->strings + t->name;
}

/* "1x3x224x224". */
void tensor_shape(const struct patcnn_tensor *t, char *s, size_t size);

/* The element count if at most one axis is longer than 1 (a score for each class), else 0. */
uint32_t tensor_classes(const struct patcnn_tensor *t);

/* The label of class @i, or its number as text, valid until the next call. */
const char *class_label(const struct model_file *file, uint32_t i);

const char *operator_kind_name(uint32_t kind);

#endif
