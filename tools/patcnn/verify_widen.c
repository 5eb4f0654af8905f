// SPDX-License-Identifier: MIT
/*
 * A model in half precision, as one in single precision with the same weights: a
 * runtime rounds what lies between layers to the model's type, and the program does not.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"
#include "util.h"
#include "verify.h"

#define HALF	ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16
#define SINGLE	ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

/* Memory of messages is freed by protobuf-c, with free(). */
static void widen_tensor(Onnx__TensorProto *t)
{
	size_t count = t->has_raw_data ? t->raw_data.len / 2 : t->n_int32_data, i;
	float *wide;

	if (t->data_type != HALF)
		return;
	wide = xcalloc(count + 1, sizeof(*wide));
	for (i = 0; i < count; i++) {
		uint16_t h;

		if (t->has_raw_data)
			memcpy(&h, t->raw_data.data + 2 * i, sizeof(h));
		else
			h = (uint16_t)t->int32_data[i];
		wide[i] = half_to_float(h);
	}
	if (t->has_raw_data)
		free(t->raw_data.data);
	free(t->int32_data);
	t->int32_data = NULL;
	t->n_int32_data = 0;
	t->has_raw_data = 1;
	t->raw_data.data = (uint8_t *)wide;
	t->raw_data.len = count * sizeof(*wide);
	t->data_type = SINGLE;
}

static void widen_value(Onnx__ValueInfoProto *v)
{
	Onnx__TypeProto *type = v->type;

	if (type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
	    type->tensor_type->elem_type == HALF)
		type->tensor_type->elem_type = SINGLE;
}

static void widen_node(Onnx__NodeProto *n)
{
	size_t i;

	for (i = 0; i < n->n_attribute; i++) {
		Onnx__AttributeProto *a = n->attribute[i];

		if (a->t)
			widen_tensor(a->t);
		if (n->op_type && !strcmp(n->op_type, "Cast") && a->name &&
		    !strcmp(a->name, "to") && a->i == HALF)
			a->i = SINGLE;
	}
}

void verify_widen(Onnx__GraphProto *g)
{
	size_t i;

	for (i = 0; i < g->n_initializer; i++)
		widen_tensor(g->initializer[i]);
	for (i = 0; i < g->n_node; i++)
		widen_node(g->node[i]);
	for (i = 0; i < g->n_input; i++)
		widen_value(g->input[i]);
	for (i = 0; i < g->n_output; i++)
		widen_value(g->output[i]);
	for (i = 0; i < g->n_value_info; i++)
		widen_value(g->value_info[i]);
}
