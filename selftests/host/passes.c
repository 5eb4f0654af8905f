// SPDX-License-Identifier: MIT
/*
 * The compiler's passes, each with a graph that it has to change: what is left is counted,
 * and its result is compared with that of the same graph whose every value is an output,
 * where nothing can be fused.
 */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "compile.h"
#include "host_run.h"
#include "onnx_model.h"

/* Compiles @def as it is and with all values outputs: the results have to be the same. */
static void check(struct __test_metadata *_metadata, const struct model_def *def,
		  struct result *r)
{
	static struct result apart;
	const char *broken;
	size_t size;
	void *bytes = model(def, false, false, &size);

	broken = run(bytes, size, def->output, r);
	if (broken)
		printf("# %s\n", broken);
	ASSERT_FALSE(broken);
	bytes = model(def, true, true, &size);
	broken = run(bytes, size, def->output, &apart);
	if (broken)
		printf("# every value an output: %s\n", broken);
	ASSERT_FALSE(broken);
	ASSERT_TRUE(agree(r, &apart));
}

static struct result r;

#define CHECK(...) do { \
	static const struct model_def def = { __VA_ARGS__ }; \
	check(_metadata, &def, &r); \
} while (0)

TEST(shape_arithmetic_is_constant)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Shape x s", "-Gather s,zero n axis=0", "-Unsqueeze n,axes u",
			 "-Concat u,rest to axis=0", "Reshape x,to v", "Softmax v y axis=1" },
	      .constants = { SCALAR("zero", 0), INTS("axes", 0), INTS("rest", 4, -1) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_SOFTMAX], 1);
	EXPECT_LE(r.operators, 2);
}

/* What nobody reads is not computed, nor what leads to it; nor what changes nothing. */
TEST(dead_nodes_go)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Sigmoid x unread", "-Conv unread,w unread2", "-Identity x i",
			 "-Dropout i d", "-Conv d,w c", "-Split c s1,s2 axis=1", "Tanh s2 y" },
	      .constants = { RANDOM("w", 4, 4, 1, 1) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONV], 1);
	EXPECT_EQ(r.of_kind[PATCNN_OP_SLICE], 1);
	EXPECT_LE(r.operators, 3);
}

/* Behind the convolutions of heads only the transpositions take a step. */
TEST(heads_are_views)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Conv x,w a", "-Transpose a at perm=0,2,3,1", "-Reshape at,to ar",
			 "-Conv x,w2 b strides=2,2", "-Transpose b bt perm=0,2,3,1",
			 "-Reshape bt,to br", "Concat ar,br y axis=1" },
	      .constants = { RANDOM("w", 8, 4, 1, 1), RANDOM("w2", 8, 4, 1, 1),
			     INTS("to", 1, -1, 4) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONCAT], 1);
	EXPECT_EQ(r.steps, 4);
}

/* Converters leave nodes behind those that read from them. */
TEST(nodes_may_come_in_any_order)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "Add c,b y", "Relu b c", "Conv a,w b", "Tanh x a" },
	      .constants = { RANDOM("w", 4, 4, 1, 1) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONV], 1);
}

TEST(split_constants_are_constant)
{
	CHECK(.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Split list a,b,c,d axis=0", "-Concat a,b,c,d to axis=0",
			 "Pad x,to p", "Conv p,w y" },
	      .constants = { INTS("list", 0, 0, 1, 2, 0, 0, 2, 1), RANDOM("w", 5, 3, 3, 3) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONV], 1);
	EXPECT_EQ(r.operators, 1);
}

TEST(nonzero_of_ones_is_a_range)
{
	CHECK(.input = { 1, 3, 4, 5 }, .rank = 4, .output = "y",
	      .nodes = { "-ConstantOfShape five o", "-Cast o t to=7", "-Not t u", "-NonZero u i",
			 "-Cast i f to=1", "-Squeeze f,axes s", "Add x,s y" },
	      .constants = { INTS("five", 5), INTS("axes", 0) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_ADD], 1);
	EXPECT_EQ(r.operators, 1);
}

TEST(channels_last_input_is_read_as_it_is)
{
	CHECK(.input = { 1, 6, 6, 3 }, .rank = 4, .output = "y",
	      .nodes = { "Transpose x t perm=0,3,1,2", "Conv t,w y" },
	      .constants = { RANDOM("w", 5, 3, 3, 3) });
	EXPECT_TRUE(r.channels_last);
	EXPECT_EQ(r.of_kind[PATCNN_OP_PERMUTE], 0);
}

TEST(bytes_are_cast_by_the_input)
{
	CHECK(.input = { 1, 3, 6, 6 }, .rank = 4, .type = ONNX_UINT8, .output = "y",
	      .nodes = { "-Cast x f to=1", "Div f,d v", "Conv v,w y" },
	      .constants = { RANDOM("d", 1, 3, 1, 1), RANDOM("w", 5, 3, 3, 3) });
	EXPECT_TRUE(r.bytes_in);
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONVERT], 1);
}

TEST(gelu_is_recognised)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Constant . r value_float=1.4142135623730951",
			 "-Constant . one value_float=1.0", "-Constant . half value_float=0.5",
			 "Div x,r d", "Erf d e", "Add e,one a", "Mul x,a m", "Mul m,half y" });
	EXPECT_EQ(r.operators, 1);
	EXPECT_EQ(r.of_kind[PATCNN_OP_ACTIVATION], 1);
}

TEST(hard_swish_is_recognised)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "-Constant . three value_float=3.0", "-Constant . zero value_float=0.0",
			 "-Constant . six value_float=6.0", "Add x,three a", "Clip a,zero,six c",
			 "Mul x,c m", "Div m,six y" });
	EXPECT_EQ(r.operators, 1);
}

TEST(layer_norm_is_recognised)
{
	CHECK(.input = { 1, 4, 8 }, .rank = 3, .output = "y",
	      .nodes = { "-Constant . two value_float=2.0", "-Constant . eps value_float=0.00001",
			 "ReduceMean x u axes=-1,", "Sub x,u d", "Pow d,two q",
			 "ReduceMean q v axes=-1,", "Add v,eps w", "Sqrt w z", "Div d,z n",
			 "Mul n,g m", "Add m,b y" },
	      .constants = { RANDOM("g", 8), RANDOM("b", 8) });
	EXPECT_EQ(r.operators, 1);
	EXPECT_EQ(r.of_kind[PATCNN_OP_LAYER_NORM], 1);
}

TEST(padding_goes_into_the_convolution)
{
	CHECK(.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "Pad x,p v", "Conv v,w y strides=2,2" },
	      .constants = { INTS("p", 0, 0, 1, 0, 0, 0, 1, 2), RANDOM("w", 5, 3, 3, 3) });
	EXPECT_EQ(r.operators, 1);
}

TEST(scale_and_shift_go_into_the_weights)
{
	CHECK(.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "Abs var va", "Conv x,w c pads=1,1,1,1",
			 "BatchNormalization c,s,b,mean,va n epsilon=0.01", "Mul n,k m",
			 "Add m,t y" },
	      .constants = { RANDOM("w", 4, 3, 3, 3), RANDOM("s", 4), RANDOM("b", 4),
			     RANDOM("mean", 4), RANDOM("var", 4), RANDOM("k", 4, 1, 1),
			     RANDOM("t", 4, 1, 1) });
	EXPECT_EQ(r.operators, 1);
}

TEST(images_of_a_batch)
{
	CHECK(.input = { 2, 3, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "Conv x,w y pads=1,1,1,1" }, .constants = { RANDOM("w", 4, 3, 3, 3) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONV], 2);
}

TEST(residual_and_activation_go_into_the_convolution)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "Relu x a", "Conv a,w c pads=1,1,1,1", "Add c,a s",
			 "LeakyRelu s y alpha=0.1" },
	      .constants = { RANDOM("w", 4, 4, 3, 3) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_CONV], 1);
	EXPECT_EQ(r.operators, 2);
}

TEST(linear_layers_read_planes)
{
	CHECK(.input = { 1, 4, 6, 6 }, .rank = 4, .output = "y",
	      .nodes = { "MaxPool x p kernel_shape=2,2 strides=2,2", "Flatten p f",
			 "Gemm f,w,b y transB=1" },
	      .constants = { RANDOM("w", 7, 36), RANDOM("b", 7) });
	EXPECT_EQ(r.of_kind[PATCNN_OP_RESHAPE], 0);
	EXPECT_EQ(r.operators, 2);
}

/* Scores that are the largest of their neighbourhood stay, all others become zero. */
TEST(peaks_are_compared)
{
	static struct result in;
	size_t i, kept = 0;

	CHECK(.input = { 1, 1, 9, 9 }, .rank = 4, .output = "y",
	      .nodes = { "Sigmoid x s", "MaxPool s m kernel_shape=3,3 pads=1,1,1,1",
			 "-Equal s,m e", "-Cast e k to=1", "Mul s,k y" });
	in = r;
	CHECK(.input = { 1, 1, 9, 9 }, .rank = 4, .output = "s", .nodes = { "Sigmoid x s" });
	for (i = 0; i < 81; i++) {
		bool peak = true;
		int dy, dx, y, x;

		for (dy = -1; dy <= 1; dy++)
			for (dx = -1; dx <= 1; dx++) {
				y = (int)i / 9 + dy;
				x = (int)i % 9 + dx;
				if (y >= 0 && y < 9 && x >= 0 && x < 9 &&
				    r.values[y * 9 + x] > r.values[i])
					peak = false;
			}
		EXPECT_TRUE(in.values[i] == (peak ? r.values[i] : 0));
		kept += peak;
	}
	EXPECT_GT(kept, 3);
}

TEST(greater_and_less)
{
	CHECK(.input = { 1, 2, 3, 4 }, .rank = 4, .output = "y",
	      .nodes = { "-Greater x,t g", "-Cast g a to=1", "-Less x,t l", "-Not l n",
			 "-Cast n b to=1", "Sub a,b d", "Add d,x y" },
	      .constants = { RANDOM("t", 3, 1) });
	EXPECT_GT(r.operators, 1);
}

/* What is not chosen may be infinite. */
TEST(choices_are_made)
{
	static const struct model_def choice = {
		.input = { 1, 2, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "-Neg x m", "-Relu m r", "-Div x,r d", "-Sub x,x z", "-Greater x,z g",
			   "Where g,x,d y" },
	}, same = {
		.input = { 1, 2, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "LeakyRelu x y alpha=1.0" },
	};
	static struct result in;
	unsigned int chosen = 0;
	size_t size;
	void *bytes = model(&choice, false, false, &size);

	ASSERT_FALSE(run(bytes, size, "y", &r));
	bytes = model(&same, false, false, &size);
	ASSERT_FALSE(run(bytes, size, "y", &in));
	ASSERT_EQ(r.count, 72);
	for (size_t i = 0; i < r.count; i++) {
		EXPECT_TRUE(r.values[i] == (in.values[i] > 0 ? in.values[i] : -1));
		chosen += in.values[i] > 0;
	}
	EXPECT_GT(chosen, 9);
	EXPECT_LT(chosen, 63);
}

TEST(half_weights_are_their_floats)
{
	static const struct model_def def = {
		.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "Cast x h to=10", "Conv h,w,b c", "Cast c y to=1" },
		.constants = { TENSOR("w", ONNX_FLOAT16, 4, 3, 3, 3), TENSOR("b", ONNX_FLOAT16, 4) },
	};
	static struct result wide;
	size_t size;
	void *bytes = model(&def, false, false, &size);

	ASSERT_FALSE(run(bytes, size, "y", &r));
	bytes = model(&def, false, true, &size);
	ASSERT_FALSE(run(bytes, size, "y", &wide));
	EXPECT_TRUE(agree(&r, &wide));
	EXPECT_EQ(r.operators, 1);
}

/* All that is not supported is said at once, and no program comes of it. */
TEST(unsupported_nodes_are_all_named)
{
	static const struct model_def def = {
		.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "Gizmo x a", "Relu a b", "Resize x,_,scales c mode=:cubic",
			   "Widget b,c y size=3" },
		.constants = { RANDOM("scales", 4) },
	};
	const struct compile_options none = { 0 };
	unsigned int gizmo = 0, widget = 0, resize = 0;
	const struct issue *i;
	struct compile_result c;
	size_t size;
	void *bytes = model(&def, false, false, &size);

	ASSERT_FALSE(compile_model(&c, bytes, size, &none));
	for (i = c.graph.issues; i; i = i->next) {
		gizmo += !strcmp(i->op, "Gizmo");
		widget += !strcmp(i->op, "Widget");
		resize += !strcmp(i->op, "Resize");
	}
	EXPECT_EQ(gizmo, 1);
	EXPECT_EQ(widget, 1);
	EXPECT_GE(resize, 1);
	EXPECT_FALSE(c.program);
	compile_release(&c);
}

static char *cut_of(const struct model_def *def)
{
	const struct compile_options none = { 0 };
	struct compile_result c;
	size_t size;
	void *bytes = model(def, true, false, &size);
	char *cut = compile_model(&c, bytes, size, &none) ? NULL :
		    compile_cut(&c, bytes, size, &none);

	compile_release(&c);
	return cut ? cut : strdup("?");
}

/* Outputs that need no such node stay; with what is named the model can be compiled. */
TEST(cuts_are_before_what_is_unsupported)
{
	static const struct model_def inside = {
		.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "-Conv x,w a", "-Relu a b", "-Gizmo b,x c", "-Relu c d", "-Sigmoid a e",
			   "-Mul d,e y", "Tanh b z", "Neg z y2" },
		.constants = { RANDOM("w", 4, 3, 3, 3) },
	}, first = {
		.input = { 1, 3, 6, 6 }, .rank = 4, .output = "y",
		.nodes = { "-Gizmo x a", "Relu a y" },
	};

	EXPECT_EQ(strcmp(cut_of(&inside), "b,e,z,y2"), 0);
	EXPECT_EQ(strcmp(cut_of(&first), ""), 0);
}

TEST_HARNESS_MAIN
