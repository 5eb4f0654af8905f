// SPDX-License-Identifier: MIT
/* The reference: everything that is not a product with weights. */

#include <math.h>
#include <string.h>

#include "reference.h"

static float bits(__u32 u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* Row-major position @at in @t as one coordinate for each axis. */
static void split(const struct patcnn_tensor *t, __u64 at, __u32 *pos)
{
	for (int i = t->rank - 1; i >= 0; i--) {
		pos[i] = at % t->shape[i];
		at /= t->shape[i];
	}
}

static __u64 join(const struct patcnn_tensor *t, const __u32 *pos)
{
	__u64 at = 0;

	for (int i = 0; i < t->rank; i++)
		at = at * t->shape[i] + pos[i];
	return at;
}

/* Like join(), with operands of fewer axes aligned at the last, and axes of 1 repeated. */
static __u64 join_broadcast(const struct patcnn_tensor *t, const __u32 *pos, __u8 rank)
{
	__u64 at = 0;

	for (int i = 0; i < t->rank; i++)
		at = at * t->shape[i] + (t->shape[i] == 1 ? 0 : pos[rank - t->rank + i]);
	return at;
}

void ref_pool(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	const struct patcnn_window *win = &op->pool.window;
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	__u64 at = 0;

	for (__u32 c = 0; c < to->c; c++)
	for (__u32 y = 0; y < to->h; y++)
	for (__u32 x = 0; x < to->w; x++, at++) {
		double max = -INFINITY, sum = 0, mag = 0, err = 0;
		__u32 n = 0;

		for (__u32 ky = 0; ky < win->kernel_h; ky++)
		for (__u32 kx = 0; kx < win->kernel_w; kx++) {
			__s64 iy = (__s64)y * win->stride_h + ky * win->dilation_h - win->pad_top;
			__s64 ix = (__s64)x * win->stride_w + kx * win->dilation_w - win->pad_left;
			__u64 j = ((__u64)c * ti->h + iy) * ti->w + ix;

			if (iy < 0 || ix < 0 || iy >= ti->h || ix >= ti->w)
				continue;
			max = fmax(max, in->v[j]);
			sum += in->v[j];
			mag += fabs(in->v[j]);
			err = fmax(err, in->err[j]);
			n++;
		}
		if (op->kind == PATCNN_OP_MAX_POOL) {
			out->v[at] = max;
			out->err[at] = err;
			continue;
		}
		if (op->pool.count_pad)
			n = win->kernel_h * win->kernel_w;
		/* A window that sees only padding and does not count it has no mean. */
		out->v[at] = n ? sum / n : 0;
		out->err[at] = n ? err + ref_sum_error(n, mag) / n : INFINITY;
	}
}

static double source(const struct patcnn_resize_params *p, __u32 i, __u32 in, __u32 out,
		     __u32 scale_bits)
{
	double scale = scale_bits ? bits(scale_bits) : (double)out / in;

	switch (p->coord) {
	case PATCNN_COORD_HALF_PIXEL:
		return (i + 0.5) / scale - 0.5;
	case PATCNN_COORD_ALIGN_CORNERS:
		return out == 1 ? 0 : (double)i * (in - 1) / (out - 1);
	case PATCNN_COORD_PYTORCH_HALF_PIXEL:
		return out > 1 ? (i + 0.5) / scale - 0.5 : 0;
	default:
		return i / scale;
	}
}

static double clamp(double x, __u32 n)
{
	return fmin(fmax(x, 0), n - 1);
}

static __u32 nearest(const struct patcnn_resize_params *p, double x, __u32 n)
{
	switch (p->round) {
	case PATCNN_ROUND_CEIL:
		return clamp(ceil(x), n);
	case PATCNN_ROUND_PREFER_FLOOR:
		return clamp(ceil(x - 0.5), n);
	case PATCNN_ROUND_PREFER_CEIL:
		return clamp(floor(x + 0.5), n);
	default:
		return clamp(floor(x), n);
	}
}

/* Values of coordinates are known to a few units in the last place of float. */
#define COORD_ERROR 2e-6

void ref_resize(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	const struct patcnn_resize_params *p = &op->resize;
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	__u64 at = 0;

	for (__u32 c = 0; c < to->c; c++)
	for (__u32 y = 0; y < to->h; y++)
	for (__u32 x = 0; x < to->w; x++, at++) {
		double sy = source(p, y, ti->h, to->h, p->scale_h);
		double sx = source(p, x, ti->w, to->w, p->scale_w);
		double ey = COORD_ERROR * (1 + fabs(sy)), ex = COORD_ERROR * (1 + fabs(sx));
		const double *v = in->v + (__u64)c * ti->h * ti->w;
		const double *e = in->err + (__u64)c * ti->h * ti->w;

		if (p->mode == PATCNN_RESIZE_NEAREST) {
			__u64 j = (__u64)nearest(p, sy, ti->h) * ti->w + nearest(p, sx, ti->w);

			out->v[at] = v[j];
			out->err[at] = e[j];
			/* Half a rounding error away from a tie either neighbour is right. */
			for (int k = 0; k < 4; k++) {
				double ny = sy + (k & 1 ? ey : -ey), nx = sx + (k & 2 ? ex : -ex);
				__u64 o = (__u64)nearest(p, ny, ti->h) * ti->w +
					  nearest(p, nx, ti->w);

				/* Exact ties are decided by the rule, in float as in double. */
				if (sy * 2 != floor(sy * 2) || sx * 2 != floor(sx * 2))
					out->err[at] = fmax(out->err[at], fabs(v[o] - v[j]) + e[o]);
			}
			continue;
		}
		__u32 y0 = clamp(floor(clamp(sy, ti->h)), ti->h);
		__u32 x0 = clamp(floor(clamp(sx, ti->w)), ti->w);
		__u32 y1 = clamp(y0 + 1, ti->h), x1 = clamp(x0 + 1, ti->w);
		double fy = clamp(sy, ti->h) - y0, fx = clamp(sx, ti->w) - x0;
		__u64 j[] = { (__u64)y0 * ti->w + x0, (__u64)y0 * ti->w + x1,
			      (__u64)y1 * ti->w + x0, (__u64)y1 * ti->w + x1 };
		double f[] = { (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx };
		double sum = 0, mag = 0, err = 0;

		for (int k = 0; k < 4; k++) {
			sum += f[k] * v[j[k]];
			mag += fabs(v[j[k]]);
			err = fmax(err, e[j[k]]);
		}
		out->v[at] = sum;
		out->err[at] = err + (ex + ey + 8 * REF_EPS) * mag;
	}
}

static void binary(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *to = &r->tensors[op->output];
	struct ref_value *out = &r->values[op->output];
	__u32 pos[PATCNN_MAX_RANK];

	for (__u64 i = 0; i < out->count; i++) {
		__u64 ia, ib;
		double a, b, ea, eb, y, e;

		split(to, i, pos);
		ia = join_broadcast(ref_tensor(r, op, 0), pos, to->rank);
		ib = join_broadcast(ref_tensor(r, op, 1), pos, to->rank);
		a = ref_in(r, op, 0)->v[ia];
		ea = ref_in(r, op, 0)->err[ia];
		b = ref_in(r, op, 1)->v[ib];
		eb = ref_in(r, op, 1)->err[ib];
		switch (op->kind) {
		case PATCNN_OP_ADD:
			y = a + b;
			e = ea + eb;
			break;
		case PATCNN_OP_SUB:
			y = a - b;
			e = ea + eb;
			break;
		case PATCNN_OP_MUL:
			y = a * b;
			e = fabs(a) * eb + fabs(b) * ea + ea * eb;
			break;
		case PATCNN_OP_DIV:
			y = a / b;
			e = fabs(b) > 2 * eb ? (ea + fabs(y) * eb) / (fabs(b) - eb) : INFINITY;
			break;
		default:
			y = a < 0 ? a * b : a;
			e = fmax(ea, fabs(a) * eb + fabs(b) * ea + ea * eb);
			break;
		}
		out->v[i] = y;
		out->err[i] = e + 4 * REF_EPS * fabs(y);
	}
}

static void concat(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *to = &r->tensors[op->output];
	struct ref_value *out = &r->values[op->output];
	__u32 axis = op->axis.axis;
	__u32 from = 0;

	for (__u32 k = 0; k < op->operand_count; k++) {
		const struct patcnn_tensor *ti = ref_tensor(r, op, k);
		struct ref_value *in = ref_in(r, op, k);
		__u32 pos[PATCNN_MAX_RANK];

		for (__u64 i = 0; i < in->count; i++) {
			__u64 j;

			split(ti, i, pos);
			pos[axis] += from;
			j = join(to, pos);
			out->v[j] = in->v[i];
			out->err[j] = in->err[i];
		}
		from += ti->shape[axis];
	}
}

/* Where element @pos of the output comes from; false: from nowhere (padding). */
static bool origin(const struct patcnn_operator *op, const struct patcnn_tensor *ti, __u32 *pos)
{
	__u32 to[PATCNN_MAX_RANK];

	memcpy(to, pos, sizeof(to));
	for (__u8 i = 0; i < ti->rank; i++) {
		__s64 n = ti->shape[i];
		__s64 x;

		switch (op->kind) {
		case PATCNN_OP_SLICE:
			pos[i] = op->slice.start[i] + to[i] * op->slice.step[i];
			break;
		case PATCNN_OP_PERMUTE:
			pos[op->axis.perm[i]] = to[i];
			break;
		default:
			x = (__s64)to[i] - op->pad.before[i];
			if (x < 0 || x >= n) {
				if (op->pad.mode == PATCNN_PAD_CONSTANT)
					return false;
				if (op->pad.mode == PATCNN_PAD_EDGE)
					x = x < 0 ? 0 : n - 1;
				else
					x = x < 0 ? -x : 2 * (n - 1) - x;
			}
			pos[i] = x;
			break;
		}
	}
	return true;
}

static void move(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	__u32 pos[PATCNN_MAX_RANK];

	for (__u64 i = 0; i < out->count; i++) {
		__u64 j = i;

		if (op->kind != PATCNN_OP_RESHAPE && op->kind != PATCNN_OP_ACTIVATION) {
			split(to, i, pos);
			if (!origin(op, ti, pos)) {
				out->v[i] = bits(op->pad.value);
				out->err[i] = 0;
				continue;
			}
			j = join(ti, pos);
		}
		out->v[i] = in->v[j];
		out->err[i] = in->err[j];
	}
}

static void convert(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0);
	const struct patcnn_convert_params *p = &op->convert;
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	__u64 pixels = (__u64)ti->h * ti->w;

	for (__u64 i = 0; i < out->count; i++) {
		__u32 c = i / pixels;
		__u64 from = p->swap_rb ? (2 - c) * pixels + i % pixels : i;
		double mean = p->mean.count ? ref_f32(r, p->mean)[c] : 0;
		double scale = p->scale.count ? ref_f32(r, p->scale)[c] : 1;

		out->v[i] = (in->v[from] - mean) * scale;
		out->err[i] = fabs(scale) * (in->err[from] +
					     4 * REF_EPS * (fabs(in->v[from]) + fabs(mean)));
	}
}

static void softmax(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *t = &r->tensors[op->output];
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	__u64 n = t->shape[op->axis.axis], step = 1;

	for (__u32 i = op->axis.axis + 1; i < t->rank; i++)
		step *= t->shape[i];
	for (__u64 i = 0; i < out->count; i++) {
		__u64 first = i / (step * n) * (step * n) + i % step;
		double max = -INFINITY, sum = 0, err = 0, range = 0;

		for (__u64 k = 0; k < n; k++) {
			max = fmax(max, in->v[first + k * step]);
			err = fmax(err, in->err[first + k * step]);
		}
		for (__u64 k = 0; k < n; k++)
			sum += exp(in->v[first + k * step] - max);
		range = fabs(in->v[i] - max);
		out->v[i] = exp(in->v[i] - max) / sum;
		out->err[i] = out->v[i] * (4 * err + 8 * REF_EPS * (range + fabs(max)) +
					   ref_sum_error(n, 1) + 2 * REF_FUNCTION);
	}
}

static void reduce(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *ti = ref_tensor(r, op, 0), *to = &r->tensors[op->output];
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	double n = (double)in->count / out->count;
	double scale = op->axis.kind == PATCNN_REDUCE_MEAN ? 1 / n : 1;
	bool max = op->axis.kind == PATCNN_REDUCE_MAX;
	__u32 pos[PATCNN_MAX_RANK];

	for (__u64 i = 0; i < out->count; i++) {
		out->v[i] = max ? -INFINITY : 0;
		out->err[i] = 0;
	}
	for (__u64 i = 0; i < in->count; i++) {
		__u64 j;

		split(ti, i, pos);
		for (__u8 k = 0; k < ti->rank; k++)
			if (op->axis.axes >> k & 1)
				pos[k] = 0;
		j = join(to, pos);
		if (max) {
			out->v[j] = fmax(out->v[j], in->v[i]);
			out->err[j] = fmax(out->err[j], in->err[i]);
		} else {
			out->v[j] += in->v[i] * scale;
			out->err[j] += scale * (in->err[i] + ref_sum_error(n, fabs(in->v[i])));
		}
	}
}

/* Scale or bias, operand @i, at element @at of the output. */
static double norm_param(const struct ref *r, const struct patcnn_operator *op, __u32 i, __u64 at,
			 double absent)
{
	const struct patcnn_tensor *to = &r->tensors[op->output];
	__u32 pos[PATCNN_MAX_RANK];

	if (op->operand_count <= i)
		return absent;
	if (op->kind == PATCNN_OP_INSTANCE_NORM)
		return ref_in(r, op, i)->v[at / ((__u64)to->h * to->w)];
	split(to, at, pos);
	return ref_in(r, op, i)->v[join_broadcast(ref_tensor(r, op, i), pos, to->rank)];
}

void ref_norm(const struct ref *r, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *t = &r->tensors[op->output];
	struct ref_value *in = ref_in(r, op, 0), *out = &r->values[op->output];
	bool layer = op->kind == PATCNN_OP_LAYER_NORM;
	__u64 n = (__u64)t->h * t->w;

	if (layer) {
		n = 1;
		for (__u32 i = op->axis.axis; i < t->rank; i++)
			n *= t->shape[i];
	}
	for (__u64 i = 0; i < in->count; i += n) {
		double mean = 0, var = 0, big = 0, err = 0, rs, delta;

		for (__u64 k = i; k < i + n; k++) {
			mean += in->v[k] / n;
			big = fmax(big, fabs(in->v[k]));
			err = fmax(err, in->err[k]);
		}
		for (__u64 k = i; k < i + n; k++)
			var += (in->v[k] - mean) * (in->v[k] - mean) / n;
		rs = 1 / sqrt(var + bits(op->axis.epsilon));
		delta = err + ref_sum_error(n, big);
		for (__u64 k = i; k < i + n; k++) {
			double x = (in->v[k] - mean) * rs;
			double scale = norm_param(r, op, 1, k, 1);
			double bias = norm_param(r, op, 2, k, 0);

			out->v[k] = x * scale + bias;
			out->err[k] = fabs(scale) * (2 * delta * rs + fabs(x) * (delta * rs +
				      32 * REF_EPS)) + 8 * REF_EPS * (fabs(x * scale) + fabs(bias));
		}
	}
}

void ref_other(const struct ref *r, const struct patcnn_operator *op)
{
	switch (op->kind) {
	case PATCNN_OP_CONVERT:
		convert(r, op);
		break;
	case PATCNN_OP_CONCAT:
		concat(r, op);
		break;
	case PATCNN_OP_SOFTMAX:
		softmax(r, op);
		break;
	case PATCNN_OP_REDUCE:
		reduce(r, op);
		break;
	case PATCNN_OP_ADD:
	case PATCNN_OP_SUB:
	case PATCNN_OP_MUL:
	case PATCNN_OP_DIV:
	case PATCNN_OP_PRELU:
		binary(r, op);
		break;
	default:
		move(r, op);
		break;
	}
}
