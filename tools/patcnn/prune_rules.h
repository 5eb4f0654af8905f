/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_PRUNE_RULES_H
#define PATCNN_PRUNE_RULES_H

/*
 * One-shot pruning of weights in plain arrays: which to keep is decided by L2 norm.
 * No allocation outlives a call. Functions return 0 or -ENOMEM.
 */

#include <stdbool.h>
#include <stdint.h>

/* Weights [out][in][kernel_h][kernel_w], @in channels of one convolution group; pruned in place. */
struct prune_layer {
	float *w;
	unsigned int out;
	unsigned int in;
	unsigned int kernel_h;
	unsigned int kernel_w;
	unsigned int groups;
};

#define PRUNE_MAX_PATTERNS	32

/* Kept positions of a kernel: bit row * kernel_w + col. */
struct prune_patterns {
	unsigned int count;
	uint32_t mask[PRUNE_MAX_PATTERNS];
};

struct prune_rule {
	/** @pattern: every kernel keeps one of the patterns; 3x3 only. */
	bool pattern;
	/** @connectivity: 1 of so many kernels is kept; below 1: all. */
	double connectivity;
	/** @group: so many filters share channels and patterns; 0 and 1: each its own. */
	unsigned int group;
	/** @block_out, @block_in: blocks punched at the same positions; 0: none. */
	unsigned int block_out;
	unsigned int block_in;
	/** @keep: share of (block, position) pairs to keep. */
	double keep;
	/** @n, @m: n of every m consecutive input channels at each position; m 0: none. */
	unsigned int n;
	unsigned int m;
	/** @unstructured: share of single weights to remove. */
	double unstructured;
};

/*
 * The @count patterns of @entries positions that together retain most of the norm of
 * all 3x3 @layers, each layer weighing the same. @centre: all keep the middle.
 */
int prune_choose_patterns(const struct prune_layer *layers, unsigned int n, unsigned int entries,
			  bool centre, unsigned int count, struct prune_patterns *set);

int prune_apply(struct prune_layer *l, const struct prune_rule *r,
		const struct prune_patterns *set);

/*
 * Order of filters in which each @group neighbours (within a convolution group) lose
 * least by sharing channels and patterns. @set NULL: whole kernels.
 */
int prune_group_filters(const struct prune_layer *l, unsigned int group,
			const struct prune_patterns *set, uint32_t *order);

#endif
