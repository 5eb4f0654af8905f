// SPDX-License-Identifier: MIT
/* Every other operator, every activation, and nets of many operators against the reference. */

#include "check.h"
#include "harness.h"
#include "random_net.h"
#include "spoil.h"

static const struct rn_limits small = { .channels = 20, .side = 33, .kernel = 7 };

#define KIND(k) FIXTURE_VARIANT_ADD(op, k) { .kind = PATCNN_OP_##k }

FIXTURE(op) { int unused; };
FIXTURE_VARIANT(op) { u16 kind; };
KIND(CONVERT);
KIND(CONV_TRANSPOSE);
KIND(LINEAR);
KIND(MATMUL);
KIND(MAX_POOL);
KIND(AVG_POOL);
KIND(ADD);
KIND(SUB);
KIND(MUL);
KIND(DIV);
KIND(ACTIVATION);
KIND(PRELU);
KIND(CONCAT);
KIND(SLICE);
KIND(PERMUTE);
KIND(RESHAPE);
KIND(PAD);
KIND(RESIZE);
KIND(SOFTMAX);
KIND(REDUCE);
KIND(LAYER_NORM);
KIND(INSTANCE_NORM);
FIXTURE_SETUP(op)
{
}

FIXTURE_TEARDOWN(op)
{
	TH_LOG("largest error: %.2f of its bound", check_worst);
}

TEST_F_TIMEOUT(op, random_geometry, 300)
{
	unsigned int n = check_cases(250), made = 0;

	for (u32 i = 0; i < n; i++) {
		char label[40];
		struct pb pb;
		u32 in, out;

		pb_init(&pb, 5000 + i);
		in = rn_input(&pb, variant->kind, &small);
		out = rn_operator(&pb, variant->kind, in, &small);
		if (out == RN_NONE) {
			pb_fini(&pb);
			continue;
		}
		made++;
		pb_output(&pb, out);
		snprintf(label, sizeof(label), "kind %u case %u", variant->kind, i);
		EXPECT_EQ(check_program(&pb, i, label), 0);
		if (_metadata->failed && i > 30)
			break;
	}
	EXPECT_GE(made, n / 4);
}

/* Behind another operator, so that it reads and writes planes of the arena. */
TEST_F_TIMEOUT(op, in_the_middle, 300)
{
	unsigned int n = check_cases(100);

	if (variant->kind == PATCNN_OP_CONVERT)
		SKIP(return, "CONVERT reads inputs: it is never in the middle");
	for (u32 i = 0; i < n; i++) {
		struct pb_conv c = { .out = 6, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1,
				     .pr = 1 };
		char label[40];
		struct pb pb;
		u32 out;

		pb_init(&pb, 9000 + i);
		c.in = rn_input(&pb, PATCNN_OP_CONV, &small);
		out = rn_operator(&pb, variant->kind, pb_conv(&pb, &c), &small);
		if (out == RN_NONE) {
			pb_fini(&pb);
			continue;
		}
		pb_output(&pb, pb_activation(&pb, out, PATCNN_ACT_LEAKY_RELU, 0.25f, 0));
		snprintf(label, sizeof(label), "kind %u middle case %u", variant->kind, i);
		EXPECT_EQ(check_program(&pb, i, label), 0);
		if (_metadata->failed && i > 30)
			break;
	}
}

FIXTURE(act) { int unused; };
FIXTURE_VARIANT(act) { u32 kind; float a, b, scale; };
#define ACT(k, a_, b_, s) \
	FIXTURE_VARIANT_ADD(act, k) { PATCNN_ACT_##k, a_, b_, s }
ACT(RELU, 0, 0, 1);
ACT(CLIP, -0.25f, 0.5f, 1);
ACT(LEAKY_RELU, 0.01f, 0, 1);
ACT(SIGMOID, 0, 0, 30);
ACT(HARD_SIGMOID, 0.2f, 0.5f, 5);
ACT(HARD_SWISH, 0, 0, 6);
ACT(SILU, 0, 0, 30);
ACT(TANH, 0, 0, 10);
ACT(ELU, 1.5f, 0, 20);
ACT(GELU, 0, 0, 8);
ACT(EXP, 0, 0, 80);
ACT(SQRT, 0, 0, 10);
ACT(ABS, 0, 0, 1);
ACT(NEG, 0, 0, 1);
ACT(LOG, 0, 0, 10);
ACT(ERF, 0, 0, 4);
ACT(RECIPROCAL, 0, 0, 10);
ACT(SOFTPLUS, 0, 0, 40);
ACT(MISH, 0, 0, 30);
ACT(POW, 2, 0, 3);
FIXTURE_SETUP(act)
{
}

FIXTURE_TEARDOWN(act)
{
	TH_LOG("largest error: %.2f of its bound", check_worst);
}

static void check_act(struct __test_metadata *_metadata, u32 kind, float a, float b, float scale)
{
	const float half = 0.5f;

	for (u32 i = 0; i < 12; i++) {
		char label[60];
		struct pb pb;
		u32 t;

		pb_init(&pb, i);
		t = pb_input_as(&pb, PATCNN_DTYPE_F32, PATCNN_LAYOUT_HWC, 1, 7, 3 + i * 17);
		t = pb_convert(&pb, t, NULL, i & 1 ? &scale : &half, false);
		/* Alone, and fused into what comes before. */
		if (i & 2)
			t = pb_activation(&pb, t, kind, a, b);
		else
			pb_act(&pb, kind, a, b);
		pb_output(&pb, t);
		snprintf(label, sizeof(label), "activation %u (%g, %g) case %u", kind, a, b, i);
		EXPECT_EQ(check_program(&pb, i, label), 0);
	}
}

TEST_F(act, against_reference)
{
	check_act(_metadata, variant->kind, variant->a, variant->b, variant->scale);
}

TEST(powers)
{
	static const float powers[] = { 0, 0.5f, 1, 1.5f, 2, 2.5f, 3, 5, 8, -0.5f, -1, -2, -3, 13 };

	for (u32 i = 0; i < sizeof(powers) / sizeof(powers[0]); i++)
		check_act(_metadata, PATCNN_ACT_POW, powers[i], 0, 2);
}

TEST_TIMEOUT(every_operator_in_one_net, 120)
{
	for (u32 i = 0; i < 4; i++) {
		struct pb pb;

		build_every_operator(&pb);
		EXPECT_EQ(check_program_thoroughly(&pb, i, "every operator"), 0);
	}
}

TEST_TIMEOUT(random_nets, 600)
{
	unsigned int n = check_cases(600);

	for (u32 i = 0; i < n; i++) {
		char label[40];
		struct pb pb;

		pb_init(&pb, 20000 + i);
		rn_net(&pb, 3 + i % 12, &small);
		snprintf(label, sizeof(label), "net %u", i);
		EXPECT_EQ(i % 16 ? check_program(&pb, i, label) :
				   check_program_thoroughly(&pb, i, label), 0);
		if (_metadata->failed && i > 100)
			break;
	}
	TH_LOG("largest error: %.2f of its bound", check_worst);
}

TEST_HARNESS_MAIN
