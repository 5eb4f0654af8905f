// SPDX-License-Identifier: MIT
/*
 * Measured choices of a program: followed where they fit, ignored where they were made
 * for another CPU or make no sense, and never the reason for a wrong result.
 */

#include "kernels/pat_kernels.h"
#include "check.h"
#include "harness.h"
#include "random_net.h"

#define ISA PATCNN_ISA_GENERIC

/* Three convolutions 3x3 in a line, the middle one with @t unless NULL. */
static void line(struct pb *pb, struct patcnn_tuning *t)
{
	struct pb_conv c = { .out = 16, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1 };

	pb_init(pb, 1);
	c.in = pb_input(pb, 16, 40, 40);
	for (u32 i = 0; i < 3; i++)
		c.in = pb_conv(pb, &c);
	pb_output(pb, c.in);
	if (t) {
		t->op = 1;
		pb_tune(pb, t);
	}
}

/* How operator @op of the line is run with @t; false if it is not there. */
static bool choice(struct patcnn_tuning *t, u32 op, struct pat_choice *c)
{
	const struct hr_opts opts = {
		.isa = pat_isa_get(PAT_ISA_GENERIC), .guard = CHECK_GUARD, .l2_bytes = 65536,
	};
	struct pb pb;
	struct hr h;
	size_t size;
	void *blob;
	bool found;

	line(&pb, t);
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	found = !hr_open(&h, blob, size, &opts) && pat_plan_choice(h.plan, op, c);
	hr_close(&h);
	free(blob);
	return found;
}

static bool same(const struct pat_choice *a, const struct pat_choice *b)
{
	return a->algo == b->algo && a->band_rows == b->band_rows &&
	       a->packed_bytes == b->packed_bytes && a->stages == b->stages;
}

TEST(algorithm_is_followed)
{
	struct pat_choice own, c;
	unsigned int other = 0;

	ASSERT_TRUE(choice(NULL, 1, &own));
	for (u32 algo = 1; algo < 32; algo++) {
		struct patcnn_tuning t = { .isa = ISA, .algorithm = algo };

		ASSERT_TRUE(choice(&t, 1, &c));
		/* Those that cannot do a dense 3x3 layer leave it as it was. */
		EXPECT_TRUE(c.algo == algo || same(&c, &own));
		other += c.algo != own.algo;
	}
	EXPECT_GE(other, 1);
}

TEST(rows_are_followed)
{
	struct pat_choice c;

	for (u32 algo = 1; algo < 32; algo++) {
		struct patcnn_tuning t = { .isa = ISA, .fuse = 1, .algorithm = algo, .band_rows = 5 };

		ASSERT_TRUE(choice(&t, 1, &c));
		if (c.algo == algo && algo != PAT_CONV_WINOGRAD)
			EXPECT_LE(c.band_rows, 5);
		if (algo == PAT_CONV_GEMM)
			EXPECT_EQ(c.band_rows, 5);
	}
}

/* Winograd's tiles are of four rows, and vectors want to be full: eight of these rows. */
TEST(least_rows_of_winograd)
{
	struct patcnn_tuning t = { .isa = ISA, .fuse = 1, .algorithm = PAT_CONV_WINOGRAD };
	struct pat_choice c;

	for (t.band_rows = 1; t.band_rows <= 40; t.band_rows++) {
		ASSERT_TRUE(choice(&t, 1, &c));
		ASSERT_EQ(c.algo, PAT_CONV_WINOGRAD);
		EXPECT_EQ(c.band_rows % 4, 0);
		EXPECT_LE(c.band_rows, t.band_rows < 8 ? 8 : t.band_rows);
	}
}

TEST(fusion_is_followed)
{
	struct patcnn_tuning t = { .isa = ISA };
	struct pat_choice c;

	t.fuse = 1;
	ASSERT_TRUE(choice(&t, 1, &c));
	EXPECT_EQ(c.stages, 1);
	t.fuse = 2;
	ASSERT_TRUE(choice(&t, 1, &c));
	EXPECT_EQ(c.stages, 2);
	/* The line has but two operators up to this one. */
	t.fuse = 3;
	EXPECT_TRUE(choice(&t, 1, &c));
	t.fuse = 255;
	EXPECT_TRUE(choice(&t, 1, &c));
}

TEST(other_cpus_are_ignored)
{
	struct pat_choice own, c;

	ASSERT_TRUE(choice(NULL, 1, &own));
	for (u32 isa = 1; isa < 256; isa++) {
		struct patcnn_tuning t = { .isa = isa, .algorithm = 1, .block = 8,
					   .band_rows = 3, .fuse = 1 };

		ASSERT_TRUE(choice(&t, 1, &c));
		EXPECT_TRUE(same(&c, &own));
	}
}

/* A table for each channel of each filter would be many times the weights. */
TEST(memory_is_bounded)
{
	struct pat_choice own, c;

	ASSERT_TRUE(choice(NULL, 1, &own));
	for (u32 block = 1; block < 40; block++) {
		struct patcnn_tuning t = { .isa = ISA, .algorithm = 1, .block = block };

		ASSERT_TRUE(choice(&t, 1, &c));
		EXPECT_LE(c.packed_bytes, 8 * own.packed_bytes + (256 << 10));
	}
}

FIXTURE(tuned) { int unused; };
FIXTURE_VARIANT(tuned) { u16 storage; };
FIXTURE_VARIANT_ADD(tuned, dense) { .storage = PATCNN_STORAGE_DENSE };
FIXTURE_VARIANT_ADD(tuned, fkw) { .storage = PATCNN_STORAGE_FKW };
FIXTURE_VARIANT_ADD(tuned, csr) { .storage = PATCNN_STORAGE_CSR };
FIXTURE_VARIANT_ADD(tuned, block) { .storage = PATCNN_STORAGE_BLOCK };
FIXTURE_SETUP(tuned)
{
}

FIXTURE_TEARDOWN(tuned)
{
	TH_LOG("largest error: %.2f of its bound", check_worst);
}

TEST_F_TIMEOUT(tuned, convolutions, 600)
{
	const struct rn_limits lim = { .channels = 40, .side = 40, .kernel = 5 };
	unsigned int n = check_cases(250);

	for (u32 i = 0; i < n; i++) {
		char label[40];
		struct pb pb;
		u32 in;

		pb_init(&pb, 40000 + i);
		in = rn_input(&pb, PATCNN_OP_CONV, &lim);
		pb_output(&pb, rn_conv(&pb, in, variant->storage, &lim, NULL, 0));
		rn_tune(&pb);
		snprintf(label, sizeof(label), "tuned storage %u case %u", variant->storage, i);
		EXPECT_EQ(check_program(&pb, i, label), 0);
		if (_metadata->failed && i > 30)
			break;
	}
}

/* Layers as nets have them: every family of kernels is asked for each. */
TEST_F_TIMEOUT(tuned, layers, 600)
{
	static const struct { u32 in, h, w, out; u16 k, s, g; } layers[] = {
		{ 3, 33, 40, 16, 7, 2, 1 }, { 16, 28, 28, 16, 3, 1, 1 },
		{ 32, 14, 14, 32, 3, 2, 1 }, { 64, 7, 7, 64, 3, 1, 1 },
		{ 48, 14, 14, 32, 1, 1, 1 }, { 24, 15, 28, 24, 3, 1, 24 },
		{ 24, 15, 28, 24, 5, 2, 24 }, { 128, 1, 1, 64, 1, 1, 1 },
	};

	for (u32 i = 0; i < sizeof(layers) / sizeof(layers[0]) * 10; i++) {
		u32 l = i % 8, algo = i / 8;
		struct pb_conv c = { .out = layers[l].out, .kh = layers[l].k, .kw = layers[l].k,
				     .sh = layers[l].s, .sw = layers[l].s, .groups = layers[l].g,
				     .pt = layers[l].k / 2, .pl = layers[l].k / 2,
				     .pb = layers[l].k / 2, .pr = layers[l].k / 2,
				     .storage = variant->storage, .act = PATCNN_ACT_RELU };
		char label[40];
		struct pb pb;

		if (variant->storage == PATCNN_STORAGE_BLOCK && layers[l].g > 1) {
			c.block_out = 1;
			c.block_in = 1;
		}
		pb_init(&pb, 50000 + i);
		c.in = pb_input(&pb, layers[l].in, layers[l].h, layers[l].w);
		pb_output(&pb, pb_conv(&pb, &c));
		for (u8 isa = 0; isa < 4; isa++)
			pb_tune(&pb, &(struct patcnn_tuning){ .isa = isa, .algorithm = algo,
							      .block = i % 3 * 16 });
		snprintf(label, sizeof(label), "layer %u algorithm %u", l, algo);
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

TEST_HARNESS_MAIN
