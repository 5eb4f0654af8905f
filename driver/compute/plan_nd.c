// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Elementwise operators and those that move data
 *
 * All of them are nested loops with a stride for each operand and axis. Axes of one
 * element are dropped and axes that lie behind one another for every operand
 * become one, so that a loop over planes is mostly one long row.
 */
#include "plan.h"

/*
 * Strides of @tensor along the last @rank axes; its own axes are aligned at the end.
 * An axis of one element gets 0: it is broadcast, or its stride is never used.
 */
void pat_axis_strides(const struct pat_builder *b, u32 tensor, u32 rank, u32 *stride)
{
	const struct patcnn_tensor *t = &b->prog->tensors[tensor];
	const struct pat_map *m = pat_map_of(b, tensor);
	u32 lead = rank - t->rank, a, step = 1;

	for (a = 0; a < lead; a++)
		stride[a] = 0;
	for (a = t->rank; a--;) {
		if (a + 1 == t->axis_h)
			step = m->plane;
		else if (a + 1 == t->axis_w)
			step = m->pitch;
		stride[lead + a] = t->shape[a] == 1 ? 0 : step;
		step *= t->shape[a];
	}
}

/* Drop and join axes; @operands of the strides are in use. Leaves at least one axis. */
void pat_nd_merge(struct pat_nd *nd, u32 operands)
{
	u32 from, to = 0, k;

	for (from = 0; from < nd->rank; from++) {
		bool join = to > 0;

		if (nd->n[from] == 1)
			continue;
		for (k = 0; join && k < operands; k++)
			join = nd->stride[k][to - 1] == nd->stride[k][from] * nd->n[from];
		if (join)
			to--;
		nd->n[to] = join ? nd->n[to] * nd->n[from] : nd->n[from];
		for (k = 0; k < operands; k++)
			nd->stride[k][to] = nd->stride[k][from];
		to++;
	}
	if (!to) {
		nd->n[0] = 1;
		for (k = 0; k < operands; k++)
			nd->stride[k][0] = 1;
		to = 1;
	}
	nd->rank = to;
}

static u64 rows_of(const struct pat_nd *nd)
{
	u64 rows = 1;
	u32 a;

	for (a = 0; a + 1 < nd->rank; a++)
		rows *= nd->n[a];
	return rows;
}

static u32 activation_work(u32 kind)
{
	return kind > PATCNN_ACT_LEAKY_RELU ? 16 : 0;
}

static void finish_map(struct pat_builder *b, struct pat_task *t, u32 operands)
{
	struct pat_nd *nd = &t->map.nd;
	u32 last, work;

	pat_nd_merge(nd, operands);
	last = nd->rank - 1;
	t->map.segments = (nd->n[last] + PAT_SEGMENT - 1) / PAT_SEGMENT;
	work = 4 + activation_work(t->act.kind);
	if (nd->stride[1][last] > 1)
		work += 16;
	pat_task_split(b, t, rows_of(nd) * t->map.segments,
		       (u64)work * (nd->n[last] < PAT_SEGMENT ? nd->n[last] + 16 : PAT_SEGMENT));
}

static bool rows_alike(const struct pat_builder *b, u32 out, u32 in)
{
	const struct pat_map *o = pat_map_of(b, out), *i = pat_map_of(b, in);

	return o->padded && i->padded && o->pitch == i->pitch &&
	       b->prog->tensors[in].w == b->prog->tensors[out].w;
}

/*
 * Padded rows of one pitch are treated whole, with the columns behind the last,
 * so that they join to planes. Those columns hold nothing of value.
 */
static bool whole_rows(const struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 i;

	if (pat_output(b->prog, op)->rank - pat_output(b->prog, op)->axis_w != 1)
		return false;
	for (i = 0; i < op->operand_count; i++) {
		const struct patcnn_tensor *t = pat_operand(b->prog, op, i);

		if (t->shape[t->rank - 1] != 1 &&
		    !rows_alike(b, op->output, b->prog->operands[op->operand_first + i]))
			return false;
	}
	return pat_map_of(b, op->output)->padded && pat_output(b->prog, op)->w > 1;
}

int pat_plan_map(struct pat_builder *b, const struct patcnn_operator *op)
{
	struct pat_task *t = pat_task_new(b, PAT_FN_MAP, op);
	const struct patcnn_tensor *out = pat_output(b->prog, op);
	struct pat_nd *nd = &t->map.nd;
	u32 i;

	t->map.op = op->kind == PATCNN_OP_ACTIVATION ? 0 : op->kind;
	nd->rank = out->rank;
	for (i = 0; i < out->rank; i++)
		nd->n[i] = out->shape[i];
	pat_axis_strides(b, op->output, nd->rank, nd->stride[0]);
	pat_use(b, &t->out, op->output, true);
	for (i = 0; i < op->operand_count; i++) {
		u32 tensor = b->prog->operands[op->operand_first + i];

		pat_axis_strides(b, tensor, nd->rank, nd->stride[i + 1]);
		pat_use(b, &t->in[i], tensor, false);
	}
	if (whole_rows(b, op))
		nd->n[nd->rank - 1] = pat_map_of(b, op->output)->pitch;
	finish_map(b, t, 1 + op->operand_count);
	return 0;
}

/* A plain copy between two tensors of one shape, from and to given offsets and strides. */
static struct pat_task *copy_task(struct pat_builder *b, const struct patcnn_operator *op,
				  u32 out, u32 in)
{
	struct pat_task *t = pat_task_new(b, PAT_FN_MAP, op);

	pat_use(b, &t->out, out, true);
	pat_use(b, &t->in[0], in, false);
	return t;
}

static void set_shape(struct pat_nd *nd, const struct patcnn_tensor *t)
{
	u32 i;

	nd->rank = t->rank;
	for (i = 0; i < t->rank; i++)
		nd->n[i] = t->shape[i];
}

/*
 * Of an output that lies in the arena to its binding; or, of any other tensor,
 * onto itself, for an activation.
 */
int pat_plan_copy(struct pat_builder *b, u32 tensor)
{
	const struct patcnn_tensor *shape = &b->prog->tensors[tensor];
	struct pat_map *m = &b->plan->maps[tensor];
	struct pat_task *t = copy_task(b, NULL, tensor, tensor);
	struct pat_nd *nd = &t->map.nd;

	nd->rank = 3;
	nd->n[0] = shape->c;
	nd->n[1] = shape->h;
	nd->n[2] = shape->w;
	nd->stride[0][0] = m->plane;
	nd->stride[0][1] = m->pitch;
	nd->stride[0][2] = 1;
	__builtin_memcpy(nd->stride[1], nd->stride[0], sizeof(nd->stride[0]));
	if (m->copy_out && b->plan->steps[b->step].op_count == 0) {
		nd->stride[0][0] = shape->h * shape->w;
		nd->stride[0][1] = shape->w;
		/* The binding is no tensor of the plan: the address is final as it is. */
		t->out = (struct pat_ref){ .base = PAT_BASE_IO, .io = m->io, .used = 1,
					   .tensor = PAT_NONE };
	}
	finish_map(b, t, 2);
	return 0;
}

/* Whether @tensor lies at @off of @whole, as a part of it or of its parts. */
static bool lies_at(const struct pat_map *maps, u32 tensor, u32 whole, u32 off)
{
	u64 at = 0;

	for (; tensor != PAT_NONE && tensor != whole; tensor = maps[tensor].parent)
		at += maps[tensor].parent_off;
	return tensor == whole && at == off;
}

int pat_plan_concat(struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct pat_map *maps = b->plan->maps;
	u32 stride[PATCNN_MAX_RANK], axis = op->axis.axis, at = 0, i;
	struct pat_ref unused = { 0 };

	pat_axis_strides(b, op->output, pat_output(b->prog, op)->rank, stride);
	for (i = 0; i < op->operand_count; i++) {
		u32 tensor = b->prog->operands[op->operand_first + i];
		const struct patcnn_tensor *in = &b->prog->tensors[tensor];
		u32 off = at * stride[axis];
		struct pat_task *t;

		at += in->shape[axis];
		/* In place, unless it is there a second time at another offset. */
		if (lies_at(maps, tensor, op->output, off)) {
			pat_use(b, &unused, tensor, false);
			continue;
		}
		t = copy_task(b, op, op->output, tensor);
		t->out.off = off * 4ULL;
		set_shape(&t->map.nd, in);
		__builtin_memcpy(t->map.nd.stride[0], stride, sizeof(stride));
		pat_axis_strides(b, tensor, in->rank, t->map.nd.stride[1]);
		finish_map(b, t, 2);
	}
	return 0;
}

int pat_plan_slice(struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct patcnn_slice_params *p = &op->slice;
	u32 in = b->prog->operands[op->operand_first], a;
	struct pat_task *t = copy_task(b, op, op->output, in);
	struct pat_nd *nd = &t->map.nd;

	set_shape(nd, pat_output(b->prog, op));
	pat_axis_strides(b, op->output, nd->rank, nd->stride[0]);
	pat_axis_strides(b, in, nd->rank, nd->stride[1]);
	for (a = 0; a < nd->rank; a++) {
		t->in[0].off += 4ULL * p->start[a] * nd->stride[1][a];
		nd->stride[1][a] *= p->step[a];
	}
	finish_map(b, t, 2);
	return 0;
}

int pat_plan_permute(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first], a, stride[PATCNN_MAX_RANK];
	struct pat_task *t = copy_task(b, op, op->output, in);
	struct pat_nd *nd = &t->map.nd;

	set_shape(nd, pat_output(b->prog, op));
	pat_axis_strides(b, op->output, nd->rank, nd->stride[0]);
	pat_axis_strides(b, in, nd->rank, stride);
	for (a = 0; a < nd->rank; a++)
		nd->stride[1][a] = stride[op->axis.perm[a]];
	finish_map(b, t, 2);
	return 0;
}

/* What has no gaps is one row. */
static struct pat_planes one_row(const struct pat_builder *b, u32 tensor)
{
	struct pat_planes p = pat_planes_of(b, tensor);

	if (!pat_map_of(b, tensor)->padded)
		p = (struct pat_planes){ p.c * p.h * p.w, p.c * p.h * p.w, 1, 1, p.c * p.h * p.w };
	return p;
}

/*
 * Same elements, other rows: each row of the output is copied from the pieces of
 * input rows that it consists of.
 */
int pat_plan_reshape(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first];
	struct pat_task *t = pat_task_new(b, PAT_FN_RESHAPE, op);
	struct pat_window_task *p = &t->window;

	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], in, false);
	p->in = one_row(b, in);
	p->out = one_row(b, op->output);
	p->segments = (p->out.w + PAT_SEGMENT - 1) / PAT_SEGMENT;
	pat_task_split(b, t, (u64)p->out.c * p->out.h * p->segments,
		       (8ULL + activation_work(op->activation.kind)) *
		       (p->out.w < PAT_SEGMENT ? p->out.w + 16 : PAT_SEGMENT));
	return 0;
}

int pat_plan_pad(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first], a;
	struct pat_task *t = pat_task_new(b, PAT_FN_PAD, op);
	struct pat_pad_task *p = &t->pad;
	const struct patcnn_tensor *out = pat_output(b->prog, op);

	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], in, false);
	set_shape(&p->nd, out);
	pat_axis_strides(b, op->output, out->rank, p->nd.stride[0]);
	pat_axis_strides(b, in, out->rank, p->nd.stride[1]);
	for (a = 0; a < out->rank; a++) {
		p->before[a] = op->pad.before[a];
		p->in[a] = pat_operand(b->prog, op, 0)->shape[a];
	}
	p->mode = op->pad.mode;
	p->value = op->pad.value;
	/* A unit is a segment of the last axis. */
	pat_task_split(b, t, rows_of(&p->nd) *
		       ((p->nd.n[out->rank - 1] + PAT_SEGMENT - 1) / PAT_SEGMENT),
		       (8ULL + activation_work(op->activation.kind)) *
		       (p->nd.n[out->rank - 1] < PAT_SEGMENT ?
			p->nd.n[out->rank - 1] + 16 : PAT_SEGMENT));
	return 0;
}
