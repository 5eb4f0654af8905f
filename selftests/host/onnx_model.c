// SPDX-License-Identifier: MIT
/* See onnx_model.h. */

#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "host_run.h"
#include "onnx.pb-c.h"
#include "onnx_model.h"

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

void *model(const struct model_def *def, bool all, bool wide, size_t *size)
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

const char *run(const void *onnx, size_t size, const char *output, struct result *r)
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
	r->steps = h.plan->step_count;
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

bool agree(const struct result *a, const struct result *b)
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
