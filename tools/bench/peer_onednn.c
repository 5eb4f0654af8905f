// SPDX-License-Identifier: MIT
/*
 * oneDNN: a convolution with fused activation, direct and Winograd, with layouts of its
 * choice and channels last; which of them is fastest is tried out when it is opened.
 */
#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

#include "bench.h"

#define CHECK(x) do { \
	dnnl_status_t status_ = (x); \
	if (status_) { \
		fprintf(stderr, "oneDNN: %s: %d\n", #x, status_); \
		exit(1); \
	} \
} while (0)

struct layer {
	dnnl_primitive_t prim;
	dnnl_memory_t mem[4];
	dnnl_exec_arg_t args[4];
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static dnnl_primitive_attr_t attributes(const struct shape *s)
{
	dnnl_primitive_attr_t attr;
	dnnl_post_ops_t ops;
	dnnl_alg_kind_t alg;
	float alpha = 0, beta = 0;

	switch (s->act) {
	case PATCNN_ACT_RELU:
		alg = dnnl_eltwise_relu;
		break;
	case PATCNN_ACT_CLIP:
		alg = dnnl_eltwise_clip;
		alpha = s->act_a;
		beta = s->act_b;
		break;
	case PATCNN_ACT_LEAKY_RELU:
		alg = dnnl_eltwise_relu;
		alpha = s->act_a;
		break;
	case PATCNN_ACT_SILU:
		alg = dnnl_eltwise_swish;
		alpha = 1;
		break;
	default:
		return NULL;
	}
	CHECK(dnnl_primitive_attr_create(&attr));
	CHECK(dnnl_post_ops_create(&ops));
	CHECK(dnnl_post_ops_append_eltwise(ops, 1, alg, alpha, beta));
	CHECK(dnnl_primitive_attr_set_post_ops(attr, ops));
	CHECK(dnnl_post_ops_destroy(ops));
	return attr;
}

static dnnl_memory_t memory_of(dnnl_primitive_desc_t pd, dnnl_query_t what)
{
	const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, what, 0);
	dnnl_memory_t m;
	void *p;

	CHECK(dnnl_memory_create(&m, md, engine, DNNL_MEMORY_ALLOCATE));
	CHECK(dnnl_memory_get_data_handle(m, &p));
	fill_floats(p, dnnl_memory_desc_get_size(md) / sizeof(float), 5);
	return m;
}

static dnnl_memory_t bias_of(u32 oc)
{
	dnnl_dims_t dims = { oc };
	dnnl_memory_desc_t md;
	dnnl_memory_t m;
	void *p;

	CHECK(dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_x));
	CHECK(dnnl_memory_create(&m, &md, engine, DNNL_MEMORY_ALLOCATE));
	CHECK(dnnl_memory_get_data_handle(m, &p));
	fill_floats(p, oc, 6);
	return m;
}

static bool describe(const struct shape *s, dnnl_alg_kind_t alg, dnnl_format_tag_t tag,
		     dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd)
{
	dnnl_dims_t src = { 1, s->ic, s->ih, s->iw }, dst = { 1, s->oc, s->oh, s->ow }, bias = { s->oc };
	dnnl_dims_t plain = { s->oc, s->ic, s->kh, s->kw };
	dnnl_dims_t grouped = { s->groups, s->oc / s->groups, s->ic / s->groups, s->kh, s->kw };
	dnnl_dims_t stride = { s->sh, s->sw }, dil = { s->dh - 1, s->dw - 1 };
	dnnl_dims_t before = { s->pad_top, s->pad_left }, after = { s->pad_bottom, s->pad_right };
	dnnl_memory_desc_t ms, mw, mb, md;
	dnnl_convolution_desc_t conv;
	dnnl_inner_product_desc_t ip;
	int dims = s->linear ? 2 : 4;

	if (s->linear && (tag != dnnl_format_tag_any || alg != dnnl_convolution_direct))
		return false;
	CHECK(dnnl_memory_desc_init_by_tag(&ms, dims, src, dnnl_f32, tag));
	CHECK(dnnl_memory_desc_init_by_tag(&md, dims, dst, dnnl_f32, tag));
	CHECK(dnnl_memory_desc_init_by_tag(&mb, 1, bias, dnnl_f32, dnnl_x));
	CHECK(dnnl_memory_desc_init_by_tag(&mw, s->groups > 1 ? 5 : dims, s->groups > 1 ? grouped : plain,
					   dnnl_f32, dnnl_format_tag_any));
	if (s->linear) {
		CHECK(dnnl_inner_product_forward_desc_init(&ip, dnnl_forward_inference, &ms, &mw, &mb, &md));
		return !dnnl_primitive_desc_create(pd, &ip, attr, engine, NULL);
	}
	return !dnnl_dilated_convolution_forward_desc_init(&conv, dnnl_forward_inference, alg, &ms, &mw, &mb,
							   &md, stride, dil, before, after) &&
	       !dnnl_primitive_desc_create(pd, &conv, attr, engine, NULL);
}

static void run(void *arg)
{
	struct layer *l = arg;

	CHECK(dnnl_primitive_execute(l->prim, stream, 4, l->args));
	CHECK(dnnl_stream_wait(stream));
}

static void shut(void *arg)
{
	struct layer *l = arg;
	int i;

	for (i = 0; i < 4; i++)
		dnnl_memory_destroy(l->mem[i]);
	dnnl_primitive_destroy(l->prim);
	free(l);
}

static void *open_layer(const struct shape *s, const float *weights, u32 threads)
{
	static const dnnl_alg_kind_t algs[] = { dnnl_convolution_direct, dnnl_convolution_winograd };
	static const dnnl_format_tag_t tags[] = { dnnl_format_tag_any, dnnl_nhwc };
	static const int names[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST };
	dnnl_primitive_attr_t attr = attributes(s);
	struct layer *best = NULL;
	double best_time = INFINITY;

	(void)weights;		/* its time does not depend on them */
	if (!engine) {
		omp_set_num_threads((int)threads);
		CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0));
		CHECK(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
	}
	for (int i = 0; i < 4; i++) {
		struct layer *l = calloc(1, sizeof(*l));
		dnnl_primitive_desc_t pd;
		double t = INFINITY;

		if (!describe(s, algs[i / 2], tags[i % 2], attr, &pd)) {
			free(l);
			continue;
		}
		CHECK(dnnl_primitive_create(&l->prim, pd));
		l->mem[0] = memory_of(pd, dnnl_query_src_md);
		l->mem[1] = memory_of(pd, dnnl_query_weights_md);
		l->mem[2] = bias_of(s->oc);
		l->mem[3] = memory_of(pd, dnnl_query_dst_md);
		for (int k = 0; k < 4; k++)
			l->args[k] = (dnnl_exec_arg_t){ names[k], l->mem[k] };
		dnnl_primitive_desc_destroy(pd);
		for (int k = 0; k < 5; k++) {
			double start = seconds(threads), e;

			run(l);
			e = seconds(threads) - start;
			t = e < t ? e : t;
		}
		if (t < best_time) {
			if (best)
				shut(best);
			best = l;
			best_time = t;
		} else {
			shut(l);
		}
	}
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	return best;
}

const struct peer peer_onednn = { "onednn", open_layer, run, shut };
