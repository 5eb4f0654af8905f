// SPDX-License-Identifier: MIT
/* Lowering: tensors, inputs and outputs, and the walk over the nodes. See lower.h. */

#include <string.h>

#include "lower.h"
#include "onnx_types.h"

/* ---- shapes ---- */

static bool fill_shape(struct lower *l, const struct shape *s, struct tensor_shape *t)
{
	int i;

	memset(t, 0, sizeof(*t));
	if (s->rank > PATCNN_MAX_RANK) {
		if (l->n && !l->n->reported)
			issue(l->g, l->n, "", "a tensor has %d dimensions; %d are supported",
			      s->rank, PATCNN_MAX_RANK);
		t->rank = 1;
		t->dim[0] = 1;
		return false;
	}
	t->rank = s->rank ? (unsigned int)s->rank : 1;
	t->dim[0] = 1;
	for (i = 0; i < s->rank; i++)
		t->dim[i] = (uint32_t)s->dim[i];
	return true;
}

bool plane_shape(struct lower *l, const struct shape *s, struct tensor_shape *t)
{
	bool ok = fill_shape(l, s, t);

	t->axis_h = t->rank > 2 ? t->rank - 2 : 0;
	t->axis_w = t->rank > 1 ? t->rank - 1 : 0;
	return ok;
}

bool window_shape(struct lower *l, const struct shape *s, struct tensor_shape *t)
{
	bool ok = plane_shape(l, s, t);

	if (t->rank == 3) {
		t->axis_h = 2;
		t->axis_w = 2;
	}
	return ok;
}

static bool same_tensor_shape(const struct tensor_shape *a, const struct tensor_shape *b)
{
	return a->rank == b->rank && a->axis_h == b->axis_h && a->axis_w == b->axis_w &&
	       !memcmp(a->dim, b->dim, sizeof(a->dim));
}

/* ---- tensors ---- */

static uint32_t add_view(struct lower *l, struct value *v, const struct tensor_shape *t,
			 uint32_t tensor)
{
	struct view *view = arena_alloc(l->g->arena, sizeof(*view));

	view->shape = *t;
	view->tensor = tensor;
	view->next = v->views;
	v->views = view;
	return tensor;
}

static unsigned int role_of(const struct value *v)
{
	return v->is_output ? PATCNN_ROLE_OUTPUT : PATCNN_ROLE_INTERMEDIATE;
}

uint32_t temp_tensor(struct lower *l, const struct tensor_shape *t)
{
	return program_tensor(l->w, l->n->name, PATCNN_DTYPE_F32, PATCNN_ROLE_INTERMEDIATE,
			      PATCNN_LAYOUT_CHW, t);
}

static const float *constant_floats(struct lower *l, const struct value *v)
{
	const struct constant *c = v->constant;
	float *f;
	size_t i;

	if (c->is_float)
		return c->f;
	f = arena_array(l->g->arena, c->count, sizeof(*f));
	for (i = 0; i < c->count; i++)
		f[i] = (float)c->i[i];
	return f;
}

uint32_t tensor_as(struct lower *l, struct value *v, const struct tensor_shape *t)
{
	struct view *view;
	uint32_t from, to;

	for (view = v->views; view; view = view->next)
		if (same_tensor_shape(&view->shape, t))
			return view->tensor;
	if (v->constant)
		return add_view(l, v, t, program_constant(l->w, v->name, t, constant_floats(l, v)));
	if (!v->views) {
		/* Its producer was not lowered, for a reason that is reported. */
		return add_view(l, v, t, program_tensor(l->w, v->name, PATCNN_DTYPE_F32,
							PATCNN_ROLE_INTERMEDIATE, PATCNN_LAYOUT_CHW,
							t));
	}
	/* The oldest view is what the producer wrote. */
	for (view = v->views; view->next; view = view->next)
		;
	from = view->tensor;
	to = program_tensor(l->w, v->name, PATCNN_DTYPE_F32, PATCNN_ROLE_INTERMEDIATE,
			    PATCNN_LAYOUT_CHW, t);
	program_operator(l->w, v->name, PATCNN_OP_RESHAPE, &from, 1, to);
	return add_view(l, v, t, to);
}

uint32_t tensor_of(struct lower *l, struct value *v)
{
	struct tensor_shape t;
	struct view *view;

	/* What the producer wrote, if it has the value's shape, whatever its split. */
	plane_shape(l, &v->shape, &t);
	for (view = v->views; view; view = view->next)
		if (!view->next && view->shape.rank == t.rank &&
		    !memcmp(view->shape.dim, t.dim, sizeof(t.dim)))
			return view->tensor;
	return tensor_as(l, v, &t);
}

uint32_t output_as(struct lower *l, struct node *n, const struct tensor_shape *t)
{
	struct value *v = n->out[0];
	struct tensor_shape own;
	unsigned int role = role_of(v);

	plane_shape(l, &v->shape, &own);
	/* An output has the model's shape: another one is an intermediate before it. */
	if (role == PATCNN_ROLE_OUTPUT && memcmp(own.dim, t->dim, sizeof(own.dim)))
		return temp_tensor(l, t);
	return add_view(l, v, t, program_tensor(l->w, v->name, PATCNN_DTYPE_F32, role,
						PATCNN_LAYOUT_CHW, t));
}

void finish_output(struct lower *l, struct node *n, uint32_t written)
{
	struct value *v = n->out[0];
	struct tensor_shape own;
	uint32_t to;

	if (v->views)
		return;
	plane_shape(l, &v->shape, &own);
	to = program_tensor(l->w, v->name, PATCNN_DTYPE_F32, role_of(v), PATCNN_LAYOUT_CHW, &own);
	program_operator(l->w, n->name, PATCNN_OP_RESHAPE, &written, 1, to);
	add_view(l, v, &own, to);
}

uint32_t float_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

void set_act(struct patcnn_operator *op, const struct act *act)
{
	op->activation.kind = act->kind;
	op->activation.a = float_bits(act->a);
	op->activation.b = float_bits(act->b);
}

struct patcnn_operator *emit(struct lower *l, unsigned int kind, const uint32_t *operands,
			     unsigned int count, uint32_t output, bool last)
{
	struct patcnn_operator *op = program_operator(l->w, l->n->name, kind, operands, count,
						      output);

	if (last)
		set_act(op, &l->n->act);
	return op;
}

/* ---- inputs and outputs ---- */

static struct patcnn_array channel_array(struct lower *l, const float *f, unsigned int n,
					 uint32_t channels, const char *what)
{
	struct patcnn_array none = { 0, 0 };
	float *all;
	uint32_t i;

	if (!n)
		return none;
	if (n != 1 && n != channels) {
		issue(l->g, NULL, "", "%s has %u entries, the input %u channels", what, n,
		      channels);
		return none;
	}
	all = arena_array(l->g->arena, channels, sizeof(*all));
	for (i = 0; i < channels; i++)
		all[i] = f[n == 1 ? 0 : i];
	return program_array(l->w, all, channels);
}

static void lower_input(struct lower *l, struct value *v)
{
	const struct lower_options *o = l->opts;
	bool u8 = o->input_u8 || v->bytes;
	bool hwc = o->input_hwc || v->channels_last;
	struct patcnn_array mean, scale;
	struct patcnn_operator *op;
	struct tensor_shape t;
	uint32_t in, out, channels;

	if (!plane_shape(l, &v->shape, &t)) {
		issue(l->g, NULL, "", "input '%s' has more than %d dimensions", v->name,
		      PATCNN_MAX_RANK);
		return;
	}
	in = program_tensor(l->w, v->name, u8 ? PATCNN_DTYPE_U8 : PATCNN_DTYPE_F32,
			    PATCNN_ROLE_INPUT,
			    hwc ? PATCNN_LAYOUT_HWC : PATCNN_LAYOUT_CHW, &t);
	if (!u8 && !hwc && !o->input_bgr && !o->n_mean && !o->n_scale) {
		add_view(l, v, &t, in);
		return;
	}
	channels = program_tensor_at(l->w, in)->c;
	mean = channel_array(l, o->mean, o->n_mean, channels, "--mean");
	scale = channel_array(l, o->scale, o->n_scale, channels, "--scale");
	if (o->input_bgr && channels != 3)
		issue(l->g, NULL, "", "--bgr: input '%s' has %u channels, not 3", v->name,
		      channels);
	out = program_tensor(l->w, arena_printf(l->g->arena, "%s/planes", v->name),
			     PATCNN_DTYPE_F32, PATCNN_ROLE_INTERMEDIATE, PATCNN_LAYOUT_CHW, &t);
	op = program_operator(l->w, v->name, PATCNN_OP_CONVERT, &in, 1, out);
	op->convert.mean = mean;
	op->convert.scale = scale;
	op->convert.swap_rb = o->input_bgr;
	add_view(l, v, &t, out);
}

/*
 * Before lowering: outputs that are inputs, constants or another output get a node of
 * their own that copies; all others give their name to the value they have become.
 */
static void prepare_outputs(struct graph *g)
{
	unsigned int i;

	for (i = 0; i < g->n_outputs; i++)
		value_resolve(g->outputs[i])->is_output = false;
	for (i = 0; i < g->n_outputs; i++) {
		struct value *out = g->outputs[i], *v = value_resolve(out);
		struct node *copy;

		if (v->producer && !v->is_output) {
			v->name = out->name;
			v->is_output = true;
			continue;
		}
		if (v->shape.rank < 0 || (!v->producer && !v->is_input && !v->constant))
			continue;
		copy = node_build(g, &g->nodes, OP_Identity, "", &v->shape, v, NULL);
		copy->name = out->name;
		copy->out[0]->name = out->name;
		copy->out[0]->is_output = true;
		copy->out[0]->uses = 1;
	}
}

static void lower_copy(struct lower *l, struct node *n)
{
	struct value *v = node_in(n, 0);
	struct tensor_shape t;
	uint32_t in, out;

	plane_shape(l, &n->out[0]->shape, &t);
	in = tensor_as(l, v, &t);
	out = output_as(l, n, &t);
	emit(l, PATCNN_OP_ACTIVATION, &in, 1, out, true);
}

/* ---- the walk ---- */

static bool moves_only(const struct node *n)
{
	return n->op == OP_Concat || n->op == OP_Identity || n->op == OP_Reshape ||
	       n->op == OP_Slice || n->op == OP_Transpose;
}

/* Tensors hold floats at run time; bytes of an input have become floats. */
static bool works_on_floats(struct lower *l, struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_in; i++) {
		const struct value *v = node_in(n, i);

		if (v && !v->constant && !is_float_type(v->dtype) && v->dtype != ONNX_UINT8) {
			issue(l->g, n, "", "works on integers at run time");
			return false;
		}
	}
	if (is_float_type(n->out[0]->dtype) || moves_only(n))
		return true;
	issue(l->g, n, "", "gives integers at run time");
	return false;
}

static bool is_known(const struct node *n)
{
	unsigned int i;

	for (i = 0; i < n->n_in; i++)
		if (node_in(n, i) && node_in(n, i)->shape.rank < 0)
			return false;
	return n->n_out && n->out[0] && n->out[0]->shape.rank >= 0;
}

static void lower_node(struct lower *l, struct node *n)
{
	const struct op_info *info = op_info(n->op);

	l->n = n;
	if (n->reported)
		return;
	if (n->op == OP_Identity && is_known(n)) {
		lower_copy(l, n);
	} else if (!info->lower) {
		issue(l->g, n, "", "is supported only where its result is constant");
	} else if (is_known(n) && works_on_floats(l, n)) {
		info->lower(l, n);
		if (n->out[0]->views == NULL && !n->reported)
			issue(l->g, n, "", "is not supported here");
	}
}

void lower_graph(struct lower *l)
{
	struct node *n;
	unsigned int i;

	prepare_outputs(l->g);
	for (i = 0; i < l->g->n_inputs; i++)
		if (l->g->inputs[i]->shape.rank >= 0)
			lower_input(l, l->g->inputs[i]);
	for_each_node(n, l->g)
		lower_node(l, n);
}
