/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pattern tiles: 3x3 patterns, one body each (no branch per kernel). A tile is R rows of
 * one vector, held three times: one set of accumulators for each column of the kernel.
 * A loaded row then serves every tap that needs it without being shifted, so all loads
 * are aligned and a kernel of four taps loads R + 2 vectors for 4 R FMAs. The three sets
 * are shifted against each other and added once per filter.
 *
 * A vector holds a whole row, or 14 columns and one on either side, or (rows of at most
 * 7 columns) two rows that are R apart.
 */
#include "tmpl_act.h"

#ifdef PAT_VEC_AVX512

/* number of taps of mask @m below bit @b */
#define PATS_RANK(m, b) __builtin_popcount((m) & ((1 << (b)) - 1))

/* M: taps of the 3x3 kernel, bit row * 3 + column */
PAT_INLINE void pats_body(vf *acc, const float *x, const float *w, const int R, const int M)
{
	vf wv[9];

	PAT_UNROLL
	for (int i = 0; i < 9; i++)
		if (i < __builtin_popcount(M))
			wv[i] = v_set1(w[i]);
	/* input row r serves output row r - b / 3 */
#define PATS_USES(b)	((M >> (b) & 1) && r >= (b) / 3 && r < R + (b) / 3)
#define PATS_TAP(b)								\
	if (PATS_USES(b))							\
		acc[(b) % 3 * R + r - (b) / 3] =				\
			v_fma(wv[PATS_RANK(M, b)], xv, acc[(b) % 3 * R + r - (b) / 3]);
	PAT_UNROLL
	for (int r = 0; r < R + 2; r++) {
		const int uses = PATS_USES(0) + PATS_USES(1) + PATS_USES(2) + PATS_USES(3) +
				 PATS_USES(4) + PATS_USES(5) + PATS_USES(6) + PATS_USES(7) +
				 PATS_USES(8);
		vf xv;

		if (!uses)
			continue;
		xv = v_load(x + r * PAT_VL);
		if (uses > 1)
			v_keep(xv);
		PATS_TAP(0) PATS_TAP(1) PATS_TAP(2) PATS_TAP(3) PATS_TAP(4)
		PATS_TAP(5) PATS_TAP(6) PATS_TAP(7) PATS_TAP(8)
	}
}

/*
 * Bodies: the eight usual patterns, then one to three taps of a single column, of which
 * any other mask is made; conv_pats.c has the same list in the same order. The usual ones
 * follow each other without a dispatch, which processors fail to predict.
 */
#define PATS_USUAL(X)								\
	X(0, 0x01b) X(1, 0x036) X(2, 0x0d8) X(3, 0x1b0)				\
	X(4, 0x03a) X(5, 0x09a) X(6, 0x0b2) X(7, 0x0b8)
#define PATS_COLUMNS(X)								\
	X(0x001) X(0x002) X(0x004) X(0x008) X(0x010) X(0x020) X(0x040) X(0x080)	\
	X(0x100) X(0x009) X(0x012) X(0x024) X(0x048) X(0x090) X(0x120) X(0x041)	\
	X(0x082) X(0x104) X(0x049) X(0x092) X(0x124)

#define PATS_LOOP(M)								\
	for (; n > 0; n--, s += 1 + __builtin_popcount(M)) {			\
		pat_prefetch(s + 192);						\
		pats_body(acc, panel + s[0], (const float *)s + 1, R, M);	\
	}
#define PATS_RUN(i, M)								\
	n = count[i];								\
	PATS_LOOP(M)
#define PATS_CASE(M)								\
	case M:									\
		PATS_LOOP(M)							\
		break;

/* two rows in a vector: a row of a tile goes to two places */
static PAT_NOINLINE void pats_store_folded(const struct cols_job *j, u32 f, u32 R)
{
	const struct pat_conv *c = &j->k->conv;
	u32 fold = j->k->fold;

	for (u32 i = 0; i < 2 * R && i < j->rows; i++) {
		u64 at = f * c->out.plane + (u64)(j->row + i) * c->out.pitch;
		vf x = v_loadm(j->tmp + i % R * PAT_VL + i / R * fold, v_first(j->cols));

		if (j->res)
			x += v_loadm(j->res + f * c->res.plane + (u64)(j->row + i) * c->res.pitch,
				     v_first(j->cols));
		x = v_min(v_max(x, v_set1(j->act.lo)), v_set1(j->act.hi));
		if (j->act.other)
			x = v_act(j->act.other, j->act.a, j->act.b, x);
		v_storem(j->out + at, v_first(j->cols), x);
		if (c->out.pitch > c->out.w)
			zero_floats(j->out + at + j->cols, c->out.pitch - c->out.w);
	}
}

PAT_INLINE void pats_finish_folded(const struct cols_job *j, vf *acc, u32 f, const int R)
{
	PAT_UNROLL
	for (int i = 0; i < R; i++)
		v_store(j->tmp + i * PAT_VL, acc[i]);
	pats_store_folded(j, f, R);
}

PAT_INLINE void pats_tile(const struct cols_job *j, u32 f0, u32 f1, const int R)
{
	const struct pat_conv_packed *k = j->k;
	const u32 *filters = (const u32 *)((const u8 *)k + k->classes[0].filters);
	const float *bias = (const float *)((const u8 *)k + k->classes[0].bias);
	const u32 *body = (const u32 *)((const u8 *)k + k->bodies);
	const float *panel = j->panel;

	for (u32 f = f0; f < f1; f++) {
		const u32 *count = (const u32 *)((const u8 *)k + j->ptr[f]);
		const u32 *s = count + k->body_count;
		float *part = j->partial + (u64)f * R * PAT_VL;
		vf acc[27];
		u32 n;

		if (j->last && f + 1 < f1)
			cols_prefetch(j, filters[f + 1], R);
		PAT_UNROLL
		for (int i = 0; i < R; i++) {
			acc[i] = v_set1(0);
			acc[R + i] = j->first ? v_set1(bias[f]) : v_load(part + i * PAT_VL);
			acc[2 * R + i] = v_set1(0);
		}
		PATS_USUAL(PATS_RUN)
		for (u32 p = 8; p < k->body_count; p++) {
			n = count[p];
			switch (body[p]) {
			PATS_COLUMNS(PATS_CASE)
			}
		}
		/* columns beyond the vector are zero, or of no interest */
		PAT_UNROLL
		for (int i = 0; i < R; i++)
			acc[R + i] += v_right(v_set1(0), acc[i]) + v_left(acc[2 * R + i], v_set1(0));
		if (!j->last) {
			PAT_UNROLL
			for (int i = 0; i < R; i++)
				v_store(part + i * PAT_VL, acc[R + i]);
		} else if (k->fold) {
			pats_finish_folded(j, acc + R, filters[f], R);
		} else {
			cols_finish(j, acc + R, filters[f], R, 1);
		}
	}
}

#define PATS_ALL(X) X(4) X(7) X(8) X(9)

#define PATS_DEFINE(R)								\
static PAT_HOT void pats_##R(const struct cols_job *j, u32 f0, u32 f1)		\
{										\
	pats_tile(j, f0, f1, R);						\
}
#define PATS_DISPATCH(R)							\
	case R:									\
		pats_##R(j, f0, f1);						\
		break;

PATS_ALL(PATS_DEFINE)

static void pats_dispatch(const struct cols_job *j, u32 f0, u32 f1)
{
	switch (j->k->tile_r) {
	PATS_ALL(PATS_DISPATCH)
	}
}

/* rows [y - 1, y + r] of a channel beside rows [y - 1 + r, y + 2 r] */
static bool gather_folded(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			  u32 *done, s64 *budget, float *panel)
{
	const struct pat_conv *c = &k->conv;
	u32 rows = k->tile_r + 2;

	for (; *done < c->in.c; ++*done) {
		const float *src = t->in + *done * c->in.plane;
		float *d = panel + (u64)*done * k->panel.plane;

		if (*budget <= 0)
			return false;
		*budget -= rows * PAT_VL * 4;
		for (u32 r = 0; r < rows; r++) {
			s32 y = (s32)(t->row + r) - 1, z = y + (s32)k->tile_r;
			vf v = v_set1(0);

			if (y >= 0 && y < (s32)c->in.h)
				v = v_loadm(src + (s64)y * c->in.pitch, v_first(c->in.w));
			if (z >= 0 && z < (s32)c->in.h)
				v += v_loadm(src + (s64)z * c->in.pitch - k->fold,
					     v_first(c->in.w) << k->fold);
			v_store(d + r * PAT_VL, v);
		}
	}
	return true;
}

#else

PAT_INLINE void pats_dispatch(const struct cols_job *j, u32 f0, u32 f1)
{
	(void)j;
	(void)f0;
	(void)f1;
}

PAT_INLINE bool gather_folded(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			      u32 *done, s64 *budget, float *panel)
{
	(void)k;
	(void)t;
	(void)done;
	(void)budget;
	(void)panel;
	return true;
}

#endif
