/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Input conversion, pooling and resizing. */
#include "op_common.h"

/* unit -> channel, row, first column and number of columns */
struct op_row {
	u32 c;
	u32 y;
	u32 x;
	u32 n;
};

PAT_INLINE struct op_row op_row_of(const struct pat_work *w, u64 unit)
{
	const struct pat_window_task *t = &w->task->window;
	u64 row = unit / t->segments;
	u32 x = unit % t->segments * t->segment, left = t->out.w - x;

	return (struct op_row){ row / w->rows, w->row + row % w->rows, x,
				left < t->segment ? left : t->segment };
}

PAT_INLINE float *op_row_out(const struct pat_work *w, const struct op_row *r)
{
	const struct pat_planes *o = &w->task->window.out;

	return w->out + (u64)r->c * o->plane + (u64)r->y * o->pitch + r->x;
}

static bool convert_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_window_task *t = &w->task->window;
	u64 count, unit = op_chunk(w, cur, &count);

	(void)scratch;
	for (; count; count--, unit++) {
		struct op_row r = op_row_of(w, unit);
		u32 step = t->hwc ? t->out.c : 1;
		u32 c = w->task->op->convert.swap_rb ? 2 - r.c : r.c;
		u64 at = (u64)c * t->in.plane + (u64)r.y * t->in.pitch + (u64)r.x * step;
		vf mean = v_set1(w->in[1] ? w->in[1][r.c] : 0.0f);
		vf scale = v_set1(w->in[2] ? w->in[2][r.c] : 1.0f);
		const u8 *bytes = (const u8 *)w->in[0] + at;
		const float *floats = w->in[0] + at;
		float *out = op_row_out(w, &r);

		for (u32 i = 0; i < r.n; i += PAT_VL) {
			u32 m = op_lanes(i, r.n), lanes = r.n - i;
			vf v;

			if (t->bytes) {
				vi b = { 0 };

				for (u32 k = 0; k < PAT_VL && k < lanes; k++)
					b[k] = bytes[(u64)(i + k) * step];
				v = __builtin_convertvector(b, vf);
			} else {
				v = op_load(floats + (u64)i * step, step, m);
			}
			op_store(out + i, 1, m, (v - mean) * scale);
		}
		op_activate(&w->task->act, out, 1, r.n);
	}
	return op_done(w, cur);
}

/* Kernel positions along one axis that lie inside the input: from *first, *count of them. */
PAT_INLINE void pool_range(s64 at, u32 kernel, u32 dilation, u32 size, u32 *first, u32 *count)
{
	s64 k0 = at < 0 ? (-at + dilation - 1) / dilation : 0;
	s64 k1 = at < (s64)size ? ((s64)size - at + dilation - 1) / dilation : 0;

	if (k1 > kernel)
		k1 = kernel;
	*first = k0;
	*count = k1 > k0 ? k1 - k0 : 0;
}

/* Columns of one output row: where the padded input row in the scratch starts, and what to count. */
struct pool {
	const struct pat_window_task *t;
	const struct patcnn_window *win;
	const float *in;
	float *row;
	bool max;
	bool count_pad;
	u32 ky;
	u32 rows;
	s64 y;
};

PAT_INLINE vf pool_join(bool max, vf a, vf b)
{
	if (max)
		return op_vmax(a, b);
	return a + b;
}

/*
 * Joins the rows of the window into one row, with nothing where the padding is;
 * the columns of the window are then joined from that.
 */
static PAT_NOINLINE void pool_rows(const struct pool *p, const struct op_row *r, u32 span)
{
	const struct pat_planes *in = &p->t->in;
	s64 x0 = (s64)r->x * p->win->stride_w - p->win->pad_left;
	u32 lead = x0 < 0 ? -x0 : 0, from = x0 < 0 ? 0 : x0, n;
	float nothing = p->max ? -__builtin_inff() : 0.0f;

	n = from < in->w ? in->w - from : 0;
	if (lead > span)
		lead = span;
	if (n > span - lead)
		n = span - lead;
	PAT_ISA(pat_op_fill)(p->row, 1, lead, nothing);
	PAT_ISA(pat_op_fill)(p->row + lead + n, 1, p->t->row_floats - lead - n, nothing);
	for (u32 i = 0; i < n; i += PAT_VL) {
		u32 m = op_lanes(i, n);
		vf v = v_set1(nothing);

		for (u32 k = 0; k < p->rows; k++) {
			u64 y = p->y + (s64)(p->ky + k) * p->win->dilation_h;

			v = pool_join(p->max, v,
				      op_load(p->in + y * in->pitch + from + i, 1, m));
		}
		op_store(p->row + lead + i, 1, m, v);
	}
}

PAT_INLINE vf pool_columns(const struct pool *p, const float *row, u32 stride)
{
	vf v = v_set1(p->max ? -__builtin_inff() : 0.0f);

	for (u32 k = 0; k < p->win->kernel_w; k++) {
		const float *at = row + (u64)k * p->win->dilation_w;
		vf x = stride == 1 ? v_loadu(at) :
		       stride == 2 ? v_even(v_loadu(at), v_loadu(at + PAT_VL)) :
		       op_load(at, stride, PAT_ALL_LANES);

		v = pool_join(p->max, v, x);
	}
	return v;
}

/* 1 / number of window elements of each lane; only edges differ from the whole window. */
static PAT_NOINLINE vf pool_divisor(const struct pool *p, u32 x, u32 lanes)
{
	vf d = v_set1(1.0f);
	u32 first, count;

	for (u32 i = 0; i < lanes; i++) {
		s64 at = (s64)(x + i) * p->win->stride_w - p->win->pad_left;

		pool_range(at, p->win->kernel_w, p->win->dilation_w, p->t->in.w, &first, &count);
		count *= p->rows;
		d[i] = count ? 1.0f / (float)count : 1.0f;
	}
	return d;
}

static void pool_fast(const struct pool *p, const struct op_row *r, float *out)
{
	const struct patcnn_window *win = p->win;
	u32 stride = win->stride_w;
	u32 span = (r->n - 1) * stride + (win->kernel_w - 1) * win->dilation_w + 1;
	float whole = 1.0f / ((float)win->kernel_h * (float)win->kernel_w);

	pool_rows(p, r, span);
	for (u32 i = 0; i < r->n; i += PAT_VL) {
		const float *row = p->row + (u64)i * stride;
		u32 m = op_lanes(i, r->n), lanes = r->n - i < PAT_VL ? r->n - i : PAT_VL;
		vf v;

		/* a stride above 4 has no room behind the row for all lanes */
		if (stride > 4 && lanes < PAT_VL) {
			v = v_set1(0.0f);
			for (u32 k = 0; k < lanes; k++)
				v[k] = pool_columns(p, row + (u64)k * stride, 1)[0];
		} else {
			v = pool_columns(p, row, stride);
		}
		if (!p->max)
			v *= p->count_pad ? v_set1(whole) : pool_divisor(p, r->x + i, lanes);
		op_store(out + i, 1, m, v);
	}
}

/* One pixel of a window too wide for the scratch. */
static float pool_pixel(const struct pool *p, u32 x)
{
	const struct patcnn_window *win = p->win;
	s64 at = (s64)x * win->stride_w - win->pad_left;
	float v = p->max ? -__builtin_inff() : 0.0f;
	u32 kx, cols;

	pool_range(at, win->kernel_w, win->dilation_w, p->t->in.w, &kx, &cols);
	for (u32 k = 0; k < p->rows; k++) {
		const float *row = p->in + (u64)(p->y + (s64)(p->ky + k) * win->dilation_h) *
				   p->t->in.pitch;

		for (u32 j = 0; j < cols; j++) {
			float f = row[at + (s64)(kx + j) * win->dilation_w];

			v = !p->max ? v + f : f > v || f != f ? f : v;
		}
	}
	if (p->max)
		return v;
	if (p->count_pad)
		return v / ((float)win->kernel_h * (float)win->kernel_w);
	return p->rows && cols ? v / ((float)p->rows * (float)cols) : 0.0f;
}

static bool pool_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_window_task *t = &w->task->window;
	u64 count, unit = op_chunk(w, cur, &count);
	struct pool p = {
		.t = t,
		.win = &w->task->op->pool.window,
		.row = scratch,
		.max = w->task->op->kind == PATCNN_OP_MAX_POOL,
		.count_pad = w->task->op->pool.count_pad,
	};

	for (; count; count--, unit++) {
		struct op_row r = op_row_of(w, unit);
		float *out = op_row_out(w, &r);

		p.in = w->in[0] + (u64)r.c * t->in.plane;
		p.y = (s64)r.y * p.win->stride_h - p.win->pad_top;
		pool_range(p.y, p.win->kernel_h, p.win->dilation_h, t->in.h, &p.ky, &p.rows);
		if (t->row_floats)
			pool_fast(&p, &r, out);
		else
			*out = pool_pixel(&p, r.x);
		op_activate(&w->task->act, out, 1, r.n);
	}
	return op_done(w, cur);
}

/* struct axis - resampling along one axis */
struct axis {
	u32 in;
	u32 out;
	u32 coord;
	/* input pixels per output pixel */
	float step;
};

static struct axis resize_axis(u32 in, u32 out, u32 coord, u32 scale)
{
	struct axis a = { in, out, coord, 0.0f };

	if (coord == PATCNN_COORD_ALIGN_CORNERS)
		a.step = out > 1 ? (float)(in - 1) / (float)(out - 1) : 0.0f;
	else
		a.step = scale ? 1.0f / op_float(scale) : (float)in / (float)out;
	return a;
}

/* Where output pixel @i lies, limited so that it can be made an integer. */
static float resize_at(const struct axis *a, u32 i)
{
	float x;

	switch (a->coord) {
	case PATCNN_COORD_HALF_PIXEL:
		x = ((float)i + 0.5f) * a->step - 0.5f;
		break;
	case PATCNN_COORD_PYTORCH_HALF_PIXEL:
		x = a->out > 1 ? ((float)i + 0.5f) * a->step - 0.5f : 0.0f;
		break;
	default:
		x = (float)i * a->step;
	}
	/* false for NaN as well, which an infinite step times zero is */
	if (!(x > -1.0f))
		return -1.0f;
	return x < (float)a->in ? x : (float)a->in;
}

static u32 resize_nearest(const struct axis *a, u32 i, u32 round)
{
	float x = resize_at(a, i);
	s32 n = (s32)x - (x < 0.0f && x != (float)(s32)x);	/* floor */
	float f = x - (float)n;

	if ((round == PATCNN_ROUND_CEIL && f > 0.0f) ||
	    (round == PATCNN_ROUND_PREFER_FLOOR && f > 0.5f) ||
	    (round == PATCNN_ROUND_PREFER_CEIL && f >= 0.5f))
		n++;
	return n < 0 ? 0 : (u32)n >= a->in ? a->in - 1 : (u32)n;
}

/* The two pixels that @i lies between and the weight of the second. */
static void resize_linear(const struct axis *a, u32 i, u32 *p0, u32 *p1, float *weight)
{
	float x = resize_at(a, i);
	u32 n;

	if (x < 0.0f)
		x = 0.0f;
	if (x > (float)(a->in - 1))
		x = (float)(a->in - 1);
	n = (u32)x;
	*p0 = n;
	*p1 = n + 1 < a->in ? n + 1 : n;
	*weight = x - (float)n;
}

/* Per column of a segment: two positions and a weight, kept in the scratch. */
struct columns {
	u32 *p0;
	u32 *p1;
	float *weight;
};

static void resize_columns(const struct pat_work *w, const struct op_row *r, struct columns *c)
{
	const struct patcnn_resize_params *p = &w->task->op->resize;
	const struct pat_window_task *t = &w->task->window;
	struct axis a = resize_axis(t->in.w, t->out.w, p->coord, p->scale_w);

	for (u32 i = 0; i < r->n; i++) {
		if (p->mode == PATCNN_RESIZE_NEAREST) {
			c->p0[i] = resize_nearest(&a, r->x + i, p->round);
			c->p1[i] = c->p0[i];
			c->weight[i] = 0.0f;
		} else {
			resize_linear(&a, r->x + i, &c->p0[i], &c->p1[i], &c->weight[i]);
		}
	}
}

static void resize_row(const struct pat_work *w, const struct op_row *r, const struct columns *c,
		       float *out)
{
	const struct patcnn_resize_params *p = &w->task->op->resize;
	const struct pat_window_task *t = &w->task->window;
	struct axis a = resize_axis(t->in.h, t->out.h, p->coord, p->scale_h);
	const float *in = w->in[0] + (u64)r->c * t->in.plane, *row0, *row1;
	u32 y0, y1;
	float wy;

	if (p->mode == PATCNN_RESIZE_NEAREST) {
		row0 = in + (u64)resize_nearest(&a, r->y, p->round) * t->in.pitch;
		for (u32 i = 0; i < r->n; i++)
			out[i] = row0[c->p0[i]];
		return;
	}
	resize_linear(&a, r->y, &y0, &y1, &wy);
	row0 = in + (u64)y0 * t->in.pitch;
	row1 = in + (u64)y1 * t->in.pitch;
	for (u32 i = 0; i < r->n; i++) {
		u32 x0 = c->p0[i], x1 = c->p1[i];
		float f = c->weight[i];
		float top = row0[x0] + (row0[x1] - row0[x0]) * f;
		float bottom = row1[x0] + (row1[x1] - row1[x0]) * f;

		out[i] = top + (bottom - top) * wy;
	}
}

static bool resize_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_window_task *t = &w->task->window;
	u64 count, unit = op_chunk(w, cur, &count);
	u32 room = pat_up(t->segment, 16), made = PAT_NONE;
	struct columns c = { scratch, (u32 *)scratch + room, (float *)scratch + 2 * room };

	for (; count; count--, unit++) {
		struct op_row r = op_row_of(w, unit);
		float *out = op_row_out(w, &r);

		if (made != r.x)
			resize_columns(w, &r, &c);
		made = r.x;
		resize_row(w, &r, &c, out);
		op_activate(&w->task->act, out, 1, r.n);
	}
	return op_done(w, cur);
}
