// SPDX-License-Identifier: MIT
/* The pruning rules; see prune_rules.h. Patterns are chosen in prune_patterns.c. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prune_rules.h"

/* Something kept or removed as a whole, with the norm that decides. */
struct unit {
	double energy;
	uint64_t index;
};

static int by_energy(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	if (x->energy != y->energy)
		return x->energy < y->energy ? 1 : -1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Units to keep: as many as the share says, rounded up. */
static uint64_t kept_of(uint64_t count, double share)
{
	double kept = ceil((double)count * share - 1e-9);

	return kept < 0 ? 0 : kept > (double)count ? count : (uint64_t)kept;
}

static double square(float x)
{
	return (double)x * (double)x;
}

/* ---- patterns and connectivity ---- */

/* Kernels (filter of a group of filters, channel) that stand or fall together. */
struct kernels {
	const struct prune_layer *l;
	const uint32_t *order;
	unsigned int group;
	unsigned int taps;
};

static float *kernel_at(const struct kernels *k, unsigned int slot, unsigned int channel)
{
	return k->l->w + ((uint64_t)k->order[slot] * k->l->in + channel) * k->taps;
}

/* The last group of a convolution group may have fewer filters. */
static unsigned int group_end(const struct kernels *k, unsigned int first)
{
	unsigned int each = k->l->out / k->l->groups;
	unsigned int end = first + k->group, limit = (first / each + 1) * each;

	return end < limit ? end : limit;
}

static uint32_t best_pattern(const struct prune_patterns *set, const double *energy,
			     unsigned int taps, double *retained)
{
	uint32_t best = 0;
	unsigned int i, t;

	*retained = -1;
	for (i = 0; i < set->count; i++) {
		double sum = 0;

		for (t = 0; t < taps; t++)
			if (set->mask[i] >> t & 1)
				sum += energy[t];
		if (sum > *retained) {
			*retained = sum;
			best = set->mask[i];
		}
	}
	return best;
}

/* Give the kernels of one channel of a group their pattern; its energy afterwards. */
static double shape_kernels(const struct kernels *k, unsigned int first, unsigned int end,
			    unsigned int channel, const struct prune_patterns *set)
{
	double energy[9] = { 0 }, total = 0;
	unsigned int slot, t;
	uint32_t mask;

	if (!set) {
		for (slot = first; slot < end; slot++)
			for (t = 0; t < k->taps; t++)
				total += square(kernel_at(k, slot, channel)[t]);
		return total;
	}
	for (slot = first; slot < end; slot++)
		for (t = 0; t < k->taps; t++)
			energy[t] += square(kernel_at(k, slot, channel)[t]);
	mask = best_pattern(set, energy, k->taps, &total);
	for (slot = first; slot < end; slot++)
		for (t = 0; t < k->taps; t++)
			if (!(mask >> t & 1))
				kernel_at(k, slot, channel)[t] = 0;
	return total;
}

static int prune_kernels(struct prune_layer *l, const struct prune_rule *r,
			 const struct prune_patterns *set)
{
	struct kernels k = { l, NULL, r->group > 1 ? r->group : 1, l->kernel_h * l->kernel_w };
	uint32_t *order = calloc(l->out, sizeof(*order));
	uint32_t *start = calloc(l->out + 1, sizeof(*start));
	struct unit *unit = calloc((uint64_t)l->out * l->in + 1, sizeof(*unit));
	uint64_t units = 0, keep, u;
	unsigned int first, end, i, c, groups = 0;
	int err = -ENOMEM;

	if (!order || !start || !unit)
		goto out;
	for (i = 0; i < l->out; i++)
		order[i] = i;
	if (k.group > 1) {
		err = prune_group_filters(l, k.group, set, order);
		if (err)
			goto out;
	}
	k.order = order;
	for (first = 0; first < l->out; first = end) {
		end = group_end(&k, first);
		start[groups] = first;
		for (c = 0; c < l->in; c++, units++) {
			/* Per filter, so that a short last group is not at a disadvantage. */
			unit[units].energy = shape_kernels(&k, first, end, c, set) / (end - first);
			unit[units].index = (uint64_t)groups * l->in + c;
		}
		groups++;
	}
	start[groups] = l->out;
	keep = r->connectivity > 1 ? kept_of(units, 1 / r->connectivity) : units;
	qsort(unit, units, sizeof(*unit), by_energy);
	for (u = keep; u < units; u++) {
		unsigned int at = (unsigned int)(unit[u].index / l->in);

		for (i = start[at]; i < start[at + 1]; i++)
			memset(kernel_at(&k, i, (unsigned int)(unit[u].index % l->in)), 0,
			       k.taps * sizeof(float));
	}
	err = 0;
out:
	free(unit);
	free(start);
	free(order);
	return err;
}

/* ---- grouping ---- */

/* Energy that @x and @y retain together, one pattern a channel. */
static double joint(const float *x, const float *y, unsigned int in, unsigned int patterns)
{
	double sum = 0;
	unsigned int c, p;

	for (c = 0; c < in; c++, x += patterns, y += patterns) {
		float best = 0;

		for (p = 0; p < patterns; p++)
			best = x[p] + y[p] > best ? x[p] + y[p] : best;
		sum += (double)best;
	}
	return sum;
}

/* energy[filter][channel][pattern] */
static void fill_energy(const struct prune_layer *l, const struct prune_patterns *set,
			float *energy)
{
	unsigned int taps = l->kernel_h * l->kernel_w, patterns = set ? set->count : 1, p, t;
	uint64_t k;

	for (k = 0; k < (uint64_t)l->out * l->in; k++)
		for (p = 0; p < patterns; p++) {
			double sum = 0;

			for (t = 0; t < taps; t++)
				if (!set || set->mask[p] >> t & 1)
					sum += square(l->w[k * taps + t]);
			energy[k * patterns + p] = (float)sum;
		}
}

/* One group: a filter, then those that lose least of their own by joining it. */
static void form_group(const struct prune_layer *l, const float *energy, const double *own,
		       unsigned int patterns, uint32_t *order, unsigned int left,
		       unsigned int group, float *sum, const float *zero)
{
	uint64_t row = (uint64_t)l->in * patterns, i;
	unsigned int n, j, best = 0;

	for (j = 1; j < left; j++)
		if (own[order[j]] > own[order[best]])
			best = j;
	memcpy(sum, energy + order[best] * row, row * sizeof(*sum));
	for (n = 0; ; ) {
		uint32_t chosen = order[best];
		double least = INFINITY, together;

		order[best] = order[n];
		order[n] = chosen;
		if (++n == group || n == left)
			return;
		together = joint(sum, zero, l->in, patterns);
		for (j = n; j < left; j++) {
			double own_j = own[order[j]];
			double loss = together + own_j -
				      joint(sum, energy + order[j] * row, l->in, patterns);

			if (own_j > 0)
				loss /= own_j;
			if (loss < least) {
				least = loss;
				best = j;
			}
		}
		for (i = 0; i < row; i++)
			sum[i] += energy[order[best] * row + i];
	}
}

int prune_group_filters(const struct prune_layer *l, unsigned int group,
			const struct prune_patterns *set, uint32_t *order)
{
	unsigned int patterns = set ? set->count : 1, each = l->out / l->groups, first, at, i;
	uint64_t row = (uint64_t)l->in * patterns;
	float *energy = calloc(l->out * row + 1, sizeof(*energy));
	float *sum = calloc(row + 1, sizeof(*sum)), *zero = calloc(row + 1, sizeof(*zero));
	double *own = calloc(l->out + 1, sizeof(*own));
	int err = energy && sum && zero && own ? 0 : -ENOMEM;

	if (!err)
		fill_energy(l, set, energy);
	for (i = 0; !err && i < l->out; i++) {
		order[i] = i;
		own[i] = joint(energy + i * row, zero, l->in, patterns);
	}
	for (first = 0; !err && first < l->out; first += each)
		for (at = 0; at < each; at += group)
			form_group(l, energy, own, patterns, order + first + at, each - at, group,
				   sum, zero);
	free(own);
	free(zero);
	free(sum);
	free(energy);
	return err;
}

/* ---- blocks, N:M, single weights ---- */

struct block {
	unsigned int o0, o1, i0, i1, pos;
};

static struct block block_at(const struct prune_layer *l, const struct prune_rule *r,
			     uint64_t index)
{
	unsigned int taps = l->kernel_h * l->kernel_w;
	unsigned int columns = (l->in + r->block_in - 1) / r->block_in;
	struct block b;

	b.pos = (unsigned int)(index % taps);
	index /= taps;
	b.i0 = (unsigned int)(index % columns) * r->block_in;
	b.o0 = (unsigned int)(index / columns) * r->block_out;
	b.i1 = b.i0 + r->block_in < l->in ? b.i0 + r->block_in : l->in;
	b.o1 = b.o0 + r->block_out < l->out ? b.o0 + r->block_out : l->out;
	return b;
}

static int prune_blocks(struct prune_layer *l, const struct prune_rule *r)
{
	unsigned int taps = l->kernel_h * l->kernel_w, o, i;
	uint64_t rows = (l->out + r->block_out - 1) / r->block_out;
	uint64_t units = rows * ((l->in + r->block_in - 1) / r->block_in) * taps, u;
	struct unit *unit = calloc(units + 1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	for (u = 0; u < units; u++) {
		struct block b = block_at(l, r, u);

		unit[u].index = u;
		for (o = b.o0; o < b.o1; o++)
			for (i = b.i0; i < b.i1; i++)
				unit[u].energy += square(l->w[((uint64_t)o * l->in + i) * taps +
							      b.pos]);
	}
	qsort(unit, units, sizeof(*unit), by_energy);
	for (u = kept_of(units, r->keep); u < units; u++) {
		struct block b = block_at(l, r, unit[u].index);

		for (o = b.o0; o < b.o1; o++)
			for (i = b.i0; i < b.i1; i++)
				l->w[((uint64_t)o * l->in + i) * taps + b.pos] = 0;
	}
	free(unit);
	return 0;
}

static void prune_nm(struct prune_layer *l, unsigned int n, unsigned int m)
{
	size_t taps = (size_t)l->kernel_h * l->kernel_w, t, i, k;
	unsigned int o, c;

	for (o = 0; o < l->out; o++)
		for (t = 0; t < taps; t++)
			for (c = 0; c < l->in; c += m) {
				size_t end = c + m < l->in ? c + m : l->in;
				float *w = l->w + (uint64_t)o * l->in * taps + t;

				for (i = c; i < end; i++) {
					unsigned int larger = 0;

					/* Zeroed ones before it were smaller already. */
					for (k = c; k < end; k++)
						larger += fabsf(w[k * taps]) > fabsf(w[i * taps]) ||
							  (k < i && fabsf(w[k * taps]) ==
								    fabsf(w[i * taps]));
					if (larger >= n)
						w[i * taps] = 0;
				}
			}
}

static int prune_single(struct prune_layer *l, double remove)
{
	uint64_t units = (uint64_t)l->out * l->in * l->kernel_h * l->kernel_w, u;
	struct unit *unit = calloc(units + 1, sizeof(*unit));

	if (!unit)
		return -ENOMEM;
	for (u = 0; u < units; u++)
		unit[u] = (struct unit){ square(l->w[u]), u };
	qsort(unit, units, sizeof(*unit), by_energy);
	for (u = kept_of(units, 1 - remove); u < units; u++)
		l->w[unit[u].index] = 0;
	free(unit);
	return 0;
}

int prune_apply(struct prune_layer *l, const struct prune_rule *r,
		const struct prune_patterns *set)
{
	bool pattern = r->pattern && set && set->count && l->kernel_h == 3 && l->kernel_w == 3;
	int err = 0;

	if (pattern || r->connectivity > 1)
		err = prune_kernels(l, r, pattern ? set : NULL);
	if (!err && r->block_out && r->block_in)
		err = prune_blocks(l, r);
	if (!err && r->m)
		prune_nm(l, r->n, r->m);
	if (!err && r->unstructured > 0)
		err = prune_single(l, r->unstructured);
	return err;
}
