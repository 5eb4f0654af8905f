// SPDX-License-Identifier: MIT
/*
 * Pruning rules and the recognition of what they leave: weights are pruned, encoded
 * as the compiler does, decoded again by the definition in patcnn_program.h and
 * compared with what was pruned, element by element.
 */

#include <stdlib.h>
#include <string.h>

#include <drm/patcnn_program.h>

#include "harness.h"
#include "prune_rules.h"
#include "sparsity.h"

#define PATTERNS	8

struct net {
	struct prune_layer layer;
	struct layer_weights weights;
	struct sparse_weights sparse;
	struct arena arena;
	bool encoded;
	size_t count;
};

static uint64_t state;

static float random_weight(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (float)((double)(state >> 40) / (1 << 24) - 0.5) + 1e-6f;
}

static void net_init(struct net *n, unsigned int out, unsigned int in, unsigned int kernel,
		     unsigned int groups)
{
	size_t i;

	memset(n, 0, sizeof(*n));
	state = out * 31 + in * 7 + kernel;
	n->count = (size_t)out * in * kernel * kernel;
	n->layer = (struct prune_layer){ malloc(n->count * sizeof(float)), out, in, kernel, kernel,
					 groups };
	for (i = 0; i < n->count; i++)
		n->layer.w[i] = random_weight();
	arena_init(&n->arena, (size_t)1 << 28);
}

static void net_encode(struct net *n)
{
	if (setjmp(n->arena.fail)) {
		fprintf(stderr, "%s\n", n->arena.message);
		abort();
	}
	n->weights = (struct layer_weights){ n->layer.w, n->layer.out, n->layer.in,
					     n->layer.kernel_h, n->layer.kernel_w,
					     n->layer.groups };
	n->encoded = sparse_encode(&n->arena, &n->weights, &n->sparse);
}

static void net_free(struct net *n)
{
	arena_release(&n->arena);
	free(n->layer.w);
}

static size_t kept(const struct net *n)
{
	size_t count = 0, i;

	for (i = 0; i < n->count; i++)
		count += n->layer.w[i] != 0;
	return count;
}

static void decode_fkw(const struct net *n, float *w)
{
	const struct sparse_weights *s = &n->sparse;
	unsigned int taps = n->layer.kernel_h * n->layer.kernel_w, slot, p, t;
	const float *value = s->values;
	uint32_t k;

	for (slot = 0; slot < n->layer.out; slot++) {
		const uint32_t *stride = s->stride + (size_t)slot * (s->n_masks + 1);
		float *filter = w + (size_t)s->reorder[slot] * n->layer.in * taps;

		for (p = 0; p < s->n_masks; p++)
			for (k = stride[p]; k < stride[p + 1]; k++)
				for (t = 0; t < taps; t++)
					if (s->masks[p] >> t & 1)
						filter[s->index[s->offset[slot] + k] * taps + t] =
							*value++;
	}
}

static void decode_csr(const struct net *n, float *w)
{
	const struct sparse_weights *s = &n->sparse;
	size_t row = (size_t)n->layer.in * n->layer.kernel_h * n->layer.kernel_w;
	unsigned int o;
	uint32_t k;

	for (o = 0; o < n->layer.out; o++)
		for (k = s->offset[o]; k < s->offset[o + 1]; k++)
			w[o * row + s->index[k]] = s->values[k];
}

static void decode_block(const struct net *n, float *w)
{
	const struct sparse_weights *s = &n->sparse;
	unsigned int taps = n->layer.kernel_h * n->layer.kernel_w, bo = s->block_out;
	unsigned int rows = (n->layer.out + bo - 1) / bo, r, i, o;
	uint32_t k;

	for (r = 0; r < rows; r++)
		for (k = s->offset[r]; k < s->offset[r + 1]; k++)
			for (o = 0; o < bo; o++)
				for (i = 0; i < s->block_in; i++) {
					size_t filter = r * bo + o;
					size_t channel = s->index[k] / taps * s->block_in + i;

					if (filter >= n->layer.out || channel >= n->layer.in)
						continue;
					w[(filter * n->layer.in + channel) * taps +
					  s->index[k] % taps] =
						s->values[((size_t)k * bo + o) * s->block_in + i];
				}
}

/* Elements that differ after encoding and decoding; dense has none by nature. */
static size_t wrong(const struct net *n)
{
	float *w = calloc(n->count, sizeof(*w));
	size_t count = 0, i;

	if (!n->encoded) {
		free(w);
		return 0;
	}
	if (n->sparse.storage == PATCNN_STORAGE_FKW)
		decode_fkw(n, w);
	else if (n->sparse.storage == PATCNN_STORAGE_CSR)
		decode_csr(n, w);
	else
		decode_block(n, w);
	for (i = 0; i < n->count; i++)
		count += w[i] != n->layer.w[i];
	free(w);
	return count;
}

static unsigned int bits(uint32_t mask)
{
	return (unsigned int)__builtin_popcount(mask);
}

TEST(patterns)
{
	for (unsigned int group = 1; group <= 4; group *= 2) {
		struct prune_rule rule = { .pattern = true, .connectivity = 3.6, .group = group };
		struct prune_patterns set;
		struct net n;

		net_init(&n, 48, 30, 3, 1);
		ASSERT_EQ(prune_choose_patterns(&n.layer, 1, 4, true, PATTERNS, &set), 0);
		ASSERT_EQ(set.count, PATTERNS);
		for (unsigned int i = 0; i < set.count; i++) {
			EXPECT_EQ(bits(set.mask[i]), 4);
			EXPECT_TRUE(set.mask[i] >> 4 & 1);
		}
		ASSERT_EQ(prune_apply(&n.layer, &rule, &set), 0);
		/* 1 of 3.6 kernels, rounded up to whole groups, of four weights each. */
		EXPECT_EQ(kept(&n), 4 * group * ((48 / group * 30 * 10 + 35) / 36));
		net_encode(&n);
		ASSERT_TRUE(n.encoded);
		EXPECT_EQ(n.sparse.storage, PATCNN_STORAGE_FKW);
		EXPECT_TRUE(n.sparse.n_masks <= PATTERNS);
		EXPECT_EQ(n.sparse.n_values, kept(&n));
		EXPECT_EQ(wrong(&n), 0);
		net_free(&n);
	}
}

/* Filters that share all their kernels are neighbours in FKR order. */
TEST(groups_are_neighbours)
{
	struct prune_rule rule = { .pattern = true, .connectivity = 3, .group = 4 };
	struct prune_patterns set;
	unsigned int slot, g;
	struct net n;

	net_init(&n, 64, 24, 3, 1);
	ASSERT_EQ(prune_choose_patterns(&n.layer, 1, 4, true, PATTERNS, &set), 0);
	ASSERT_EQ(prune_apply(&n.layer, &rule, &set), 0);
	net_encode(&n);
	ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_FKW);
	for (slot = 0; slot < 64; slot += 4)
		for (g = 1; g < 4; g++) {
			const uint32_t *a = n.sparse.index + n.sparse.offset[slot];
			const uint32_t *b = n.sparse.index + n.sparse.offset[slot + g];
			uint32_t kernels = n.sparse.offset[slot + 1] - n.sparse.offset[slot];

			ASSERT_EQ(n.sparse.offset[slot + g + 1] - n.sparse.offset[slot + g],
				  kernels);
			EXPECT_EQ(memcmp(a, b, kernels * sizeof(*a)), 0);
			EXPECT_EQ(memcmp(n.sparse.stride + slot * (n.sparse.n_masks + 1),
					 n.sparse.stride + (slot + g) * (n.sparse.n_masks + 1),
					 (n.sparse.n_masks + 1) * sizeof(uint32_t)), 0);
		}
	net_free(&n);
}

/* A weight that happens to be zero does not make a pattern of its own. */
TEST(accidental_zeros)
{
	struct prune_rule rule = { .pattern = true, .connectivity = 2 };
	struct prune_patterns set;
	struct net n;
	size_t i, hit = 0;

	net_init(&n, 64, 64, 3, 1);
	ASSERT_EQ(prune_choose_patterns(&n.layer, 1, 4, true, PATTERNS, &set), 0);
	ASSERT_EQ(prune_apply(&n.layer, &rule, &set), 0);
	for (i = 0; i < n.count && hit < 20; i++)
		if (n.layer.w[i] != 0 && i % 397 == 0) {
			n.layer.w[i] = 0;
			hit++;
		}
	net_encode(&n);
	ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_FKW);
	EXPECT_TRUE(n.sparse.n_masks <= PATTERNS);
	EXPECT_EQ(wrong(&n), 0);
	net_free(&n);
}

TEST(blocks)
{
	static const unsigned int kernels[] = { 1, 3, 5 };

	for (unsigned int k = 0; k < 3; k++) {
		struct prune_rule rule = { .block_out = 8, .block_in = 4, .keep = 0.25 };
		struct net n;

		/* 36 filters and 30 channels: the last blocks are not whole. */
		net_init(&n, 36, 30, kernels[k], 1);
		ASSERT_EQ(prune_apply(&n.layer, &rule, NULL), 0);
		net_encode(&n);
		ASSERT_TRUE(n.encoded);
		EXPECT_EQ(wrong(&n), 0);
		net_free(&n);
		net_init(&n, 64, 64, kernels[k], 1);
		ASSERT_EQ(prune_apply(&n.layer, &rule, NULL), 0);
		EXPECT_EQ(kept(&n), n.count / 4);
		net_encode(&n);
		ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_BLOCK);
		EXPECT_TRUE(n.sparse.block_out >= 8 && n.sparse.block_in >= 4);
		EXPECT_EQ(wrong(&n), 0);
		net_free(&n);
	}
}

TEST(n_of_m)
{
	struct prune_rule rule = { .n = 1, .m = 8 };
	unsigned int o, i, t;
	struct net n;

	net_init(&n, 40, 32, 3, 1);
	ASSERT_EQ(prune_apply(&n.layer, &rule, NULL), 0);
	for (o = 0; o < 40; o++)
		for (t = 0; t < 9; t++)
			for (i = 0; i < 32; i += 8) {
				unsigned int count = 0, c;

				for (c = i; c < i + 8; c++)
					count += n.layer.w[(o * 32 + c) * 9 + t] != 0;
				EXPECT_EQ(count, 1);
			}
	net_encode(&n);
	ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_CSR);
	EXPECT_EQ(wrong(&n), 0);
	net_free(&n);
}

TEST(unstructured_and_dense)
{
	struct prune_rule rule = { .unstructured = 0.8 };
	struct net n;

	net_init(&n, 50, 70, 1, 1);
	net_encode(&n);
	EXPECT_FALSE(n.encoded);
	ASSERT_EQ(prune_apply(&n.layer, &rule, NULL), 0);
	EXPECT_EQ(kept(&n), n.count / 5);
	net_encode(&n);
	ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_CSR);
	EXPECT_EQ(wrong(&n), 0);
	net_free(&n);
}

/* Slots of one convolution group stay together. */
TEST(convolution_groups)
{
	struct prune_rule rule = { .pattern = true, .connectivity = 2 };
	struct prune_patterns set;
	unsigned int slot;
	struct net n;

	net_init(&n, 48, 16, 3, 3);
	ASSERT_EQ(prune_choose_patterns(&n.layer, 1, 4, true, PATTERNS, &set), 0);
	ASSERT_EQ(prune_apply(&n.layer, &rule, &set), 0);
	net_encode(&n);
	ASSERT_EQ(n.sparse.storage, PATCNN_STORAGE_FKW);
	for (slot = 0; slot < 48; slot++)
		EXPECT_EQ(n.sparse.reorder[slot] / 16, slot / 16);
	EXPECT_EQ(wrong(&n), 0);
	net_free(&n);
}

TEST_HARNESS_MAIN
