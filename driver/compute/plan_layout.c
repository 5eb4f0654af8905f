// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: How tensors lie in memory
 *
 * Two layouts. Padded: rows start at multiples of 64 bytes, as kernels on planes
 * want them. Dense: row-major without gaps, as programs bind and name tensors; a
 * map of one pixel is always dense, so that its channels are neighbours.
 *
 * Some tensors are parts of others and need no operator to run: slices and
 * reshapes of what is contiguous, and the operands of a concatenation, which
 * are written where it wants them.
 */
#include "plan.h"

#define FLOATS_PER_LINE		16

static bool makes_planes(u32 kind)
{
	return kind == PATCNN_OP_CONV || kind == PATCNN_OP_CONV_TRANSPOSE ||
	       kind == PATCNN_OP_MAX_POOL || kind == PATCNN_OP_AVG_POOL ||
	       kind == PATCNN_OP_CONVERT || kind == PATCNN_OP_RESIZE;
}

static bool reads_planes(u32 kind)
{
	return kind == PATCNN_OP_CONV || kind == PATCNN_OP_MAX_POOL || kind == PATCNN_OP_AVG_POOL;
}

/* Operators that are fastest when all their tensors lie alike. */
static bool keeps_layout(u32 kind)
{
	return (kind >= PATCNN_OP_ADD && kind <= PATCNN_OP_SLICE) ||
	       kind == PATCNN_OP_INSTANCE_NORM;
}

static bool can_pad(const struct patcnn_tensor *t)
{
	return t->role != PATCNN_ROLE_INPUT && t->role != PATCNN_ROLE_CONSTANT && t->h * t->w > 1;
}

static bool same_plane(const struct patcnn_tensor *a, const struct patcnn_tensor *b)
{
	return a->h == b->h && a->w == b->w;
}

static void choose_padded(struct pat_builder *b)
{
	const struct pat_program *prog = b->prog;
	struct pat_map *maps = b->plan->maps;
	u32 i, k;

	for (i = 0; i < prog->operator_count; i++) {
		const struct patcnn_operator *op = &prog->operators[i];
		bool padded = makes_planes(op->kind);

		for (k = 0; keeps_layout(op->kind) && k < op->operand_count; k++)
			if (maps[prog->operands[op->operand_first + k]].padded &&
			    same_plane(pat_operand(prog, op, k), pat_output(prog, op)))
				padded = true;
		maps[op->output].padded = padded && can_pad(pat_output(prog, op));
	}
	for (i = prog->operator_count; i--;) {
		const struct patcnn_operator *op = &prog->operators[i];

		for (k = 0; k < op->operand_count; k++) {
			u32 t = prog->operands[op->operand_first + k];

			if (can_pad(&prog->tensors[t]) &&
			    (reads_planes(op->kind) ||
			     (keeps_layout(op->kind) && maps[op->output].padded &&
			      same_plane(&prog->tensors[t], pat_output(prog, op)))))
				maps[t].padded = 1;
		}
	}
}

/* Only one-element axes before @axis: a range of it is contiguous. */
static bool leading(const struct patcnn_tensor *t, u32 axis)
{
	u32 i;

	for (i = 0; i < axis; i++)
		if (t->shape[i] != 1)
			return false;
	return true;
}

static u32 plane_of(const struct patcnn_tensor *t, bool padded)
{
	u64 plane = (u64)t->h * t->w;

	if (!padded)
		return plane;
	/* An odd number of cache lines: channels then spread over all sets of a cache. */
	plane = t->h * pat_up(t->w, FLOATS_PER_LINE);
	return plane / FLOATS_PER_LINE % 2 ? plane : plane + FLOATS_PER_LINE;
}

static u32 pitch_of(const struct patcnn_tensor *t, bool padded)
{
	return padded ? pat_up(t->w, FLOATS_PER_LINE) : t->w;
}

static u32 axis_stride(const struct patcnn_tensor *t, u32 axis, bool padded)
{
	u32 first = axis < t->axis_h ? t->axis_h : axis < t->axis_w ? t->axis_w : t->rank;
	u32 stride = axis < t->axis_h ? plane_of(t, padded) :
		     axis < t->axis_w ? pitch_of(t, padded) : 1;

	while (--first > axis)
		stride *= t->shape[first];
	return stride;
}

static void make_part(struct pat_builder *b, u32 tensor, u32 parent, u32 off)
{
	struct pat_map *m = &b->plan->maps[tensor];

	m->parent = parent;
	m->parent_off = off;
}

static bool same_order(const struct patcnn_operator *op, const struct patcnn_tensor *in)
{
	u32 i, last = 0;

	for (i = 0; i < in->rank; i++) {
		u32 axis = op->axis.perm[i];

		if (in->shape[axis] == 1)
			continue;
		if (axis < last)
			return false;
		last = axis;
	}
	return true;
}

static void view_reshape(struct pat_builder *b, const struct patcnn_operator *op)
{
	struct pat_map *maps = b->plan->maps;
	u32 in = b->prog->operands[op->operand_first];
	const struct patcnn_tensor *t = &b->prog->tensors[in], *out = pat_output(b->prog, op);

	if (op->kind == PATCNN_OP_PERMUTE && !same_order(op, t))
		return;
	/* A one-pixel map has no padded form. */
	if (t->c != out->c || !same_plane(t, out)) {
		if (maps[in].padded)
			return;
	}
	maps[op->output].padded = maps[in].padded;
	make_part(b, op->output, in, 0);
}

static void view_slice(struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct patcnn_slice_params *p = &op->slice;
	struct pat_map *maps = b->plan->maps;
	u32 in = b->prog->operands[op->operand_first], a, axis = PAT_NONE;
	const struct patcnn_tensor *t = &b->prog->tensors[in], *out = pat_output(b->prog, op);

	if (t->axis_h != out->axis_h || t->axis_w != out->axis_w)
		return;
	for (a = 0; a < t->rank; a++) {
		if (t->shape[a] == out->shape[a])
			continue;
		if (axis != PAT_NONE || (p->step[a] != 1 && out->shape[a] != 1))
			return;
		axis = a;
	}
	if (axis == PAT_NONE)
		axis = 0;
	if (!leading(t, axis) || (maps[in].padded && axis >= t->axis_w))
		return;
	/* The rows of a slice of one column would be one pixel maps and dense. */
	if (maps[in].padded && !can_pad(out))
		return;
	maps[op->output].padded = maps[in].padded;
	make_part(b, op->output, in, p->start[axis] * axis_stride(t, axis, maps[in].padded));
}

/* The tensor that @tensor is a reshape of, where that is the same memory without gaps. */
static u32 reshape_of(const struct pat_builder *b, u32 tensor)
{
	const struct patcnn_tensor *t = b->prog->tensors;
	const struct pat_map *maps = b->plan->maps;
	u32 parent;

	for (; (parent = maps[tensor].parent) != PAT_NONE; tensor = parent)
		if (maps[tensor].parent_off || maps[parent].padded ||
		    (u64)t[tensor].c * t[tensor].h * t[tensor].w !=
		    (u64)t[parent].c * t[parent].h * t[parent].w)
			break;
	return tensor;
}

static void place_operands(struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *out = pat_output(b->prog, op);
	struct pat_map *maps = b->plan->maps;
	u32 axis = op->axis.axis, at = 0, i;
	bool padded = maps[op->output].padded;
	u32 stride = axis_stride(out, axis, padded);

	if (op->activation.kind || !leading(out, axis) || (padded && axis >= out->axis_w))
		return;
	for (i = 0; i < op->operand_count; i++) {
		u32 t = b->prog->operands[op->operand_first + i];
		const struct patcnn_tensor *in = &b->prog->tensors[t];
		u32 root = padded ? t : reshape_of(b, t);

		if (b->prog->tensors[root].role == PATCNN_ROLE_INTERMEDIATE &&
		    maps[root].parent == PAT_NONE && maps[root].padded == padded &&
		    (root != t || (in->axis_h == out->axis_h && in->axis_w == out->axis_w)))
			make_part(b, root, op->output, at * stride);
		at += in->shape[axis];
	}
}

/* LINEAR with one row reads planes of any layout as its features. */
static bool reads_through(const struct pat_program *prog, const struct patcnn_operator *op)
{
	return op->kind == PATCNN_OP_LINEAR && !pat_linear_rows(prog, op);
}

/*
 * A flattened tensor that only such operators read need not be there.
 */
static void find_through(struct pat_builder *b)
{
	const struct pat_program *prog = b->prog;
	struct pat_map *maps = b->plan->maps;
	u32 i;

	for (i = 0; i < prog->operator_count; i++)
		if (reads_through(prog, &prog->operators[i]))
			maps[prog->operands[prog->operators[i].operand_first]].through_uses++;
	for (i = 0; i < prog->operator_count; i++) {
		const struct patcnn_operator *op = &prog->operators[i];
		u32 in = prog->operands[op->operand_first];

		if (op->kind != PATCNN_OP_RESHAPE || op->activation.kind ||
		    maps[op->output].uses != maps[op->output].through_uses ||
		    maps[op->output].parent != PAT_NONE ||
		    pat_output(prog, op)->role != PATCNN_ROLE_INTERMEDIATE || !maps[in].padded)
			continue;
		maps[op->output].through = 1;
		make_part(b, op->output, in, 0);
	}
}

static void bind(struct pat_builder *b)
{
	const struct pat_program *prog = b->prog;
	struct pat_map *maps = b->plan->maps;
	u32 i;

	for (i = 0; i < prog->io_count; i++) {
		struct pat_map *m = &maps[prog->io[i]];

		m->io = i;
		if (prog->tensors[prog->io[i]].role == PATCNN_ROLE_OUTPUT &&
		    (m->padded || m->parent != PAT_NONE))
			m->copy_out = 1;
		else
			m->base = PAT_BASE_IO;
	}
	for (i = 0; i < prog->tensor_count; i++) {
		const struct patcnn_tensor *t = &prog->tensors[i];

		maps[i].pitch = pitch_of(t, maps[i].padded);
		maps[i].plane = plane_of(t, maps[i].padded);
		if (t->role == PATCNN_ROLE_CONSTANT) {
			maps[i].base = PAT_BASE_DATA;
			maps[i].off = t->data_offset;
		}
	}
}

void pat_layout(struct pat_builder *b)
{
	const struct pat_program *prog = b->prog;
	struct pat_map *maps = b->plan->maps;
	u32 i, k;

	for (i = 0; i < prog->tensor_count; i++) {
		maps[i].parent = PAT_NONE;
		maps[i].first = PAT_NONE;
		maps[i].last = PAT_NONE;
	}
	for (i = 0; i < prog->operator_count; i++)
		for (k = 0; k < prog->operators[i].operand_count; k++)
			maps[prog->operands[prog->operators[i].operand_first + k]].uses++;
	choose_padded(b);
	for (i = 0; i < prog->operator_count; i++) {
		const struct patcnn_operator *op = &prog->operators[i];

		if (op->kind == PATCNN_OP_CONCAT)
			place_operands(b, op);
		if (op->activation.kind || pat_output(prog, op)->role != PATCNN_ROLE_INTERMEDIATE)
			continue;
		if (op->kind == PATCNN_OP_RESHAPE || op->kind == PATCNN_OP_PERMUTE)
			view_reshape(b, op);
		else if (op->kind == PATCNN_OP_SLICE)
			view_slice(b, op);
	}
	find_through(b);
	bind(b);
}

/* Whether the output of @op needs nobody to write it. */
bool pat_is_view(const struct pat_builder *b, const struct patcnn_operator *op)
{
	const struct pat_map *m = pat_map_of(b, op->output);

	return (op->kind == PATCNN_OP_RESHAPE || op->kind == PATCNN_OP_PERMUTE ||
		op->kind == PATCNN_OP_SLICE) &&
	       m->parent == b->prog->operands[op->operand_first];
}
