// SPDX-License-Identifier: MIT
/*
 * The compiler's passes, each with a graph that it has to change: what is left is counted,
 * and its result is compared with that of the same graph whose every value is an output,
 * where nothing can be fused.
 */

#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "compile.h"
#include "host_run.h"
#include "onnx.pb-c.h"
#include "onnx_types.h"

#define MAX_NODES	16
#define MAX_CONSTANTS	16
#define MAX_ELEMENTS	(1 << 14)

struct constant_def {
	const char *name;
	int type;			/* ONNX_FLOAT, ONNX_FLOAT16: random; ONNX_INT64: @i */
	int64_t dims[4];
	unsigned int rank;
	int64_t i[8];
};

struct model_def {
	/*
	 * "Op in,in out name=1,2 name=0.5 name=:text": a number with a point is a float.
	 * With - before it its output never becomes one of the graph. In: . for none, _ for
	 * one that is left out.
	 */
	const char *nodes[MAX_NODES];
	struct constant_def constants[MAX_CONSTANTS];
	int64_t input[4];		/* of "x" */
	unsigned int rank;
	int type;			/* of "x"; 0: float */
	const char *output;
};

/* ---- ONNX ---- */

static uint64_t state;

static float random_float(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (float)((double)(state >> 40) / (1 << 24) - 0.5);
}

/* Halves that are exact: a sign, an exponent near that of 1, some bits. */
static uint16_t random_half(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint16_t)((state >> 63 << 15) | (10 + (state >> 40) % 4) << 10 |
			  (state >> 50 & 1023));
}

static void *make(size_t count, size_t size)
{
	void *p = calloc(count + !count, size);

	if (!p)
		abort();
	return p;
}

/* @wide: the numbers of halves as floats. */
static Onnx__TensorProto *tensor(const struct constant_def *c, bool wide)
{
	Onnx__TensorProto *t = make(1, sizeof(*t));
	bool half = c->type == ONNX_FLOAT16;
	size_t n = 1, width = c->type == ONNX_INT64 ? 8 : half && !wide ? 2 : 4, i;
	uint8_t *data;

	onnx__tensor_proto__init(t);
	t->name = strdup(c->name);
	t->has_data_type = 1;
	t->data_type = half && wide ? ONNX_FLOAT : c->type;
	t->n_dims = c->rank;
	t->dims = make(c->rank, sizeof(*t->dims));
	for (i = 0; i < c->rank; i++) {
		t->dims[i] = c->dims[i];
		n *= (size_t)c->dims[i];
	}
	data = make(n, width);
	for (i = 0; i < n; i++) {
		uint16_t h = random_half();
		float f = half ? half_to_float(h) : random_float();

		memcpy(data + i * width, width == 8 ? (const void *)&c->i[i] : width == 2 ?
		       (const void *)&h : (const void *)&f, width);
	}
	t->has_raw_data = 1;
	t->raw_data.data = data;
	t->raw_data.len = n * width;
	return t;
}

static Onnx__AttributeProto *attribute(char *text)
{
	Onnx__AttributeProto *a = make(1, sizeof(*a));
	char *value = strchr(text, '='), *end;

	onnx__attribute_proto__init(a);
	*value++ = '\0';
	a->name = strdup(text);
	a->has_type = 1;
	if (*value == ':') {
		a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
		a->has_s = 1;
		a->s.data = (uint8_t *)strdup(value + 1);
		a->s.len = strlen(value + 1);
	} else if (strchr(value, '.')) {
		a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
		a->has_f = 1;
		a->f = strtof(value, NULL);
	} else if (strchr(value, ',')) {
		a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
		a->ints = make(16, sizeof(*a->ints));
		for (end = value - 1; *value && a->n_ints < 16; value = end + (*end == ','))
			a->ints[a->n_ints++] = strtoll(value, &end, 10);
	} else {
		a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
		a->has_i = 1;
		a->i = strtoll(value, NULL, 10);
	}
	return a;
}

static size_t names(char *list, char ***to)
{
	char *save, *s;
	size_t n = 0;

	*to = make(8, sizeof(**to));
	for (s = strtok_r(list, ",.", &save); s && n < 8; s = strtok_r(NULL, ",.", &save))
		(*to)[n++] = strdup(strcmp(s, "_") ? s : "");
	return n;
}

static Onnx__NodeProto *node(const char *text)
{
	Onnx__NodeProto *n = make(1, sizeof(*n));
	char *copy = strdup(text), *save, *s;

	onnx__node_proto__init(n);
	n->op_type = strdup(strtok_r(copy, " ", &save));
	n->n_input = names(strtok_r(NULL, " ", &save), &n->input);
	n->n_output = names(strtok_r(NULL, " ", &save), &n->output);
	n->name = strdup(n->output[0]);
	n->attribute = make(8, sizeof(struct Onnx__AttributeProto *));
	while ((s = strtok_r(NULL, " ", &save)))
		n->attribute[n->n_attribute++] = attribute(s);
	free(copy);
	return n;
}

static Onnx__ValueInfoProto *value(const char *name, int type, const int64_t *dims,
				   unsigned int rank)
{
	Onnx__ValueInfoProto *v = make(1, sizeof(*v));
	Onnx__TypeProto__Tensor *t = make(1, sizeof(*t));
	unsigned int i;

	onnx__value_info_proto__init(v);
	v->name = strdup(name);
	if (!rank)
		return free(t), v;
	onnx__type_proto__tensor__init(t);
	v->type = make(1, sizeof(*v->type));
	onnx__type_proto__init(v->type);
	v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	v->type->tensor_type = t;
	t->has_elem_type = 1;
	t->elem_type = type;
	t->shape = make(1, sizeof(*t->shape));
	onnx__tensor_shape_proto__init(t->shape);
	t->shape->dim = make(rank, sizeof(Onnx__TensorShapeProto__Dimension *));
	t->shape->n_dim = rank;
	for (i = 0; i < rank; i++) {
		Onnx__TensorShapeProto__Dimension *d = make(1, sizeof(*d));

		onnx__tensor_shape_proto__dimension__init(d);
		d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		d->dim_value = dims[i];
		t->shape->dim[i] = d;
	}
	return v;
}

/* What nodes write becomes an output each if @all, else only def->output does. */
static void *model(const struct model_def *def, bool all, bool wide, size_t *size)
{
	Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
	Onnx__NodeProto *nodes[MAX_NODES];
	Onnx__TensorProto *tensors[MAX_CONSTANTS];
	Onnx__ValueInfoProto *outputs[MAX_NODES], *input;
	unsigned int i;
	void *bytes;

	state = 1;
	m.has_ir_version = 1;
	m.ir_version = 8;
	opset.has_version = 1;
	opset.version = 13;
	m.opset_import = &opsets;
	m.n_opset_import = 1;
	m.graph = &g;
	g.name = (char *)"graph";
	g.node = nodes;
	g.initializer = tensors;
	g.output = outputs;
	g.input = &input;
	g.n_input = 1;
	input = value("x", def->type ? def->type : ONNX_FLOAT, def->input, def->rank);
	for (i = 0; i < MAX_CONSTANTS && def->constants[i].name; i++)
		tensors[g.n_initializer++] = tensor(&def->constants[i], wide);
	for (i = 0; i < MAX_NODES && def->nodes[i]; i++) {
		bool hidden = *def->nodes[i] == '-';

		nodes[g.n_node++] = node(def->nodes[i] + hidden);
		if ((all && !hidden) || !strcmp(nodes[i]->output[0], def->output))
			outputs[g.n_output++] = value(nodes[i]->output[0], 0, NULL, 0);
	}
	*size = onnx__model_proto__get_packed_size(&m);
	bytes = make(*size, 1);
	onnx__model_proto__pack(&m, bytes);
	return bytes;
}

/* ---- programs ---- */

struct result {
	float values[MAX_ELEMENTS];
	size_t count;
	unsigned int operators;
	unsigned int of_kind[32];
	bool bytes_in, channels_last;
};

static const char *run(const void *onnx, size_t size, const char *output, struct result *r)
{
	struct hr_opts opts = { .isa = hr_isa(0), .guard = HR_GUARD_EXACT, .threads = 1,
				.fill = 0xff };
	const struct compile_options none = { 0 };
	struct compile_result c;
	const char *broken;
	struct hr h;
	u32 i;

	if (!compile_model(&c, onnx, size, &none)) {
		compile_print_issues(&c, stdout);
		return "not compiled";
	}
	if (hr_open(&h, c.program, c.size, &opts))
		return "not planned";
	hr_random_inputs(&h, 7);
	for (i = 0; i < h.prog.operator_count; i++)
		r->of_kind[h.prog.operators[i].kind % 32]++;
	r->operators = h.prog.operator_count;
	broken = hr_run(&h);
	for (i = 0; i < h.prog.io_count; i++) {
		const struct patcnn_tensor *t = &h.prog.tensors[h.prog.io[i]];

		if (t->role == PATCNN_ROLE_INPUT) {
			r->bytes_in = t->dtype == PATCNN_DTYPE_U8;
			r->channels_last = t->layout == PATCNN_LAYOUT_HWC;
		} else if (!strcmp(h.prog.strings + t->name, output)) {
			r->count = (size_t)t->c * t->h * t->w;
			if (r->count <= MAX_ELEMENTS)
				memcpy(r->values, hr_io(&h, h.prog.io[i]),
				       r->count * sizeof(*r->values));
		}
	}
	hr_close(&h);
	compile_release(&c);
	return broken;
}

static bool agree(const struct result *a, const struct result *b)
{
	size_t i;

	if (a->count != b->count || !a->count || a->count > MAX_ELEMENTS)
		return false;
	for (i = 0; i < a->count; i++)
		if (!(fabsf(a->values[i] - b->values[i]) <=
		      1e-5f + 1e-4f * fabsf(b->values[i]))) {
			printf("# element %zu: %g, %g\n", i, (double)a->values[i],
			       (double)b->values[i]);
			return false;
		}
	return true;
}

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

#define RANDOM(name, ...) TENSOR(name, ONNX_FLOAT, __VA_ARGS__)
#define TENSOR(name, type, ...) { name, type, { __VA_ARGS__ }, \
			    sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), { 0 } }
#define INTS(name, ...) { name, ONNX_INT64, { sizeof((int64_t[]){ __VA_ARGS__ }) / \
			  sizeof(int64_t) }, 1, { __VA_ARGS__ } }
#define SCALAR(name, value) { name, ONNX_INT64, { 0 }, 0, { value } }


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
