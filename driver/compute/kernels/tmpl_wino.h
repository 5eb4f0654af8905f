/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Dense 3x3 layers by Winograd's F(4x4, 3x3) (Lavin and Gray 2015): tiles of 4x4 outputs
 * from 6x6 inputs, 36 products instead of 144 for each pair of channels. Lanes are tiles,
 * all tiles of a band in one run. Per band: V = B' d B of every channel, one matrix product
 * for each of the 36 points, out = A' M A of every filter.
 *
 * A channel is first taken apart into planes by row modulo 4 and column modulo 4, and the
 * columns that a tile shares with its neighbour twice, so that what all tiles have at one
 * place of their 6x6 is one run of floats.
 */
#include "tmpl_gemm.h"

#define WINO_POINTS	36

/* struct wino - a tile (band) and its scratch */
struct wino {
	const struct pat_conv_packed *k;
	const struct pat_conv_tile *t;
	/* columns and rows of tiles, and both */
	u32 tx;
	u32 ty;
	u32 tiles;
	u32 strips;
	/* floats from a place of the 6x6 to the next */
	u32 plane;
	/* floats from a point, and from a strip, to the next */
	u64 v_point;
	u64 v_strip;
	u64 m_point;
	u64 m_strip;
	float *panel;
	float *row;
	float *v;
	float *m;
	/* 16 outputs of the tiles beyond a strip's vectors, by filter; and of all tiles of a filter */
	float *tail;
	float *y;
	u32 y_pitch;
};

/* VL columns of each of four phases from input column @x on */
PAT_INLINE void wino_phases(const struct wino *w, const float *row, s32 x, vf *p)
{
	vf a[4], e0, e1, o0, o1;

	for (int i = 0; i < 4; i++) {
#ifdef PAT_VEC_AVX512
		a[i] = v_loadm(row + x + i * PAT_VL, gather_mask(x, w->k->conv.in.w, i));
#else
		/* w->row begins at column -pad_left */
		a[i] = v_loadu(w->row + x + (s32)w->k->conv.pad_left + i * PAT_VL);
		(void)row;
#endif
	}
	e0 = v_even(a[0], a[1]);
	e1 = v_even(a[2], a[3]);
	o0 = v_odd(a[0], a[1]);
	o1 = v_odd(a[2], a[3]);
	p[0] = v_even(e0, e1);
	p[1] = v_even(o0, o1);
	p[2] = v_odd(e0, e1);
	p[3] = v_odd(o0, o1);
}

/* one row of a channel, number @r of the band's, to its six planes */
PAT_INLINE void wino_split_row(const struct wino *w, const float *src, u32 r)
{
	const struct pat_conv *c = &w->k->conv;
	s32 y = (s32)(w->t->row + r) - (s32)c->pad_top, x = -(s32)c->pad_left;
	float *d = w->panel + r % 4 * 6 * w->plane + r / 4 * w->tx;
	const bool in = y >= 0 && y < (s32)c->in.h;
	const float *row = src + (s64)y * c->in.pitch;
	vf p[4], next[4] = { v_set1(0), v_set1(0), v_set1(0), v_set1(0) };

	if (!in) {
		for (int i = 0; i < 6; i++)
			for (u32 q = 0; q < w->tx; q += PAT_VL)
				v_storeu(d + i * w->plane + q, v_set1(0));
		return;
	}
#ifndef PAT_VEC_AVX512
	gather_row(w->row, 4 * w->tx + 8 * PAT_VL, row, c->in.w, x, 1);
#endif
	wino_phases(w, row, x, next);
	for (u32 q = 0; q < w->tx; q += PAT_VL, d += PAT_VL) {
		for (int i = 0; i < 4; i++)
			p[i] = next[i];
		x += 4 * PAT_VL;
		if (q + PAT_VL <= w->tx)
			wino_phases(w, row, x, next);
		for (int i = 0; i < 4; i++)
			v_storeu(d + i * w->plane, p[i]);
		v_storeu(d + 4 * w->plane, v_left(p[0], next[0]));
		v_storeu(d + 5 * w->plane, v_left(p[1], next[1]));
	}
}

/*
 * Points of interpolation: 0, +-3/4, +-3/2 and infinity. Rounding errors are a third of
 * those with the usual 0, +-1, +-2, and all constants are exact.
 */
#define WINO_P	0.75f
#define WINO_Q	1.5f

/* B' d */
PAT_INLINE void wino_in(const vf *d, vf *v)
{
	const vf p = v_set1(WINO_P), q = v_set1(WINO_Q);
	const vf pp = v_set1(-WINO_P * WINO_P), qq = v_set1(-WINO_Q * WINO_Q);
	const vf product = v_set1(WINO_P * WINO_P * WINO_Q * WINO_Q);
	const vf sum = v_set1(-WINO_P * WINO_P - WINO_Q * WINO_Q);
	vf e = v_fma(qq, d[2], d[4]), o = p * v_fma(qq, d[1], d[3]);
	vf e2 = v_fma(pp, d[2], d[4]), o2 = q * v_fma(pp, d[1], d[3]);

	v[0] = v_fma(product, d[0], v_fma(sum, d[2], d[4]));
	v[1] = e + o;
	v[2] = e - o;
	v[3] = e2 + o2;
	v[4] = e2 - o2;
	v[5] = v_fma(product, d[1], v_fma(sum, d[3], d[5]));
}

/* A' m */
PAT_INLINE void wino_out(const vf *m, vf *o)
{
	const vf p = v_set1(WINO_P), pp = v_set1(WINO_P * WINO_P);
	const vf ppp = v_set1(WINO_P * WINO_P * WINO_P);
	const vf q = v_set1(WINO_Q), qq = v_set1(WINO_Q * WINO_Q);
	const vf qqq = v_set1(WINO_Q * WINO_Q * WINO_Q);
	vf s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];

	o[0] = m[0] + s + s2;
	o[1] = v_fma(q, d2, p * d);
	o[2] = v_fma(qq, s2, pp * s);
	o[3] = v_fma(qqq, d2, v_fma(ppp, d, m[5]));
}

/* 6x6 places of a vector of tiles from @src on to 36 points, @step apart */
static PAT_HOT void wino_in_vector(const float *src, u32 plane, u32 tx, float *dst, u64 step,
				   u32 lanes)
{
	vf tmp[36] __attribute__((aligned(64)));

	for (int x = 0; x < 6; x++, src += plane) {
		vf d[6], v[6];

		PAT_UNROLL
		for (int y = 0; y < 6; y++)
			d[y] = v_loadu(src + y % 4 * 6 * plane + y / 4 * tx);
		wino_in(d, v);
		PAT_UNROLL
		for (int y = 0; y < 6; y++)
			tmp[y * 6 + x] = v[y];
	}
	for (int y = 0; y < 6; y++) {
		vf v[6];

		wino_in(tmp + y * 6, v);
		PAT_UNROLL
		for (int x = 0; x < 6; x++, dst += step) {
			if (lanes == 1)
				v_storem(dst, 1, v[x]);
			else
				v_store(dst, v[x]);
		}
	}
}

static PAT_NOINLINE void wino_channel(const struct wino *w, u32 ch)
{
	const float *src = w->t->in + (u64)ch * w->k->conv.in.plane;

	for (u32 r = 0; r < 4 * w->ty + 2; r++)
		wino_split_row(w, src, r);
	for (u32 s = 0; s < w->strips; s++) {
		u32 at = gemm_start(w->k, w->tiles, s, w->strips);
		u32 n = pat_min(gemm_start(w->k, w->tiles, s + 1, w->strips), w->tiles) - at;
		bool tail = PAT_VL == 16 && n == 3 * PAT_VL + 1;
		float *v = w->v + s * w->v_strip + (u64)ch * GEMM_T * PAT_VL;

		for (u32 i = 0; i < n - tail; i += PAT_VL)
			wino_in_vector(w->panel + at + i, w->plane, w->tx, v + i, w->v_point,
				       PAT_VL);
		if (tail)
			wino_in_vector(w->panel + at + n - 1, w->plane, w->tx,
				       w->v + s * w->v_strip +
				       (u64)w->k->conv.in.c * GEMM_T * PAT_VL + ch, w->v_point, 1);
	}
}

/* 36 points, @step apart, to 4x4 outputs, @out_step apart */
static PAT_HOT void wino_out_vector(const float *m, u64 step, float *dst, u32 out_step)
{
	vf tmp[24] __attribute__((aligned(64)));

	for (int x = 0; x < 6; x++, m += step) {
		vf d[6], o[4];

		PAT_UNROLL
		for (int y = 0; y < 6; y++)
			d[y] = v_loadu(m + y * 6 * step);
		wino_out(d, o);
		PAT_UNROLL
		for (int y = 0; y < 4; y++)
			tmp[y * 6 + x] = o[y];
	}
	for (int y = 0; y < 4; y++) {
		vf o[4];

		wino_out(tmp + y * 6, o);
		PAT_UNROLL
		for (int x = 0; x < 4; x++, dst += out_step)
			v_storeu(dst, o[x]);
	}
}

PAT_INLINE void wino_put(const struct wino *w, const struct pat_clamp *act, u32 f, u32 row,
			 u32 x, vf v)
{
	const struct pat_conv *c = &w->k->conv;
	u32 m = x < c->out.w ? v_first(pat_min(c->out.w - x, PAT_VL)) : 0;
	float *o = w->t->out + f * c->out.plane + (u64)row * c->out.pitch + x;

	if (w->t->res && m)
		v += v_loadm(w->t->res + f * c->res.plane + (u64)row * c->res.pitch + x,
			     m & PAT_ALL_LANES);
	v = v_min(v_max(v, v_set1(act->lo)), v_set1(act->hi));
	if (act->other)
		v = v_act(act->other, act->a, act->b, v);
	if (x + PAT_VL <= c->out.w) {
		v_storeu(o, v);
		return;
	}
#ifdef PAT_VEC_AVX512
	v_storeu(o, _mm512_maskz_mov_ps(m, v));
#else
	v_storem(o, m, v);
	zero_floats(o + (m ? c->out.w - x : 0), pat_min(PAT_VL, c->out.pitch - x) -
		    (m ? c->out.w - x : 0));
#endif
}

/* the outputs of a filter, as planes of their places in a tile, to rows */
static PAT_NOINLINE void wino_rows(const struct wino *w, const struct pat_clamp *act, u32 f)
{
	const struct pat_conv *c = &w->k->conv;
	const vf bias = v_set1(((const float *)((const u8 *)w->k + w->k->classes[0].bias))[f]);

	for (u32 r = 0; r < w->t->rows; r++) {
		const float *y = w->y + r % 4 * 4 * w->y_pitch + r / 4 * w->tx;

		for (u32 x = 0; x < c->out.pitch; y += PAT_VL) {
			vf a = v_loadu(y), b = v_loadu(y + w->y_pitch);
			vf d = v_loadu(y + 2 * w->y_pitch), e = v_loadu(y + 3 * w->y_pitch), z[4];
			vf ad = v_zip0(a, d), be = v_zip0(b, e);

			z[0] = v_zip0(ad, be);
			z[1] = v_zip1(ad, be);
			ad = v_zip1(a, d);
			be = v_zip1(b, e);
			z[2] = v_zip0(ad, be);
			z[3] = v_zip1(ad, be);
			for (int i = 0; i < 4 && x < c->out.pitch; i++, x += PAT_VL)
				wino_put(w, act, f, w->t->row + r, x, z[i] + bias);
			/* nothing but zeros is left: stay inside of the planes */
			if (x >= 4 * w->tx)
				y = w->y;
		}
	}
}

/* the filters of group @g, number @at of those that are in w->m */
static PAT_NOINLINE void wino_group(const struct wino *w, const struct pat_clamp *act, u32 g, u32 at)
{
	const struct pat_conv *c = &w->k->conv;
	u32 n = pat_min(GEMM_G, c->out.c - g * GEMM_G);

	for (u32 s = 0; s < w->strips; s++) {
		u32 from = gemm_start(w->k, w->tiles, s, w->strips);
		u32 len = pat_min(gemm_start(w->k, w->tiles, s + 1, w->strips), w->tiles) - from;

		if (PAT_VL == 16 && len == 3 * PAT_VL + 1)
			wino_out_vector(w->m + s * w->m_strip + (u64)at * GEMM_PART +
					3 * GEMM_G * PAT_VL, w->m_point,
					w->tail + s * 16 * PAT_VL, PAT_VL);
	}
	for (u32 i = 0; i < n; i++) {
		for (u32 s = 0; s < w->strips; s++) {
			u32 from = gemm_start(w->k, w->tiles, s, w->strips);
			u32 len = pat_min(gemm_start(w->k, w->tiles, s + 1, w->strips), w->tiles) - from;
			bool tail = PAT_VL == 16 && len == 3 * PAT_VL + 1;
			u32 vectors = tail ? 3 : (len + PAT_VL - 1) / PAT_VL;

			for (u32 t = 0; t < vectors; t++)
				wino_out_vector(w->m + s * w->m_strip + (u64)at * GEMM_PART +
						(i * vectors + t) * PAT_VL, w->m_point,
						w->y + from + t * PAT_VL, w->y_pitch);
			for (u32 p = 0; tail && p < 16; p++)
				w->y[p * w->y_pitch + from + len - 1] =
					w->tail[(s * 16 + p) * PAT_VL + i];
		}
		wino_rows(w, act, g * GEMM_G + i);
	}
}

/* point @point of the groups of a chunk from number @done on; false if the budget ends first */
static bool wino_product(const struct wino *w, u32 g0, u32 count, u32 point, u32 *done, s64 *budget)
{
	const struct pat_conv_packed *k = w->k;
	const u32 taps = k->conv.in.c, per_block = count * w->strips;
	static const float zeros[GEMM_G];
	struct gemm_strip strip;
	struct gemm_job j = { .k = k, .strip = &strip, .bias = zeros };

	strip.pieces = 1;
	strip.lines = 0;
	for (; *done < k->blocks * per_block; ++*done) {
		u32 block = *done / per_block, g = *done % per_block / w->strips, s = *done % w->strips;
		u32 at = gemm_start(k, w->tiles, s, w->strips), from = block * k->block;
		u32 n = pat_min(gemm_start(k, w->tiles, s + 1, w->strips), w->tiles) - at;
		const float *v = w->v + s * w->v_strip + point * w->v_point;

		if (*budget <= 0)
			return false;
		strip.tail = PAT_VL == 16 && n == 3 * PAT_VL + 1;
		strip.vectors = strip.tail ? 3 : (n + PAT_VL - 1) / PAT_VL;
		j.first = !block;
		j.taps = pat_min(k->block, taps - from);
		j.x = v + (u64)from * GEMM_T * PAT_VL;
		j.tail = v + (u64)taps * GEMM_T * PAT_VL + from;
		j.w = (const float *)((const u8 *)k + k->aux) +
		      ((u64)point * k->units + g0 + g) * k->aux_stride + (u64)from * GEMM_G;
		/* each weight is used once: the next group's come from far away */
		j.next = j.w + k->aux_stride;
		j.next_step = GEMM_G;
		j.partial = w->m + s * w->m_strip + point * w->m_point + (u64)g * GEMM_PART;
		gemm_dispatch(&j, g0 + g);
		*budget -= (s64)j.taps * GEMM_G * GEMM_T * PAT_VL;
	}
	*done = 0;
	return true;
}

/* cur: a: channels transformed, b: chunk of groups, c: point, d: within it */
static bool wino_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	const struct pat_clamp act = pat_clamp_of(c);
	struct wino w = { .k = k, .t = t, .tx = pat_div_up(c->out.w, 4), .ty = pat_div_up(t->rows, 4) };

	w.tiles = w.tx * w.ty;
	w.strips = k->tail ? pat_div_up(w.tiles, 3 * PAT_VL + 1) :
			     pat_div_up(pat_div_up(w.tiles, PAT_VL), GEMM_T);
	w.plane = k->panel.plane;
	w.panel = scratch;
	w.row = scratch + k->panel.lead;
	w.v = (float *)((u8 *)scratch + k->partial);
	w.m = (float *)((u8 *)scratch + k->work);
	w.tail = (float *)((u8 *)scratch + k->finish);
	w.y_pitch = k->panel.pitch;
	w.y = w.tail + k->panel.segments * 16 * PAT_VL;
	w.v_point = (u64)c->in.c * GEMM_T * PAT_VL + (c->in.c + 15) / 16 * 16;
	w.v_strip = WINO_POINTS * w.v_point;
	w.m_strip = (u64)k->batch * GEMM_PART;
	w.m_point = w.strips * w.m_strip;

	if (u0 == u1)
		return true;
	for (; cur->a < c->in.c; cur->a++) {
		if (budget <= 0)
			return false;
		wino_channel(&w, cur->a);
		budget -= (s64)w.tiles * 512;
	}
	for (; u0 + cur->b * k->batch < u1; cur->b++) {
		u32 g0 = u0 + cur->b * k->batch, n = pat_min(k->batch, u1 - g0);

		for (; cur->c < WINO_POINTS; cur->c++)
			if (!wino_product(&w, g0, n, cur->c, &cur->d, &budget))
				return false;
		for (; cur->d < n; cur->d++) {
			if (budget <= 0)
				return false;
			wino_group(&w, &act, g0 + cur->d, cur->d);
			budget -= (s64)w.tiles * 512 * GEMM_G;
		}
		cur->c = 0;
		cur->d = 0;
	}
	return true;
}
