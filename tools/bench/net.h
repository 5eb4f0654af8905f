/* SPDX-License-Identifier: MIT */
#ifndef BENCH_NET_H
#define BENCH_NET_H

/* A compiled net, planned with one operator a step, whose steps can be run one by one. */

#include "bench.h"
#include "file.h"

struct net_layer {
	struct shape shape;
	u32 step;
	/* Weights that are not zero, and multiply-accumulates with them. */
	u64 nonzero;
	u64 macs;
	u64 macs_dense;
	const char *name;
	const char *algorithm;
};

struct net {
	/* "dense", "8x-free": how it was pruned. */
	const char *variant;
	struct model_file file;
	struct pat_plan *plan;
	void *packed;
	void *arena;
	void *io_memory;
	void *io[PAT_MAX_IO];
	void **scratch;
	u32 threads;
	/* Convolution and linear layers, in order of execution. */
	struct net_layer *layers;
	u32 layer_count;
};

bool net_open(struct net *n, const char *variant, const char *path, const struct pat_isa *isa, u32 threads);
void net_close(struct net *n);

/* Numbers between -1 and 1 in all activations. */
void net_fill(struct net *n);

/* @reps runs of step @step on all threads. */
void net_run_step(struct net *n, u32 step, u32 reps);

/* The weights of a layer as [out][in / groups][kh][kw]; the caller frees them. */
float *net_weights(const struct net *n, const struct net_layer *l);

#endif
