// SPDX-License-Identifier: MIT
/* The graph in memory: values, nodes, attributes, constants, issues. See graph.h. */

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph.h"
#include "onnx_types.h"

void graph_init(struct graph *g, struct arena *arena)
{
	memset(g, 0, sizeof(*g));
	g->arena = arena;
	g->nodes.next = &g->nodes;
	g->nodes.prev = &g->nodes;
	g->nodes.name = "";
	g->issue_tail = &g->issues;
	g->name = "";
	g->producer = "";
}

/* ---- values ---- */

struct value *value_new(struct graph *g, const char *name)
{
	struct value *v = arena_alloc(g->arena, sizeof(*v));

	v->name = name;
	v->dtype = ONNX_FLOAT;
	v->shape.rank = -1;
	v->declared.rank = -1;
	g->n_values++;
	return v;
}

struct value *value_resolve(struct value *v)
{
	if (!v)
		return NULL;
	while (v->alias) {
		/* Halve the path so that long chains of identities stay cheap. */
		if (v->alias->alias)
			v->alias = v->alias->alias;
		v = v->alias;
	}
	return v;
}

void value_replace(struct value *old, struct value *to)
{
	to = value_resolve(to);
	if (old == to)
		return;
	to->uses += old->uses;
	old->uses = 0;
	old->alias = to;
}

/* ---- nodes ---- */

struct node *node_new(struct graph *g, enum op op, const char *name,
		      unsigned int n_in, unsigned int n_out)
{
	struct node *n = arena_alloc(g->arena, sizeof(*n));

	n->op = op;
	n->op_name = op_info(op)->name;
	n->name = name;
	n->n_in = n_in;
	n->n_out = n_out;
	n->in = arena_array(g->arena, n_in + 1, sizeof(*n->in));
	n->out = arena_array(g->arena, n_out + 1, sizeof(*n->out));
	n->prev = n;
	n->next = n;
	return n;
}

void node_insert_before(struct node *at, struct node *n)
{
	n->prev = at->prev;
	n->next = at;
	at->prev->next = n;
	at->prev = n;
}

void node_append(struct graph *g, struct node *n)
{
	node_insert_before(&g->nodes, n);
}

void node_set_in(struct node *n, unsigned int i, struct value *v)
{
	struct value *old = value_resolve(n->in[i]);

	v = value_resolve(v);
	if (old)
		old->uses--;
	if (v)
		v->uses++;
	n->in[i] = v;
}

struct value *node_in(const struct node *n, unsigned int i)
{
	if (i >= n->n_in || !n->in[i])
		return NULL;
	return n->in[i] = value_resolve(n->in[i]);
}

void node_set_out(struct node *n, unsigned int i, struct value *v)
{
	n->out[i] = v;
	if (v)
		v->producer = n;
}

void node_remove(struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_in; i++)
		node_set_in(n, i, NULL);
	if (n->residual)
		value_resolve(n->residual)->uses--;
	n->residual = NULL;
	for (i = 0; i < n->n_out; i++)
		if (n->out[i] && n->out[i]->producer == n)
			n->out[i]->producer = NULL;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n;
	n->next = n;
}

struct node *node_build(struct graph *g, struct node *at, enum op op, const char *suffix,
			const struct shape *shape, struct value *a, struct value *b)
{
	const char *name = arena_printf(g->arena, "%s%s", at->name, suffix);
	struct node *n = node_new(g, op, name, b ? 2 : 1, 1);
	struct value *out = value_new(g, name);

	node_set_in(n, 0, a);
	if (b)
		node_set_in(n, 1, b);
	out->shape = *shape;
	node_set_out(n, 0, out);
	node_insert_before(at, n);
	return n;
}

struct value *build_reshape(struct graph *g, struct node *at, struct value *v,
			    const struct shape *shape)
{
	if (shape_equal(&v->shape, shape))
		return v;
	if (v->constant) {
		struct value *c = value_new(g, v->name);

		c->dtype = v->dtype;
		c->constant = v->constant;
		c->shape = *shape;
		return c;
	}
	return node_build(g, at, OP_Reshape, "/reshape", shape, v, NULL)->out[0];
}

/* ---- attributes ---- */

const struct attr *node_attr(const struct node *n, const char *name)
{
	unsigned int i;

	for (i = 0; i < n->n_attr; i++)
		if (!strcmp(n->attr[i].name, name))
			return &n->attr[i];
	return NULL;
}

int64_t attr_int(const struct node *n, const char *name, int64_t def)
{
	const struct attr *a = node_attr(n, name);

	return a && a->type == ATTR_INT ? a->i : def;
}

float attr_float(const struct node *n, const char *name, float def)
{
	const struct attr *a = node_attr(n, name);

	return a && a->type == ATTR_FLOAT ? a->f : def;
}

const char *attr_str(const struct node *n, const char *name, const char *def)
{
	const struct attr *a = node_attr(n, name);

	return a && a->type == ATTR_STRING && a->s ? a->s : def;
}

size_t attr_ints(const struct node *n, const char *name, const int64_t **ints)
{
	const struct attr *a = node_attr(n, name);

	if (!a || a->type != ATTR_INTS)
		return 0;
	*ints = a->ints;
	return a->count;
}

static struct attr *attr_slot(struct graph *g, struct node *n, const char *name, int type)
{
	struct attr *a = (struct attr *)node_attr(n, name);
	struct attr *more;

	if (!a) {
		more = arena_array(g->arena, n->n_attr + 1, sizeof(*more));
		if (n->n_attr)
			memcpy(more, n->attr, n->n_attr * sizeof(*more));
		n->attr = more;
		a = &more[n->n_attr++];
	}
	memset(a, 0, sizeof(*a));
	a->name = name;
	a->type = type;
	return a;
}

void attr_set_int(struct graph *g, struct node *n, const char *name, int64_t i)
{
	attr_slot(g, n, name, ATTR_INT)->i = i;
}

void attr_set_float(struct graph *g, struct node *n, const char *name, float f)
{
	attr_slot(g, n, name, ATTR_FLOAT)->f = f;
}

void attr_set_ints(struct graph *g, struct node *n, const char *name, const int64_t *ints,
		   size_t count)
{
	int64_t *copy = arena_array(g->arena, count + 1, sizeof(*copy));
	struct attr *a;

	/* The source may be the attribute being replaced. */
	if (count)
		memcpy(copy, ints, count * sizeof(*copy));
	a = attr_slot(g, n, name, ATTR_INTS);
	a->ints = copy;
	a->count = count;
}

/* ---- shapes and constants ---- */

struct shape shape_of(int rank, const int64_t *dim)
{
	struct shape s = { .rank = rank };

	if (rank > 0)
		memcpy(s.dim, dim, (size_t)rank * sizeof(*dim));
	return s;
}

int64_t shape_elements(const struct shape *s)
{
	int64_t n = 1;
	int i;

	if (s->rank < 0)
		return -1;
	for (i = 0; i < s->rank; i++) {
		if (s->dim[i] < 0 || s->dim[i] > SHAPE_MAX_ELEMENTS)
			return -1;
		n *= s->dim[i];
		if (n > SHAPE_MAX_ELEMENTS)
			return -1;
	}
	return n;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
	int i;

	if (a->rank != b->rank)
		return false;
	for (i = 0; i < a->rank; i++)
		if (a->dim[i] != b->dim[i])
			return false;
	return true;
}

const char *shape_text(struct graph *g, const struct shape *s)
{
	char text[SHAPE_MAX_RANK * 22 + 8] = "scalar";
	size_t at = 0;
	int i;

	if (s->rank < 0)
		return "unknown";
	for (i = 0; i < s->rank; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lld", i ? "x" : "",
				       (long long)s->dim[i]);
	return arena_strdup(g->arena, text);
}

static struct value *const_value(struct graph *g, const char *name, const struct shape *shape,
				 int dtype, const void *data)
{
	struct constant *c = arena_alloc(g->arena, sizeof(*c));
	struct value *v = value_new(g, name);

	c->is_float = dtype == ONNX_FLOAT;
	c->count = (size_t)shape_elements(shape);
	if (c->is_float)
		c->f = data;
	else
		c->i = data;
	v->shape = *shape;
	v->dtype = dtype;
	v->constant = c;
	return v;
}

struct value *const_floats(struct graph *g, const char *name, const struct shape *shape,
			   const float *f)
{
	return const_value(g, name, shape, ONNX_FLOAT, f);
}

struct value *const_ints(struct graph *g, const char *name, const struct shape *shape,
			 const int64_t *i)
{
	return const_value(g, name, shape, ONNX_INT64, i);
}

bool const_scalar(const struct value *v, double *x)
{
	if (!v || !v->constant || v->constant->count != 1)
		return false;
	*x = v->constant->is_float ? v->constant->f[0] : (double)v->constant->i[0];
	return true;
}

int const_int_list(const struct value *v, int64_t *ints, int max)
{
	size_t i;

	if (!v || !v->constant || v->constant->is_float || v->constant->count > (size_t)max)
		return -1;
	for (i = 0; i < v->constant->count; i++)
		ints[i] = v->constant->i[i];
	return (int)v->constant->count;
}

bool is_float_type(int dtype)
{
	return dtype == ONNX_FLOAT || dtype == ONNX_FLOAT16 || dtype == ONNX_DOUBLE ||
	       dtype == ONNX_BFLOAT16;
}

/* ---- issues ---- */

void issue(struct graph *g, struct node *n, const char *attribute, const char *fmt, ...)
{
	struct issue *is = arena_alloc(g->arena, sizeof(*is));
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	is->node = n ? n->name : "";
	is->op = n ? n->op_name : "";
	is->attribute = attribute;
	is->reason = arena_strdup(g->arena, text);
	*g->issue_tail = is;
	g->issue_tail = &is->next;
	g->n_issues++;
	if (n)
		n->reported = true;
}
