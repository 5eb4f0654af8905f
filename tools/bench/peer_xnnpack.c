// SPDX-License-Identifier: MIT
/*
 * XNNPACK: its dense operators, channels last, and those of its sparse path, channels
 * first: 1x1 by the non-zero weights alone, depthwise 3x3 and 5x5, the first layer.
 */
#include <math.h>
#include <pthreadpool.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>

#include "bench.h"

struct layer {
	xnn_operator_t op;
	float *in, *out;
};

static pthreadpool_t threads_of(u32 threads)
{
	static pthreadpool_t pool;

	if (threads > 1 && !pool)
		pool = pthreadpool_create(threads);
	return pool;
}

static void run(void *arg)
{
	struct layer *l = arg;

	if (xnn_run_operator(l->op, threads_of(1))) {
		fprintf(stderr, "XNNPACK: a layer does not run\n");
		exit(1);
	}
}

static void shut(void *arg)
{
	struct layer *l = arg;

	xnn_delete_operator(l->op);
	free(l->in);
	free(l->out);
	free(l);
}

/* [out][in / groups][kh * kw] to [out][kh * kw][in / groups] */
static float *channels_last(const struct shape *s, const float *w)
{
	u32 n = s->ic / s->groups, kk = s->kh * s->kw, o, c, k;
	float *to = malloc(shape_weights(s) * sizeof(*to));

	for (o = 0; o < s->oc; o++)
		for (c = 0; c < n; c++)
			for (k = 0; k < kk; k++)
				to[((u64)o * kk + k) * n + c] = w[((u64)o * n + c) * kk + k];
	return to;
}

static void *open_any(const struct shape *s, const float *weights, u32 threads, bool chw)
{
	float low = -INFINITY, high = INFINITY, *bias = calloc(s->oc, sizeof(*bias)), *hwc = NULL;
	struct layer *l = calloc(1, sizeof(*l));
	enum xnn_status status;
	bool first = s->ic == 3 && s->kh == 3 && s->sh == 2;

	if (xnn_initialize(NULL))
		exit(1);
	/* Other activations would be operators of their own: it is spared them. */
	if (s->act == PATCNN_ACT_RELU) {
		low = 0;
	} else if (s->act == PATCNN_ACT_CLIP) {
		low = s->act_a;
		high = s->act_b;
	}
	l->in = memory((u64)s->ic * s->ih * s->iw * sizeof(float));
	l->out = memory((u64)s->oc * s->oh * s->ow * sizeof(float));
	fill_floats(l->in, (u64)s->ic * s->ih * s->iw, 3);
	if (!chw || first)
		weights = hwc = channels_last(s, weights);
	if (s->linear)
		status = chw ? xnn_status_unsupported_parameter :
			 xnn_create_fully_connected_nc_f32(s->ic, s->oc, s->ic, s->oc, weights, bias, low, high,
							   0, &l->op);
	else
		status = (chw ? xnn_create_convolution2d_nchw_f32 : xnn_create_convolution2d_nhwc_f32)
			(s->pad_top, s->pad_right, s->pad_bottom, s->pad_left, s->kh, s->kw, s->sh, s->sw,
			 s->dh, s->dw, s->groups, s->ic / s->groups, s->oc / s->groups, s->ic, s->oc, weights,
			 bias, low, high, chw && first ? XNN_FLAG_INPUT_NHWC : 0, &l->op);
	free(hwc);
	if (!status) {
		if (s->linear)
			status = xnn_setup_fully_connected_nc_f32(l->op, 1, l->in, l->out, threads_of(threads));
		else
			status = (chw ? xnn_setup_convolution2d_nchw_f32 : xnn_setup_convolution2d_nhwc_f32)
				(l->op, 1, s->ih, s->iw, l->in, l->out, threads_of(threads));
	}
	free(bias);
	if (!status)
		return l;
	shut(l);
	return NULL;
}

static void *open_dense(const struct shape *s, const float *weights, u32 threads)
{
	return open_any(s, weights, threads, false);
}

static void *open_chw(const struct shape *s, const float *weights, u32 threads)
{
	return open_any(s, weights, threads, true);
}

const struct peer peer_xnnpack = { "xnnpack", open_dense, run, shut };
const struct peer peer_xnnpack_chw = { "xnnpack-sparse", open_chw, run, shut };
