/* SPDX-License-Identifier: MIT */
#ifndef BENCH_H
#define BENCH_H

/*
 * What is measured against what. Everything of one run happens in one process, in
 * interleaved rounds: machines drift, ratios within a round do not.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "patcnn_compute.h"

/* A convolution or linear layer as the peers get it; act and its numbers as in a program. */
struct shape {
	u32 ic, ih, iw, oc, oh, ow;
	u32 kh, kw, sh, sw, dh, dw;
	u32 pad_top, pad_left, pad_bottom, pad_right;
	u32 groups;
	u32 act;
	float act_a, act_b;
	/* The program also adds a residual; peers are spared it. */
	u32 residual;
	u32 linear;
};

/* Weights as [out][in / groups][kh][kw]. */
u64 shape_weights(const struct shape *s);
void shape_name(const struct shape *s, char *text, size_t size);

struct peer {
	const char *name;
	/* NULL: cannot do this layer. The best algorithm and layout it has are chosen here. */
	void *(*open)(const struct shape *s, const float *weights, u32 threads);
	void (*run)(void *layer);
	void (*close)(void *layer);
};

extern const struct peer peer_onednn;
extern const struct peer peer_xnnpack;
/* The CHW operators: 1x1 by the non-zero weights, depthwise, first layers. */
extern const struct peer peer_xnnpack_chw;
extern const struct peer peer_onnxruntime;

/* ONNX Runtime on a whole model, by the C interface of the library in the npm package. */
struct ort_model;

bool ort_load(char *version, size_t size);
struct ort_model *ort_open(const char *path, u32 threads);
/* The first input is a [1][3][h][w] or such of @count floats; returns the first output. */
void *ort_input(struct ort_model *m, u64 *count);
const float *ort_output(struct ort_model *m, u64 *count);
void ort_run(struct ort_model *m);
void ort_close(struct ort_model *m);

/* A model of one layer; the caller frees it. */
void *onnx_layer(const struct shape *s, const float *weights, size_t *size);

/* ---- time ---- */

/* Seconds: of this thread alone where it is the only one, of the clock otherwise. */
double seconds(u32 threads);
/* Seconds of one multiply-accumulate of one core with operands in registers. */
double fma_seconds(void);
const char *fma_isa(void);

/* Until no thread of this process spins any more: those of peers do for a while. */
void wait_quiet(void);

int by_value(const void *a, const void *b);
/* Sorts @v. */
double median(double *v, u32 n);

/* ---- other threads ---- */

/* fn(arg, index) on every one of @threads threads, the caller's is 0; they spin until all are done. */
void pool_start(u32 threads);
void pool_run(void (*fn)(void *arg, u32 index), void *arg);
/* All threads of a pool_run() are here. */
void pool_barrier(void);

void *memory(u64 bytes);
void fill_floats(void *p, u64 count, u32 seed);

#endif
