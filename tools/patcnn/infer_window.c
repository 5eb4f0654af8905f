// SPDX-License-Identifier: MIT
/* Geometry of convolutions, poolings and resizes: auto_pad, ceil_mode, scales. */

#include <math.h>
#include <string.h>

#include "infer.h"
#include "onnx_types.h"

/* Keeps every later product far from overflow; the format allows 65535. */
#define MAX_WINDOW	65535

/* One attribute of one entry per spatial axis, right-aligned into rows and columns. */
static int spatial(struct graph *g, struct node *n, const char *name, int axes, int64_t def,
		   int64_t low, int64_t *out)
{
	const int64_t *list = NULL;
	size_t count = attr_ints(n, name, &list);
	int i;

	out[0] = def;
	out[1] = def;
	if (!count)
		return 1;
	if (count != (size_t)axes) {
		issue(g, n, name, "has %zu entries for %d spatial axes", count, axes);
		return 0;
	}
	for (i = 0; i < axes; i++) {
		if (list[i] < low || list[i] > MAX_WINDOW) {
			issue(g, n, name, "%lld is out of range", (long long)list[i]);
			return 0;
		}
		out[2 - axes + i] = list[i];
	}
	return 1;
}

static int spatial_axes(struct graph *g, struct node *n, const struct shape *in)
{
	if (in->rank != 3 && in->rank != 4) {
		issue(g, n, "", "works on %d spatial dimensions; 1 and 2 are supported",
		      in->rank - 2);
		return 0;
	}
	return in->rank - 2;
}

static int explicit_pads(struct graph *g, struct node *n, int axes, struct window *w)
{
	const int64_t *list = NULL;
	size_t count = attr_ints(n, "pads", &list);
	int i;

	if (!count)
		return 1;
	if (count != 2 * (size_t)axes) {
		issue(g, n, "pads", "has %zu entries for %d spatial axes", count, axes);
		return 0;
	}
	for (i = 0; i < axes; i++) {
		int at = 2 - axes + i;

		w->begin[at] = list[i];
		w->end[at] = list[axes + i];
		if (list[i] < 0 || list[axes + i] < 0 || list[i] > MAX_WINDOW ||
		    list[axes + i] > MAX_WINDOW) {
			issue(g, n, "pads", "%lld is out of range",
			      (long long)(list[i] < 0 ? list[i] : list[axes + i]));
			return 0;
		}
	}
	return 1;
}

static int read_window(struct graph *g, struct node *n, const struct shape *in,
		       const struct shape *weights, struct window *w)
{
	int axes = spatial_axes(g, n, in), i;

	memset(w, 0, sizeof(*w));
	if (!axes)
		return 0;
	if (!spatial(g, n, "kernel_shape", axes, 1, 1, w->kernel) ||
	    !spatial(g, n, "strides", axes, 1, 1, w->stride) ||
	    !spatial(g, n, "dilations", axes, 1, 1, w->dilation))
		return 0;
	for (i = 0; i < axes; i++) {
		int at = 2 - axes + i;

		w->in[at] = in->dim[2 + i];
		if (weights)
			w->kernel[at] = weights->dim[2 + i];
		if (w->kernel[at] < 1 || w->kernel[at] > MAX_WINDOW) {
			issue(g, n, "kernel_shape", "%lld is out of range",
			      (long long)w->kernel[at]);
			return 0;
		}
	}
	if (axes == 1) {
		w->in[0] = 1;
		w->kernel[0] = 1;
		w->stride[0] = 1;
		w->dilation[0] = 1;
	}
	return explicit_pads(g, n, axes, w);
}

int window_geometry(struct graph *g, struct node *n, const struct shape *in,
		    const struct shape *weights, struct window *w)
{
	const char *mode = attr_str(n, "auto_pad", "NOTSET");
	bool same = !strncmp(mode, "SAME_", 5);
	bool ceil_mode = attr_int(n, "ceil_mode", 0);
	int i;

	if (!read_window(g, n, in, weights, w))
		return 0;
	for (i = 0; i < 2; i++) {
		int64_t reach = w->dilation[i] * (w->kernel[i] - 1) + 1;
		int64_t room, pad;

		if (same) {
			w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
			pad = (w->out[i] - 1) * w->stride[i] + reach - w->in[i];
			if (pad < 0)
				pad = 0;
			w->begin[i] = strcmp(mode, "SAME_LOWER") ? pad / 2 : pad - pad / 2;
			w->end[i] = pad - w->begin[i];
			continue;
		}
		if (!strcmp(mode, "VALID")) {
			w->begin[i] = 0;
			w->end[i] = 0;
		}
		room = w->in[i] + w->begin[i] + w->end[i] - reach;
		if (room < 0) {
			issue(g, n, "kernel_shape", "is larger than its padded input (%s)",
			      shape_text(g, in));
			return 0;
		}
		w->out[i] = room / w->stride[i] + 1;
		/* A window that begins in the padding behind the input does not count. */
		if (ceil_mode && room % w->stride[i] &&
		    w->out[i] * w->stride[i] < w->in[i] + w->begin[i]) {
			w->extra[i] = w->stride[i] - room % w->stride[i];
			w->out[i]++;
		}
	}
	return 1;
}

static void set_spatial(struct node *n, const struct shape *in, int64_t channels,
			const struct window *w)
{
	struct shape *s = &n->out[0]->shape;

	*s = *in;
	s->dim[1] = channels;
	if (in->rank == 4)
		s->dim[2] = w->out[0];
	s->dim[in->rank - 1] = w->out[1];
}

static int check_weights(struct graph *g, struct node *n, const struct value *v,
			 const struct value *weights, int channel_axis)
{
	int64_t group = attr_int(n, "group", 1);
	const struct shape *s = &weights->shape;

	if (s->rank != v->shape.rank) {
		issue(g, n, "W", "has rank %d for an input of rank %d", s->rank, v->shape.rank);
		return 0;
	}
	if (group < 1 || group > v->shape.dim[1] || s->dim[0] < 1 || s->dim[1] < 1 ||
	    v->shape.dim[1] % group || s->dim[0] % group ||
	    s->dim[channel_axis] * (channel_axis ? group : 1) != v->shape.dim[1]) {
		issue(g, n, "group", "%lld does not fit input %s and weights %s", (long long)group,
		      shape_text(g, &v->shape), shape_text(g, s));
		return 0;
	}
	return 1;
}

int infer_conv(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0), *weights = node_in(n, 1);
	struct window w;

	if (!v || !weights || !spatial_axes(g, n, &v->shape) ||
	    !check_weights(g, n, v, weights, 1) ||
	    !window_geometry(g, n, &v->shape, &weights->shape, &w))
		return 0;
	set_spatial(n, &v->shape, weights->shape.dim[0], &w);
	return 1;
}

int infer_pool(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	struct window w;

	if (!v || !window_geometry(g, n, &v->shape, NULL, &w))
		return 0;
	set_spatial(n, &v->shape, v->shape.dim[1], &w);
	return 1;
}

/*
 * The padding of a transposed convolution is taken off the output: either given,
 * or what makes the output stride times the input (SAME) or output_shape. Afterwards
 * the attributes pads and output_padding say it all.
 */
int infer_conv_transpose(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0), *weights = node_in(n, 1);
	const char *mode = attr_str(n, "auto_pad", "NOTSET");
	bool same = !strncmp(mode, "SAME_", 5);
	int64_t extra[2], shape[2], pads[4];
	struct window w;
	int axes, i;

	if (!v || !weights)
		return 0;
	axes = spatial_axes(g, n, &v->shape);
	if (!axes || !check_weights(g, n, v, weights, 0) ||
	    !read_window(g, n, &v->shape, &weights->shape, &w) ||
	    !spatial(g, n, "output_padding", axes, 0, 0, extra) ||
	    !spatial(g, n, "output_shape", axes, 0, 1, shape))
		return 0;
	for (i = 2 - axes; i < 2; i++) {
		int64_t full = w.stride[i] * (w.in[i] - 1) + extra[i] +
			       w.dilation[i] * (w.kernel[i] - 1) + 1;
		int64_t total = w.begin[i] + w.end[i];
		bool given = shape[i] > 0;

		if (!strcmp(mode, "VALID"))
			total = 0;
		if (same && !given)
			shape[i] = w.in[i] * w.stride[i];
		if (same || given) {
			total = full - shape[i];
			/* A larger output than the input reaches is padding of the output. */
			if (total < 0) {
				extra[i] -= total;
				total = 0;
			}
			w.begin[i] = strcmp(mode, "SAME_UPPER") ? total - total / 2 : total / 2;
			w.end[i] = total - w.begin[i];
		}
		w.out[i] = w.stride[i] * (w.in[i] - 1) + extra[i] +
			   w.dilation[i] * (w.kernel[i] - 1) + 1 - total;
		if (w.out[i] < 1) {
			issue(g, n, "pads", "leave no output");
			return 0;
		}
		pads[i - (2 - axes)] = w.begin[i];
		pads[i - (2 - axes) + axes] = w.end[i];
	}
	set_spatial(n, &v->shape, weights->shape.dim[1] * attr_int(n, "group", 1), &w);
	attr_set_ints(g, n, "pads", pads, 2 * (size_t)axes);
	attr_set_ints(g, n, "output_padding", extra + 2 - axes, (size_t)axes);
	return 1;
}

static int resize_floats(const struct node *n, const char *attr, unsigned int index, int rank,
			 const float **f)
{
	const struct value *v = node_in(n, index);
	const struct attr *a = node_attr(n, attr);

	if (v && v->constant && v->constant->is_float && v->constant->count == (size_t)rank) {
		*f = v->constant->f;
		return 1;
	}
	if (!v && a && a->type == ATTR_FLOATS && a->count == (size_t)rank) {
		*f = a->floats;
		return 1;
	}
	return 0;
}

int resize_spec(struct graph *g, struct node *n, struct shape *out, float *scales)
{
	const struct value *v = node_in(n, 0);
	/* Resize 10 and Upsample: (X, scales); Resize 11 and later: (X, roi, scales, sizes). */
	unsigned int at = n->op == OP_Resize && g->opset >= 11 ? 2 : 1;
	int64_t sizes[SHAPE_MAX_RANK];
	const float *f;
	int i;

	if (!v)
		return 0;
	*out = v->shape;
	if (n->op == OP_Resize && node_in(n, 3)) {
		if (const_int_list(node_in(n, 3), sizes, SHAPE_MAX_RANK) != v->shape.rank) {
			issue(g, n, "sizes", "are not constant, or not one per axis");
			return 0;
		}
		for (i = 0; i < v->shape.rank; i++) {
			out->dim[i] = sizes[i];
			scales[i] = 0;
		}
	} else if (resize_floats(n, "scales", at, v->shape.rank, &f)) {
		for (i = 0; i < v->shape.rank; i++) {
			if (!(f[i] > 0 && f[i] < 65536)) {
				issue(g, n, "scales", "%g is out of range", (double)f[i]);
				return 0;
			}
			out->dim[i] = (int64_t)floor((double)v->shape.dim[i] * (double)f[i]);
			scales[i] = f[i];
		}
	} else {
		issue(g, n, "scales", "are not constant, or not one per axis");
		return 0;
	}
	if (shape_elements(out) < 1) {
		issue(g, n, "sizes", "give an empty or too large output");
		return 0;
	}
	return 1;
}

int infer_resize(struct graph *g, struct node *n)
{
	float scales[SHAPE_MAX_RANK];

	return resize_spec(g, n, &n->out[0]->shape, scales);
}
