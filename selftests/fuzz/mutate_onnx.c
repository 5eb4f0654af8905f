// SPDX-License-Identifier: MIT
/* Mutations of ONNX models. See mutate_onnx.h. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mutate_onnx.h"
#include "onnx.pb-c.h"

/* libFuzzer's own. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const operators[] = {
	"Conv", "ConvTranspose", "BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Clip",
	"Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Gelu", "Erf", "MaxPool",
	"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Gemm", "MatMul", "Add", "Sub",
	"Mul", "Div", "Concat", "Split", "Slice", "Pad", "Reshape", "Flatten", "Squeeze",
	"Unsqueeze", "Transpose", "Resize", "Upsample", "Softmax", "LogSoftmax", "Exp", "Sqrt",
	"Pow", "ReduceMean", "ReduceSum", "ReduceMax", "InstanceNormalization",
	"LayerNormalization", "Identity", "Dropout", "Constant", "ConstantOfShape", "Shape",
	"Gather", "Cast", "Expand", "Range", "Where", "Equal", "DepthToSpace", "SpaceToDepth",
	"Softplus", "Mish", "Reciprocal", "Neg", "Abs", "Log", "Tile", "Min", "Max", "Sum",
};

static const char *const attributes[] = {
	"axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad",
	"ceil_mode", "count_include_pad", "output_padding", "output_shape", "alpha", "beta",
	"epsilon", "perm", "mode", "keepdims", "transA", "transB", "split", "starts", "ends",
	"value", "to", "shape", "blocksize", "coordinate_transformation_mode", "nearest_mode",
	"min", "max", "scales", "storage_order", "num_outputs", "allowzero", "noop_with_empty_axes",
};

struct rng {
	uint64_t state;
};

static uint32_t rnd(struct rng *r, uint32_t n)
{
	r->state = r->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return n ? (uint32_t)(r->state >> 33) % n : 0;
}

static int64_t number(struct rng *r, int64_t was)
{
	static const int64_t hard[] = {
		0, -1, 1, 2, 3, -2, 7, 16, 255, 256, 65535, 65536, 1 << 20, 1 << 24, INT32_MAX,
		INT32_MIN, 1LL << 32, (1LL << 32) + 1, 1LL << 40, INT64_MAX, INT64_MIN,
		INT64_MAX / 2,
	};

	switch (rnd(r, 4)) {
	case 0:
		return hard[rnd(r, COUNT(hard))];
	case 1:
		return (int64_t)((uint64_t)was + rnd(r, 5) - 2);
	default:
		return rnd(r, 12);
	}
}

static float real(struct rng *r)
{
	static const float hard[] = { 0, -0.0f, 1, -1, 0.5f, 1e-30f, 1e30f, -1e30f, 6, 255 };
	uint32_t bits = rnd(r, UINT32_MAX);
	float f;

	if (rnd(r, 4))
		return hard[rnd(r, COUNT(hard))];
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static void set_string(char **s, const char *text)
{
	/* @text may be the same string. */
	char *copy = strdup(text);

	if (*s && *s != protobuf_c_empty_string)
		free(*s);
	*s = copy;
}

/* Any name of a value: of an output of a node, an initialiser, an input; or none. */
static const char *any_name(struct rng *r, const Onnx__GraphProto *g)
{
	const char *name = "";

	switch (rnd(r, 4)) {
	case 0:
		if (g->n_initializer)
			name = g->initializer[rnd(r, g->n_initializer)]->name;
		break;
	case 1:
		if (g->n_input)
			name = g->input[rnd(r, g->n_input)]->name;
		break;
	default:
		if (g->n_node) {
			const Onnx__NodeProto *n = g->node[rnd(r, g->n_node)];

			if (n->n_output)
				name = n->output[rnd(r, n->n_output)];
		}
	}
	return name && rnd(r, 16) ? name : "";
}

static void change_raw(struct rng *r, Onnx__TensorProto *t)
{
	uint8_t *at = t->raw_data.data;
	int64_t i = number(r, 1);
	float f = real(r);

	if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 && t->raw_data.len >= 8)
		memcpy(at + rnd(r, t->raw_data.len / 8) * 8, &i, sizeof(i));
	else
		memcpy(at + rnd(r, t->raw_data.len / 4) * 4, &f, sizeof(f));
}

static void change_tensor(struct rng *r, Onnx__TensorProto *t)
{
	switch (rnd(r, 6)) {
	case 0:
		if (t->n_dims)
			t->n_dims--;
		break;
	case 1:
		t->data_type = (int32_t)number(r, t->data_type);
		break;
	case 2:
		if (t->raw_data.len)
			t->raw_data.len -= 1 + rnd(r, t->raw_data.len < 9 ? t->raw_data.len : 8);
		else if (t->n_float_data)
			t->n_float_data--;
		else if (t->n_int64_data)
			t->n_int64_data--;
		break;
	case 3:
		/* What shape arithmetic computes with. */
		if (t->n_int64_data)
			t->int64_data[rnd(r, t->n_int64_data)] = number(r, 1);
		else if (t->raw_data.len >= 4)
			change_raw(r, t);
		else if (t->n_float_data)
			t->float_data[rnd(r, t->n_float_data)] = real(r);
		break;
	default:
		if (t->n_dims) {
			int64_t *d = &t->dims[rnd(r, t->n_dims)];

			*d = number(r, *d);
		}
	}
}

static void change_attribute(struct rng *r, Onnx__NodeProto *n)
{
	Onnx__AttributeProto *a;

	if (!n->n_attribute)
		return;
	a = n->attribute[rnd(r, n->n_attribute)];
	switch (rnd(r, 8)) {
	case 0:
		set_string(&a->name, attributes[rnd(r, COUNT(attributes))]);
		break;
	case 1:
		a->type = rnd(r, 12);
		break;
	case 2:
		if (a->n_ints)
			a->n_ints--;
		break;
	case 3:
		if (a->t)
			change_tensor(r, a->t);
		a->f = real(r);
		break;
	case 4:
		if (a->n_floats)
			a->floats[rnd(r, a->n_floats)] = real(r);
		else if (a->s.len)
			a->s.data[rnd(r, a->s.len)] = 'A' + rnd(r, 50);
		break;
	default:
		a->i = number(r, a->i);
		if (a->n_ints) {
			int64_t *v = &a->ints[rnd(r, a->n_ints)];

			*v = number(r, *v);
		}
	}
}

/* A node is moved or removed, or becomes another operator, or reads something else. */
static void change_node(struct rng *r, Onnx__GraphProto *g)
{
	Onnx__NodeProto *n = g->node[rnd(r, g->n_node)], **other = &g->node[rnd(r, g->n_node)];
	uint32_t at = rnd(r, g->n_node);

	switch (rnd(r, 8)) {
	case 0:
		set_string(&n->op_type, operators[rnd(r, COUNT(operators))]);
		break;
	case 1:
		n = g->node[at];
		g->node[at] = *other;
		*other = n;
		break;
	case 2:
		onnx__node_proto__free_unpacked(g->node[at], NULL);
		memmove(g->node + at, g->node + at + 1, (g->n_node - at - 1) * sizeof(*g->node));
		g->n_node--;
		break;
	case 3:
		if (n->n_output)
			set_string(&n->output[rnd(r, n->n_output)], any_name(r, g));
		break;
	case 4:
	case 5:
		change_attribute(r, n);
		break;
	default:
		if (n->n_input)
			set_string(&n->input[rnd(r, n->n_input)], any_name(r, g));
	}
}

static void change_io(struct rng *r, Onnx__GraphProto *g)
{
	Onnx__ValueInfoProto *v;
	Onnx__TensorShapeProto *s;

	if (g->n_output && !rnd(r, 4)) {
		set_string(&g->output[rnd(r, g->n_output)]->name, any_name(r, g));
		return;
	}
	if (!g->n_input)
		return;
	v = g->input[rnd(r, g->n_input)];
	if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
	    !v->type->tensor_type->shape)
		return;
	s = v->type->tensor_type->shape;
	if (!rnd(r, 8)) {
		v->type->tensor_type->elem_type = (int32_t)number(r, 1);
	} else if (s->n_dim) {
		Onnx__TensorShapeProto__Dimension *d = s->dim[rnd(r, s->n_dim)];

		if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
			d->dim_value = number(r, d->dim_value);
	}
}

static void mutate_once(struct rng *r, Onnx__ModelProto *m)
{
	Onnx__GraphProto *g = m->graph;

	switch (rnd(r, 10)) {
	case 0:
		if (m->n_opset_import)
			m->opset_import[0]->version = rnd(r, 4) ? 7 + rnd(r, 15) : number(r, 13);
		break;
	case 1:
	case 2:
		change_io(r, g);
		break;
	case 3:
	case 4:
		if (g->n_initializer)
			change_tensor(r, g->initializer[rnd(r, g->n_initializer)]);
		break;
	default:
		if (g->n_node)
			change_node(r, g);
	}
}

size_t mutate_onnx(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	struct rng r = { seed * 2654435761ULL + 1 };
	Onnx__ModelProto *m;
	uint32_t times;
	size_t packed;

	rnd(&r, 1);
	m = rnd(&r, 4) ? onnx__model_proto__unpack(NULL, size, data) : NULL;
	if (!m || !m->graph) {
		if (m)
			onnx__model_proto__free_unpacked(m, NULL);
		return LLVMFuzzerMutate(data, size, max);
	}
	for (times = 1 + rnd(&r, 4); times; times--)
		mutate_once(&r, m);
	packed = onnx__model_proto__get_packed_size(m);
	if (packed <= max)
		size = onnx__model_proto__pack(m, data);
	onnx__model_proto__free_unpacked(m, NULL);
	return size;
}
