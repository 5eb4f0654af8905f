// SPDX-License-Identifier: MIT
/*
 * Weights of a convolution in each storage: random values, random zeros. What
 * they mean is told by the reference, which turns every storage back into a
 * dense array without using anything of this file.
 */

#include <stdlib.h>
#include <string.h>

#include "build_program.h"

#define SCALE 0.5f

static void *must(void *p)
{
	if (!p)
		exit(4);
	return p;
}

/* @n of [0, @of) in ascending order, into @pick. */
static void choose(struct pb *pb, __u32 n, __u32 of, __u32 *pick)
{
	__u32 k = 0;

	for (__u32 i = 0; i < of && k < n; i++)
		if (pb_random(pb, of - i) < n - k)
			pick[k++] = i;
}

static void add_patterns(struct pb *pb, const struct pb_conv *s, struct patcnn_weights *w)
{
	__u32 positions = s->kh * s->kw;
	__u32 taps = s->taps ? s->taps : 4;
	__u32 count = s->patterns ? s->patterns : 6;
	__u32 *pick = must(calloc(positions, sizeof(*pick)));

	w->pattern_first = pb->pattern_count;
	w->pattern_count = count;
	for (__u32 p = 0; p < count; p++) {
		/* Sizes vary a little: patterns need not be equally large. */
		__u32 n = taps + (p % 3 == 2);
		struct patcnn_pattern *pat;

		if (n > positions)
			n = positions;
		choose(pb, n, positions, pick);
		pb->patterns = must(realloc(pb->patterns, (pb->pattern_count + 1) * sizeof(*pat)));
		pat = &pb->patterns[pb->pattern_count++];
		*pat = (struct patcnn_pattern){
			.tap_first = pb->tap_count, .tap_count = n,
			.kernel_h = s->kh, .kernel_w = s->kw,
		};
		pb->taps = must(realloc(pb->taps, (pb->tap_count + n) * sizeof(*pb->taps)));
		for (__u32 i = 0; i < n; i++)
			pb->taps[pb->tap_count++] = (struct patcnn_tap){
				.row = pick[i] / s->kw, .col = pick[i] % s->kw,
			};
	}
	free(pick);
}

static void weights_fkw(struct pb *pb, const struct pb_conv *s, __u32 in, __u32 keep,
			struct patcnn_weights *w)
{
	__u32 cin = in / s->groups;
	__u32 per_group = s->out / s->groups;
	__u32 *reorder = must(calloc(s->out, sizeof(__u32)));
	__u32 *offset = must(calloc(s->out + 1, sizeof(__u32)));
	__u32 *index = must(calloc((size_t)s->out * cin + 1, sizeof(__u32)));
	__u32 *stride;
	__u32 *of_kernel = must(calloc(cin, sizeof(__u32)));
	__u32 kernels = 0;
	__u64 values = 0;

	add_patterns(pb, s, w);
	stride = must(calloc((size_t)s->out * (w->pattern_count + 1), sizeof(__u32)));
	for (__u32 f = 0; f < s->out; f++)
		reorder[f] = f;
	/* Shuffled inside the groups and between them: any permutation is allowed. */
	for (__u32 f = s->out; f > 1; f--) {
		__u32 g = pb_random(pb, f);
		__u32 t = reorder[g];

		reorder[g] = reorder[f - 1];
		reorder[f - 1] = t;
	}
	(void)per_group;
	for (__u32 f = 0; f < s->out; f++) {
		__u32 *row = stride + (size_t)f * (w->pattern_count + 1);

		offset[f] = kernels;
		for (__u32 c = 0; c < cin; c++)
			of_kernel[c] = pb_random(pb, 100) < keep ? pb_random(pb, w->pattern_count) :
								   ~0u;
		for (__u32 p = 0; p < w->pattern_count; p++) {
			row[p] = kernels - offset[f];
			for (__u32 c = 0; c < cin; c++)
				if (of_kernel[c] == p) {
					index[kernels++] = c;
					values += pb->patterns[w->pattern_first + p].tap_count;
				}
		}
		row[w->pattern_count] = kernels - offset[f];
	}
	offset[s->out] = kernels;
	w->reorder = pb_u32s(pb, reorder, s->out);
	w->offset = pb_u32s(pb, offset, s->out + 1);
	w->index = pb_u32s(pb, index, kernels);
	w->stride = pb_u32s(pb, stride, (__u64)s->out * (w->pattern_count + 1));
	w->values = pb_random_floats(pb, values, SCALE);
	free(reorder);
	free(offset);
	free(index);
	free(stride);
	free(of_kernel);
}

static void weights_csr(struct pb *pb, const struct pb_conv *s, __u32 in, __u32 keep,
			struct patcnn_weights *w)
{
	__u32 per_filter = in / s->groups * s->kh * s->kw;
	__u32 *offset = must(calloc(s->out + 1, sizeof(__u32)));
	__u32 *index = must(calloc((size_t)s->out * per_filter + 1, sizeof(__u32)));
	__u32 n = 0;

	for (__u32 f = 0; f < s->out; f++) {
		offset[f] = n;
		for (__u32 i = 0; i < per_filter; i++)
			if (pb_random(pb, 100) < keep)
				index[n++] = i;
	}
	offset[s->out] = n;
	w->offset = pb_u32s(pb, offset, s->out + 1);
	w->index = pb_u32s(pb, index, n);
	w->values = pb_random_floats(pb, n, SCALE);
	free(offset);
	free(index);
}

static void weights_block(struct pb *pb, const struct pb_conv *s, __u32 in, __u32 keep,
			  struct patcnn_weights *w)
{
	__u32 bo = s->block_out ? s->block_out : 4;
	__u32 bi = s->block_in ? s->block_in : 4;
	__u32 rows = (s->out + bo - 1) / bo;
	__u32 cin = in / s->groups;
	__u32 positions = (cin + bi - 1) / bi * s->kh * s->kw;
	__u32 *offset = must(calloc(rows + 1, sizeof(__u32)));
	__u32 *index = must(calloc((size_t)rows * positions + 1, sizeof(__u32)));
	__u32 n = 0;

	for (__u32 r = 0; r < rows; r++) {
		offset[r] = n;
		for (__u32 i = 0; i < positions; i++)
			if (pb_random(pb, 100) < keep)
				index[n++] = i;
	}
	offset[rows] = n;
	w->block_out = bo;
	w->block_in = bi;
	w->offset = pb_u32s(pb, offset, rows + 1);
	w->index = pb_u32s(pb, index, n);
	w->values = pb_random_floats(pb, (__u64)n * bo * bi, SCALE);
	free(offset);
	free(index);
}

void pb_weights(struct pb *pb, const struct pb_conv *spec, __u32 in, struct patcnn_weights *w)
{
	__u32 keep = spec->keep == PB_KEEP_NOTHING ? 0 : spec->keep ? spec->keep : 60;

	memset(w, 0, sizeof(*w));
	w->storage = spec->storage;
	w->dtype = PATCNN_DTYPE_F32;
	switch (spec->storage) {
	case PATCNN_STORAGE_FKW:
		weights_fkw(pb, spec, in, keep, w);
		break;
	case PATCNN_STORAGE_CSR:
		weights_csr(pb, spec, in, keep, w);
		break;
	case PATCNN_STORAGE_BLOCK:
		weights_block(pb, spec, in, keep, w);
		break;
	default:
		w->values = pb_random_floats(pb, (__u64)spec->out * (in / spec->groups) *
					     spec->kh * spec->kw, SCALE);
		break;
	}
	if (!spec->no_bias)
		w->bias = pb_random_floats(pb, spec->out, SCALE);
}
