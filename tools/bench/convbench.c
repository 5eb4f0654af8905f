// SPDX-License-Identifier: MIT
/*
 * convbench [options] [layer...]: time of single layers, one thread, against the FMA peak
 * of the same rounds and, with -d, oneDNN's best dense algorithm and layout.
 *
 *   -k dense|free|group|csr|block   weights (free)      -g N  filters of a group (4)
 *   -s SHARE   kept kernels, weights or blocks (1/3.6)  -a N  algorithm (enum pat_conv_algo)
 *   -i ISA     generic avx2 avx512 (best)               -b N  channels of a block
 *   -r N       rows of a band                           -n N  rounds (15)
 *   -d         compare with oneDNN                      -t TAPS of a pattern (4)
 *   -T RxV     shape of row tiles
 *
 * Without layers: 3x3 layers of VGG-16 and ResNet-18. A layer is a name of the table
 * or in,size,out,kernel,stride[,groups].
 */
#define _GNU_SOURCE
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <immintrin.h>
#include "layer.h"

static double now(void)
{
	struct timespec t;

	/* time of this thread: others may run on this core */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* seconds of one multiply-accumulate at the machine's limit: 24 chains in registers */
static __attribute__((target("avx512f"), noinline)) double peak512(void)
{
	long n = 4000;
	double t = now();

	__asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm30\n vpxord %%zmm31, %%zmm31, %%zmm31\n"
		"1:\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n"
		"vfmadd231ps %%zmm30, %%zmm31, %%zmm\\r\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
		"xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17",
		"xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31");
	return (now() - t) / (4000.0 * 24 * 16);
}

static __attribute__((target("avx2,fma"), noinline)) double peak256(void)
{
	long n = 8000;
	double t = now();

	__asm__ volatile("vxorps %%ymm14, %%ymm14, %%ymm14\n vxorps %%ymm15, %%ymm15, %%ymm15\n"
		"1:\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13\n"
		"vfmadd231ps %%ymm14, %%ymm15, %%ymm\\r\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
		"xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	return (now() - t) / (8000.0 * 14 * 8);
}

struct peer {
	dnnl_primitive_t prim[4];
	dnnl_memory_t src[4], wei[4], dst[4];
	int count;
	double best;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

#define DNN(x) do { dnnl_status_t s_ = (x); if (s_) { fprintf(stderr, "%s: %d\n", #x, s_); exit(1); } } while (0)

static void peer_open(struct peer *p, const struct pat_conv *c)
{
	dnnl_dims_t sd = { 1, c->in.c, c->in.h, c->in.w }, bd = { c->out.c };
	dnnl_dims_t wd = { c->out.c, c->in.c, c->kernel_h, c->kernel_w };
	dnnl_dims_t wg = { c->groups, c->out.c / c->groups, c->in.c / c->groups, c->kernel_h, c->kernel_w };
	dnnl_dims_t dd = { 1, c->out.c, c->out.h, c->out.w };
	dnnl_dims_t st = { c->stride_h, c->stride_w }, pl = { c->pad_top, c->pad_left };
	dnnl_dims_t pr = { (c->out.h - 1) * c->stride_h + c->kernel_h - c->in.h - c->pad_top,
			   (c->out.w - 1) * c->stride_w + c->kernel_w - c->in.w - c->pad_left };
	dnnl_format_tag_t tags[] = { dnnl_format_tag_any, dnnl_nhwc };
	dnnl_alg_kind_t algs[] = { dnnl_convolution_direct, dnnl_convolution_winograd };

	p->count = 0;
	p->best = INFINITY;
	for (int a = 0; a < 2; a++) {
		for (int f = 0; f < 2; f++) {
			dnnl_memory_desc_t s, w, b, d;
			dnnl_convolution_desc_t cd;
			dnnl_primitive_attr_t attr;
			dnnl_post_ops_t ops;
			dnnl_primitive_desc_t pd;

			DNN(dnnl_memory_desc_init_by_tag(&s, 4, sd, dnnl_f32, tags[f]));
			if (c->groups > 1)
				DNN(dnnl_memory_desc_init_by_tag(&w, 5, wg, dnnl_f32, dnnl_format_tag_any));
			else
				DNN(dnnl_memory_desc_init_by_tag(&w, 4, wd, dnnl_f32, dnnl_format_tag_any));
			DNN(dnnl_memory_desc_init_by_tag(&b, 1, bd, dnnl_f32, dnnl_x));
			DNN(dnnl_memory_desc_init_by_tag(&d, 4, dd, dnnl_f32, tags[f]));
			DNN(dnnl_convolution_forward_desc_init(&cd, dnnl_forward_inference, algs[a],
							       &s, &w, &b, &d, st, pl, pr));
			DNN(dnnl_primitive_attr_create(&attr));
			DNN(dnnl_post_ops_create(&ops));
			DNN(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0));
			DNN(dnnl_primitive_attr_set_post_ops(attr, ops));
			if (dnnl_primitive_desc_create(&pd, &cd, attr, engine, NULL))
				continue;
			DNN(dnnl_primitive_create(&p->prim[p->count], pd));
			DNN(dnnl_memory_create(&p->src[p->count],
				dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), engine, DNNL_MEMORY_ALLOCATE));
			DNN(dnnl_memory_create(&p->wei[p->count],
				dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), engine, DNNL_MEMORY_ALLOCATE));
			DNN(dnnl_memory_create(&p->dst[p->count],
				dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), engine, DNNL_MEMORY_ALLOCATE));
			for (int i = 0; i < 3; i++) {
				dnnl_memory_t m = i == 0 ? p->src[p->count] : i == 1 ? p->wei[p->count] : p->dst[p->count];
				const dnnl_memory_desc_t *md;
				void *h;

				DNN(dnnl_memory_get_memory_desc(m, &md));
				DNN(dnnl_memory_get_data_handle(m, &h));
				for (size_t q = 0; q < dnnl_memory_desc_get_size(md) / 4; q++)
					((float *)h)[q] = 0.01f * (q % 100);
			}
			p->count++;
		}
	}
}

static double peer_time(struct peer *p, const float *bias, u32 oc)
{
	static dnnl_memory_t bm;
	static float *zero;
	dnnl_memory_desc_t b;
	dnnl_dims_t bd = { oc };
	double best = INFINITY;

	(void)bias;
	zero = realloc(zero, oc * 4);
	memset(zero, 0, oc * 4);
	if (bm)
		dnnl_memory_destroy(bm);
	DNN(dnnl_memory_desc_init_by_tag(&b, 1, bd, dnnl_f32, dnnl_x));
	DNN(dnnl_memory_create(&bm, &b, engine, zero));
	for (int i = 0; i < p->count; i++) {
		dnnl_exec_arg_t args[] = { { DNNL_ARG_SRC, p->src[i] }, { DNNL_ARG_WEIGHTS, p->wei[i] },
					   { DNNL_ARG_BIAS, bm }, { DNNL_ARG_DST, p->dst[i] } };
		double t = now();

		DNN(dnnl_primitive_execute(p->prim[i], stream, 4, args));
		DNN(dnnl_stream_wait(stream));
		t = now() - t;
		if (t < best)
			best = t;
	}
	return best;
}

static const struct {
	const char *name;
	u32 c, h, k, r, s, groups;
	/* how often the net has it */
	u32 times;
} table[] = {
	{ "vgg1_2", 64, 224, 64, 3, 1, 1, 1 }, { "vgg2_1", 64, 112, 128, 3, 1, 1, 1 },
	{ "vgg2_2", 128, 112, 128, 3, 1, 1, 1 }, { "vgg3_1", 128, 56, 256, 3, 1, 1, 1 },
	{ "vgg3_2", 256, 56, 256, 3, 1, 1, 2 }, { "vgg4_1", 256, 28, 512, 3, 1, 1, 1 },
	{ "vgg4_2", 512, 28, 512, 3, 1, 1, 2 }, { "vgg5_x", 512, 14, 512, 3, 1, 1, 3 },
	{ "rn_c2", 64, 56, 64, 3, 1, 1, 4 }, { "rn_c3", 128, 28, 128, 3, 1, 1, 3 },
	{ "rn_c4", 256, 14, 256, 3, 1, 1, 3 }, { "rn_c5", 512, 7, 512, 3, 1, 1, 3 },
	{ "vgg1_1", 3, 224, 64, 3, 1, 1, 0 }, { "rn_conv1", 3, 224, 64, 7, 2, 1, 0 },
	{ "rn_c3s2", 64, 56, 128, 3, 2, 1, 0 }, { "rn_c4s2", 128, 28, 256, 3, 2, 1, 0 },
	{ "rn_c5s2", 256, 14, 512, 3, 2, 1, 0 }, { "rn_c3d", 64, 56, 128, 1, 2, 1, 0 },
	{ "pw56a", 64, 56, 64, 1, 1, 1, 0 }, { "pw56b", 64, 56, 256, 1, 1, 1, 0 },
	{ "pw56c", 256, 56, 64, 1, 1, 1, 0 }, { "pw56d", 256, 56, 128, 1, 1, 1, 0 },
	{ "pw28a", 128, 28, 512, 1, 1, 1, 0 }, { "pw28b", 512, 28, 128, 1, 1, 1, 0 },
	{ "pw28c", 512, 28, 256, 1, 1, 1, 0 }, { "pw14a", 256, 14, 1024, 1, 1, 1, 0 },
	{ "pw14b", 1024, 14, 256, 1, 1, 1, 0 }, { "pw14c", 1024, 14, 512, 1, 1, 1, 0 },
	{ "pw7a", 512, 7, 2048, 1, 1, 1, 0 }, { "pw7b", 2048, 7, 512, 1, 1, 1, 0 },
	{ "mb0", 3, 224, 32, 3, 2, 1, 0 }, { "mb1", 32, 112, 16, 1, 1, 1, 0 },
	{ "mb2", 16, 112, 96, 1, 1, 1, 0 }, { "mb3", 96, 56, 24, 1, 1, 1, 0 },
	{ "mb4", 24, 56, 144, 1, 1, 1, 0 }, { "mb5", 144, 56, 24, 1, 1, 1, 0 },
	{ "mb6", 144, 28, 32, 1, 1, 1, 0 }, { "mb7", 32, 28, 192, 1, 1, 1, 0 },
	{ "mb8", 192, 28, 32, 1, 1, 1, 0 }, { "mb9", 192, 14, 64, 1, 1, 1, 0 },
	{ "mb10", 64, 14, 384, 1, 1, 1, 0 }, { "mb11", 384, 14, 64, 1, 1, 1, 0 },
	{ "mb12", 384, 14, 96, 1, 1, 1, 0 }, { "mb13", 96, 14, 576, 1, 1, 1, 0 },
	{ "mb14", 576, 14, 96, 1, 1, 1, 0 }, { "mb15", 576, 7, 160, 1, 1, 1, 0 },
	{ "mb16", 160, 7, 960, 1, 1, 1, 0 }, { "mb17", 960, 7, 160, 1, 1, 1, 0 },
	{ "mb18", 960, 7, 320, 1, 1, 1, 0 }, { "mb19", 320, 7, 1280, 1, 1, 1, 0 },
	{ "dw112", 32, 112, 32, 3, 1, 32, 0 }, { "dw112s2", 96, 112, 96, 3, 2, 96, 0 },
	{ "dw56", 144, 56, 144, 3, 1, 144, 0 }, { "dw56s2", 144, 56, 144, 3, 2, 144, 0 },
	{ "dw28", 192, 28, 192, 3, 1, 192, 0 }, { "dw28s2", 192, 28, 192, 3, 2, 192, 0 },
	{ "dw14", 576, 14, 576, 3, 1, 576, 0 }, { "dw14s2", 576, 14, 576, 3, 2, 576, 0 },
	{ "dw7", 960, 7, 960, 3, 1, 960, 0 },
	{ "fc", 512, 1, 1000, 1, 1, 1, 0 }, { "fc7", 4096, 1, 4096, 1, 1, 1, 0 },
	{ "c32", 16, 32, 16, 3, 1, 1, 0 }, { "c16", 32, 16, 32, 3, 1, 1, 0 }, { "c8", 64, 8, 64, 3, 1, 1, 0 },
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct layer proto = { .kind = LAYER_FREE, .group = 4, .keep = 1 / 3.6 };
	const struct pat_conv_isa *isa;
	u32 id = __builtin_cpu_supports("avx512f") ? PAT_ISA_AVX512 : PAT_ISA_AVX2, rounds = 15, dnn = 0;
	double sum[2] = { 0 }, wsum = 0, total[2] = { 0 };
	u32 todo[256], n = 0;
	struct layer custom[64];
	int o;

	while ((o = getopt(argc, argv, "k:g:s:a:i:b:r:n:dt:T:")) > 0) {
		if (o == 'k')
			proto.kind = !strcmp(optarg, "dense") ? LAYER_DENSE : !strcmp(optarg, "group") ? LAYER_GROUP :
				     !strcmp(optarg, "csr") ? LAYER_CSR : !strcmp(optarg, "block") ? LAYER_BLOCK : LAYER_FREE;
		else if (o == 'g')
			proto.group = atoi(optarg);
		else if (o == 's')
			proto.keep = atof(optarg);
		else if (o == 'a')
			proto.tune.algo = atoi(optarg);
		else if (o == 'i')
			id = !strcmp(optarg, "avx2") ? PAT_ISA_AVX2 : !strcmp(optarg, "generic") ? PAT_ISA_GENERIC : PAT_ISA_AVX512;
		else if (o == 'b')
			proto.tune.block = atoi(optarg);
		else if (o == 'r')
			proto.tune.band_rows = atoi(optarg);
		else if (o == 'n')
			rounds = atoi(optarg);
		else if (o == 't')
			proto.taps = atoi(optarg);
		else if (o == 'T')
			sscanf(optarg, "%ux%u", &proto.tune.tile_r, &proto.tune.tile_v);
		else if (o == 'd')
			dnn = 1;
	}
	proto.tune.l1_bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
	proto.tune.l2_bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
	isa = pat_conv_isa_get(id);
	DNN(dnnl_engine_create(&engine, dnnl_cpu, 0));
	DNN(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));

	for (u32 i = 0; optind == argc && i < 12; i++)
		todo[n++] = i;
	for (int a = optind; a < argc; a++)
		for (u32 i = 0; i < sizeof(table) / sizeof(*table); i++)
			if (!strncmp(table[i].name, argv[a], strlen(argv[a])))
				todo[n++] = i;
	(void)custom;
	printf("%-9s %9s %8s %7s %6s  %s\n", "layer", "ms", "GMAC/s", "% peak", "x dnn", "kernels");
	for (u32 q = 0; q < n; q++) {
		struct layer l = proto;
		struct pat_conv *c = &l.conv;
		u32 i = todo[q];
		double t[101], pk[101], pd[101], med, peak, peer = 0;
		struct peer p;
		char what[40];
		u32 reps;

		c->in.c = table[i].c;
		c->in.h = c->in.w = table[i].h;
		c->out.c = table[i].k;
		c->kernel_h = c->kernel_w = table[i].r;
		c->stride_h = c->stride_w = table[i].s;
		c->dilation_h = c->dilation_w = 1;
		c->pad_top = c->pad_left = table[i].r / 2;
		c->groups = table[i].groups;
		c->out.h = c->out.w = (table[i].h + 2 * c->pad_top - table[i].r) / table[i].s + 1;
		c->act = PATCNN_ACT_RELU;
		layer_fill(&l, 7);
		if (layer_pack(&l, isa)) {
			printf("%-9s cannot\n", table[i].name);
			layer_free(&l);
			continue;
		}
		pat_conv_describe(l.packed, what);
		if (dnn)
			peer_open(&p, c);
		layer_run(&l, isa, 1ULL << 40, 1);
		double e = layer_error(&l, 200);
		if (!(e < 2e-6))
			printf("%s: ERROR %g\n", table[i].name, e);
		t[0] = now();
		layer_run(&l, isa, 1ULL << 40, 1);
		reps = 0.002 / (now() - t[0]) + 1;
		for (u32 r = 0; r < rounds; r++) {
			double a = id == PAT_ISA_AVX512 ? peak512() : peak256(), b;

			t[r] = now();
			for (u32 z = 0; z < reps; z++)
				layer_run(&l, isa, 1ULL << 40, 1);
			t[r] = (now() - t[r]) / reps;
			b = id == PAT_ISA_AVX512 ? peak512() : peak256();
			pk[r] = a < b ? a : b;
			if (dnn) {
				peer_time(&p, l.bias, c->out.c);
				pd[r] = INFINITY;
				for (u32 z = 0; z < reps; z++)
					pd[r] = fmin(pd[r], peer_time(&p, l.bias, c->out.c));
			}
		}
		qsort(t, rounds, 8, ascending);
		qsort(pk, rounds, 8, ascending);
		/* the lower eighth: a shared machine only ever adds time */
		med = t[rounds / 8];
		peak = pk[rounds / 8];
		if (dnn) {
			qsort(pd, rounds, 8, ascending);
			peer = pd[rounds / 8];
		}
		double pct = l.macs * peak / med;

		printf("%-9s %9.3f %8.1f %6.1f%% %6.2f  %s band %u%s\n", table[i].name, med * 1e3, l.macs / med * 1e-9,
		       100 * pct, peer / med, what, l.info.band_rows, pct < 0 ? "" : "");
		if (table[i].times) {
			sum[0] += pct * l.macs * table[i].times;
			wsum += (double)l.macs * table[i].times;
			total[0] += med * table[i].times;
			total[1] += peer * table[i].times;
		}
		fflush(stdout);
		layer_unpack(&l);
		layer_free(&l);
	}
	if (wsum)
		printf("MAC-weighted mean %.1f%%, sum %.2f ms, oneDNN %.2f ms: %.2fx\n", 100 * sum[0] / wsum,
		       total[0] * 1e3, total[1] * 1e3, total[1] / total[0]);
	return 0;
}
