// SPDX-License-Identifier: MIT
/*
 * Convolutions of every storage against the reference: shapes that people meet,
 * shapes that only a test thinks of, and random ones.
 */

#include "check.h"
#include "harness.h"
#include "random_net.h"

static const char *const storage_names[] = { "dense", "fkw", "csr", "block" };

FIXTURE(conv) { int unused; };
FIXTURE_VARIANT(conv) { u16 storage; };
FIXTURE_VARIANT_ADD(conv, dense) { .storage = PATCNN_STORAGE_DENSE };
FIXTURE_VARIANT_ADD(conv, fkw) { .storage = PATCNN_STORAGE_FKW };
FIXTURE_VARIANT_ADD(conv, csr) { .storage = PATCNN_STORAGE_CSR };
FIXTURE_VARIANT_ADD(conv, block) { .storage = PATCNN_STORAGE_BLOCK };
FIXTURE_SETUP(conv)
{
}

FIXTURE_TEARDOWN(conv)
{
	TH_LOG("largest error: %.2f of its bound", check_worst);
}

/* 3x3 with padding on every width from 1 on: the end of a row is where vectors go wrong. */
TEST_F_TIMEOUT(conv, every_width, 200)
{
	for (u32 w = 1; w <= 70; w++) {
		struct pb_conv c = { .out = 5, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1,
				     .pr = 1, .storage = variant->storage,
				     .act = PATCNN_ACT_RELU };
		char label[80];
		struct pb pb;

		snprintf(label, sizeof(label), "%s 3x3 on 3x%ux%u",
			 storage_names[variant->storage], w % 5 + 1, w);
		pb_init(&pb, w);
		c.in = pb_input(&pb, 3, w % 5 + 1, w);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program(&pb, w, label), 0);
	}
}

/* Every kernel up to 7x7, strides 1 to 3, on one odd map. */
TEST_F_TIMEOUT(conv, every_kernel, 300)
{
	for (u32 i = 0; i < 7 * 7 * 3; i++) {
		u16 kh = i % 7 + 1, kw = i / 7 % 7 + 1, s = i / 49 + 1;
		struct pb_conv c = { .out = 4, .kh = kh, .kw = kw, .sh = s, .sw = s, .pt = kh / 2,
				     .pl = kw / 2, .pb = kh / 2, .pr = kw / 2,
				     .storage = variant->storage };
		char label[80];
		struct pb pb;

		snprintf(label, sizeof(label), "%s %ux%u stride %u on 3x11x19",
			 storage_names[variant->storage], kh, kw, s);
		pb_init(&pb, i);
		c.in = pb_input(&pb, 3, 11, 19);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

/* Channels around the sizes of register blocks. */
TEST_F_TIMEOUT(conv, every_channel_count, 300)
{
	static const u32 counts[] = { 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 64 };
	const u32 n = sizeof(counts) / sizeof(counts[0]);

	for (u32 i = 0; i < n * n; i++) {
		struct pb_conv c = { .out = counts[i % n], .kh = i & 1 ? 3 : 1, .kw = i & 1 ? 3 : 1,
				     .pt = i & 1, .pl = i & 1, .pb = i & 1, .pr = i & 1,
				     .storage = variant->storage };
		char label[80];
		struct pb pb;

		snprintf(label, sizeof(label), "%s %ux%u from %u to %u channels",
			 storage_names[variant->storage], c.kh, c.kw, counts[i / n], c.out);
		pb_init(&pb, i);
		c.in = pb_input(&pb, counts[i / n], 5, 9);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

/* Depthwise and grouped, with multipliers. */
TEST_F_TIMEOUT(conv, groups, 200)
{
	static const u32 groups[] = { 1, 2, 3, 5, 8, 16, 17, 32 };

	for (u32 i = 0; i < 8 * 3 * 3; i++) {
		u32 g = groups[i % 8], per_in = i / 8 % 3 + 1, per_out = i / 24 + 1;
		struct pb_conv c = { .out = g * per_out, .groups = g, .kh = 3, .kw = 3,
				     .sh = 1 + i % 2, .sw = 1 + i % 2, .pt = 1, .pl = 1, .pb = 1,
				     .pr = 1, .storage = variant->storage, .block_out = per_out,
				     .block_in = 2 };
		char label[80];
		struct pb pb;

		snprintf(label, sizeof(label), "%s groups %u, %u in, %u out each",
			 storage_names[variant->storage], g, per_in, per_out);
		if (variant->storage != PATCNN_STORAGE_BLOCK)
			c.block_out = c.block_in = 0;
		pb_init(&pb, i);
		c.in = pb_input(&pb, g * per_in, 7, 13);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

/* Layers as nets have them, large enough for every kind of tile, on several threads. */
TEST_F_TIMEOUT(conv, as_in_nets, 300)
{
	static const struct { u32 in, h, w, out; u16 k, s, g; } layers[] = {
		{ 3, 64, 64, 16, 7, 2, 1 }, { 16, 56, 56, 16, 3, 1, 1 },
		{ 32, 28, 28, 64, 3, 2, 1 }, { 64, 14, 14, 64, 3, 1, 1 },
		{ 128, 7, 7, 128, 3, 1, 1 }, { 96, 14, 14, 32, 1, 1, 1 },
		{ 48, 28, 28, 48, 3, 1, 48 }, { 48, 28, 28, 48, 5, 2, 48 },
		{ 256, 1, 1, 64, 1, 1, 1 }, { 1, 100, 3, 8, 3, 1, 1 },
		{ 8, 3, 200, 8, 3, 1, 1 }, { 24, 33, 35, 40, 1, 2, 1 },
	};

	for (u32 i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		u16 p = layers[i].k / 2;
		struct pb_conv c = { .out = layers[i].out, .kh = layers[i].k, .kw = layers[i].k,
				     .sh = layers[i].s, .sw = layers[i].s, .pt = p, .pl = p,
				     .pb = p, .pr = p, .groups = layers[i].g,
				     .storage = variant->storage, .act = PATCNN_ACT_RELU };
		char label[80];
		struct pb pb;

		snprintf(label, sizeof(label), "%s layer %u", storage_names[variant->storage], i);
		if (variant->storage == PATCNN_STORAGE_BLOCK && c.groups > 1)
			c.block_out = c.block_in = 1;
		pb_init(&pb, i);
		c.in = pb_input(&pb, layers[i].in, layers[i].h, layers[i].w);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program_thoroughly(&pb, i, label), 0);
	}
}

/* A layer that was pruned away: bias, residual and activation are left of it. */
TEST_F(conv, nothing_kept)
{
	if (variant->storage == PATCNN_STORAGE_DENSE)
		SKIP(return, "dense weights keep everything");
	for (u32 i = 0; i < 24; i++) {
		struct pb_conv c = { .out = 5 + i % 3 * 6, .kh = i % 4 + 1, .kw = 3, .pl = 1, .pr = 1,
				     .sh = i % 3 + 1, .no_bias = i & 8, .keep = PB_KEEP_NOTHING,
				     .storage = variant->storage, .act = i & 16 ? PATCNN_ACT_CLIP : 0,
				     .a = -0.125f, .b = 0.125f };
		char label[60];
		struct pb pb;

		snprintf(label, sizeof(label), "%s nothing kept, case %u",
			 storage_names[variant->storage], i);
		pb_init(&pb, i);
		c.in = pb_input(&pb, 3, i < 4 ? 4 : 9, i < 4 ? 1 : 21);
		pb_output(&pb, pb_conv(&pb, &c));
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

TEST_F_TIMEOUT(conv, random_geometry, 600)
{
	const struct rn_limits lim = { .channels = 24, .side = 40, .kernel = 9 };
	unsigned int n = check_cases(700);

	for (u32 i = 0; i < n; i++) {
		char text[400], label[440];
		struct pb pb;
		u32 in;

		pb_init(&pb, 1000 + i);
		in = rn_input(&pb, PATCNN_OP_CONV, &lim);
		pb_output(&pb, rn_conv(&pb, in, variant->storage, &lim, text, sizeof(text)));
		snprintf(label, sizeof(label), "case %u: %s", i, text);
		EXPECT_EQ(check_program(&pb, i, label), 0);
		if (_metadata->failed && i > 50)
			break;
	}
}

TEST_HARNESS_MAIN
