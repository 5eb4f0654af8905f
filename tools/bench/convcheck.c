// SPDX-License-Identifier: MIT
/*
 * convcheck [rounds] [seed]: random convolutions through every kernel family and
 * instruction set of this machine against a double-precision sum. Prints what fails.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "layer.h"

static int usable(enum pat_isa_id id)
{
#if defined(__x86_64__)
	if (id == PAT_ISA_AVX2)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	if (id == PAT_ISA_AVX512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
		       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
	return pat_conv_isa_get(id) != NULL;
}

static u32 pick(u32 *s, const u32 *v, u32 n)
{
	return v[layer_random(s) % n];
}

#define PICK(s, ...) pick(s, (const u32[]){ __VA_ARGS__ }, sizeof((const u32[]){ __VA_ARGS__ }) / 4)

static u32 bits(float f)
{
	u32 u;

	memcpy(&u, &f, 4);
	return u;
}

static void draw(struct layer *l, u32 *s)
{
	struct pat_conv *c = &l->conv;
	u32 eh, ew, plain;

	memset(l, 0, sizeof(*l));
	c->kernel_h = PICK(s, 1, 1, 3, 3, 3, 3, 5, 7);
	c->kernel_w = layer_random(s) % 8 ? c->kernel_h : PICK(s, 1, 2, 3, 5);
	c->stride_h = PICK(s, 1, 1, 1, 2, 3);
	c->stride_w = layer_random(s) % 8 ? c->stride_h : PICK(s, 1, 2);
	c->dilation_h = PICK(s, 1, 1, 1, 1, 1, 1, 2);
	c->dilation_w = layer_random(s) % 8 ? c->dilation_h : 1;
	plain = layer_random(s) % 5 == 0;
	if (plain) {
		/* what nets consist of */
		c->kernel_h = c->kernel_w = 3;
		c->stride_h = c->stride_w = c->dilation_h = c->dilation_w = 1;
	}
	eh = (c->kernel_h - 1) * c->dilation_h + 1;
	ew = (c->kernel_w - 1) * c->dilation_w + 1;
	c->in.h = PICK(s, 1, 5, 7, 8, 13, 14, 16, 28, 31, 32, 33) + eh - 1;
	c->in.w = layer_random(s) % 2 ? c->in.h : PICK(s, 1, 7, 15, 16, 17, 30, 31, 32, 45, 56, 64, 112) + ew - 1;
	c->pad_top = plain || layer_random(s) % 3 ? (c->kernel_h - 1) / 2 : layer_random(s) % eh;
	c->pad_left = plain || layer_random(s) % 3 ? (c->kernel_w - 1) / 2 : layer_random(s) % ew;
	c->out.h = (c->in.h + 2 * c->pad_top - eh) / c->stride_h + 1;
	c->out.w = (c->in.w + 2 * c->pad_left - ew) / c->stride_w + 1;
	if (layer_random(s) % 12 == 0) {
		/* a flattened map into a linear layer */
		c->kernel_h = c->in.h;
		c->kernel_w = c->in.w;
		c->dilation_h = c->dilation_w = c->stride_h = c->stride_w = 1;
		c->pad_top = c->pad_left = 0;
		c->out.h = c->out.w = 1;
	}
	c->groups = PICK(s, 1, 1, 1, 1, 1, 2, 4);
	c->in.c = c->groups * PICK(s, 1, 3, 8, 20, 33);
	c->out.c = c->groups * PICK(s, 1, 4, 9, 16, 37);
	if (layer_random(s) % 8 == 0) {
		c->groups = c->in.c;
		c->out.c = c->in.c * PICK(s, 1, 1, 2);
	}
	c->has_res = layer_random(s) % 3 == 0;
	c->act = PICK(s, PATCNN_ACT_NONE, PATCNN_ACT_RELU, PATCNN_ACT_RELU, PATCNN_ACT_CLIP,
		      PATCNN_ACT_LEAKY_RELU, PATCNN_ACT_SIGMOID, PATCNN_ACT_HARD_SIGMOID,
		      PATCNN_ACT_HARD_SWISH, PATCNN_ACT_SILU, PATCNN_ACT_TANH, PATCNN_ACT_ELU);
	c->act_a = bits(c->act == PATCNN_ACT_CLIP ? -0.5f : 0.2f);
	c->act_b = bits(c->act == PATCNN_ACT_CLIP ? 1.5f : 0.5f);
	l->kind = PICK(s, LAYER_DENSE, LAYER_DENSE, LAYER_FREE, LAYER_FREE, LAYER_GROUP, LAYER_CSR, LAYER_BLOCK);
	l->keep = l->kind == LAYER_CSR ? 0.2 : 0.4;
	if (l->kind == LAYER_BLOCK) {
		l->group = PICK(s, 1, 4, 8);
		l->taps = PICK(s, 1, 4);
	} else {
		u32 kk = c->kernel_h * c->kernel_w;

		l->group = PICK(s, 2, 4, 8, 3);
		l->taps = kk < 5 ? kk : PICK(s, 4, 4, 5, 3);
		l->patterns = PICK(s, 1, 8, 8, 12);
	}
	l->tune.l1_bytes = PICK(s, 4096, 32768, 49152);
	l->tune.l2_bytes = PICK(s, 16384, 262144, 2097152);
	l->tune.band_rows = PICK(s, 0, 0, 1, 3, 8);
	l->tune.any_row = layer_random(s) % 4 == 0;
	l->tune.algo = PICK(s, 0, 0, PAT_CONV_TAPS, PAT_CONV_COLUMNS, PAT_CONV_DEPTHWISE,
			    PAT_CONV_PATTERNS, PAT_CONV_PATTERNS, PAT_CONV_GEMM, PAT_CONV_WINOGRAD);
}

int main(int argc, char **argv)
{
	u32 rounds = argc > 1 ? atoi(argv[1]) : 300, seed = argc > 2 ? atoi(argv[2]) : 1, bad = 0;
	u32 seen[16] = { 0 };

	for (u32 r = 0; r < rounds; r++) {
		struct layer l;
		u32 s = (seed + r) * 2654435761U | 1, parts, budget;

		for (int i = 0; i < 16; i++)
			layer_random(&s);
		draw(&l, &s);
		parts = PICK(&s, 1, 2, 5);
		budget = PICK(&s, 1, 1000, 100000, ~0U);
		layer_fill(&l, seed + r);
		for (u32 id = 0; id < PAT_ISA_COUNT; id++) {
			const struct pat_conv_isa *isa = pat_conv_isa_get(id);
			char what[64] = "";
			double e;
			int ret;

			if (!isa || !usable(id))
				continue;
			ret = layer_pack(&l, isa);
			if (ret && l.tune.algo) {
				l.tune.algo = 0;
				ret = layer_pack(&l, isa);
			}
			if (ret) {
				printf("seed %u isa %u: pack %d\n", seed + r, id, ret);
				bad++;
				continue;
			}
			for (u64 i = 0; i < l.conv.out.plane * l.conv.out.c; i++)
				l.out[i] = NAN;
			layer_run(&l, isa, budget, parts);
			e = layer_error(&l, 4000);
			pat_conv_describe(l.packed, what);
			seen[l.info.algo]++;
			if (!(e < 2e-6)) {
				struct pat_conv *c = &l.conv;

				printf("seed %u isa %u %s: error %g: %ux%ux%u -> %ux%ux%u kernel %ux%u stride %u,%u dil %u,%u pad %u,%u groups %u act %u res %u kind %d parts %u budget %u\n",
				       seed + r, id, what, e, c->in.c, c->in.h, c->in.w, c->out.c, c->out.h,
				       c->out.w, c->kernel_h, c->kernel_w, c->stride_h, c->stride_w,
				       c->dilation_h, c->dilation_w, c->pad_top, c->pad_left, c->groups,
				       c->act, c->has_res, l.kind, parts, budget);
				bad++;
			}
			layer_unpack(&l);
		}
		layer_free(&l);
	}
	printf("%u layers, %u bad; taps %u columns %u depthwise %u gemv %u patterns %u dense %u winograd %u\n", rounds, bad,
	       seen[PAT_CONV_TAPS], seen[PAT_CONV_COLUMNS], seen[PAT_CONV_DEPTHWISE],
	       seen[PAT_CONV_GEMV], seen[PAT_CONV_PATTERNS], seen[PAT_CONV_GEMM],
	       seen[PAT_CONV_WINOGRAD]);
	return bad != 0;
}
