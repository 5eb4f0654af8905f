/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Row tiles for filters that share nothing: R rows of V vectors of one filter stay in
 * registers, every loaded vector serves all taps of its kernel column and the rows that
 * need it (kernel-level LRE). There is one body per number of taps below each other, so
 * any pattern set is as fast as any other. See conv_cols.c for frames.
 */
#include "tmpl_act.h"
#include "tmpl_gather.h"

struct cols_job {
	const struct pat_conv_packed *k;
	const float *panel;
	const u64 *ptr;
	float *partial;
	float *tmp;
	float *out;
	const float *res;
	struct pat_clamp act;
	bool first;
	bool last;
	bool backwards;
	/* output rows and columns of this tile, and where they lie in the tile's lanes */
	u32 row;
	u32 rows;
	u32 col;
	u32 cols;
	u32 lane;
};

#ifdef PAT_VEC_AVX512
#define PAT_FRAMES 1
typedef __mmask16 cols_mask;

PAT_INLINE vf cols_load(const float *p, cols_mask m)
{
	return _mm512_maskz_load_ps(m, p);
}
#else
#define PAT_FRAMES 0
typedef u32 cols_mask;

PAT_INLINE vf cols_load(const float *p, cols_mask m)
{
	(void)m;
	return v_loadu(p);
}
#endif

/* a piece of N taps: w[i] applies to the row below that of w[i - 1] */
PAT_INLINE void cols_piece(vf *acc, const float *x, const float *w, cols_mask lo, cols_mask hi,
			   const int R, const int V, const int P, const int N, const bool masked)
{
	vf wv[3];

	PAT_UNROLL
	for (int i = 0; i < N; i++)
		wv[i] = v_set1(w[i]);
	PAT_UNROLL
	for (int r = 0; r < R + N - 1; r++) {
		PAT_UNROLL
		for (int v = 0; v < V; v++) {
			const float *p = x + (r * P + v) * PAT_VL;
			vf xv;

			if (masked && (v == 0 || v == V - 1))
				xv = cols_load(p, v ? hi : V == 1 ? lo & hi : lo);
			else
				xv = v_loadu(p);
			if (N > 1)
				v_keep(xv);
			PAT_UNROLL
			for (int i = 0; i < N; i++)
				if (r - i >= 0 && r - i < R)
					acc[(r - i) * V + v] = v_fma(wv[i], xv, acc[(r - i) * V + v]);
		}
	}
}

PAT_INLINE void cols_right(vf *acc, const int R, const int V)
{
	PAT_UNROLL
	for (int r = 0; r < R; r++) {
		vf last = acc[r * V + V - 1];

		PAT_UNROLL
		for (int v = V - 1; v > 0; v--)
			acc[r * V + v] = v_right(acc[r * V + v - 1], acc[r * V + v]);
		acc[r * V] = v_right(last, acc[r * V]);
	}
}

PAT_INLINE void cols_left(vf *acc, const int R, const int V)
{
	PAT_UNROLL
	for (int r = 0; r < R; r++) {
		vf first = acc[r * V];

		PAT_UNROLL
		for (int v = 0; v < V - 1; v++)
			acc[r * V + v] = v_left(acc[r * V + v], acc[r * V + v + 1]);
		acc[r * V + V - 1] = v_left(acc[r * V + V - 1], first);
	}
}

/* lanes of vector @v of a tile that are outputs */
PAT_INLINE u32 cols_lanes(const struct cols_job *j, u32 v)
{
	u32 from = v * PAT_VL, end = j->lane + j->cols;
	u32 lo = j->lane > from ? pat_min(j->lane - from, PAT_VL) : 0;
	u32 hi = end > from ? pat_min(end - from, PAT_VL) : 0;

	return v_first(hi) & ~v_first(lo);
}

static PAT_NOINLINE void cols_store_slow(const struct cols_job *j, u32 f, u32 V)
{
	const struct pat_conv *c = &j->k->conv;
	s64 at = (s64)j->row * c->out.pitch + j->col - j->lane;
	s64 rat = (s64)j->row * c->res.pitch + j->col - j->lane;

	for (u32 r = 0; r < j->rows; r++) {
		for (u32 v = 0; v < V; v++) {
			u32 m = cols_lanes(j, v);
			vf x = v_load(j->tmp + (r * V + v) * PAT_VL);

			if (j->res)
				x += v_loadm(j->res + f * c->res.plane + rat + v * PAT_VL, m);
			x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
			if (j->act.other)
				x = v_act(j->act.other, j->act.a, j->act.b, x);
			v_storem(j->out + f * c->out.plane + at + v * PAT_VL, m, x);
		}
		at += c->out.pitch;
		rat += c->res.pitch;
	}
}

PAT_INLINE void cols_finish(const struct cols_job *j, vf *acc, u32 f, const int R, const int V)
{
	const struct pat_planes *o = &j->k->conv.out;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	float *out = j->out + f * o->plane + (s64)j->row * o->pitch + j->col;

	if (j->res || j->act.other) {
		PAT_UNROLL
		for (int i = 0; i < R * V; i++)
			v_store(j->tmp + i * PAT_VL, acc[i]);
		cols_store_slow(j, f, V);
	} else {
		u32 mask[16];

		PAT_UNROLL
		for (int v = 0; v < V; v++)
			mask[v] = cols_lanes(j, v);
		PAT_UNROLL
		for (int r = 0; r < R; r++) {
			float *row = out + (u64)r * o->pitch - j->lane;

			if ((u32)r >= j->rows)
				break;
			PAT_UNROLL
			for (int v = 0; v < V; v++)
				v_storem(row + v * PAT_VL, mask[v],
					 v_min(v_max(acc[r * V + v], lo), hi));
		}
	}
	/* the last piece of the rows: zeros behind them */
	if (j->col + j->cols == o->w && o->pitch > o->w)
		for (u32 r = 0; r < j->rows; r++)
			zero_floats(out + (u64)r * o->pitch + j->cols, o->pitch - o->w);
}

#define COLS_LOOP(N, masked)							\
	for (u32 n = count[3 - (N)]; n > 0; n--, s += 1 + (N)) {		\
		pat_prefetch(s + 192);						\
		cols_piece(acc, panel + s[0], (const float *)s + 1, lo, hi,	\
			   R, V, P, N, masked);					\
	}

PAT_INLINE void cols_tile(const struct cols_job *j, u32 f0, u32 f1, const int R, const int V,
			  const int P)
{
	const struct pat_conv_packed *k = j->k;
	const u32 *filters = (const u32 *)((const u8 *)k + k->classes[0].filters);
	const float *bias = (const float *)((const u8 *)k + k->classes[0].bias);
	const float *panel = j->panel;

	for (u32 f = f0; f < f1; f++) {
		const u32 *count = (const u32 *)((const u8 *)k + j->ptr[f]);
		const u32 *s = count + 3 * k->frames;
		float *part = j->partial + (u64)f * R * V * PAT_VL;
		s32 shift = k->frame_first;
		vf acc[32];

		if (j->backwards)
			shift += k->frames - 1;
		PAT_UNROLL
		for (int i = 0; i < R * V; i++)
			acc[i] = j->first ? v_set1(bias[f]) : v_load(part + i * PAT_VL);
		for (u32 q = 0; q < k->frames; q++, count += 3) {
			cols_mask lo = PAT_ALL_LANES, hi = PAT_ALL_LANES;

			if (PAT_FRAMES) {
				if (q && j->backwards) {
					cols_left(acc, R, V);
					shift--;
				} else if (q) {
					cols_right(acc, R, V);
					shift++;
				}
				/* lanes whose output would wrap around; masked loads cost an FMA each */
				if (shift > 0)
					lo = ~v_first(shift) & PAT_ALL_LANES;
				else
					hi = v_first(PAT_VL + shift);
				if (shift && k->exact) {
					COLS_LOOP(3, true)
					COLS_LOOP(2, true)
					COLS_LOOP(1, true)
					continue;
				}
			}
			COLS_LOOP(3, false)
			COLS_LOOP(2, false)
			COLS_LOOP(1, false)
		}
		if (!j->last) {
			PAT_UNROLL
			for (int i = 0; i < R * V; i++)
				v_store(part + i * PAT_VL, acc[i]);
			continue;
		}
		if (PAT_FRAMES) {
			for (; shift > 0; shift--)
				cols_left(acc, R, V);
			for (; shift < 0; shift++)
				cols_right(acc, R, V);
		}
		cols_finish(j, acc, filters[f], R, V);
	}
}

/* rows and vectors of the tiles */
#if defined(PAT_VEC_AVX512)
#define COLS_ALL(X)								\
	X(7, 1) X(8, 1) X(13, 1) X(14, 1) X(16, 1) X(20, 1) X(26, 1)		\
	X(7, 2) X(8, 2) X(10, 2) X(13, 2) X(14, 2)				\
	X(7, 3) X(8, 3) X(9, 3) X(4, 4) X(6, 4) X(7, 4)				\
	X(4, 5) X(5, 5) X(4, 6) X(4, 7) X(3, 8) X(2, 14)
#elif PAT_REGS >= 32
#define COLS_ALL(X)								\
	X(7, 1) X(8, 1) X(14, 1) X(7, 2) X(8, 2) X(7, 3) X(7, 4) X(6, 4) X(4, 6) X(4, 7)
#else
#define COLS_ALL(X) X(7, 1) X(8, 1) X(12, 1) X(4, 2) X(6, 2) X(4, 3) X(3, 4)
#endif

#if PAT_FRAMES
#define COLS_PITCH(V) (V)
#else
#define COLS_PITCH(V) ((V) + 8 / PAT_VL)
#endif

#define COLS_DEFINE(R, V)							\
static PAT_HOT void cols_##R##x##V(const struct cols_job *j, u32 f0, u32 f1)	\
{										\
	cols_tile(j, f0, f1, R, V, COLS_PITCH(V));				\
}
#define COLS_CASE(R, V)								\
	case (R) * 16 + (V):							\
		cols_##R##x##V(j, f0, f1);					\
		break;
#define COLS_ENTRY(R, V) { R, V },

COLS_ALL(COLS_DEFINE)

static const struct pat_tile cols_tiles[] = { COLS_ALL(COLS_ENTRY) };

static void cols_dispatch(const struct cols_job *j, u32 f0, u32 f1)
{
	switch (j->k->tile_r * 16 + j->k->tile_v) {
	COLS_ALL(COLS_CASE)
	}
}

/* cur: a: channels gathered, b: piece of the band and segment, c: block, d: filters done */
static bool cols_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	struct cols_job j = {
		.k = k, .out = t->out, .res = t->res, .act = pat_clamp_of(c),
		.partial = (float *)((u8 *)scratch + k->partial),
		.tmp = (float *)((u8 *)scratch + k->finish),
		.lane = PAT_FRAMES ? k->halo : 0,
	};
	u64 lanes = (u64)k->tile_r * k->tile_v * PAT_VL;

	if (u0 == u1)
		return true;
	for (; cur->b < pat_div_up(t->rows, k->tile_r) * p->segments; cur->b++) {
		u32 seg = cur->b % p->segments, at = cur->b / p->segments * k->tile_r;
		struct pat_conv_tile part = *t;

		part.row += at;
		part.rows = pat_min(k->tile_r, t->rows - at);
		if (!gather_some(k, &part, &cur->a, &budget, scratch))
			return false;
		j.row = part.row;
		j.rows = part.rows;
		j.col = seg * p->segment;
		j.cols = pat_min(p->segment, c->out.w - j.col);
		j.panel = scratch + seg * p->segment_plane;
		for (; cur->c < k->blocks; cur->c++) {
			j.ptr = (const u64 *)((const u8 *)k + k->classes[0].ptr) +
				(u64)cur->c * (k->units + 1);
			j.first = cur->c == 0;
			j.last = cur->c + 1 == k->blocks;
			j.backwards = cur->c & 1;
			while (u0 + cur->d < u1) {
				u32 f = u0 + cur->d, e = f;
				u64 limit = budget > 0 ? (u64)budget / lanes * 4 : 0;

				if (budget <= 0)
					return false;
				do
					e++;
				while (e < u1 && j.ptr[e] - j.ptr[f] < limit);
				cols_dispatch(&j, f, e);
				budget -= (s64)((j.ptr[e] - j.ptr[f]) / 4 + (e - f) * 8) * lanes;
				cur->d += e - f;
			}
			cur->d = 0;
		}
		cur->c = 0;
		if (seg + 1 == p->segments)
			cur->a = 0;
	}
	return true;
}
