// SPDX-License-Identifier: MIT
/* The reference: convolutions, linear, matrix product. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "reference.h"

/* struct shape - of dense weights [out][in][kh][kw]. */
struct shape {
	__u32 out, in, kh, kw;
};

static double *dense_at(double *d, struct shape s, __u32 o, __u32 i, __u32 y, __u32 x)
{
	return &d[(((__u64)o * s.in + i) * s.kh + y) * s.kw + x];
}

static void expand_fkw(const struct ref *r, const struct patcnn_weights *w, struct shape s,
		       double *d)
{
	const __u32 *reorder = ref_u32(r, w->reorder);
	const __u32 *offset = ref_u32(r, w->offset);
	const __u32 *index = ref_u32(r, w->index);
	const __u32 *stride = ref_u32(r, w->stride);
	const float *value = ref_f32(r, w->values);

	for (__u32 slot = 0; slot < s.out; slot++) {
		const __u32 *row = stride + (__u64)slot * (w->pattern_count + 1);

		for (__u32 p = 0; p < w->pattern_count; p++) {
			const struct patcnn_pattern *pat = &r->patterns[w->pattern_first + p];

			for (__u32 k = offset[slot] + row[p]; k < offset[slot] + row[p + 1]; k++)
				for (__u32 t = 0; t < pat->tap_count; t++) {
					const struct patcnn_tap *tap = &r->taps[pat->tap_first + t];

					*dense_at(d, s, reorder[slot], index[k], tap->row,
						  tap->col) = *value++;
				}
		}
	}
}

static void expand_csr(const struct ref *r, const struct patcnn_weights *w, struct shape s,
		       double *d)
{
	const __u32 *offset = ref_u32(r, w->offset);
	const __u32 *index = ref_u32(r, w->index);
	const float *value = ref_f32(r, w->values);
	__u64 per_filter = (__u64)s.in * s.kh * s.kw;

	for (__u32 o = 0; o < s.out; o++)
		for (__u32 k = offset[o]; k < offset[o + 1]; k++)
			d[o * per_filter + index[k]] = value[k];
}

static void expand_block(const struct ref *r, const struct patcnn_weights *w, struct shape s,
			 double *d)
{
	const __u32 *offset = ref_u32(r, w->offset);
	const __u32 *index = ref_u32(r, w->index);
	const float *value = ref_f32(r, w->values);
	__u32 rows = (s.out + w->block_out - 1) / w->block_out;

	for (__u32 row = 0; row < rows; row++)
		for (__u32 k = offset[row]; k < offset[row + 1]; k++)
			for (__u32 e = 0; e < (__u32)w->block_out * w->block_in; e++) {
				__u32 o = row * w->block_out + e / w->block_in;
				__u32 i = index[k] / (s.kh * s.kw) * w->block_in + e % w->block_in;

				if (o < s.out && i < s.in)
					*dense_at(d, s, o, i, index[k] / s.kw % s.kh,
						  index[k] % s.kw) =
						value[(__u64)k * w->block_out * w->block_in + e];
			}
}

static double *expand(const struct ref *r, const struct patcnn_weights *w, struct shape s)
{
	__u64 n = (__u64)s.out * s.in * s.kh * s.kw;
	double *d = calloc(n, sizeof(*d));

	if (!d) {
		perror("reference");
		exit(4);
	}
	switch (w->storage) {
	case PATCNN_STORAGE_FKW:
		expand_fkw(r, w, s, d);
		break;
	case PATCNN_STORAGE_CSR:
		expand_csr(r, w, s, d);
		break;
	case PATCNN_STORAGE_BLOCK:
		expand_block(r, w, s, d);
		break;
	default:
		for (__u64 i = 0; i < n; i++)
			d[i] = ref_f32(r, w->values)[i];
		break;
	}
	return d;
}

static double bias_of(const struct ref *r, const struct patcnn_weights *w, __u32 o)
{
	return w->bias.count ? ref_f32(r, w->bias)[o] : 0;
}

/* struct sum - a running sum of products and its error. */
struct sum {
	double v, err, mag;
	__u64 n;
};

static void sum_add(struct sum *s, double w, double x, double xerr)
{
	/* Sparse kernels skip zeros, dense ones make NaN of zero times infinity: both are right. */
	if (w == 0 && !(isfinite(x) && isfinite(xerr))) {
		s->err = INFINITY;
		return;
	}
	s->v += w * x;
	s->mag += fabs(w * x);
	s->err += fabs(w) * xerr;
	s->n++;
}

static void sum_store(const struct sum *s, struct ref_value *out, __u64 i)
{
	out->v[i] = s->v;
	out->err[i] = s->err + ref_sum_error(s->n, s->mag);
}

/*
 * Winograd's convolution computes tiles of 4x4 outputs from everything that any of them
 * reads: the bound of an output counts the largest sum of a tile that it may be in, and
 * what is not finite spreads over that tile.
 */
static void widen(const struct patcnn_tensor *t, const struct sum *sums, struct ref_value *out,
		  __u64 at)
{
	for (__s64 y = 0; y < t->h; y++)
	for (__s64 x = 0; x < t->w; x++, at++) {
		struct sum s = sums[y * t->w + x];

		for (__s64 i = y < 3 ? 0 : y - 3; i < t->h && i <= y + 3; i++)
		for (__s64 j = x < 3 ? 0 : x - 3; j < t->w && j <= x + 3; j++) {
			const struct sum *near = &sums[i * t->w + j];

			s.mag = fmax(s.mag, near->mag);
			if (!isfinite(near->err) || !isfinite(near->mag))
				s.err = INFINITY;
		}
		/* and its transforms round as often as the sum does */
		s.mag *= 2;
		sum_store(&s, out, at);
	}
}

static bool winograd(const struct patcnn_operator *op)
{
	const struct patcnn_window *w = &op->conv.window;

	return w->kernel_h == 3 && w->kernel_w == 3 && w->stride_h == 1 && w->stride_w == 1 &&
	       w->dilation_h == 1 && w->dilation_w == 1 && op->conv.groups == 1;
}

void ref_conv(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	const struct patcnn_window *win = &op->conv.window;
	struct shape s = { to->c, ti->c / op->conv.groups, win->kernel_h, win->kernel_w };
	double *w = expand(r, &op->conv.weights, s);
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	struct ref_value *res = op->operand_count > 1 ? ref_in(r, op, 1) : NULL;
	struct sum *sums = calloc((__u64)to->h * to->w, sizeof(*sums));
	__u64 at = 0;

	for (__u32 o = 0; o < to->c; o++)
	for (__u32 y = 0; y < to->h; y++)
	for (__u32 x = 0; x < to->w; x++, at++) {
		__u32 first = o / (to->c / op->conv.groups) * s.in;
		struct sum sum = { 0 };

		sum_add(&sum, bias_of(r, &op->conv.weights, o), 1, 0);
		for (__u32 i = 0; i < s.in; i++)
		for (__u32 ky = 0; ky < s.kh; ky++)
		for (__u32 kx = 0; kx < s.kw; kx++) {
			__s64 iy = (__s64)y * win->stride_h + ky * win->dilation_h - win->pad_top;
			__s64 ix = (__s64)x * win->stride_w + kx * win->dilation_w - win->pad_left;
			__u64 j = ((__u64)(first + i) * ti->h + iy) * ti->w + ix;

			if (iy >= 0 && ix >= 0 && iy < ti->h && ix < ti->w)
				sum_add(&sum, *dense_at(w, s, o, i, ky, kx), in->v[j], in->err[j]);
		}
		if (res)
			sum_add(&sum, 1, res->v[at], res->err[at]);
		sum_store(&sum, out, at);
		sums[y * to->w + x] = sum;
		if (winograd(op) && y + 1 == to->h && x + 1 == to->w)
			widen(to, sums, out, at + 1 - (__u64)to->h * to->w);
	}
	free(sums);
	free(w);
}

void ref_conv_transpose(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	const struct patcnn_window *win = &op->conv.window;
	__u32 out_per_group = to->c / op->conv.groups;
	struct shape s = { ti->c, out_per_group, win->kernel_h, win->kernel_w };
	double *w = expand(r, &op->conv.weights, s);
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	struct sum *sums = calloc(out->count, sizeof(*sums));

	for (__u64 i = 0; i < out->count; i++)
		sum_add(&sums[i], bias_of(r, &op->conv.weights, i / ((__u64)to->h * to->w)), 1, 0);
	for (__u32 c = 0; c < ti->c; c++)
	for (__u32 y = 0; y < ti->h; y++)
	for (__u32 x = 0; x < ti->w; x++)
	for (__u32 o = 0; o < out_per_group; o++)
	for (__u32 ky = 0; ky < s.kh; ky++)
	for (__u32 kx = 0; kx < s.kw; kx++) {
		__s64 oy = (__s64)y * win->stride_h + ky * win->dilation_h - win->pad_top;
		__s64 ox = (__s64)x * win->stride_w + kx * win->dilation_w - win->pad_left;
		__u32 oc = c / (ti->c / op->conv.groups) * out_per_group + o;
		__u64 j = ((__u64)c * ti->h + y) * ti->w + x;

		if (oy >= 0 && ox >= 0 && oy < to->h && ox < to->w)
			sum_add(&sums[((__u64)oc * to->h + oy) * to->w + ox],
				*dense_at(w, s, c, o, ky, kx), in->v[j], in->err[j]);
	}
	for (__u64 i = 0; i < out->count; i++)
		sum_store(&sums[i], out, i);
	free(sums);
	free(w);
}

void ref_linear(const struct ref *r, const struct patcnn_operator *op)
{
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	const struct patcnn_weights *weights = &op->conv.weights;
	const struct patcnn_tensor *to = &r->tensors[op->output];
	__u32 features = to->shape[to->rank - 1];
	__u64 rows = out->count / features;
	struct shape s = { features, in->count / rows, 1, 1 };
	double *w;

	w = expand(r, weights, s);
	for (__u64 row = 0; row < rows; row++)
		for (__u32 o = 0; o < s.out; o++) {
			struct sum sum = { 0 };

			sum_add(&sum, bias_of(r, weights, o), 1, 0);
			for (__u32 i = 0; i < s.in; i++)
				sum_add(&sum, *dense_at(w, s, o, i, 0, 0), in->v[row * s.in + i],
					in->err[row * s.in + i]);
			sum_store(&sum, out, row * s.out + o);
		}
	free(w);
}

void ref_matmul(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ta = ref_tensor(r, op, 0), *tb = ref_tensor(r, op, 1);
	struct ref_value *a = ref_in(r, op, 0), *b = ref_in(r, op, 1);
	struct ref_value *out = &r->values[op->output];
	__u64 at = 0;

	for (__u32 c = 0; c < ta->c; c++)
	for (__u32 y = 0; y < ta->h; y++)
	for (__u32 x = 0; x < tb->w; x++, at++) {
		struct sum sum = { 0 };

		for (__u32 k = 0; k < ta->w; k++) {
			__u64 i = ((__u64)c * ta->h + y) * ta->w + k;
			__u64 j = ((__u64)(tb->c == 1 ? 0 : c) * tb->h + k) * tb->w + x;

			sum_add(&sum, a->v[i], b->v[j], b->err[j]);
			sum.err += fabs(b->v[j]) * a->err[i] + a->err[i] * b->err[j];
		}
		sum_store(&sum, out, at);
	}
}
