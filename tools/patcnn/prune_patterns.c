// SPDX-License-Identifier: MIT
/*
 * The pattern set of a net: of all patterns of so many positions, the few that
 * together retain most. Greedy first, then each is exchanged for a better one as long
 * as there is any. The kernels of large nets are sampled.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prune_rules.h"

#define TAPS		9
#define CENTRE		4
#define MAX_KERNELS	40000
#define MAX_CANDIDATES	126	/* 9 over 4 */
#define MAX_ROUNDS	4

struct choice {
	unsigned int candidates;
	unsigned int kernels;
	uint32_t mask[MAX_CANDIDATES];
	/** @score: [candidate][kernel] energy retained, of that of its layer. */
	float *score;
	/** @best: [kernel] by the patterns chosen so far. */
	float *best;
};

static bool is_3x3(const struct prune_layer *l)
{
	return l->kernel_h == 3 && l->kernel_w == 3;
}

static void list_candidates(struct choice *c, unsigned int entries, bool centre)
{
	uint32_t mask;

	for (mask = 1; mask < 1U << TAPS; mask++)
		if ((unsigned int)__builtin_popcount(mask) == entries &&
		    (!centre || mask >> CENTRE & 1))
			c->mask[c->candidates++] = mask;
}

static void score_kernel(struct choice *c, const float *w, double total, unsigned int kernel)
{
	float energy[TAPS];
	unsigned int i, t;

	for (t = 0; t < TAPS; t++)
		energy[t] = (float)((double)w[t] * (double)w[t] / total);
	for (i = 0; i < c->candidates; i++) {
		float sum = 0;

		for (t = 0; t < TAPS; t++)
			if (c->mask[i] >> t & 1)
				sum += energy[t];
		c->score[(uint64_t)i * MAX_KERNELS + kernel] = sum;
	}
}

static void score_layers(struct choice *c, const struct prune_layer *layers, unsigned int n)
{
	uint64_t all = 0, step, k, seen = 0;
	unsigned int i, t;

	for (i = 0; i < n; i++)
		if (is_3x3(&layers[i]))
			all += (uint64_t)layers[i].out * layers[i].in;
	step = all / MAX_KERNELS + 1;
	for (i = 0; i < n; i++) {
		uint64_t kernels = (uint64_t)layers[i].out * layers[i].in;
		double total = 0;

		if (!is_3x3(&layers[i]))
			continue;
		for (k = 0; k < kernels; k++)
			for (t = 0; t < TAPS; t++)
				total += (double)layers[i].w[k * TAPS + t] *
					 (double)layers[i].w[k * TAPS + t];
		for (k = 0; total > 0 && k < kernels; k++)
			if (seen++ % step == 0 && c->kernels < MAX_KERNELS)
				score_kernel(c, layers[i].w + k * TAPS, total, c->kernels++);
	}
}

/* What all kernels retain if candidate @i is added to what @best stands for. */
static double gain(const struct choice *c, unsigned int i)
{
	const float *score = c->score + (uint64_t)i * MAX_KERNELS;
	double sum = 0;
	unsigned int k;

	for (k = 0; k < c->kernels; k++)
		sum += (double)(score[k] > c->best[k] ? score[k] : c->best[k]);
	return sum;
}

static unsigned int best_candidate(const struct choice *c, double *value)
{
	unsigned int best = 0, i;

	*value = -1;
	for (i = 0; i < c->candidates; i++) {
		double v = gain(c, i);

		if (v > *value) {
			*value = v;
			best = i;
		}
	}
	return best;
}

static void retain(struct choice *c, const unsigned int *chosen, unsigned int count,
		   unsigned int without)
{
	unsigned int i, k;

	memset(c->best, 0, c->kernels * sizeof(*c->best));
	for (i = 0; i < count; i++) {
		const float *score = c->score + (uint64_t)chosen[i] * MAX_KERNELS;

		if (i == without)
			continue;
		for (k = 0; k < c->kernels; k++)
			if (score[k] > c->best[k])
				c->best[k] = score[k];
	}
}

static void choose(struct choice *c, unsigned int count, struct prune_patterns *set)
{
	unsigned int chosen[PRUNE_MAX_PATTERNS], i, round;
	double value;
	bool changed = true;

	for (i = 0; i < count; i++) {
		retain(c, chosen, i, count);
		chosen[i] = best_candidate(c, &value);
	}
	for (round = 0; changed && round < MAX_ROUNDS; round++) {
		changed = false;
		for (i = 0; i < count; i++) {
			unsigned int other;

			retain(c, chosen, count, i);
			other = best_candidate(c, &value);
			if (other != chosen[i] && value > gain(c, chosen[i])) {
				chosen[i] = other;
				changed = true;
			}
		}
	}
	set->count = count;
	for (i = 0; i < count; i++)
		set->mask[i] = c->mask[chosen[i]];
}

int prune_choose_patterns(const struct prune_layer *layers, unsigned int n, unsigned int entries,
			  bool centre, unsigned int count, struct prune_patterns *set)
{
	struct choice c = { 0 };
	int err = -ENOMEM;

	set->count = 0;
	list_candidates(&c, entries, centre);
	if (count > c.candidates)
		count = c.candidates;
	if (count > PRUNE_MAX_PATTERNS)
		count = PRUNE_MAX_PATTERNS;
	c.score = calloc((uint64_t)c.candidates * MAX_KERNELS + 1, sizeof(*c.score));
	c.best = calloc(MAX_KERNELS, sizeof(*c.best));
	if (c.score && c.best) {
		score_layers(&c, layers, n);
		if (c.kernels)
			choose(&c, count, set);
		err = 0;
	}
	free(c.best);
	free(c.score);
	return err;
}
