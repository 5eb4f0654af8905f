// SPDX-License-Identifier: MIT
/* The reference: sections, constants, inputs, order of operators, comparison. */

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

static const struct patcnn_section *section(const __u8 *blob, __u32 type)
{
	const struct patcnn_program_header *h = (const void *)blob;
	const struct patcnn_section *s = (const void *)(h + 1);

	for (__u32 i = 0; i < h->section_count; i++)
		if (s[i].type == type)
			return &s[i];
	return NULL;
}

static const void *start(const __u8 *blob, __u32 type, __u32 *count)
{
	const struct patcnn_section *s = section(blob, type);

	if (count)
		*count = s ? (__u32)s->count : 0;
	return s ? blob + s->offset : NULL;
}

static void no_memory(void)
{
	perror("reference");
	exit(4);
}

static void load_constant(struct ref *r, __u32 t)
{
	const float *f = (const float *)(r->data + r->tensors[t].data_offset);

	for (__u64 i = 0; i < r->values[t].count; i++)
		r->values[t].v[i] = f[i];
}

void ref_open(struct ref *r, const void *blob)
{
	memset(r, 0, sizeof(*r));
	r->blob = blob;
	r->tensors = start(blob, PATCNN_SECTION_TENSORS, &r->tensor_count);
	r->operators = start(blob, PATCNN_SECTION_OPERATORS, &r->operator_count);
	r->operands = start(blob, PATCNN_SECTION_OPERANDS, NULL);
	r->patterns = start(blob, PATCNN_SECTION_PATTERNS, NULL);
	r->taps = start(blob, PATCNN_SECTION_TAPS, NULL);
	r->data = start(blob, PATCNN_SECTION_DATA, NULL);
	r->values = calloc(r->tensor_count, sizeof(*r->values));
	if (!r->values)
		no_memory();
}

/* Values of deep nets are large: they come with the first run. */
static void allocate(struct ref *r)
{
	for (__u32 t = 0; t < r->tensor_count; t++) {
		const struct patcnn_tensor *d = &r->tensors[t];
		struct ref_value *x = &r->values[t];

		if (x->v)
			continue;
		x->count = (__u64)d->c * d->h * d->w;
		x->v = calloc(x->count, sizeof(double));
		x->err = calloc(x->count, sizeof(double));
		if (!x->v || !x->err)
			no_memory();
		if (d->role == PATCNN_ROLE_CONSTANT)
			load_constant(r, t);
	}
}

void ref_close(struct ref *r)
{
	for (__u32 t = 0; t < r->tensor_count; t++) {
		free(r->values[t].v);
		free(r->values[t].err);
	}
	free(r->values);
	memset(r, 0, sizeof(*r));
}

static void load_input(struct ref *r, __u32 t, const void *memory)
{
	const struct patcnn_tensor *d = &r->tensors[t];
	struct ref_value *x = &r->values[t];
	const float *f = memory;
	const __u8 *u = memory;

	for (__u64 i = 0; i < x->count; i++) {
		__u64 pixels = (__u64)d->h * d->w;
		__u64 from = d->layout == PATCNN_LAYOUT_HWC ? i % pixels * d->c + i / pixels : i;

		x->v[i] = d->dtype == PATCNN_DTYPE_U8 ? u[from] : f[from];
	}
}

double ref_sum_error(double n, double mag)
{
	return (8 + sqrt(n)) * REF_EPS * mag;
}

static double power(double x, double a)
{
	return pow(x, a);
}

static double act_value(const struct patcnn_activation *act, double a, double b, double x)
{
	switch (act->kind) {
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
	case PATCNN_ACT_GELU:
		return x * (1 + erf(x / sqrt(2))) / 2;
	case PATCNN_ACT_EXP:
		return exp(x);
	case PATCNN_ACT_SQRT:
		return sqrt(x);
	case PATCNN_ACT_ABS:
		return fabs(x);
	case PATCNN_ACT_NEG:
		return -x;
	case PATCNN_ACT_LOG:
		return log(x);
	case PATCNN_ACT_ERF:
		return erf(x);
	case PATCNN_ACT_RECIPROCAL:
		return 1 / x;
	case PATCNN_ACT_SOFTPLUS:
		return x > 30 ? x : log1p(exp(x));
	case PATCNN_ACT_MISH:
		return x * tanh(x > 30 ? x : log1p(exp(x)));
	case PATCNN_ACT_POW:
		return power(x, a);
	default:
		return x;
	}
}

static bool transcendental(__u32 kind)
{
	switch (kind) {
	case PATCNN_ACT_NONE:
	case PATCNN_ACT_RELU:
	case PATCNN_ACT_CLIP:
	case PATCNN_ACT_LEAKY_RELU:
	case PATCNN_ACT_ABS:
	case PATCNN_ACT_NEG:
	case PATCNN_ACT_HARD_SIGMOID:
	case PATCNN_ACT_HARD_SWISH:
		return false;
	default:
		return true;
	}
}

/*
 * The error of the argument becomes the greatest change of the function over
 * the interval that it spans; the function adds its own.
 */
void ref_activate(const struct patcnn_activation *act, double *v, double *err)
{
	float a, b;
	double x = *v, e = *err, y, up, down;

	memcpy(&a, &act->a, sizeof(a));
	memcpy(&b, &act->b, sizeof(b));
	if (act->kind == PATCNN_ACT_NONE)
		return;
	y = act_value(act, a, b, x);
	up = fabs(act_value(act, a, b, x + e) - y);
	down = fabs(act_value(act, a, b, x - e) - y);
	*v = y;
	/* fmax() and comparisons drop a NaN: no bound may come of one. */
	*err = isnan(x) || !isfinite(e) || isnan(up) || isnan(down) ? INFINITY : fmax(up, down);
	*err += 4 * REF_EPS * fabs(y);
	if (transcendental(act->kind))
		*err += REF_FUNCTION * fabs(y) + 1e-7;
	/* a * x + b may cancel; x / 6 + 1/2 likewise */
	if (act->kind == PATCNN_ACT_HARD_SIGMOID)
		*err += 4 * REF_EPS * (fabs(a * x) + fabs(b));
	if (act->kind == PATCNN_ACT_HARD_SWISH)
		*err += 8 * REF_EPS * (fabs(x) + x * x);
}

static void finish(const struct ref *r, const struct patcnn_operator *op)
{
	struct ref_value *out = &r->values[op->output];

	for (__u64 i = 0; i < out->count; i++)
		ref_activate(&op->activation, &out->v[i], &out->err[i]);
}

void ref_run(struct ref *r, const void *const *io)
{
	allocate(r);
	for (__u32 t = 0; t < r->tensor_count; t++)
		if (r->tensors[t].role == PATCNN_ROLE_INPUT)
			load_input(r, t, io[t]);
	for (__u32 i = 0; i < r->operator_count; i++) {
		const struct patcnn_operator *op = &r->operators[i];

		switch (op->kind) {
		case PATCNN_OP_CONV:
			ref_conv(r, op);
			break;
		case PATCNN_OP_CONV_TRANSPOSE:
			ref_conv_transpose(r, op);
			break;
		case PATCNN_OP_LINEAR:
			ref_linear(r, op);
			break;
		case PATCNN_OP_MATMUL:
			ref_matmul(r, op);
			break;
		case PATCNN_OP_MAX_POOL:
		case PATCNN_OP_AVG_POOL:
			ref_pool(r, op);
			break;
		case PATCNN_OP_RESIZE:
			ref_resize(r, op);
			break;
		case PATCNN_OP_LAYER_NORM:
		case PATCNN_OP_INSTANCE_NORM:
			ref_norm(r, op);
			break;
		default:
			ref_other(r, op);
			break;
		}
		finish(r, op);
	}
}

bool ref_compare(const struct ref *r, __u32 t, const float *got, struct ref_diff *d)
{
	const struct ref_value *x = &r->values[t];

	memset(d, 0, sizeof(*d));
	for (__u64 i = 0; i < x->count; i++) {
		/* Denormals may be flushed to zero. */
		double bound = x->err[i] + 2 * REF_EPS * fabs(x->v[i]) + FLT_MIN;
		double off = fabs(got[i] - x->v[i]);

		if (!isfinite(bound) || isnan(x->v[i]) || fabs(x->v[i]) + bound > FLT_MAX) {
			d->unbounded++;
			continue;
		}
		if (off / bound > d->worst)
			d->worst = off / bound;
		if (off <= bound)
			continue;
		if (!d->bad++) {
			d->first = i;
			d->got = got[i];
			d->want = x->v[i];
			d->bound = bound;
		}
	}
	return !d->bad;
}
