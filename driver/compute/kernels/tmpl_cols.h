/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Row tiles for filters that share nothing: R rows of V vectors of one filter stay in
 * registers, every loaded vector serves all taps of its kernel column and the rows that
 * need it (kernel-level LRE). There is one body per number of taps below each other, so
 * any pattern set, kernel size and stride does well. Shifts are part of the offset: loads
 * may cross lines.
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
	/* output rows and columns of this tile, and where they lie in the tile's lanes */
	u32 row;
	u32 rows;
	u32 col;
	u32 cols;
	u32 lane;
};

/* a piece of N taps: w[i] applies to the row below that of w[i - 1] */
PAT_INLINE void cols_piece(vf *acc, const float *x, const float *w,
			   const int R, const int V, const int P, const int N)
{
	vf wv[3];

	PAT_UNROLL
	for (int i = 0; i < N; i++)
		wv[i] = v_set1(w[i]);
	PAT_UNROLL
	for (int r = 0; r < R + N - 1; r++) {
		PAT_UNROLL
		for (int v = 0; v < V; v++) {
			vf xv = v_loadu(x + (r * P + v) * PAT_VL);

			if (N > 1)
				v_keep(xv);
			if (r < R)
				acc[r * V + v] = v_fma(wv[0], xv, acc[r * V + v]);
			if (N > 1 && r >= 1 && r < R + 1)
				acc[(r - 1) * V + v] = v_fma(wv[1], xv, acc[(r - 1) * V + v]);
			if (N > 2 && r >= 2)
				acc[(r - 2) * V + v] = v_fma(wv[2], xv, acc[(r - 2) * V + v]);
		}
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

/* the lines that filter @f will write: large maps come from far away */
PAT_INLINE void cols_prefetch(const struct cols_job *j, u32 f, const int R)
{
	const struct pat_planes *o = &j->k->conv.out;
	const float *p = j->out + f * o->plane + (u64)j->row * o->pitch + j->col;

	for (int r = 0; r < R; r++)
		pat_prefetchw(p + (u64)r * o->pitch);
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
		u32 mask[8];

		PAT_UNROLL
		for (int v = 0; v < V; v++)
			mask[v] = cols_lanes(j, v);
		PAT_UNROLL
		for (int r = 0; r < R; r++) {
			float *row = out + (u64)r * o->pitch - j->lane;

			PAT_UNROLL
			for (int v = 0; v < V; v++)
				if ((u32)r < j->rows)
					v_storem(row + v * PAT_VL, mask[v],
						 v_min(v_max(acc[r * V + v], lo), hi));
		}
	}
	/* the last piece of the rows: zeros behind them */
	if (j->col + j->cols == o->w && o->pitch > o->w)
		for (u32 r = 0; r < j->rows; r++)
			zero_floats(out + (u64)r * o->pitch + j->cols, o->pitch - o->w);
}

#define COLS_LOOP(N)								\
	for (u32 n = count[3 - (N)]; n > 0; n--, s += 1 + (N)) {		\
		pat_prefetch(s + 192);						\
		cols_piece(acc, panel + s[0], (const float *)s + 1,		\
			   R, V, P, N);						\
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
		const u32 *s = count + 3;
		float *part = j->partial + (u64)f * R * V * PAT_VL;
		vf acc[24];

		if (j->first) {
			const vf b = v_set1(bias[f]);

			PAT_UNROLL
			for (int i = 0; i < R * V; i++)
				acc[i] = b;
		} else {
			PAT_UNROLL
			for (int i = 0; i < R * V; i++)
				acc[i] = v_load(part + i * PAT_VL);
		}
		COLS_LOOP(3)
		COLS_LOOP(2)
		COLS_LOOP(1)
		if (!j->last) {
			PAT_UNROLL
			for (int i = 0; i < R * V; i++)
				v_store(part + i * PAT_VL, acc[i]);
			continue;
		}
		cols_finish(j, acc, filters[f], R, V);
	}
}

/* rows and vectors of the tiles */
#if PAT_REGS >= 32
#define COLS_ALL(X)								\
	X(7, 1) X(8, 1) X(14, 1) X(7, 2) X(8, 2) X(7, 3) X(8, 3) X(6, 4) X(4, 6)
#else
#define COLS_ALL(X) X(7, 1) X(8, 1) X(12, 1) X(4, 2) X(6, 2) X(4, 3) X(3, 4)
#endif

/* shifts reach up to eight lanes into the vectors behind a row */
#define COLS_PITCH(V) ((V) + (PAT_VL >= 8 ? 1 : 8 / PAT_VL))

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
