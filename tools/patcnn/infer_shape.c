// SPDX-License-Identifier: MIT
/* Shape inference of what moves elements: reshapes, slices, concatenation, permutation. */

#include <string.h>

#include "infer.h"
#include "onnx_types.h"

static void set_out(struct node *n, unsigned int i, const struct shape *s, int dtype)
{
	if (i < n->n_out && n->out[i]) {
		n->out[i]->shape = *s;
		n->out[i]->dtype = dtype;
	}
}

/* ---- the same elements under another shape ---- */

int infer_reshape(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t dims[SHAPE_MAX_RANK], known = 1, total;
	bool keep_zero = attr_int(n, "allowzero", 0);
	struct shape s;
	int hole = -1, i;

	if (!v)
		return 0;
	s.rank = param_ints(g, n, "shape", 1, dims, SHAPE_MAX_RANK);
	if (s.rank < 0) {
		if (s.rank == -1)
			issue(g, n, "shape", "is missing");
		return 0;
	}
	total = shape_elements(&v->shape);
	for (i = 0; i < s.rank; i++) {
		s.dim[i] = dims[i];
		if (!dims[i] && !keep_zero)
			s.dim[i] = i < v->shape.rank ? v->shape.dim[i] : -2;
		if (dims[i] == -1) {
			if (hole >= 0)
				s.dim[i] = -2;
			hole = i;
			continue;
		}
		known = s.dim[i] < 0 || s.dim[i] > SHAPE_MAX_ELEMENTS ? -1 : known * s.dim[i];
		if (known < 0 || known > SHAPE_MAX_ELEMENTS) {
			known = -1;
			break;
		}
	}
	if (hole >= 0 && known > 0 && total % known == 0)
		s.dim[hole] = total / known;
	if (known < 0 || shape_elements(&s) != total) {
		const struct shape want = shape_of(s.rank, dims);

		issue(g, n, "shape", "cannot make %s of %s", shape_text(g, &want),
		      shape_text(g, &v->shape));
		return 0;
	}
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_flatten(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t axis = attr_int(n, "axis", 1);
	struct shape s = { .rank = 2, .dim = { 1, 1 } };
	int i;

	if (!v)
		return 0;
	if (axis < 0)
		axis += v->shape.rank;
	if (axis < 0 || axis > v->shape.rank) {
		issue(g, n, "axis", "is out of range");
		return 0;
	}
	for (i = 0; i < v->shape.rank; i++)
		s.dim[i >= axis] *= v->shape.dim[i];
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_squeeze(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t axes[SHAPE_MAX_RANK];
	struct shape s = { 0 };
	int count, set = 0, i;

	if (!v)
		return 0;
	count = param_ints(g, n, "axes", 1, axes, SHAPE_MAX_RANK);
	if (count == -2)
		return 0;
	for (i = 0; i < count; i++) {
		int axis = param_axis(g, n, "axes", axes[i], v->shape.rank);

		if (axis < 0)
			return 0;
		if (v->shape.dim[axis] != 1) {
			issue(g, n, "axes", "axis %d is %lld, not 1", axis,
			      (long long)v->shape.dim[axis]);
			return 0;
		}
		set |= 1 << axis;
	}
	for (i = 0; i < v->shape.rank; i++)
		if (count < 0 ? v->shape.dim[i] != 1 : !(set >> i & 1))
			s.dim[s.rank++] = v->shape.dim[i];
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_unsqueeze(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t axes[SHAPE_MAX_RANK];
	int count, set = 0, from = 0, i;
	struct shape s;

	if (!v)
		return 0;
	count = param_ints(g, n, "axes", 1, axes, SHAPE_MAX_RANK);
	if (count < 0 || v->shape.rank + count > SHAPE_MAX_RANK) {
		if (count != -2)
			issue(g, n, "axes", "are missing or too many");
		return 0;
	}
	s.rank = v->shape.rank + count;
	for (i = 0; i < count; i++) {
		int axis = param_axis(g, n, "axes", axes[i], s.rank);

		if (axis < 0)
			return 0;
		if (set >> axis & 1) {
			issue(g, n, "axes", "axis %d is there twice", axis);
			return 0;
		}
		set |= 1 << axis;
	}
	for (i = 0; i < s.rank; i++)
		s.dim[i] = set >> i & 1 ? 1 : v->shape.dim[from++];
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_expand(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t dims[SHAPE_MAX_RANK];
	int count, i;
	struct shape s;

	if (!v)
		return 0;
	count = param_ints(g, n, "shape", 1, dims, SHAPE_MAX_RANK);
	if (count < 0)
		return 0;
	s.rank = count > v->shape.rank ? count : v->shape.rank;
	for (i = 1; i <= s.rank; i++) {
		int64_t a = i <= v->shape.rank ? v->shape.dim[v->shape.rank - i] : 1;
		int64_t b = i <= count ? dims[count - i] : 1;

		if (a != b && a != 1 && b != 1) {
			issue(g, n, "shape", "does not broadcast with %s",
			      shape_text(g, &v->shape));
			return 0;
		}
		s.dim[s.rank - i] = a == 1 ? b : a;
	}
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_tile(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t repeats[SHAPE_MAX_RANK];
	struct shape s;
	int i;

	if (!v)
		return 0;
	if (param_ints(g, n, "repeats", 1, repeats, SHAPE_MAX_RANK) != v->shape.rank) {
		issue(g, n, "repeats", "are not one per axis");
		return 0;
	}
	s = v->shape;
	for (i = 0; i < s.rank; i++) {
		if (repeats[i] < 0 || repeats[i] > SHAPE_MAX_ELEMENTS) {
			issue(g, n, "repeats", "%lld is out of range", (long long)repeats[i]);
			return 0;
		}
		s.dim[i] *= repeats[i];
	}
	set_out(n, 0, &s, v->dtype);
	return 1;
}

/* ---- elements in other places ---- */

int infer_concat(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	unsigned int i;
	struct shape s;
	int axis, d;

	if (!v)
		return 0;
	s = v->shape;
	axis = param_axis(g, n, "axis", attr_int(n, "axis", 1), s.rank);
	if (axis < 0)
		return 0;
	for (i = 1; i < n->n_in; i++) {
		const struct value *b = node_in(n, i);

		if (!b || b->shape.rank != s.rank) {
			issue(g, n, "", "input %u has another rank", i);
			return 0;
		}
		for (d = 0; d < s.rank; d++) {
			if (d == axis || b->shape.dim[d] == s.dim[d])
				continue;
			issue(g, n, "", "input %u has shape %s, the first %s", i,
			      shape_text(g, &b->shape), shape_text(g, &v->shape));
			return 0;
		}
		s.dim[axis] += b->shape.dim[axis];
	}
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_split(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int64_t sizes[256], sum = 0;
	int axis, count, i;
	struct shape s;

	if (!v)
		return 0;
	axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), v->shape.rank);
	count = param_ints(g, n, "split", 1, sizes, 256);
	if (axis < 0 || count == -2)
		return 0;
	if (count < 0) {
		int64_t each = (v->shape.dim[axis] + n->n_out - 1) / (n->n_out ? n->n_out : 1);

		if (n->n_out > 256) {
			issue(g, n, "", "has more than 256 outputs");
			return 0;
		}
		count = (int)n->n_out;
		for (i = 0; i < count; i++) {
			int64_t left = v->shape.dim[axis] - i * each;

			sizes[i] = left < 0 ? 0 : left < each ? left : each;
		}
	}
	for (i = 0; i < count; i++) {
		if (sizes[i] < 0 || sizes[i] > v->shape.dim[axis])
			sum = -1;
		if (sum >= 0)
			sum += sizes[i];
	}
	if (count != (int)n->n_out || sum != v->shape.dim[axis]) {
		issue(g, n, "split", "does not add up to axis %d of %s", axis,
		      shape_text(g, &v->shape));
		return 0;
	}
	s = v->shape;
	for (i = 0; i < count; i++) {
		s.dim[axis] = sizes[i];
		set_out(n, (unsigned int)i, &s, v->dtype);
	}
	attr_set_ints(g, n, "sizes", sizes, (size_t)count);
	return 1;
}

int slice_spec(struct graph *g, struct node *n, struct slice_spec *s)
{
	int64_t starts[SHAPE_MAX_RANK], ends[SHAPE_MAX_RANK], axes[SHAPE_MAX_RANK];
	int64_t steps[SHAPE_MAX_RANK];
	const struct value *v = node_in(n, 0);
	int count, n_axes, n_steps, i;

	if (!v)
		return 0;
	count = param_ints(g, n, "starts", 1, starts, SHAPE_MAX_RANK);
	if (count < 0 || param_ints(g, n, "ends", 2, ends, SHAPE_MAX_RANK) != count) {
		issue(g, n, "starts", "and ends are not constant lists of one length");
		return 0;
	}
	n_axes = param_ints(g, n, "axes", 3, axes, SHAPE_MAX_RANK);
	n_steps = param_ints(g, n, "steps", 4, steps, SHAPE_MAX_RANK);
	if ((n_axes != -1 && n_axes != count) || (n_steps != -1 && n_steps != count) ||
	    (n_axes == -1 && count > v->shape.rank)) {
		issue(g, n, "axes", "and steps are not as many as starts");
		return 0;
	}
	s->out = v->shape;
	for (i = 0; i < SHAPE_MAX_RANK; i++) {
		s->start[i] = 0;
		s->step[i] = 1;
	}
	for (i = 0; i < count; i++) {
		int axis = param_axis(g, n, "axes", n_axes < 0 ? i : axes[i], v->shape.rank);
		int64_t step = n_steps < 0 ? 1 : steps[i];
		int64_t size, from = starts[i], to = ends[i], low, high;

		if (axis < 0)
			return 0;
		if (!step || step < -SHAPE_MAX_ELEMENTS || step > SHAPE_MAX_ELEMENTS) {
			issue(g, n, "steps", "%lld is out of range", (long long)step);
			return 0;
		}
		size = v->shape.dim[axis];
		low = step < 0 ? -1 : 0;
		high = step < 0 ? size - 1 : size;
		from = from < 0 ? (from < -size ? low : from + size) : from > high ? high : from;
		to = to < 0 ? (to < -size ? low : to + size) : to > high ? high : to;
		if (step > 0)
			s->out.dim[axis] = to > from ? (to - from + step - 1) / step : 0;
		else
			s->out.dim[axis] = from > to ? (from - to - step - 1) / -step : 0;
		s->start[axis] = from;
		s->step[axis] = step;
	}
	return 1;
}

int infer_slice(struct graph *g, struct node *n)
{
	struct slice_spec s;

	if (!slice_spec(g, n, &s))
		return 0;
	set_out(n, 0, &s.out, node_in(n, 0)->dtype);
	return 1;
}

int infer_gather(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0), *index = node_in(n, 1);
	struct shape s = { 0 };
	int axis, i;

	if (!v || !index)
		return 0;
	axis = param_axis(g, n, "axis", attr_int(n, "axis", 0), v->shape.rank);
	if (axis < 0)
		return 0;
	if (v->shape.rank + index->shape.rank - 1 > SHAPE_MAX_RANK) {
		issue(g, n, "indices", "give more than %d axes", SHAPE_MAX_RANK);
		return 0;
	}
	for (i = 0; i < axis; i++)
		s.dim[s.rank++] = v->shape.dim[i];
	for (i = 0; i < index->shape.rank; i++)
		s.dim[s.rank++] = index->shape.dim[i];
	for (i = axis + 1; i < v->shape.rank; i++)
		s.dim[s.rank++] = v->shape.dim[i];
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_transpose(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	const int64_t *perm = NULL;
	int64_t reverse[SHAPE_MAX_RANK];
	int seen = 0, i;
	struct shape s;

	if (!v)
		return 0;
	s = v->shape;
	if (attr_ints(n, "perm", &perm) != (size_t)s.rank) {
		if (perm) {
			issue(g, n, "perm", "is not one per axis");
			return 0;
		}
		for (i = 0; i < s.rank; i++)
			reverse[i] = s.rank - 1 - i;
		attr_set_ints(g, n, "perm", reverse, (size_t)s.rank);
		perm = reverse;
	}
	for (i = 0; i < s.rank; i++) {
		if (perm[i] < 0 || perm[i] >= s.rank || seen >> perm[i] & 1) {
			issue(g, n, "perm", "is not a permutation");
			return 0;
		}
		seen |= 1 << perm[i];
		s.dim[i] = v->shape.dim[perm[i]];
	}
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int pad_spec(struct graph *g, struct node *n, struct pad_spec *p)
{
	const char *attr = node_attr(n, "paddings") ? "paddings" : "pads";
	int64_t pads[2 * SHAPE_MAX_RANK], axes[SHAPE_MAX_RANK];
	const struct value *v = node_in(n, 0);
	int rank, count, n_axes, i;

	if (!v)
		return 0;
	rank = v->shape.rank;
	count = param_ints(g, n, attr, 1, pads, 2 * SHAPE_MAX_RANK);
	n_axes = param_ints(g, n, "axes", 3, axes, SHAPE_MAX_RANK);
	if (count < 0 || n_axes == -2 || count != 2 * (n_axes < 0 ? rank : n_axes)) {
		issue(g, n, attr, "are not two constants per axis");
		return 0;
	}
	memset(p, 0, sizeof(*p));
	for (i = 0; i < count / 2; i++) {
		int axis = param_axis(g, n, "axes", n_axes < 0 ? i : axes[i], rank);

		if (axis < 0)
			return 0;
		p->before[axis] = pads[i];
		p->after[axis] = pads[count / 2 + i];
	}
	return 1;
}

int infer_pad(struct graph *g, struct node *n)
{
	struct pad_spec p;
	struct shape s;
	int i;

	if (!pad_spec(g, n, &p))
		return 0;
	s = node_in(n, 0)->shape;
	for (i = 0; i < s.rank; i++) {
		if (p.before[i] > SHAPE_MAX_ELEMENTS || p.after[i] > SHAPE_MAX_ELEMENTS ||
		    p.before[i] < -s.dim[i] || p.after[i] < -s.dim[i]) {
			issue(g, n, "pads", "are out of range");
			return 0;
		}
		s.dim[i] += p.before[i] + p.after[i];
	}
	set_out(n, 0, &s, node_in(n, 0)->dtype);
	return 1;
}

static int block_shape(struct graph *g, struct node *n, bool to_space)
{
	const struct value *v = node_in(n, 0);
	int64_t b = attr_int(n, "blocksize", 0);
	struct shape s;

	if (!v)
		return 0;
	s = v->shape;
	if (s.rank != 4 || b < 1 || b > 65535 || (to_space ? s.dim[1] % (b * b) :
						  s.dim[2] % b || s.dim[3] % b)) {
		issue(g, n, "blocksize", "%lld does not fit %s", (long long)b, shape_text(g, &s));
		return 0;
	}
	s.dim[1] = to_space ? s.dim[1] / (b * b) : s.dim[1] * b * b;
	s.dim[2] = to_space ? s.dim[2] * b : s.dim[2] / b;
	s.dim[3] = to_space ? s.dim[3] * b : s.dim[3] / b;
	set_out(n, 0, &s, v->dtype);
	return 1;
}

int infer_depth_to_space(struct graph *g, struct node *n)
{
	return block_shape(g, n, true);
}

int infer_space_to_depth(struct graph *g, struct node *n)
{
	return block_shape(g, n, false);
}
