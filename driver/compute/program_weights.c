// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Validation of weights
 *
 * After this, sparse indices are load offsets: whoever packs or runs a layer
 * adds them to addresses without a comparison.
 */
#include "program_check.h"

/* Bits of the working memory behind those of check_operators(). */
#define SEEN_BITS	((PAT_WORK_BYTES - PAT_MAX_TENSORS / 8) * 8)

static u8 *seen_bits(struct pat_check *ck)
{
	return ck->work + PAT_MAX_TENSORS / 8;
}

static bool spend(struct pat_check *ck, u64 n)
{
	if (ck->budget < n)
		return false;
	ck->budget -= n;
	return true;
}

static const u32 *words(const struct pat_check *ck, const struct patcnn_array *a)
{
	return (const u32 *)(ck->prog->data + a->offset);
}

int pat_check_array(struct pat_check *ck, const char *name,
		    const struct patcnn_array *a, u64 count)
{
	if (a->count != count)
		return pat_fail(ck, -EINVAL, "%s.count = %U is not %U", name, a->count, count);
	if (!count)
		return a->offset ? pat_fail(ck, -EINVAL, "%s.offset = %U, but it is absent", name,
					    a->offset) : 0;
	if (a->offset % 4)
		return pat_fail(ck, -EINVAL, "%s.offset = %U is not a multiple of 4", name,
				a->offset);
	if (a->offset > ck->prog->data_size || count > (ck->prog->data_size - a->offset) / 4)
		return pat_fail(ck, -EINVAL, "%s.offset = %U, count = %U lie outside DATA", name,
				a->offset, count);
	return 0;
}

/* Prefix sums of @count entries: start at zero, never fall, end at @total. */
static int check_prefix(struct pat_check *ck, const char *name, const u32 *v, u64 count,
			u64 total)
{
	u64 i;

	if (v[0])
		return pat_fail(ck, -EINVAL, "%s[0] = %u is not 0", name, v[0]);
	for (i = 1; i < count; i++)
		if (v[i] < v[i - 1])
			return pat_fail(ck, -EINVAL, "%s[%U] = %u is below the one before", name, i,
					v[i]);
	if (v[count - 1] != total)
		return pat_fail(ck, -EINVAL, "%s[%U] = %u is not %U", name, count - 1, v[count - 1],
				total);
	return 0;
}

/*
 * Every filter exactly once. The bits seen at a time may be fewer than the
 * filters, so the array is walked once for each window of SEEN_BITS filters.
 */
static int check_reorder(struct pat_check *ck, const u32 *v, u32 out)
{
	u8 *seen = seen_bits(ck);
	u32 base, i;

	for (base = 0; base < out; base += SEEN_BITS) {
		__builtin_memset(seen, 0, SEEN_BITS / 8);
		for (i = 0; i < out; i++) {
			u32 bit = v[i] - base;

			if (v[i] >= out)
				return pat_fail(ck, -EINVAL,
						"weights.reorder[%u] = %u is not below %u filters",
						i, v[i], out);
			if (v[i] < base || bit >= SEEN_BITS)
				continue;
			if (seen[bit / 8] >> bit % 8 & 1)
				return pat_fail(ck, -EINVAL,
						"weights.reorder[%u] = %u is there twice", i, v[i]);
			seen[bit / 8] |= 1 << bit % 8;
		}
	}
	return 0;
}

/* The bits of a slot are cleared by walking it again: the time stays linear in its length. */
static int check_channels(struct pat_check *ck, const u32 *offset, const u32 *index, u32 out,
			  u64 in)
{
	u8 *seen = seen_bits(ck);
	u64 base;
	u32 slot, k;

	__builtin_memset(seen, 0, SEEN_BITS / 8);
	for (base = 0; base < in; base += SEEN_BITS) {
		for (slot = 0; slot < out; slot++) {
			for (k = offset[slot]; k < offset[slot + 1]; k++) {
				u64 bit = index[k] - base;

				if (index[k] >= in)
					return pat_fail(ck, -EINVAL,
						"weights.index[%u] = %u is not below %U channels",
						k, index[k], in);
				if (index[k] < base || bit >= SEEN_BITS)
					continue;
				if (seen[bit / 8] >> bit % 8 & 1)
					return pat_fail(ck, -EINVAL,
						"weights.index[%u] = %u is twice in slot %u",
						k, index[k], slot);
				seen[bit / 8] |= 1 << bit % 8;
			}
			for (k = offset[slot]; k < offset[slot + 1]; k++)
				if (index[k] >= base && index[k] - base < SEEN_BITS)
					seen[(index[k] - base) / 8] = 0;
		}
	}
	return 0;
}

static int check_fkw(struct pat_check *ck, const struct patcnn_conv_params *p, u32 out, u64 in)
{
	const struct pat_program *prog = ck->prog;
	const struct patcnn_weights *w = &p->weights;
	const u32 *offset, *stride;
	u64 kernels = w->index.count, row, values = 0;
	u32 i, slot;
	int err;

	if (!w->pattern_count || w->pattern_first > prog->pattern_count ||
	    w->pattern_count > prog->pattern_count - w->pattern_first)
		return pat_fail(ck, -EINVAL,
				"weights.pattern_first = %u, pattern_count = %u exceed PATTERNS",
				w->pattern_first, w->pattern_count);
	if (kernels > out * in)
		return pat_fail(ck, -EINVAL, "weights.index.count = %U is above %U kernels",
				kernels, out * in);
	row = (u64)w->pattern_count + 1;
	err = pat_check_array(ck, "weights.reorder", &w->reorder, out);
	if (!err)
		err = pat_check_array(ck, "weights.offset", &w->offset, (u64)out + 1);
	if (!err)
		err = pat_check_array(ck, "weights.index", &w->index, kernels);
	if (!err)
		err = pat_check_array(ck, "weights.stride", &w->stride, out * row);
	if (err)
		return err;
	if (!spend(ck, 2 * ((u64)out + kernels + out * row)))
		return pat_fail(ck, -E2BIG, "weights: arrays are shared too often");
	for (i = 0; i < w->pattern_count; i++) {
		const struct patcnn_pattern *t = &prog->patterns[w->pattern_first + i];

		if (t->kernel_h != p->window.kernel_h || t->kernel_w != p->window.kernel_w)
			return pat_fail(ck, -EINVAL,
					"weights: pattern %u is of a kernel of %u x %u, not %u x %u",
					w->pattern_first + i, (u32)t->kernel_h, (u32)t->kernel_w,
					(u32)p->window.kernel_h, (u32)p->window.kernel_w);
	}
	offset = words(ck, &w->offset);
	stride = words(ck, &w->stride);
	err = check_prefix(ck, "weights.offset", offset, (u64)out + 1, kernels);
	if (!err)
		err = check_reorder(ck, words(ck, &w->reorder), out);
	for (slot = 0; !err && slot < out; slot++) {
		const u32 *s = stride + slot * row;

		err = check_prefix(ck, "weights.stride of a slot", s, row,
				   offset[slot + 1] - offset[slot]);
		for (i = 0; !err && i < w->pattern_count; i++)
			values += (u64)(s[i + 1] - s[i]) *
				  prog->patterns[w->pattern_first + i].tap_count;
	}
	if (!err)
		err = pat_check_array(ck, "weights.values", &w->values, values);
	if (!err && kernels)
		err = check_channels(ck, offset, words(ck, &w->index), out, in);
	return err;
}

/* Ascending indices below @limit in each of @rows rows: CSR and BLOCK. */
static int check_rows(struct pat_check *ck, const struct patcnn_weights *w, u64 rows, u64 limit,
		      u64 per_index)
{
	const u32 *offset, *index;
	u64 count = w->index.count, r;
	u32 k;
	int err;

	if (count > rows * limit)
		return pat_fail(ck, -EINVAL, "weights.index.count = %U is above %U", count,
				rows * limit);
	err = pat_check_array(ck, "weights.offset", &w->offset, rows + 1);
	if (!err)
		err = pat_check_array(ck, "weights.index", &w->index, count);
	if (!err)
		err = pat_check_array(ck, "weights.values", &w->values, pat_mul(count, per_index));
	if (err)
		return err;
	if (!spend(ck, rows + count))
		return pat_fail(ck, -E2BIG, "weights: arrays are shared too often");
	offset = words(ck, &w->offset);
	index = words(ck, &w->index);
	err = check_prefix(ck, "weights.offset", offset, rows + 1, count);
	for (r = 0; !err && r < rows; r++) {
		for (k = offset[r]; k < offset[r + 1]; k++) {
			if (index[k] >= limit)
				return pat_fail(ck, -EINVAL,
						"weights.index[%u] = %u is not below %U positions",
						k, index[k], limit);
			if (k > offset[r] && index[k] <= index[k - 1])
				return pat_fail(ck, -EINVAL,
						"weights.index[%u] = %u is not above the one before",
						k, index[k]);
		}
	}
	return err;
}

static int check_absent(struct pat_check *ck, const struct patcnn_weights *w)
{
	int err = 0;

	if (w->storage != PATCNN_STORAGE_FKW) {
		if (w->pattern_first || w->pattern_count)
			return pat_fail(ck, -EINVAL, "weights: patterns, but storage is not FKW");
		err = pat_check_array(ck, "weights.reorder", &w->reorder, 0);
		if (!err)
			err = pat_check_array(ck, "weights.stride", &w->stride, 0);
	}
	if (!err && w->storage != PATCNN_STORAGE_BLOCK && (w->block_out || w->block_in))
		return pat_fail(ck, -EINVAL, "weights: block, but storage is not BLOCK");
	if (!err && w->storage == PATCNN_STORAGE_DENSE) {
		err = pat_check_array(ck, "weights.offset", &w->offset, 0);
		if (!err)
			err = pat_check_array(ck, "weights.index", &w->index, 0);
	}
	return err;
}

/* @out: all filters; @in: channels of one group. */
int pat_check_weights(struct pat_check *ck, const struct patcnn_conv_params *p, u32 out, u64 in)
{
	const struct patcnn_weights *w = &p->weights;
	u64 taps = (u64)p->window.kernel_h * p->window.kernel_w;
	u64 kernel = in * taps;
	int err;

	if (w->dtype != PATCNN_DTYPE_F32)
		return pat_fail(ck, -EINVAL, "weights.dtype = %u is not supported", (u32)w->dtype);
	err = pat_check_array(ck, "weights.bias", &w->bias, w->bias.count ? out : 0);
	if (!err)
		err = check_absent(ck, w);
	if (err)
		return err;
	/* Packed streams hold positions within a filter in 32 bits. */
	if (kernel > 1U << 31)
		return pat_fail(ck, -E2BIG, "weights: a filter of %U positions", kernel);
	switch (w->storage) {
	case PATCNN_STORAGE_DENSE:
		return pat_check_array(ck, "weights.values", &w->values, out * kernel);
	case PATCNN_STORAGE_FKW:
		return check_fkw(ck, p, out, in);
	case PATCNN_STORAGE_CSR:
		return check_rows(ck, w, out, kernel, 1);
	case PATCNN_STORAGE_BLOCK:
		if (!w->block_out || !w->block_in)
			return pat_fail(ck, -EINVAL, "weights.block_out, block_in = %u, %u",
					(u32)w->block_out, (u32)w->block_in);
		if (p->groups > 1 && out / p->groups % w->block_out)
			return pat_fail(ck, -EINVAL,
					"weights.block_out = %u does not divide a group's filters",
					(u32)w->block_out);
		return check_rows(ck, w, (out + w->block_out - 1ULL) / w->block_out,
				  (in + w->block_in - 1) / w->block_in * taps,
				  (u64)w->block_out * w->block_in);
	}
	return pat_fail(ck, -EINVAL, "weights.storage = %u is not supported", (u32)w->storage);
}
