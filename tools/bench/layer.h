/* SPDX-License-Identifier: MIT */
#ifndef _BENCH_LAYER_H_
#define _BENCH_LAYER_H_

/*
 * A convolution layer for checks and benchmarks: seeded weights in any storage, their
 * packed form for an instruction set, activations, and a double-precision reference.
 */

#include "../../driver/compute/kernels/pat_kernels.h"

enum layer_kind {
	LAYER_DENSE,
	/** @LAYER_FREE: 4-of-9 (or @taps of any kernel) patterns, every filter its own channels. */
	LAYER_FREE,
	/** @LAYER_GROUP: filters in groups of @group that share channels and patterns. */
	LAYER_GROUP,
	/** @LAYER_CSR: unstructured. */
	LAYER_CSR,
	/** @LAYER_BLOCK: block_out x block_in blocks. */
	LAYER_BLOCK,
};

struct layer {
	struct pat_conv conv;
	enum layer_kind kind;
	/** @group: LAYER_GROUP. */
	u32 group;
	/** @keep: share of kernels (FKW), weights (CSR) or blocks that are kept. */
	double keep;
	/** @taps: entries of a pattern; 0: 4. */
	u32 taps;
	/** @patterns: size of the pattern set; 0: 8. */
	u32 patterns;
	struct pat_weights w;
	/** @dense: [out][in / groups][kh][kw], zeros where pruned. */
	float *dense;
	float *bias;
	float *in;
	float *out;
	float *res;
	void *packed;
	void *scratch;
	struct pat_conv_info info;
	struct pat_tune tune;
	u64 macs;
	u64 macs_dense;
};

/* @l->conv's shapes, kernel, strides, pads and activation are set: fill in pitches, weights, data */
void layer_fill(struct layer *l, u32 seed);
/* plan and pack; 0 or a negative errno */
int layer_pack(struct layer *l, const struct pat_conv_isa *isa);
void layer_run(struct layer *l, const struct pat_conv_isa *isa, u64 budget, u32 parts);
/* largest error of @samples outputs relative to the sum of magnitudes; NaN where pads are not zero */
double layer_error(struct layer *l, u32 samples);
void layer_unpack(struct layer *l);
void layer_free(struct layer *l);
u32 layer_random(u32 *state);
float layer_float(u32 *state);

#endif
