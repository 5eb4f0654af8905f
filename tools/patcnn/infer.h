/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_INFER_H
#define PATCNN_INFER_H

#include "graph.h"

/*
 * Shape inference. One function per family of operators, see ops.h; each is called
 * with all present inputs' shapes known and returns 0 after reporting, or when a shape
 * cannot be known before run time.
 */

int infer_same(struct graph *g, struct node *n);
int infer_broadcast(struct graph *g, struct node *n);
int infer_cast(struct graph *g, struct node *n);
int infer_concat(struct graph *g, struct node *n);
int infer_constant(struct graph *g, struct node *n);
int infer_constant_of_shape(struct graph *g, struct node *n);
int infer_conv(struct graph *g, struct node *n);
int infer_conv_transpose(struct graph *g, struct node *n);
int infer_depth_to_space(struct graph *g, struct node *n);
int infer_gelu(struct graph *g, struct node *n);
int infer_dropout(struct graph *g, struct node *n);
int infer_expand(struct graph *g, struct node *n);
int infer_flatten(struct graph *g, struct node *n);
int infer_gather(struct graph *g, struct node *n);
int infer_gemm(struct graph *g, struct node *n);
int infer_global_pool(struct graph *g, struct node *n);
int infer_layer_norm(struct graph *g, struct node *n);
int infer_matmul(struct graph *g, struct node *n);
int infer_nonzero(struct graph *g, struct node *n);
int infer_pad(struct graph *g, struct node *n);
int infer_pool(struct graph *g, struct node *n);
int infer_prelu(struct graph *g, struct node *n);
int infer_range(struct graph *g, struct node *n);
int infer_reduce(struct graph *g, struct node *n);
int infer_reshape(struct graph *g, struct node *n);
int infer_resize(struct graph *g, struct node *n);
int infer_shape(struct graph *g, struct node *n);
int infer_size(struct graph *g, struct node *n);
int infer_slice(struct graph *g, struct node *n);
int infer_space_to_depth(struct graph *g, struct node *n);
int infer_split(struct graph *g, struct node *n);
int infer_squeeze(struct graph *g, struct node *n);
int infer_tile(struct graph *g, struct node *n);
int infer_transpose(struct graph *g, struct node *n);
int infer_unsqueeze(struct graph *g, struct node *n);
int infer_where(struct graph *g, struct node *n);

/* ---- what inference, folding and lowering all need to know of a node ---- */

/*
 * Integers that older operator sets give as an attribute and newer ones as input @index.
 * Return: their number, -1 if absent, -2 (reported) if not constant or more than @max.
 */
int param_ints(struct graph *g, struct node *n, const char *attr, unsigned int index,
	       int64_t *ints, int max);

/* @axis counted from the back if negative; -1 (reported) if out of range. */
int param_axis(struct graph *g, struct node *n, const char *attr, int64_t axis, int rank);

/* Broadcast @b into @a; false if they do not fit. */
bool shape_broadcast(struct shape *a, const struct shape *b);

/* Axes of a reduction, as a bit set; all if none are given. -1 (reported) if bad. */
int reduce_axes(struct graph *g, struct node *n, int rank);

struct slice_spec {
	int64_t start[SHAPE_MAX_RANK];
	int64_t step[SHAPE_MAX_RANK];
	struct shape out;
};

int slice_spec(struct graph *g, struct node *n, struct slice_spec *s);

struct pad_spec {
	int64_t before[SHAPE_MAX_RANK];
	int64_t after[SHAPE_MAX_RANK];
};

int pad_spec(struct graph *g, struct node *n, struct pad_spec *p);

/* Geometry of a convolution or pooling; one spatial dimension counts as one row. */
struct window {
	int64_t kernel[2];
	int64_t stride[2];
	int64_t dilation[2];
	int64_t begin[2];
	int64_t end[2];
	int64_t in[2];
	int64_t out[2];
	/** @extra: pooling with ceil_mode: rows and columns behind @end that windows reach. */
	int64_t extra[2];
};

int window_geometry(struct graph *g, struct node *n, const struct shape *in,
		    const struct shape *weights, struct window *w);

/* Output sizes of a Resize or Upsample, and the scales if given as such (else 0). */
int resize_spec(struct graph *g, struct node *n, struct shape *out, float *scales);

#endif
