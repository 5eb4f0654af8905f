/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_TMPL_GEMM_H_
#define _PAT_TMPL_GEMM_H_

/*
 * Dense layers as matrix products. Pixels go in strips of three vectors: what a block of
 * taps reads of them is packed side by side, so that the inner loop walks two streams and
 * every load is aligned; then each group of filters passes over the strip with all sums
 * in registers.
 *
 * A strip may have one more pixel: maps of 7x7 and 14x14 are multiples of 49 pixels. The
 * lanes of its sum are the filters of the group.
 */
#include "tmpl_act.h"
#include "tmpl_gather.h"
#include "tmpl_flat.h"

/* floats of the partial sums of a strip and group */
#define GEMM_PART	((GEMM_T * GEMM_G + 1) * PAT_VL)
/* pieces of rows in the vectors of a strip, at most: all are of one pixel */
#define GEMM_SEGS	(GEMM_T * PAT_VL)

/* struct gemm_seg - lanes of a vector: where their pixels are in the source, output and residual */
struct gemm_seg {
	s64 src;
	s64 out;
	s64 res;
	u32 mask;
};

/* struct gemm_strip - pixels of a strip; kept in the scratch */
struct gemm_strip {
	struct gemm_seg seg[GEMM_SEGS + 1];
	u16 at[GEMM_T + 2];
	u16 vectors;
	/* 1: seg[at[vectors]] is the pixel beyond the vectors */
	u16 tail;
	/* rows that end here, and their number in the output */
	u16 zero_rows;
	u32 zero_row;
	/* lines of each plane of the output that are written */
	u32 lines;
	/* most pieces of a vector */
	u32 pieces;
	/* where this strip, and the one that is packed after it, begin and end in a plane */
	u32 own;
	u32 own_end;
	u32 then;
	u32 then_end;
};

/* w, bias and partial are those of the group */
struct gemm_job {
	const struct pat_conv_packed *k;
	const struct gemm_strip *strip;
	const float *x;
	const float *tail;
	const float *w;
	const float *bias;
	float *partial;
	float *tmp;
	float *out;
	const float *res;
	/* a line of each plane of the strip that is packed next */
	const float *next;
	u64 next_step;
	u32 taps;
	bool first;
	bool last;
	struct pat_clamp act;
};

#ifdef PAT_VEC_AVX512
typedef __m256 vg;
#define vg_zero()		_mm256_setzero_ps()
#define vg_load(p)		_mm256_loadu_ps(p)
#define vg_store(p, v)		_mm256_storeu_ps(p, v)
#define vg_fma(s, p, c)		_mm256_fmadd_ps(_mm256_set1_ps(s), _mm256_loadu_ps(p), c)
#else
typedef float vg;
#define vg_zero()		0
#define vg_load(p)		(*(p))
#define vg_store(p, v)		(*(p) = (v))
#define vg_fma(s, p, c)		((void)(s), (void)(p), (c))
#endif

#if PAT_REGS >= 32

/* acc[g * T + t] += x[t] * w[g], and likewise the pixel beyond */
PAT_INLINE vg gemm_tap(vf *acc, vg last, const float *x, const float *w, const float *tail,
		       const int T, const bool TAIL)
{
	vf xv[GEMM_T];

	PAT_UNROLL
	for (int t = 0; t < T; t++) {
		xv[t] = v_load(x + t * PAT_VL);
		v_keep(xv[t]);
	}
	PAT_UNROLL
	for (int g = 0; g < GEMM_G; g++) {
		vf wv = v_set1(w[g]);

		PAT_UNROLL
		for (int t = 0; t < T; t++)
			acc[g * T + t] = v_fma(wv, xv[t], acc[g * T + t]);
	}
	return TAIL ? vg_fma(*tail, w, last) : last;
}

/*
 * All taps. What is written, and added, behind them comes from far away: its lines are
 * fetched on the way, some for each eighth of the taps, for a processor waits for few at a time.
 */
PAT_INLINE vg gemm_core(vf *acc, vg last, const struct gemm_job *j, const float *out,
			const float *res, const int T, const bool TAIL)
{
	const struct pat_conv *c = &j->k->conv;
	const float *x = j->x, *w = j->w, *tail = j->tail, *next = j->next;
	const u32 lines = j->last ? j->strip->lines : 0;
	const u64 next_step = j->next_step;
	u32 left = j->taps & ~1U;

	if (j->taps & 1) {
		last = gemm_tap(acc, last, x, w, tail++, T, TAIL);
		x += GEMM_T * PAT_VL;
		w += GEMM_G;
	}
	for (u32 i = GEMM_G; i; i--) {
		const u32 end = left / i * (i - 1) & ~1U;

		for (u32 l = 0; l < lines; l++)
			pat_prefetchw(out + l * 16);
		out += c->out.plane;
		for (u32 l = 0; j->res && l < lines; l++)
			pat_prefetch(res + l * 16);
		res += c->res.plane;
		for (; left > end; left -= 2) {
			pat_prefetch(w + 64 * GEMM_G);
			last = gemm_tap(acc, last, x, w, tail, T, TAIL);
			/* strips of planes that nothing else would fetch in time */
			if (next_step) {
				pat_prefetch(next);
				pat_prefetch(next + next_step);
				next += 2 * next_step;
			}
			last = gemm_tap(acc, last, x + GEMM_T * PAT_VL, w + GEMM_G, tail + 1, T,
					TAIL);
			x += 2 * GEMM_T * PAT_VL;
			w += 2 * GEMM_G;
			tail += 2;
		}
	}
	return last;
}

#else

/* likewise: more than a step at a time would not stay in the registers */
PAT_INLINE vg gemm_core(vf *acc, vg last, const struct gemm_job *j, const float *out,
			const float *res, const int T, const bool TAIL)
{
	const float *x = j->x, *w = j->w, *next = j->next;
	u64 next_step = j->next_step;
	u32 taps = j->taps;

	(void)res;
	for (int i = 0; j->last && i < GEMM_G; i++, out += j->k->conv.out.plane)
		for (u32 l = 0; l < j->strip->lines; l++)
			pat_prefetchw(out + l * 16);
	for (u32 n = 0; n < taps; n++, x += GEMM_T * PAT_VL, w += GEMM_G) {
		vf xv[GEMM_T];

		PAT_UNROLL
		for (int t = 0; t < T; t++) {
			xv[t] = v_load(x + t * PAT_VL);
			v_keep(xv[t]);
		}
		pat_prefetch(w + 64 * GEMM_G);
		/* strips of planes that nothing else would fetch in time */
		pat_prefetch(next);
		next += next_step;
		PAT_UNROLL
		for (int g = 0; g < GEMM_G; g++) {
			vf wv = v_set1(w[g]);

			PAT_UNROLL
			for (int t = 0; t < T; t++)
				acc[g * T + t] = v_fma(wv, xv[t], acc[g * T + t]);
		}
		if (TAIL)
			last = vg_fma(j->tail[n], w, last);
	}
	return last;
}

#endif

PAT_INLINE void gemm_put(float *p, u32 mask, vf v)
{
	if (PAT_VL != 16 && mask == PAT_ALL_LANES)
		v_storeu(p, v);
	else
		v_storem(p, mask, v);
}

/* the pixel beyond the vectors: lanes are filters */
static PAT_NOINLINE void gemm_finish_tail(const struct gemm_job *j, u32 f0, u32 n)
{
	const struct pat_conv *c = &j->k->conv;
	const struct gemm_seg *s = j->strip->seg + j->strip->at[j->strip->vectors];
	vf x = v_load(j->tmp);

	if (j->res) {
		for (u32 i = 0; i < n; i++)
			j->tmp[i] = j->res[(u64)(f0 + i) * c->res.plane + s->res];
		x += v_loadm(j->tmp, v_first(n));
	}
	x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
	if (j->act.other)
		x = v_act(j->act.other, j->act.a, j->act.b, x);
	v_store(j->tmp, x);
	for (u32 i = 0; i < n; i++)
		j->out[(u64)(f0 + i) * c->out.plane + s->out] = j->tmp[i];
}

PAT_INLINE void gemm_zeros(const struct gemm_job *j, float *out, const u32 n)
{
	const struct pat_planes *o = &j->k->conv.out;
	const u32 m = v_first(pat_min(o->pitch - o->w, PAT_VL)) & PAT_ALL_LANES;

	out += (u64)j->strip->zero_row * o->pitch + o->w;
	for (u32 r = 0; r < j->strip->zero_rows; r++, out += o->pitch) {
		PAT_UNROLL
		for (u32 g = 0; g < n; g++)
			v_storem(out + g * o->plane, m, v_set1(0));
		if (pat_likely(o->pitch - o->w <= PAT_VL))
			continue;
		for (u32 g = 0; g < n; g++)
			zero_floats(out + g * o->plane + PAT_VL, o->pitch - o->w - PAT_VL);
	}
}

/* sums in j->tmp: the last filters, and activations that are not clamps */
static PAT_NOINLINE void gemm_finish_slow(const struct gemm_job *j, u32 f0, u32 n, u32 T)
{
	const struct pat_conv *c = &j->k->conv;
	const struct gemm_strip *p = j->strip;

	for (u32 i = 0; i < n * T; i++) {
		const struct gemm_seg *from = p->seg + p->at[i % T], *to = p->seg + p->at[i % T + 1];
		const u64 f = f0 + i / T;
		vf x = v_load(j->tmp + i * PAT_VL);

		for (const struct gemm_seg *s = from; j->res && s < to; s++)
			x += v_loadm(j->res + f * c->res.plane + s->res, s->mask);
		x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
		if (j->act.other)
			x = v_act(j->act.other, j->act.a, j->act.b, x);
		for (const struct gemm_seg *s = from; s < to; s++)
			v_storem(j->out + f * c->out.plane + s->out, s->mask, x);
	}
	if (p->zero_rows && c->out.pitch > c->out.w)
		for (u32 i = 0; i < n; i++)
			gemm_zeros(j, j->out + (f0 + (u64)i) * c->out.plane, 1);
}

PAT_INLINE void gemm_finish(const struct gemm_job *j, vf *acc, u32 f0, u32 n, const int T)
{
	const struct pat_conv *c = &j->k->conv;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	const struct gemm_strip *p = j->strip;
	float *out = j->out + (u64)f0 * c->out.plane;

	if (n < GEMM_G || j->act.other) {
		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			v_store(j->tmp + i * PAT_VL, acc[i]);
		gemm_finish_slow(j, f0, n, T);
		return;
	}
	if (j->res) {
		const float *res = j->res + (u64)f0 * c->res.plane;

		PAT_UNROLL
		for (int t = 0; t < T; t++) {
			for (const struct gemm_seg *s = p->seg + p->at[t]; s < p->seg + p->at[t + 1]; s++) {
				PAT_UNROLL
				for (int g = 0; g < GEMM_G; g++)
					acc[g * T + t] += v_loadm(res + g * c->res.plane + s->res, s->mask);
			}
		}
	}
	PAT_UNROLL
	for (int i = 0; i < T * GEMM_G; i++)
		acc[i] = v_min(v_max(acc[i], lo), hi);
	PAT_UNROLL
	for (int t = 0; t < T; t++) {
		for (const struct gemm_seg *s = p->seg + p->at[t]; s < p->seg + p->at[t + 1]; s++) {
			PAT_UNROLL
			for (int g = 0; g < GEMM_G; g++)
				gemm_put(out + g * c->out.plane + s->out, s->mask, acc[g * T + t]);
		}
	}
	if (p->zero_rows && c->out.pitch > c->out.w)
		gemm_zeros(j, out, GEMM_G);
}

PAT_INLINE void gemm_tile(const struct gemm_job *j, u32 g, const int T, const bool TAIL)
{
	const struct pat_conv *c = &j->k->conv;
	float *part = j->partial;
	u32 f0 = g * GEMM_G, n = pat_min(GEMM_G, c->out.c - f0);
	const float *out = j->x, *res = j->x;
	vf acc[GEMM_T * GEMM_G];
	vg last = vg_zero();

	if (j->first) {
		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			acc[i] = v_set1(j->bias[i / T]);
		if (TAIL)
			last = vg_load(j->bias);
	} else {
		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			acc[i] = v_load(part + i * PAT_VL);
		if (TAIL)
			last = vg_load(part + T * GEMM_G * PAT_VL);
	}
	if (j->last) {
		out = j->out + (u64)f0 * c->out.plane + j->strip->seg[0].out;
		if (j->res)
			res = j->res + (u64)f0 * c->res.plane + j->strip->seg[0].res;
	}
	last = gemm_core(acc, last, j, out, res, T, TAIL);
	if (!j->last) {
		PAT_UNROLL
		for (int i = 0; i < T * GEMM_G; i++)
			v_store(part + i * PAT_VL, acc[i]);
		if (TAIL)
			vg_store(part + T * GEMM_G * PAT_VL, last);
		return;
	}
	if (TAIL) {
		vg_store(part, last);
		gemm_finish(j, acc, f0, n, T);
		v_store(j->tmp, v_load(part));
		gemm_finish_tail(j, f0, n);
	} else {
		gemm_finish(j, acc, f0, n, T);
	}
}

#define GEMM_DEFINE(T)								\
static PAT_HOT void gemm_##T(const struct gemm_job *j, u32 g)			\
{										\
	gemm_tile(j, g, T, false);						\
}
GEMM_DEFINE(1)
GEMM_DEFINE(2)
GEMM_DEFINE(3)
static PAT_HOT void gemm_3_tail(const struct gemm_job *j, u32 g)
{
	gemm_tile(j, g, 3, true);
}

static void gemm_dispatch(const struct gemm_job *j, u32 g)
{
	/* between the rows of a flat panel there may be whole strips of nothing */
	if (!j->strip->pieces)
		return;
	if (PAT_VL == 16 && j->strip->tail)
		gemm_3_tail(j, g);
	else if (j->strip->vectors == 3)
		gemm_3(j, g);
	else if (j->strip->vectors == 2)
		gemm_2(j, g);
	else
		gemm_1(j, g);
}

/* pixels @at to @at + @n of the tile's flat run, whose rows are @flat apart */
static PAT_NOINLINE void gemm_strip(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
				    struct gemm_strip *p, u32 at, u32 n, u32 flat, u32 src_pitch)
{
	const struct pat_conv *c = &k->conv;
	u32 segs = 0, ow = c->out.w, y = at / flat, x = at % flat;

	p->tail = PAT_VL == 16 && n == 3 * PAT_VL + 1;
	p->vectors = p->tail ? 3 : (n + PAT_VL - 1) / PAT_VL;
	p->zero_rows = 0;
	for (u32 v = 0; v < p->vectors + p->tail; v++) {
		u32 lane = 0, lanes = v == p->vectors ? 1 : pat_min(n - v * PAT_VL, PAT_VL);

		p->at[v] = segs;
		while (lane < lanes) {
			u32 run = pat_min(lanes - lane, x < ow ? ow - x : flat - x);

			if (x < ow) {
				struct gemm_seg *s = p->seg + segs++;

				s->src = (s64)y * src_pitch + x - lane;
				s->out = (s64)(t->row + y) * c->out.pitch + x - lane;
				s->res = (s64)(t->row + y) * c->res.pitch + x - lane;
				s->mask = v_first(lane + run) & ~v_first(lane);
			}
			lane += run;
			x += run;
			if (x == ow && !p->zero_rows++)
				p->zero_row = t->row + y;
			if (x == flat) {
				x = 0;
				y++;
			}
		}
	}
	/* vectors that a strip lacks have no pieces */
	for (u32 v = p->vectors + p->tail; v < GEMM_T + 2; v++)
		p->at[v] = segs;
	p->lines = segs ? pat_min((p->seg[segs - 1].out + PAT_VL - p->seg[0].out) / 16 + 1, 16) : 0;
	p->pieces = 0;
	for (u32 v = 0; v < p->vectors; v++)
		p->pieces = pat_max(p->pieces, p->at[v + 1] - p->at[v]);
}

#include "tmpl_pack.h"

/* likewise, and what gemm_dispatch() does for group @g */
static void gemm_pack_group(struct gemm_job *j, const float *src, u64 plane, u32 from, u32 flat_at,
			    float *x, float *tail, u32 g)
{
	const struct pat_conv_packed *k = j->k;
	const struct gemm_strip *p = j->strip;
#ifdef PAT_VEC_AVX512
	const u32 *off = (const u32 *)((const u8 *)k + k->classes[0].filters);
	u32 kk = k->conv.kernel_h * k->conv.kernel_w, tap = from % kk;
	const float *s = src + (u64)(from / kk) * plane;

	if (p->vectors == GEMM_T && p->pieces && p->pieces <= 3) {
		if (k->direct && p->pieces == 1)
			gemm_pack_ones_1(j, s, plane, x, tail);
		else if (k->direct && p->pieces == 2)
			gemm_pack_ones_2(j, s, plane, x, tail);
		else if (k->direct)
			gemm_pack_ones_3(j, s, plane, x, tail);
		else if (p->pieces == 1)
			gemm_pack_sums_1(j, s, plane, off, kk, tap, x, tail);
		else if (p->pieces == 2)
			gemm_pack_sums_2(j, s, plane, off, kk, tap, x, tail);
		else
			gemm_pack_sums_3(j, s, plane, off, kk, tap, x, tail);
		if (!j->last)
			return;
		j->first = false;
		j->taps = 0;
		gemm_dispatch(j, g);
		return;
	}
#endif
	gemm_pack(k, p, src, plane, from, from + j->taps, flat_at, x, tail);
	gemm_dispatch(j, g);
}

/* pixels of strip @i of @n of a run of @pixels: where it starts */
PAT_INLINE u32 gemm_start(const struct pat_conv_packed *k, u32 pixels, u32 i, u32 n)
{
	if (i == n)
		return pixels;
	if (k->tail)
		return i * (3 * PAT_VL + 1);
	return (u64)pat_div_up(pixels, PAT_VL) * i / n * PAT_VL;
}

/* where strip @i is in a plane that is read in place */
static void gemm_place(const struct pat_conv_packed *k, u32 pixels, u32 i, u32 strips, u32 *at,
		       u32 *end)
{
	const struct pat_conv *c = &k->conv;
	u32 first, last;

	*at = 1;
	*end = 0;
	if (!k->direct || i >= strips)
		return;
	first = gemm_start(k, pixels, i, strips);
	last = pat_min(gemm_start(k, pixels, i + 1, strips), pixels) - 1;
	*at = first / c->out.w * c->in.pitch + first % c->out.w;
	*end = last / c->out.w * c->in.pitch + last % c->out.w;
}

/* line @line of each plane from @src on of what is packed next: this strip's next block, or another's */
PAT_INLINE void gemm_next(struct gemm_job *j, const float *src, u64 plane, u32 line)
{
	const struct gemm_strip *p = j->strip;
	u32 at = j->last ? p->then : p->own, end = j->last ? p->then_end : p->own_end;

	j->next = j->w;
	j->next_step = 0;
	if (at / PAT_VL + line <= end / PAT_VL) {
		j->next = src + at + line * PAT_VL;
		j->next_step = plane;
	}
}

/* cur: a: channels gathered, b: strips done, c: block of taps, d: groups times strips */
static bool gemm_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 taps = c->in.c * c->kernel_h * c->kernel_w;
	bool compact = PAT_VL == 16;
	u32 flat = compact ? c->out.w : p->pitch, src_pitch = k->direct ? c->in.pitch : p->pitch;
	u32 pixels = (t->rows - 1) * flat + c->out.w;
	u32 strips = k->tail ? pat_div_up(pixels, 3 * PAT_VL + 1) :
			       pat_div_up(pat_div_up(pixels, PAT_VL), GEMM_T);
	u64 plane = k->direct ? c->in.plane : (u64)p->phases_y * p->phases_x * p->plane;
	const float *src = k->direct ? t->in + (u64)t->row * c->in.pitch : scratch + p->lead;
	struct gemm_strip *strip = (struct gemm_strip *)((u8 *)scratch + k->work);
	float *x = (float *)((u8 *)scratch + k->partial);
	u64 x_size = (u64)k->block * GEMM_T * PAT_VL + (k->block + 15) / 16 * 16;
	float *partial = x + k->batch * x_size;
	const float *weights = (const float *)((const u8 *)k + k->aux);
	const float *bias = (const float *)((const u8 *)k + k->classes[0].bias);
	struct gemm_job j = { .k = k, .out = t->out, .res = t->res, .act = pat_clamp_of(c),
			      .tmp = (float *)((u8 *)scratch + k->finish) };

	if (u0 == u1)
		return true;
	if (k->direct == PAT_IN_ROWS)
		return flat_run(k, t, cur, budget, scratch);
	if (!k->direct && !gather_some(k, t, 0, &cur->a, &budget, scratch))
		return false;
	for (; cur->b < strips; cur->b += k->batch) {
		u32 n = pat_min(k->batch, strips - cur->b);

		for (u32 i = 0; i < n && !cur->c && !cur->d; i++) {
			u32 at = gemm_start(k, pixels, cur->b + i, strips);
			u32 end = gemm_start(k, pixels, cur->b + i + 1, strips);

			gemm_strip(k, t, strip + i, at, pat_min(end, pixels) - at, flat, src_pitch);
			gemm_place(k, pixels, cur->b + i, strips, &strip[i].own, &strip[i].own_end);
			gemm_place(k, pixels, cur->b + i + n, strips, &strip[i].then,
				   &strip[i].then_end);
		}
		for (; cur->c < k->blocks; cur->c++) {
			u32 from = cur->c * k->block, to = pat_min(from + k->block, taps);
			s64 cost = (s64)(to - from) * GEMM_T * PAT_VL;

			while (cur->d < (u1 - u0) * n) {
				u32 i = cur->d % n, g = cur->d / n;
				float *xs = x + i * x_size;

				if (budget <= 0)
					return false;
				j.taps = to - from;
				j.first = from == 0;
				j.last = to == taps;
				j.strip = strip + i;
				j.x = xs;
				j.tail = xs + (u64)k->block * GEMM_T * PAT_VL;
				j.partial = partial;
				if (k->blocks > 1)
					j.partial += ((u64)i * k->units + u0 + g) * GEMM_PART;
				j.bias = bias + (u0 + g) * GEMM_G;
				j.w = weights + (u64)(u0 + g) * k->aux_stride + (u64)from * GEMM_G;
				/* the next block of this strip, or the first of another one */
				gemm_next(&j, src + (j.last ? 0 : to * plane), plane, g);
				if (!g)
					gemm_pack_group(&j, src, plane, from,
							gemm_start(k, pixels, cur->b + i, strips), xs,
							xs + (u64)k->block * GEMM_T * PAT_VL, u0);
				else
					gemm_dispatch(&j, u0 + g);
				budget -= cost * (g ? GEMM_G : GEMM_G + 1) + 16 * GEMM_T * PAT_VL;
				cur->d++;
			}
			cur->d = 0;
		}
		cur->c = 0;
	}
	return true;
}

#endif
