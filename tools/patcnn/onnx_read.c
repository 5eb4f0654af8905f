// SPDX-License-Identifier: MIT
/*
 * ONNX file to graph: unpacks the protobuf into the arena, then makes values of
 * inputs and initialisers and nodes of nodes. What cannot be part of a program
 * whatever else the graph holds (sub-graphs, sequences, external data, unknown
 * dimensions) is reported here; operators are judged later.
 */

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"
#include "onnx_types.h"

_Static_assert((int)ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 == (int)ONNX_BFLOAT16, "types");
_Static_assert((int)ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS == (int)ATTR_INTS, "attributes");

#define MAX_NODES	65536
#define OLDEST_OPSET	1

/* Open addressing; sized once for all names of the file. */
struct names {
	struct value **slot;
	size_t mask;
};

struct reader {
	struct graph *g;
	const struct read_options *opts;
	struct names names;
};

/* ---- names ---- */

static void names_init(struct reader *r, const Onnx__GraphProto *p)
{
	size_t n = p->n_input + p->n_initializer + r->opts->n_bindings, i;

	for (i = 0; i < p->n_node; i++)
		n += p->node[i]->n_output;
	r->names.mask = 63;
	while (r->names.mask < 2 * n)
		r->names.mask = r->names.mask * 2 + 1;
	r->names.slot = arena_array(r->g->arena, r->names.mask + 1, sizeof(*r->names.slot));
}

static struct value **names_slot(struct reader *r, const char *name)
{
	size_t at = onnx_hash(name) & r->names.mask;

	while (r->names.slot[at] && strcmp(r->names.slot[at]->name, name))
		at = (at + 1) & r->names.mask;
	return &r->names.slot[at];
}

static struct value *names_add(struct reader *r, const char *name)
{
	struct value **slot = names_slot(r, name);

	if (*slot)
		arena_fail(r->g->arena, "value '%s' is defined twice", name);
	return *slot = value_new(r->g, name);
}

/* ---- values ---- */

static struct value *read_constant(struct reader *r, const Onnx__TensorProto *t, struct value *v)
{
	const char *why;

	v->dtype = t->data_type;
	v->constant = onnx_tensor(r->g->arena, t, &v->shape, &why);
	if (!v->constant) {
		v->shape.rank = -1;
		issue(r->g, NULL, "", "tensor '%s': %s", v->name, why);
	}
	return v;
}

static const struct shape_option *shape_option(struct reader *r, const char *name)
{
	unsigned int i;

	for (i = 0; name && i < r->opts->n_shapes; i++)
		if (!strcmp(r->opts->shapes[i].name, name))
			return &r->opts->shapes[i];
	return NULL;
}

static int64_t read_dim(struct reader *r, const struct value *v, size_t i,
			const Onnx__TensorShapeProto__Dimension *d)
{
	const struct shape_option *opt;
	const char *name = "";

	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
	    d->dim_value > 0)
		return d->dim_value;
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param)
		name = d->dim_param;
	opt = shape_option(r, name);
	if (opt && opt->rank == 1)
		return opt->dim[0];
	/* The first dimension is the batch, and a program has a batch of one. */
	if (i == 0)
		return 1;
	issue(r->g, NULL, "",
	      "input '%s': dimension %zu%s%s is not fixed: give %s with --shape %s=%s",
	      v->name, i, *name ? " " : "", name, *name ? "it" : "all of them",
	      *name ? name : v->name, *name ? "N" : "1,...");
	return -1;
}

static void read_input(struct reader *r, const Onnx__ValueInfoProto *info)
{
	const struct shape_option *opt;
	Onnx__TypeProto__Tensor *type;
	unsigned int issues;
	struct value *v;
	size_t i;

	/* Before IR version 4 initialisers had to be inputs as well. */
	if (!info->name || *names_slot(r, info->name))
		return;
	v = names_add(r, info->name);
	if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
		issue(r->g, NULL, "", "input '%s': not a tensor", v->name);
		return;
	}
	type = info->type->tensor_type;
	v->is_input = true;
	v->dtype = type->elem_type;
	v->bytes = v->dtype == ONNX_UINT8;
	if (!is_float_type(v->dtype) && !v->bytes)
		issue(r->g, NULL, "", "input '%s': element type %d; float and uint8 are supported",
		      v->name, v->dtype);
	r->g->inputs[r->g->n_inputs++] = v;
	opt = shape_option(r, v->name);
	if (opt) {
		v->shape = shape_of(opt->rank, opt->dim);
		return;
	}
	if (!type->shape || type->shape->n_dim > SHAPE_MAX_RANK) {
		issue(r->g, NULL, "", "input '%s': no shape: give it with --shape %s=1,...",
		      v->name, v->name);
		return;
	}
	issues = r->g->n_issues;
	v->shape.rank = (int)type->shape->n_dim;
	for (i = 0; i < type->shape->n_dim; i++)
		v->shape.dim[i] = read_dim(r, v, i, type->shape->dim[i]);
	if (shape_elements(&v->shape) >= 0)
		return;
	if (r->g->n_issues == issues)
		issue(r->g, NULL, "", "input '%s': %s elements are too many", v->name,
		      shape_text(r->g, &v->shape));
	v->shape.rank = -1;
}

/* Shapes the file states for values, for what inference does not know. */
static void read_declared(struct reader *r, const Onnx__ValueInfoProto *info)
{
	struct value *v = info->name ? *names_slot(r, info->name) : NULL;
	Onnx__TypeProto__Tensor *type;
	size_t i;

	if (!v || !info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
		return;
	type = info->type->tensor_type;
	if (!type->shape || type->shape->n_dim > SHAPE_MAX_RANK)
		return;
	v->declared.rank = (int)type->shape->n_dim;
	for (i = 0; i < type->shape->n_dim; i++) {
		v->declared.dim[i] = type->shape->dim[i]->dim_value;
		if (type->shape->dim[i]->value_case !=
			    ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
		    v->declared.dim[i] < 1)
			v->declared.rank = -1;
		if (v->declared.rank < 0)
			return;
	}
}

static void read_bindings(struct reader *r, ProtobufCAllocator *alloc)
{
	unsigned int i;

	for (i = 0; i < r->opts->n_bindings; i++) {
		const struct read_binding *b = &r->opts->bindings[i];
		Onnx__TensorProto *t;

		if (!onnx_depth_ok(&onnx__tensor_proto__descriptor, b->data, b->size))
			arena_fail(r->g->arena, "the tensor for '%s' is not readable", b->name);
		t = onnx__tensor_proto__unpack(alloc, b->size, b->data);
		if (!t)
			arena_fail(r->g->arena, "the tensor for '%s' is not readable", b->name);
		read_constant(r, t, names_add(r, arena_strdup(r->g->arena, b->name)));
	}
}

/* ---- nodes ---- */

static void read_attr(struct reader *r, struct node *n, struct attr *a,
		      const Onnx__AttributeProto *p)
{
	struct arena *arena = r->g->arena;

	a->name = p->name ? p->name : "";
	a->type = p->type;
	switch (p->type) {
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
		a->f = p->f;
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
		a->i = p->i;
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING: {
		char *s = arena_alloc(arena, p->s.len + 1);

		if (p->s.len)
			memcpy(s, p->s.data, p->s.len);
		a->s = s;
		break;
	}
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
		a->floats = p->floats;
		a->count = p->n_floats;
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
		a->ints = p->ints;
		a->count = p->n_ints;
		break;
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
		if (p->t)
			a->tensor = read_constant(r, p->t, value_new(r->g, n->name));
		break;
	default:
		/* Operators with sub-graphs and the like are reported by their name. */
		break;
	}
}

static const char *node_label(struct reader *r, const Onnx__NodeProto *p, size_t index)
{
	if (p->name && *p->name)
		return p->name;
	if (p->n_output && p->output[0] && *p->output[0])
		return p->output[0];
	return arena_printf(r->g->arena, "%s_%zu", p->op_type ? p->op_type : "node", index);
}

static void read_node(struct reader *r, const Onnx__NodeProto *p, size_t index)
{
	const char *type = p->op_type ? p->op_type : "";
	/* A later standard operator, by the name that optimisers gave it first. */
	bool gelu = p->domain && !strcmp(p->domain, "com.microsoft") && !strcmp(type, "Gelu");
	bool standard = gelu || !p->domain || !*p->domain || !strcmp(p->domain, "ai.onnx");
	struct node *n;
	size_t i;

	if (p->n_input > 65535 || p->n_output > 65535)
		arena_fail(r->g->arena, "a node has more than 65535 inputs or outputs");
	n = node_new(r->g, standard ? op_by_name(type) : OP_NONE, node_label(r, p, index),
		     (unsigned int)p->n_input, (unsigned int)p->n_output);
	n->op_name = standard ? type : arena_printf(r->g->arena, "%s.%s", p->domain, type);
	for (i = 0; i < p->n_input; i++) {
		const char *name = p->input[i];
		struct value *v;

		if (!name || !*name)
			continue;
		v = *names_slot(r, name);
		if (!v) {
			issue(r->g, n, "", "reads '%s', which nothing before it writes", name);
			v = value_new(r->g, name);
		}
		node_set_in(n, (unsigned int)i, v);
	}
	for (i = 0; i < p->n_output; i++)
		if (p->output[i] && *p->output[i])
			node_set_out(n, (unsigned int)i, names_add(r, p->output[i]));
	n->attr = arena_array(r->g->arena, p->n_attribute + 1, sizeof(*n->attr));
	n->n_attr = (unsigned int)p->n_attribute;
	for (i = 0; i < p->n_attribute; i++)
		read_attr(r, n, &n->attr[i], p->attribute[i]);
	node_append(r->g, n);
}

/* ---- the file ---- */

/* A name with a typing mistake would leave the shape to chance. */
static void check_shape_option(struct reader *r, const Onnx__GraphProto *p, const char *name)
{
	size_t i, k;

	for (i = 0; i < p->n_input; i++) {
		const Onnx__TypeProto *type = p->input[i]->type;
		const Onnx__TensorShapeProto *s = NULL;

		if (p->input[i]->name && !strcmp(p->input[i]->name, name))
			return;
		if (type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
			s = type->tensor_type->shape;
		for (k = 0; s && k < s->n_dim; k++)
			if (s->dim[k]->value_case ==
			    ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
			    s->dim[k]->dim_param && !strcmp(s->dim[k]->dim_param, name))
				return;
	}
	issue(r->g, NULL, "", "--shape %s: neither an input nor a dimension of one has this name",
	      name);
}

static void add_output(struct reader *r, const char *name)
{
	struct value *v = name ? *names_slot(r, name) : NULL;
	unsigned int i;

	if (!v) {
		issue(r->g, NULL, "", "output '%s': no such value", name ? name : "");
		return;
	}
	for (i = 0; i < r->g->n_outputs; i++)
		if (r->g->outputs[i] == v)
			return;
	v->is_output = true;
	v->uses++;
	r->g->outputs[r->g->n_outputs++] = v;
}

static void read_opset(struct graph *g, const Onnx__ModelProto *m)
{
	size_t i;

	for (i = 0; i < m->n_opset_import; i++) {
		const char *domain = m->opset_import[i]->domain;

		if (!domain || !*domain || !strcmp(domain, "ai.onnx"))
			g->opset = m->opset_import[i]->version > 1000 ?
					   1000 : (int)m->opset_import[i]->version;
	}
	if (g->opset < OLDEST_OPSET)
		issue(g, NULL, "", "the model uses operator set %d; %d and later are supported",
		      g->opset, OLDEST_OPSET);
}

static void *pb_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void pb_free(void *arena, void *p)
{
	(void)arena;
	(void)p;
}

void onnx_read(struct graph *g, const void *bytes, size_t size, const struct read_options *opts)
{
	ProtobufCAllocator alloc = { pb_alloc, pb_free, g->arena };
	struct reader r = { .g = g, .opts = opts };
	Onnx__GraphProto *p;
	Onnx__ModelProto *m;
	const size_t *order;
	size_t i;

	if (!onnx_depth_ok(&onnx__model_proto__descriptor, bytes, size))
		arena_fail(g->arena, "not an ONNX model (malformed, cut short or nested too deep)");
	m = onnx__model_proto__unpack(&alloc, size, bytes);
	if (!m || !m->graph)
		arena_fail(g->arena, "not an ONNX model");
	p = m->graph;
	if (p->n_node > MAX_NODES)
		arena_fail(g->arena, "%zu nodes; %d are supported", p->n_node, MAX_NODES);
	g->name = p->name ? p->name : "";
	g->producer = arena_printf(g->arena, "%s%s%s", m->producer_name ? m->producer_name : "",
				   m->producer_version ? " " : "",
				   m->producer_version ? m->producer_version : "");
	read_opset(g, m);
	names_init(&r, p);
	g->inputs = arena_array(g->arena, p->n_input + 1, sizeof(*g->inputs));
	g->outputs = arena_array(g->arena, p->n_output + opts->n_outputs + 1,
				 sizeof(*g->outputs));

	read_bindings(&r, &alloc);
	for (i = 0; i < p->n_initializer; i++) {
		Onnx__TensorProto *t = p->initializer[i];

		if (t->name && *t->name)
			read_constant(&r, t, names_add(&r, t->name));
	}
	for (i = 0; i < p->n_sparse_initializer; i++)
		issue(g, NULL, "", "sparse initialisers are not supported");
	for (i = 0; i < p->n_input; i++)
		read_input(&r, p->input[i]);
	for (i = 0; i < opts->n_shapes; i++)
		check_shape_option(&r, p, opts->shapes[i].name);
	order = onnx_order(g->arena, p);
	for (i = 0; i < p->n_node; i++)
		read_node(&r, p->node[order[i]], order[i]);
	for (i = 0; i < p->n_value_info; i++)
		read_declared(&r, p->value_info[i]);
	for (i = 0; i < p->n_output; i++)
		read_declared(&r, p->output[i]);
	if (opts->n_outputs)
		for (i = 0; i < opts->n_outputs; i++)
			add_output(&r, opts->outputs[i]);
	else
		for (i = 0; i < p->n_output; i++)
			add_output(&r, p->output[i]->name);
	if (!g->n_outputs && !opts->n_outputs)
		issue(g, NULL, "", "the model has no output");
}
