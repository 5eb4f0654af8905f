// SPDX-License-Identifier: MIT
/*
 * Finds the layers of an ONNX model whose weights are stored in it and writes zeros
 * back. Nothing else of the model changes: what this program does not know of it is
 * kept by protobuf-c as it was.
 */

#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"
#include "onnx_types.h"
#include "passes/passes.h"
#include "prune_onnx.h"

static Onnx__TensorProto *find_tensor(const Onnx__GraphProto *g, const char *name)
{
	size_t i, k;

	for (i = 0; i < g->n_initializer; i++)
		if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name))
			return g->initializer[i];
	for (i = 0; i < g->n_node; i++) {
		const Onnx__NodeProto *n = g->node[i];

		if (!n->op_type || strcmp(n->op_type, "Constant") || n->n_output != 1 ||
		    strcmp(n->output[0], name))
			continue;
		for (k = 0; k < n->n_attribute; k++)
			if (n->attribute[k]->t)
				return n->attribute[k]->t;
	}
	return NULL;
}

static size_t element_count(const Onnx__TensorProto *t)
{
	size_t count = 1, i;

	for (i = 0; i < t->n_dims; i++) {
		if (t->dims[i] < 1 || (uint64_t)t->dims[i] > (1ULL << 31) / count)
			return 0;
		count *= (size_t)t->dims[i];
	}
	return count;
}

/* Stored inside the file as floats or halves. */
static bool is_readable(const Onnx__TensorProto *t)
{
	size_t count = element_count(t);

	if (!count || t->n_external_data)
		return false;
	if (t->data_type == ONNX_FLOAT && !t->has_raw_data)
		return t->n_float_data == count;
	return t->has_raw_data && (t->data_type == ONNX_FLOAT || t->data_type == ONNX_FLOAT16) &&
	       t->raw_data.len == count * (t->data_type == ONNX_FLOAT ? 4 : 2);
}

static float get_element(const Onnx__TensorProto *t, size_t i)
{
	uint16_t h;
	float f;

	if (!t->has_raw_data)
		return t->float_data[i];
	if (t->data_type == ONNX_FLOAT) {
		memcpy(&f, t->raw_data.data + 4 * i, 4);
		return f;
	}
	memcpy(&h, t->raw_data.data + 2 * i, 2);
	return half_to_float(h);
}

static void clear_element(Onnx__TensorProto *t, size_t i)
{
	size_t width = t->data_type == ONNX_FLOAT ? 4 : 2;

	if (t->has_raw_data)
		memset(t->raw_data.data + width * i, 0, width);
	else
		t->float_data[i] = 0;
}

static int64_t int_attr(const Onnx__NodeProto *n, const char *name, int64_t def)
{
	size_t i;

	for (i = 0; i < n->n_attribute; i++)
		if (n->attribute[i]->name && !strcmp(n->attribute[i]->name, name))
			return n->attribute[i]->i;
	return def;
}

/* Place in the tensor of element @i of the layer. */
static size_t tensor_index(const struct prune_target *t, size_t i)
{
	size_t in = t->layer.in;

	return t->transposed ? i % in * t->layer.out + i / in : i;
}

static bool layer_shape(const Onnx__NodeProto *n, struct prune_target *t)
{
	const Onnx__TensorProto *w = t->tensor;
	struct prune_layer *l = &t->layer;

	l->groups = 1;
	l->kernel_h = 1;
	l->kernel_w = 1;
	if (!strcmp(n->op_type, "Conv")) {
		int64_t groups = int_attr(n, "group", 1);

		if ((w->n_dims != 3 && w->n_dims != 4) || groups < 1 || w->dims[0] % groups)
			return false;
		l->groups = (unsigned int)groups;
		l->out = (unsigned int)w->dims[0];
		l->in = (unsigned int)w->dims[1];
		l->kernel_h = w->n_dims == 4 ? (unsigned int)w->dims[2] : 1;
		l->kernel_w = (unsigned int)w->dims[w->n_dims - 1];
		return true;
	}
	if (w->n_dims != 2)
		return false;
	t->transposed = strcmp(n->op_type, "Gemm") || !int_attr(n, "transB", 0);
	l->out = (unsigned int)w->dims[t->transposed ? 1 : 0];
	l->in = (unsigned int)w->dims[t->transposed ? 0 : 1];
	return true;
}

/*
 * A batch norm behind the layer scales its filters; which of them matter is decided
 * by what they are after that.
 */
static void fold_norm(const Onnx__GraphProto *g, const Onnx__NodeProto *n, struct prune_target *t)
{
	size_t each = (size_t)t->layer.in * t->layer.kernel_h * t->layer.kernel_w, i, o, k;

	for (i = 0; i < g->n_node; i++) {
		const Onnx__NodeProto *bn = g->node[i];
		const Onnx__TensorProto *scale, *var;

		if (!bn->op_type || strcmp(bn->op_type, "BatchNormalization") || bn->n_input < 5 ||
		    !n->n_output || strcmp(bn->input[0], n->output[0]))
			continue;
		scale = find_tensor(g, bn->input[1]);
		var = find_tensor(g, bn->input[4]);
		if (!scale || !var || !is_readable(scale) || !is_readable(var) ||
		    element_count(scale) != t->layer.out || element_count(var) != t->layer.out)
			return;
		for (o = 0; o < t->layer.out; o++) {
			float s = get_element(scale, o) / sqrtf(get_element(var, o) + 1e-5f);

			/* A filter scaled to nothing still has an order among its weights. */
			if (!isfinite(s) || fabsf(s) < 1e-12f)
				s = 1e-12f;
			for (k = 0; k < each; k++)
				t->layer.w[o * each + k] *= s;
		}
		return;
	}
}

static bool add_target(struct prune_model *m, const Onnx__NodeProto *n)
{
	const Onnx__GraphProto *g = m->proto->graph;
	struct prune_target *t = &m->targets[m->count];
	size_t count, i;

	memset(t, 0, sizeof(*t));
	if (!n->op_type || n->n_input < 2 ||
	    (strcmp(n->op_type, "Conv") && strcmp(n->op_type, "Gemm") &&
	     strcmp(n->op_type, "MatMul")))
		return true;
	t->tensor = find_tensor(g, n->input[1]);
	if (!t->tensor || !is_readable(t->tensor) || !layer_shape(n, t))
		return true;
	for (i = 0; i < m->count; i++)
		if (m->targets[i].tensor == t->tensor)
			return true;
	t->name = n->name && *n->name ? n->name : n->n_output ? n->output[0] : "";
	t->weights = n->input[1];
	count = element_count(t->tensor);
	t->layer.w = malloc(count * sizeof(float));
	if (!t->layer.w)
		return false;
	for (i = 0; i < count; i++)
		t->layer.w[i] = get_element(t->tensor, tensor_index(t, i));
	fold_norm(g, n, t);
	for (i = 0; i < count; i++)
		t->energy_before += (double)t->layer.w[i] * (double)t->layer.w[i];
	m->count++;
	return true;
}

/* Outputs a channel of each layer, from the compiler's own shape inference. */
static void find_positions(struct prune_model *m, const void *bytes, size_t size)
{
	const struct read_options none = { 0 };
	struct arena arena;
	struct graph g;
	struct node *n;
	unsigned int i;

	arena_init(&arena, ((size_t)1 << 30) + 4 * size);
	if (!setjmp(arena.fail)) {
		graph_init(&g, &arena);
		onnx_read(&g, bytes, size, &none);
		pass_dead(&g);
		pass_propagate(&g);
		for_each_node(n, &g) {
			const struct value *w = node_in(n, 1);

			for (i = 0; w && i < m->count; i++)
				if (!strcmp(w->name, m->targets[i].weights) && n->out[0] &&
				    shape_elements(&n->out[0]->shape) > 0)
					m->targets[i].positions =
						(double)shape_elements(&n->out[0]->shape) /
						m->targets[i].layer.out;
		}
	}
	arena_release(&arena);
}

bool prune_model_read(struct prune_model *m, const void *bytes, size_t size, const char **why)
{
	size_t i;

	memset(m, 0, sizeof(*m));
	*why = "not an ONNX model";
	if (!onnx_depth_ok(&onnx__model_proto__descriptor, bytes, size))
		return false;
	m->proto = onnx__model_proto__unpack(NULL, size, bytes);
	if (!m->proto || !m->proto->graph) {
		prune_model_free(m);
		return false;
	}
	*why = "out of memory";
	m->targets = calloc(m->proto->graph->n_node + 1, sizeof(*m->targets));
	for (i = 0; m->targets && i < m->proto->graph->n_node; i++)
		if (!add_target(m, m->proto->graph->node[i]))
			break;
	if (!m->targets || i < m->proto->graph->n_node) {
		prune_model_free(m);
		return false;
	}
	find_positions(m, bytes, size);
	return true;
}

void prune_model_update(struct prune_model *m)
{
	unsigned int i;
	size_t k;

	for (i = 0; i < m->count; i++) {
		struct prune_target *t = &m->targets[i];
		size_t count = element_count(t->tensor);

		t->kept = 0;
		t->energy_after = 0;
		for (k = 0; k < count; k++) {
			t->kept += t->layer.w[k] != 0;
			t->energy_after += (double)t->layer.w[k] * (double)t->layer.w[k];
			if (t->layer.w[k] == 0)
				clear_element(t->tensor, tensor_index(t, k));
		}
	}
}

void *prune_model_write(const struct prune_model *m, size_t *size)
{
	uint8_t *bytes;

	*size = onnx__model_proto__get_packed_size(m->proto);
	bytes = malloc(*size);
	if (bytes)
		onnx__model_proto__pack(m->proto, bytes);
	return bytes;
}

void prune_model_free(struct prune_model *m)
{
	unsigned int i;

	for (i = 0; i < m->count; i++)
		free(m->targets[i].layer.w);
	free(m->targets);
	if (m->proto)
		onnx__model_proto__free_unpacked(m->proto, NULL);
	memset(m, 0, sizeof(*m));
}
