// SPDX-License-Identifier: MIT
/*
 * Kernel patterns: recognised from the zeros of each kernel, then stored as FKW with
 * the filters in FKR order (PatDNN).
 */

#include <drm/patcnn_program.h>
#include <stdlib.h>
#include <string.h>

#include "sparsity.h"

/* More patterns than this and the loop over them costs more than it saves. */
#define MAX_PATTERNS	32
/* Distinct sets of positions to look at before giving up. */
#define MAX_DISTINCT	512
#define MAX_DENSITY	0.75
/* Candidates for the next filter in FKR order. */
#define FKR_WINDOW	64

struct tally {
	uint64_t mask;
	uint64_t count;
	/** @as: the pattern that kernels with this mask are stored under. */
	uint64_t as;
};

static uint64_t kernel_mask(const float *w, unsigned int taps)
{
	uint64_t mask = 0;
	unsigned int i;

	for (i = 0; i < taps; i++)
		mask |= (uint64_t)(w[i] != 0) << i;
	return mask;
}

static int by_count(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->mask < y->mask ? -1 : x->mask > y->mask;
}

static int by_mask(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static unsigned int tally_masks(const uint64_t *mask, uint64_t kernels, struct tally *t)
{
	unsigned int n = 0, i;
	uint64_t k;

	for (k = 0; k < kernels; k++) {
		if (!mask[k])
			continue;
		for (i = 0; i < n && t[i].mask != mask[k]; i++)
			;
		if (i == MAX_DISTINCT)
			return 0;
		if (i == n)
			t[n++] = (struct tally){ mask[k], 0, mask[k] };
		t[i].count++;
		/* Common masks to the front: the search above is then short. */
		if (i && t[i].count > t[i - 1].count) {
			struct tally swap = t[i];

			t[i] = t[i - 1];
			t[i - 1] = swap;
		}
	}
	qsort(t, n, sizeof(*t), by_count);
	return n;
}

/*
 * A weight that is zero by accident makes a mask of its own out of a pattern: rare
 * masks are stored under the most common pattern that has one position more.
 */
static unsigned int merge_masks(struct tally *t, unsigned int n, uint64_t *patterns)
{
	unsigned int count = 0, i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < i; j++)
			if (t[j].as == t[j].mask && !(t[i].mask & ~t[j].mask) &&
			    __builtin_popcountll(t[j].mask & ~t[i].mask) == 1 &&
			    t[i].count * 8 < t[j].count)
				break;
		if (j < i) {
			t[i].as = t[j].mask;
			continue;
		}
		if (count == MAX_PATTERNS)
			return 0;
		patterns[count++] = t[i].mask;
	}
	qsort(patterns, count, sizeof(*patterns), by_mask);
	return count;
}

static unsigned int pattern_of(const struct tally *t, const uint64_t *patterns, unsigned int n,
			       uint64_t mask)
{
	unsigned int i;
	uint64_t as;

	while (t->mask != mask)
		t++;
	as = t->as;
	for (i = 0; i < n && patterns[i] != as; i++)
		;
	return i;
}

/* ---- FKR ---- */

struct filter {
	const uint8_t *signature;
	uint32_t index;
	unsigned int in;
	unsigned int kernels;
};

static int by_length(const void *a, const void *b)
{
	const struct filter *x = a, *y = b;
	int r;

	if (x->kernels != y->kernels)
		return x->kernels < y->kernels ? 1 : -1;
	r = memcmp(x->signature, y->signature, x->in);
	if (r)
		return r;
	return x->index < y->index ? -1 : x->index > y->index;
}

static unsigned int in_common(const struct filter *x, const struct filter *y)
{
	unsigned int n = 0, i;

	for (i = 0; i < x->in; i++)
		n += x->signature[i] == y->signature[i] && x->signature[i];
	return n;
}

/* Chain filters: next is, among the next few by length, the one with most in common. */
static void chain(struct filter *f, unsigned int count)
{
	unsigned int i, j;

	for (i = 0; i + 1 < count; i++) {
		unsigned int best = i + 1, most = in_common(&f[i], &f[i + 1]);
		struct filter next;

		for (j = i + 2; j < count && j < i + 1 + FKR_WINDOW && most < f[i].kernels; j++) {
			unsigned int common = in_common(&f[i], &f[j]);

			if (common > most) {
				most = common;
				best = j;
			}
		}
		next = f[best];
		memmove(&f[i + 2], &f[i + 1], (best - i - 1) * sizeof(*f));
		f[i + 1] = next;
	}
}

void fkr_order(struct arena *a, const uint8_t *signature, unsigned int out, unsigned int in,
	       unsigned int groups, uint32_t *order)
{
	struct filter *f = arena_array(a, out, sizeof(*f));
	unsigned int each = out / groups, o, i;

	for (o = 0; o < out; o++) {
		f[o] = (struct filter){ signature + (uint64_t)o * in, o, in, 0 };
		for (i = 0; i < in; i++)
			f[o].kernels += f[o].signature[i] != 0;
	}
	for (o = 0; o < out; o += each) {
		qsort(f + o, each, sizeof(*f), by_length);
		chain(f + o, each);
	}
	for (o = 0; o < out; o++)
		order[o] = f[o].index;
}

/* ---- FKW ---- */

struct fkw {
	float *values;
	uint32_t *offset;
	uint32_t *index;
	uint32_t *reorder;
	uint32_t *stride;
	uint64_t kernels;
	uint64_t n_values;
};

static void store_slot(const struct layer_weights *l, const uint8_t *signature,
		       const uint64_t *patterns, unsigned int n, unsigned int slot, struct fkw *k)
{
	unsigned int taps = l->kernel_h * l->kernel_w, filter = k->reorder[slot], p, i, t;
	uint32_t *stride = k->stride + (uint64_t)slot * (n + 1);

	k->offset[slot] = (uint32_t)k->kernels;
	for (p = 0; p < n; p++) {
		stride[p] = (uint32_t)k->kernels - k->offset[slot];
		for (i = 0; i < l->in; i++) {
			const float *w = l->values + ((uint64_t)filter * l->in + i) * taps;

			if (signature[(uint64_t)filter * l->in + i] != p + 1)
				continue;
			k->index[k->kernels++] = i;
			for (t = 0; t < taps; t++)
				if (patterns[p] >> t & 1)
					k->values[k->n_values++] = w[t];
		}
	}
	stride[n] = (uint32_t)k->kernels - k->offset[slot];
	k->offset[slot + 1] = (uint32_t)k->kernels;
}

bool fkw_encode(struct arena *a, const struct layer_weights *l, struct sparse_weights *s)
{
	unsigned int taps = l->kernel_h * l->kernel_w, distinct, n, o;
	uint64_t kernels = (uint64_t)l->out * l->in, kept = 0, stored = 0, i;
	struct fkw k = { 0 };
	uint64_t patterns[MAX_PATTERNS], *mask;
	struct tally *t;
	uint8_t *signature;

	if (taps < 2 || taps > 64)
		return false;
	mask = arena_array(a, kernels, sizeof(*mask));
	t = arena_array(a, MAX_DISTINCT, sizeof(*t));
	for (i = 0; i < kernels; i++)
		mask[i] = kernel_mask(l->values + i * taps, taps);
	distinct = tally_masks(mask, kernels, t);
	n = distinct ? merge_masks(t, distinct, patterns) : 0;
	if (!n)
		return false;

	signature = arena_array(a, kernels, sizeof(*signature));
	for (i = 0; i < kernels; i++) {
		unsigned int p;

		if (!mask[i])
			continue;
		p = pattern_of(t, patterns, n, mask[i]);
		signature[i] = (uint8_t)(p + 1);
		stored += (uint64_t)__builtin_popcountll(patterns[p]);
		kept++;
	}
	/* A handful of kernels has few masks by chance. */
	if ((double)stored > MAX_DENSITY * (double)kernels * taps ||
	    (n > 12 && kept < 16ULL * n))
		return false;
	k.values = arena_array(a, stored, sizeof(*k.values));
	k.offset = arena_array(a, l->out + 1ULL, sizeof(*k.offset));
	k.index = arena_array(a, kept, sizeof(*k.index));
	k.reorder = arena_array(a, l->out, sizeof(*k.reorder));
	k.stride = arena_array(a, (uint64_t)l->out * (n + 1), sizeof(*k.stride));
	fkr_order(a, signature, l->out, l->in, l->groups, k.reorder);
	for (o = 0; o < l->out; o++)
		store_slot(l, signature, patterns, n, o, &k);

	s->storage = PATCNN_STORAGE_FKW;
	s->masks = arena_array(a, n, sizeof(*s->masks));
	memcpy(s->masks, patterns, n * sizeof(*patterns));
	s->n_masks = n;
	s->values = k.values;
	s->offset = k.offset;
	s->index = k.index;
	s->reorder = k.reorder;
	s->stride = k.stride;
	s->n_values = stored;
	s->n_offset = l->out + 1ULL;
	s->n_index = kept;
	s->n_reorder = l->out;
	s->n_stride = (uint64_t)l->out * (n + 1);
	return true;
}
