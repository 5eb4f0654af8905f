/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_SPARSITY_H
#define PATCNN_SPARSITY_H

/*
 * How the weights of a layer are best stored, found from their zeros alone: kernel
 * patterns with connectivity (FKW), punched blocks, unstructured (CSR) or dense.
 * See enum patcnn_storage for what the arrays hold.
 */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"

struct layer_weights {
	/** @values: [out][in][kernel_h][kernel_w], @in channels of one group. */
	const float *values;
	unsigned int out;
	unsigned int in;
	unsigned int kernel_h;
	unsigned int kernel_w;
	unsigned int groups;
};

struct sparse_weights {
	unsigned int storage;
	unsigned int block_out;
	unsigned int block_in;
	/** @masks: kept positions of each pattern, bit row * kernel_w + col. */
	uint64_t *masks;
	unsigned int n_masks;
	const float *values;
	const uint32_t *offset;
	const uint32_t *index;
	const uint32_t *reorder;
	const uint32_t *stride;
	uint64_t n_values;
	uint64_t n_offset;
	uint64_t n_index;
	uint64_t n_reorder;
	uint64_t n_stride;
};

/* False: store it dense. */
bool sparse_encode(struct arena *a, const struct layer_weights *l, struct sparse_weights *s);

/* Patterns: false if the kernels have no small set of them, or keep too much. */
bool fkw_encode(struct arena *a, const struct layer_weights *l, struct sparse_weights *s);

/*
 * FKR: the order of filters, within each convolution group, in which neighbours have
 * most in common. @signature: [out][in], pattern of each kernel plus one or 0.
 */
void fkr_order(struct arena *a, const uint8_t *signature, unsigned int out, unsigned int in,
	       unsigned int groups, uint32_t *order);

#endif
