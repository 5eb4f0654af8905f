// SPDX-License-Identifier: MIT
/* An ONNX model of one layer with its activation, written field by field. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Field numbers of onnx.proto; wire types: 0 a number, 2 bytes. */
enum { NUMBER = 0, BYTES = 2 };

struct text {
	char *p;
	size_t size, room;
};

static void put(struct text *t, const void *p, size_t n)
{
	while (t->size + n > t->room) {
		t->room = t->room * 2 + n + 64;
		t->p = realloc(t->p, t->room);
	}
	memcpy(t->p + t->size, p, n);
	t->size += n;
}

static void varint(struct text *t, u64 v)
{
	for (; v > 127; v >>= 7)
		put(t, &(u8){ (u8)(v | 128) }, 1);
	put(t, &(u8){ (u8)v }, 1);
}

static void number(struct text *t, u32 field, u64 v)
{
	varint(t, field << 3 | NUMBER);
	varint(t, v);
}

static void bytes(struct text *t, u32 field, const void *p, size_t n)
{
	varint(t, field << 3 | BYTES);
	varint(t, n);
	put(t, p, n);
}

static void string(struct text *t, u32 field, const char *s)
{
	bytes(t, field, s, strlen(s));
}

/* @from becomes a message in @to. */
static void message(struct text *to, u32 field, struct text *from)
{
	bytes(to, field, from->p, from->size);
	free(from->p);
	*from = (struct text){ 0 };
}

static void ints(struct text *node, const char *name, const u32 *v, u32 n)
{
	struct text a = { 0 };
	u32 i;

	string(&a, 1, name);
	for (i = 0; i < n; i++)
		number(&a, 8, v[i]);
	number(&a, 20, 7);
	message(node, 5, &a);
}

static void integer(struct text *node, const char *name, u32 v)
{
	struct text a = { 0 };

	string(&a, 1, name);
	number(&a, 3, v);
	number(&a, 20, 2);
	message(node, 5, &a);
}

static void real(struct text *node, const char *name, float v)
{
	struct text a = { 0 };

	string(&a, 1, name);
	varint(&a, 2 << 3 | 5);
	put(&a, &v, sizeof(v));
	number(&a, 20, 1);
	message(node, 5, &a);
}

static void tensor(struct text *graph, const char *name, const float *v, const u64 *dims, u32 rank)
{
	struct text t = { 0 };
	u64 n = 1;
	u32 i;

	for (i = 0; i < rank; i++) {
		number(&t, 1, dims[i]);
		n *= dims[i];
	}
	number(&t, 2, 1);
	string(&t, 8, name);
	bytes(&t, 9, v, n * sizeof(*v));
	message(graph, 5, &t);
}

static void value(struct text *graph, u32 field, const char *name, const u64 *dims, u32 rank)
{
	struct text v = { 0 }, type = { 0 }, tens = { 0 }, shape = { 0 }, dim = { 0 };
	u32 i;

	for (i = 0; i < rank; i++) {
		number(&dim, 1, dims[i]);
		message(&shape, 1, &dim);
	}
	number(&tens, 1, 1);
	message(&tens, 2, &shape);
	message(&type, 1, &tens);
	string(&v, 1, name);
	message(&v, 2, &type);
	message(graph, field, &v);
}

static void begin(struct text *node, const char *in, const char *out, const char *op)
{
	string(node, 1, in);
	string(node, 2, out);
	string(node, 4, op);
}

static void activation(struct text *graph, const struct shape *s)
{
	struct text node = { 0 };

	switch (s->act) {
	case PATCNN_ACT_RELU:
		begin(&node, "y", "z", "Relu");
		break;
	case PATCNN_ACT_LEAKY_RELU:
		begin(&node, "y", "z", "LeakyRelu");
		real(&node, "alpha", s->act_a);
		break;
	case PATCNN_ACT_CLIP:
		string(&node, 1, "y");
		begin(&node, "low", "z", "Clip");
		string(&node, 1, "high");
		break;
	case PATCNN_ACT_SILU:
		begin(&node, "y", "sigmoid", "Sigmoid");
		message(graph, 1, &node);
		string(&node, 1, "y");
		begin(&node, "sigmoid", "z", "Mul");
		break;
	default:
		begin(&node, "y", "z", "Identity");
	}
	message(graph, 1, &node);
}

void *onnx_layer(const struct shape *s, const float *weights, size_t *size)
{
	u64 in[] = { 1, s->ic, s->ih, s->iw }, out[] = { 1, s->oc, s->oh, s->ow }, oc = s->oc;
	u64 w[] = { s->oc, s->ic / s->groups, s->kh, s->kw };
	u32 rank = s->linear ? 2 : 4, pads[] = { s->pad_top, s->pad_left, s->pad_bottom, s->pad_right };
	struct text model = { 0 }, graph = { 0 }, node = { 0 }, set = { 0 };
	float *bias = calloc(s->oc, sizeof(*bias));

	string(&node, 1, "x");
	string(&node, 1, "w");
	begin(&node, "b", "y", s->linear ? "Gemm" : "Conv");
	if (s->linear) {
		integer(&node, "transB", 1);
	} else {
		ints(&node, "kernel_shape", &s->kh, 2);
		ints(&node, "strides", &s->sh, 2);
		ints(&node, "dilations", &s->dh, 2);
		ints(&node, "pads", pads, 4);
		integer(&node, "group", s->groups);
	}
	message(&graph, 1, &node);
	activation(&graph, s);
	string(&graph, 2, "layer");
	tensor(&graph, "w", weights, w, rank);
	tensor(&graph, "b", bias, &oc, 1);
	tensor(&graph, "low", &s->act_a, NULL, 0);
	tensor(&graph, "high", &s->act_b, NULL, 0);
	value(&graph, 11, "x", in, rank);
	value(&graph, 12, "z", out, rank);
	number(&model, 1, 7);
	message(&model, 7, &graph);
	number(&set, 2, 13);
	message(&model, 8, &set);
	free(bias);
	*size = model.size;
	return model.p;
}
