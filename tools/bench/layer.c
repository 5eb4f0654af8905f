// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "layer.h"

u32 layer_random(u32 *s)
{
	/* xorshift32 */
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

float layer_float(u32 *s)
{
	return (layer_random(s) >> 8) / 8388608.0f - 1.0f;
}

static void *memory(u64 bytes)
{
	u64 size = (bytes + 2 * PAT_ALIGN + (2 << 20) - 1) & ~((2ULL << 20) - 1);
	void *p = aligned_alloc(2 << 20, size);

	if (!p)
		abort();
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

static void planes(struct pat_planes *p)
{
	p->pitch = (p->w + 15) / 16 * 16;
	/* odd lines */
	p->plane = ((u64)p->h * p->pitch / 16 | 1) * 16;
}

/* the usual eight: the centre, and three neighbours that touch it and each other */
static const u8 usual[8][4] = {
	{ 0, 1, 3, 4 }, { 1, 2, 4, 5 }, { 3, 4, 6, 7 }, { 4, 5, 7, 8 },
	{ 1, 3, 4, 5 }, { 1, 3, 4, 7 }, { 1, 4, 5, 7 }, { 3, 4, 5, 7 },
};

static u32 *grow(u32 **a, u64 *n, u64 add)
{
	*a = realloc(*a, (*n + add) * 4);
	*n += add;
	return *a + *n - add;
}

static u32 bits(float f)
{
	u32 u;

	memcpy(&u, &f, 4);
	return u;
}

static void choose(u32 *state, u32 n, u32 k, u32 *pick)
{
	u32 left = k;

	/* selection sampling: ascending, every subset equally likely */
	for (u32 i = 0, j = 0; i < n && left; i++)
		if (layer_random(state) % (n - i) < left) {
			pick[j++] = i;
			left--;
		}
}

static void fill_fkw(struct layer *l, u32 *s)
{
	struct pat_conv *c = &l->conv;
	u32 kk = c->kernel_h * c->kernel_w, icg = c->in.c / c->groups, oc = c->out.c;
	u32 taps = l->taps ? l->taps : 4, np = l->patterns ? l->patterns : 8;
	u32 keep = icg * l->keep + 0.5, group = l->kind == LAYER_GROUP ? l->group : 1;
	struct patcnn_pattern *pat = calloc(np, sizeof(*pat));
	struct patcnn_tap *tap = calloc(np * taps, sizeof(*tap));
	u32 *offset = calloc(oc + 1, 4), *reorder = calloc(oc, 4);
	u32 *stride = calloc((u64)oc * (np + 1), 4), *index = NULL, *values = NULL;
	u32 *pick = calloc(icg, 4), *pos = calloc(kk, 4), *pattern_of = calloc(icg, 4);
	u64 nindex = 0, nvalues = 0;

	if (keep < 1)
		keep = 1;
	for (u32 p = 0; p < np; p++) {
		pat[p].tap_first = p * taps;
		pat[p].tap_count = taps;
		pat[p].kernel_h = c->kernel_h;
		pat[p].kernel_w = c->kernel_w;
		choose(s, kk, taps, pos);
		for (u32 t = 0; t < taps; t++) {
			u32 at = kk == 9 && taps == 4 && p < 8 ? usual[p][t] : pos[t];

			tap[p * taps + t].row = at / c->kernel_w;
			tap[p * taps + t].col = at % c->kernel_w;
		}
	}
	for (u32 i = 0; i < oc; i++)
		reorder[i] = i;
	for (u32 i = oc; i-- > 1;) {
		u32 j = layer_random(s) % (i + 1), x = reorder[i];

		reorder[i] = reorder[j];
		reorder[j] = x;
	}
	for (u32 slot = 0; slot < oc; slot++) {
		u32 *st = stride + (u64)slot * (np + 1), *ix, n = 0;

		/* members of a group: consecutive filters, wherever their slots are */
		u32 seed = (reorder[slot] / group + 1) * 2654435761U | 1;

		for (int i = 0; i < 8; i++)
			layer_random(&seed);
		choose(&seed, icg, keep, pick);
		for (u32 i = 0; i < keep; i++)
			pattern_of[i] = layer_random(&seed) % np;
		ix = grow(&index, &nindex, keep);
		for (u32 p = 0; p < np; p++) {
			st[p] = n;
			for (u32 i = 0; i < keep; i++) {
				u32 *v;

				if (pattern_of[i] != p)
					continue;
				ix[n++] = pick[i];
				v = grow(&values, &nvalues, taps);
				for (u32 t = 0; t < taps; t++) {
					float f = layer_float(s);
					const struct patcnn_tap *q = tap + p * taps + t;

					v[t] = bits(f);
					l->dense[(((u64)reorder[slot] * icg + pick[i]) * c->kernel_h + q->row) *
						 c->kernel_w + q->col] = f;
				}
			}
		}
		st[np] = n;
		offset[slot + 1] = nindex;
	}
	free(pick);
	free(pos);
	free(pattern_of);
	l->w = (struct pat_weights){
		.storage = PATCNN_STORAGE_FKW, .pattern_count = np, .nnz = nvalues,
		.values = values, .offset = offset, .index = index, .reorder = reorder,
		.stride = stride, .patterns = pat, .taps = tap,
	};
}

static void fill_csr(struct layer *l, u32 *s)
{
	struct pat_conv *c = &l->conv;
	u32 m = c->in.c / c->groups * c->kernel_h * c->kernel_w, oc = c->out.c;
	u32 *offset = calloc(oc + 1, 4), *index = NULL, *values = NULL;
	u64 n = 0, n2 = 0;

	for (u32 f = 0; f < oc; f++) {
		for (u32 i = 0; i < m; i++) {
			float x = layer_float(s);

			if (layer_random(s) >= l->keep * 4294967295.0)
				continue;
			*grow(&index, &n, 1) = i;
			*grow(&values, &n2, 1) = bits(x);
			l->dense[(u64)f * m + i] = x;
		}
		offset[f + 1] = n;
	}
	l->w = (struct pat_weights){
		.storage = PATCNN_STORAGE_CSR, .nnz = n,
		.values = values, .offset = offset, .index = index,
	};
}

static void fill_block(struct layer *l, u32 *s)
{
	struct pat_conv *c = &l->conv;
	u32 kk = c->kernel_h * c->kernel_w, icg = c->in.c / c->groups, oc = c->out.c;
	u32 bo = l->group ? l->group : 4, bi = l->taps ? l->taps : 1;
	u32 rows = (oc + bo - 1) / bo, cols = (icg + bi - 1) / bi * kk;
	u32 *offset = calloc(rows + 1, 4), *index = NULL, *values = NULL;
	u64 n = 0, n2 = 0;

	for (u32 r = 0; r < rows; r++) {
		for (u32 b = 0; b < cols; b++) {
			u32 *v;

			if (layer_random(s) >= l->keep * 4294967295.0)
				continue;
			*grow(&index, &n, 1) = b;
			v = grow(&values, &n2, (u64)bo * bi);
			for (u32 i = 0; i < bo * bi; i++) {
				u32 f = r * bo + i / bi, ch = b / kk * bi + i % bi;
				float x = layer_float(s);

				v[i] = bits(x);
				if (f < oc && ch < icg)
					l->dense[((u64)f * icg + ch) * kk + b % kk] = x;
			}
		}
		offset[r + 1] = n;
	}
	l->w = (struct pat_weights){
		.storage = PATCNN_STORAGE_BLOCK, .block_out = bo, .block_in = bi, .nnz = n2,
		.values = values, .offset = offset, .index = index,
	};
}

void layer_fill(struct layer *l, u32 seed)
{
	struct pat_conv *c = &l->conv;
	u32 s = seed * 2654435761U | 1, icg = c->in.c / c->groups;
	u64 m = (u64)icg * c->kernel_h * c->kernel_w;

	for (int i = 0; i < 16; i++)
		layer_random(&s);
	planes(&c->in);
	planes(&c->out);
	c->res = c->out;
	l->dense = calloc(c->out.c * m, 4);
	l->bias = calloc(c->out.c, 4);
	l->in = memory(c->in.plane * c->in.c * 4 + 4096);
	l->out = memory(c->out.plane * c->out.c * 4 + 4096);
	l->res = memory(c->out.plane * c->out.c * 4 + 4096);
	for (u32 i = 0; i < c->out.c; i++)
		l->bias[i] = layer_float(&s);
	if (l->kind == LAYER_FREE || l->kind == LAYER_GROUP) {
		fill_fkw(l, &s);
	} else if (l->kind == LAYER_CSR) {
		fill_csr(l, &s);
	} else if (l->kind == LAYER_BLOCK) {
		fill_block(l, &s);
	} else {
		for (u64 i = 0; i < c->out.c * m; i++)
			l->dense[i] = layer_float(&s);
		l->w = (struct pat_weights){ .storage = PATCNN_STORAGE_DENSE, .nnz = c->out.c * m,
					     .values = (const u32 *)l->dense };
	}
	l->w.bias = (const u32 *)l->bias;
	for (u32 ch = 0; ch < c->in.c; ch++)
		for (u32 y = 0; y < c->in.h; y++)
			for (u32 x = 0; x < c->in.pitch; x++)
				/* what is not a pixel must not matter */
				l->in[ch * c->in.plane + y * c->in.pitch + x] =
					x < c->in.w ? layer_float(&s) : NAN;
	for (u64 i = 0; i < c->out.plane * c->out.c; i++) {
		l->out[i] = NAN;
		l->res[i] = layer_float(&s);
	}
	l->macs = l->w.nnz * c->out.h * c->out.w;
	l->macs_dense = c->out.c * m * c->out.h * c->out.w;
}

int layer_pack(struct layer *l, const struct pat_conv_isa *isa)
{
	int ret = pat_conv_plan(isa, &l->tune, &l->conv, &l->w, &l->info);

	if (ret)
		return ret;
	l->packed = memory(l->info.packed_bytes);
	l->scratch = memory(l->info.scratch_bytes);
	memset((char *)l->packed + l->info.packed_bytes, 0x5a, 64);
	memset((char *)l->scratch + l->info.scratch_bytes, 0x5a, 64);
	return pat_conv_pack(isa, &l->tune, &l->conv, &l->w, l->packed);
}

void layer_run(struct layer *l, const struct pat_conv_isa *isa, u64 budget, u32 parts)
{
	struct pat_conv_tile t = { .in = l->in, .out = l->out,
				   .res = l->conv.has_res ? l->res : NULL, .parts = parts };

	for (t.row = 0; t.row < l->conv.out.h; t.row += l->info.band_rows) {
		t.rows = l->conv.out.h - t.row;
		if (t.rows > l->info.band_rows)
			t.rows = l->info.band_rows;
		for (t.part = 0; t.part < parts; t.part++) {
			struct pat_cursor cur = { 0 };

			while (!pat_conv_run(isa, l->packed, &t, &cur, budget, l->scratch))
				;
		}
	}
}

static double activate(const struct pat_conv *c, double x)
{
	float a, b;

	memcpy(&a, &c->act_a, 4);
	memcpy(&b, &c->act_b, 4);
	switch (c->act) {
	case PATCNN_ACT_RELU:
		return x > 0 ? x : 0;
	case PATCNN_ACT_CLIP:
		return fmin(fmax(x, a), b);
	case PATCNN_ACT_LEAKY_RELU:
		return x < 0 ? a * x : x;
	case PATCNN_ACT_SIGMOID:
		return 1 / (1 + exp(-x));
	case PATCNN_ACT_HARD_SIGMOID:
		return fmin(fmax(a * x + b, 0), 1);
	case PATCNN_ACT_HARD_SWISH:
		return x * fmin(fmax(x / 6 + 0.5, 0), 1);
	case PATCNN_ACT_SILU:
		return x / (1 + exp(-x));
	case PATCNN_ACT_TANH:
		return tanh(x);
	case PATCNN_ACT_ELU:
		return x < 0 ? a * expm1(x) : x;
	default:
		return x;
	}
}

double layer_error(struct layer *l, u32 samples)
{
	struct pat_conv *c = &l->conv;
	u64 total = (u64)c->out.c * c->out.h * c->out.w;
	u32 icg = c->in.c / c->groups, ocg = c->out.c / c->groups, s = 12345;
	double worst = 0;

	for (u32 i = 0; i < 64; i++)
		if (((u8 *)l->packed)[l->info.packed_bytes + i] != 0x5a ||
		    ((u8 *)l->scratch)[l->info.scratch_bytes + i] != 0x5a)
			return INFINITY;
	for (u64 i = 0; i < samples && i < total; i++) {
		u64 at = samples >= total ? i : ((u64)layer_random(&s) << 16 ^ layer_random(&s)) % total;
		u32 x = at % c->out.w, y = at / c->out.w % c->out.h, f = at / c->out.w / c->out.h;
		double sum = l->bias[f], mag = fabs(sum), got, e;

		for (u32 ch = 0; ch < icg; ch++)
			for (u32 ky = 0; ky < c->kernel_h; ky++)
				for (u32 kx = 0; kx < c->kernel_w; kx++) {
					s32 iy = (s32)(y * c->stride_h + ky * c->dilation_h) - (s32)c->pad_top;
					s32 ix = (s32)(x * c->stride_w + kx * c->dilation_w) - (s32)c->pad_left;
					double p;

					if (iy < 0 || ix < 0 || iy >= (s32)c->in.h || ix >= (s32)c->in.w)
						continue;
					p = (double)l->dense[(((u64)f * icg + ch) * c->kernel_h + ky) * c->kernel_w + kx] *
					    l->in[(f / ocg * icg + ch) * c->in.plane + (u64)iy * c->in.pitch + ix];
					sum += p;
					mag += fabs(p);
				}
		if (c->has_res)
			sum += l->res[f * c->res.plane + (u64)y * c->res.pitch + x];
		got = l->out[f * c->out.plane + (u64)y * c->out.pitch + x];
		e = fabs(got - activate(c, sum)) / (1 + mag);
		if (!(e <= worst))
			worst = e;
		/* the zeros behind the row */
		for (u32 p = c->out.w; p < c->out.pitch; p++)
			if (l->out[f * c->out.plane + (u64)y * c->out.pitch + p] != 0)
				return NAN;
	}
	return worst;
}

void layer_unpack(struct layer *l)
{
	free(l->packed);
	free(l->scratch);
}

void layer_free(struct layer *l)
{
	free(l->in);
	free(l->out);
	free(l->res);
	free(l->bias);
	free(l->dense);
	if (l->w.storage != PATCNN_STORAGE_DENSE) {
		free((void *)l->w.values);
		free((void *)l->w.offset);
		free((void *)l->w.index);
		free((void *)l->w.reorder);
		free((void *)l->w.stride);
		free((void *)l->w.patterns);
		free((void *)l->w.taps);
	}
}
