/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_PROGRAM_WRITE_H
#define PATCNN_PROGRAM_WRITE_H

/*
 * Writes programs (drm/patcnn_program.h): collect tensors, operators and data in any
 * order, then finish. Data is referred to, not copied, until the end: it must live
 * as long as the writer. Everything is allocated in the arena.
 */

#include <drm/patcnn_program.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

/* Shape and split into planes of a tensor. */
struct tensor_shape {
	unsigned int rank;
	unsigned int axis_h;
	unsigned int axis_w;
	uint32_t dim[PATCNN_MAX_RANK];
};

struct program_table {
	void *rows;
	size_t count;
	size_t room;
	size_t stride;
};

struct program_writer {
	struct arena *arena;
	struct program_table tensors;
	struct program_table operators;
	struct program_table operands;
	struct program_table patterns;
	struct program_table taps;
	struct program_table strings;
	struct program_table chunks;
	uint64_t data_size;
	const char *meta;
};

void program_init(struct program_writer *w, struct arena *arena);

/* Index of a new tensor; @role is not CONSTANT. */
uint32_t program_tensor(struct program_writer *w, const char *name, unsigned int dtype,
			unsigned int role, unsigned int layout, const struct tensor_shape *s);
/* Index of a new constant with the elements of @shape at @data. */
uint32_t program_constant(struct program_writer *w, const char *name,
			  const struct tensor_shape *s, const float *data);
/* @count 4-byte elements into DATA, once for each address. */
struct patcnn_array program_array(struct program_writer *w, const void *data, uint64_t count);

/* A new operator; valid until the next one is made. */
struct patcnn_operator *program_operator(struct program_writer *w, const char *name,
					 unsigned int kind, const uint32_t *operands,
					 unsigned int count, uint32_t output);

/*
 * Index of the first of @count neighbouring patterns, each a set of kept kernel
 * positions (bit row * kernel_w + col). Sets that are already there are reused.
 */
uint32_t program_patterns(struct program_writer *w, unsigned int kernel_h, unsigned int kernel_w,
			  const uint64_t *masks, unsigned int count);

/* Names are UTF-8: every byte of @s that is not part of it becomes '?'. */
void program_utf8(char *s);

/* JSON text of the META section. */
void program_meta(struct program_writer *w, const char *json);

/* The program, 64-byte aligned. */
void *program_finish(struct program_writer *w, size_t *size);

struct patcnn_tensor *program_tensor_at(struct program_writer *w, uint32_t index);

#endif
