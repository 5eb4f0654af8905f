// SPDX-License-Identifier: MIT
/* Choice of the storage of a layer's weights, and the block and CSR encoders. */

#include <drm/patcnn_program.h>
#include <string.h>

#include "sparsity.h"

/*
 * Share of weights that may be left. Patterns and blocks keep the loop of the dense
 * kernel and pay early; unstructured weights cost an index each.
 */
#define MAX_BLOCK_DENSITY	0.75
#define MAX_CSR_DENSITY		0.40
/* Share of a block's cells that may be zero by accident. */
#define MIN_BLOCK_FILL		0.90

static uint64_t count_nonzero(const float *w, uint64_t n)
{
	uint64_t count = 0, i;

	for (i = 0; i < n; i++)
		count += w[i] != 0;
	return count;
}

/* ---- punched blocks ---- */

static bool block_kept(const struct layer_weights *l, unsigned int o0, unsigned int i0,
		       unsigned int pos, unsigned int bo, unsigned int bi)
{
	unsigned int taps = l->kernel_h * l->kernel_w, o, i;

	for (o = o0; o < o0 + bo && o < l->out; o++)
		for (i = i0; i < i0 + bi && i < l->in; i++)
			if (l->values[((uint64_t)o * l->in + i) * taps + pos] != 0)
				return true;
	return false;
}

/* Blocks to store, or UINT64_MAX once it is clear that they are too empty. */
static uint64_t count_blocks(const struct layer_weights *l, uint64_t nonzero, unsigned int bo,
			     unsigned int bi)
{
	unsigned int taps = l->kernel_h * l->kernel_w, o, i, pos;
	uint64_t most = (uint64_t)((double)nonzero / MIN_BLOCK_FILL / (bo * bi)), blocks = 0;
	uint64_t rows = (l->out + bo - 1) / bo, row = 0;

	for (o = 0; o < l->out; o += bo) {
		for (i = 0; i < l->in; i += bi)
			for (pos = 0; pos < taps; pos++)
				blocks += block_kept(l, o, i, pos, bo, bi);
		row++;
		/* Half the budget in the first eighth of the rows will not get better. */
		if (blocks > most || (row * 8 <= rows && blocks > most / 2))
			return UINT64_MAX;
	}
	return blocks;
}

static void block_fill(struct arena *a, const struct layer_weights *l, uint64_t blocks,
		       unsigned int bo, unsigned int bi, struct sparse_weights *s)
{
	unsigned int taps = l->kernel_h * l->kernel_w, rows = (l->out + bo - 1) / bo, r, i, pos;
	uint32_t *offset = arena_array(a, rows + 1, sizeof(*offset));
	uint32_t *index = arena_array(a, blocks, sizeof(*index));
	float *values = arena_array(a, blocks * bo * bi, sizeof(*values));
	unsigned int o, k;
	uint64_t at = 0;

	for (r = 0; r < rows; r++) {
		for (i = 0; i < l->in; i += bi)
			for (pos = 0; pos < taps; pos++) {
				float *to = values + at * bo * bi;

				if (!block_kept(l, r * bo, i, pos, bo, bi))
					continue;
				for (o = r * bo; o < (r + 1) * bo; o++)
					for (k = i; k < i + bi; k++, to++)
						if (o < l->out && k < l->in)
							*to = l->values[((uint64_t)o * l->in + k) *
									taps + pos];
				index[at++] = i / bi * taps + pos;
			}
		offset[r + 1] = (uint32_t)at;
	}
	s->storage = PATCNN_STORAGE_BLOCK;
	s->block_out = bo;
	s->block_in = bi;
	s->values = values;
	s->offset = offset;
	s->index = index;
	s->n_values = blocks * bo * bi;
	s->n_offset = rows + 1;
	s->n_index = blocks;
}

static bool block_encode(struct arena *a, const struct layer_weights *l, uint64_t nonzero,
			 struct sparse_weights *s)
{
	static const unsigned int sizes_out[] = { 32, 16, 8, 4 }, sizes_in[] = { 16, 8, 4, 2, 1 };
	unsigned int best_out = 0, best_in = 0, x, y;
	uint64_t best = 0;

	for (x = 0; x < 4; x++)
		for (y = 0; y < 5; y++) {
			unsigned int bo = sizes_out[x], bi = sizes_in[y];
			uint64_t blocks;

			if (bo * bi <= best_out * best_in || bo > l->out || bi > l->in ||
			    l->out / l->groups % bo)
				continue;
			blocks = count_blocks(l, nonzero, bo, bi);
			if (blocks == UINT64_MAX)
				continue;
			best = blocks;
			best_out = bo;
			best_in = bi;
		}
	if (!best_out)
		return false;
	block_fill(a, l, best, best_out, best_in, s);
	return true;
}

/* ---- unstructured ---- */

static void csr_encode(struct arena *a, const struct layer_weights *l, uint64_t nonzero,
		       struct sparse_weights *s)
{
	uint64_t row = (uint64_t)l->in * l->kernel_h * l->kernel_w, at = 0, i;
	uint32_t *offset = arena_array(a, l->out + 1ULL, sizeof(*offset));
	uint32_t *index = arena_array(a, nonzero, sizeof(*index));
	float *values = arena_array(a, nonzero, sizeof(*values));
	unsigned int o;

	for (o = 0; o < l->out; o++) {
		const float *w = l->values + o * row;

		for (i = 0; i < row; i++) {
			if (w[i] == 0)
				continue;
			index[at] = (uint32_t)i;
			values[at++] = w[i];
		}
		offset[o + 1] = (uint32_t)at;
	}
	s->storage = PATCNN_STORAGE_CSR;
	s->values = values;
	s->offset = offset;
	s->index = index;
	s->n_values = nonzero;
	s->n_offset = l->out + 1ULL;
	s->n_index = nonzero;
}

bool sparse_encode(struct arena *a, const struct layer_weights *l, struct sparse_weights *s)
{
	uint64_t total = (uint64_t)l->out * l->in * l->kernel_h * l->kernel_w;
	uint64_t nonzero = count_nonzero(l->values, total);
	double density = (double)nonzero / (double)total;

	memset(s, 0, sizeof(*s));
	/* One channel a group is depthwise: there is nothing to skip but its few taps. */
	if (!total || !nonzero || (l->in == 1 && l->groups > 1) || density > MAX_BLOCK_DENSITY)
		return false;
	if (fkw_encode(a, l, s) || block_encode(a, l, nonzero, s))
		return true;
	if (density > MAX_CSR_DENSITY)
		return false;
	csr_encode(a, l, nonzero, s);
	return true;
}
