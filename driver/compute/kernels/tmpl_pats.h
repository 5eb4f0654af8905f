/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pattern tiles: 3x3 patterns, one body each (no branch per kernel). A tile is R rows of
 * one vector (tmpl_strips.h), held three times: one set of accumulators for each column of
 * the kernel. A loaded row then serves every tap that needs it without being shifted, so
 * all loads are aligned and a kernel of four taps loads R + 2 vectors for 4 R FMAs. The
 * three sets are shifted against each other and added once per filter; what crosses into
 * the next vector is carried there.
 *
 * Tiles of few rows of one filter have two banks of all that, for every other kernel of a
 * pattern: one alone would wait for its own results.
 */

#include "pats_bodies.h"

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
 * A body for each number of rows and mask. Checks of every access would have a compiler
 * move all accumulators around each of them, in all bodies at once: sanitizers get one
 * function for all.
 */
#ifdef PAT_SANITIZED
static PAT_NOINLINE void pats_any(vf *acc, const float *x, const u32 *w, u32 rows, u32 mask)
{
	pats_body(acc, x, (const float *)w, rows, mask);
}
#define PATS_FOUR(M, acc, x, w) pats_any(acc, x, w, 4, M)
#define PATS_SEVEN(M, acc, x, w) pats_any(acc, x, w, 7, M)
#else
#define PATS_FOUR(M, acc, x, w) pats_body(acc, x, (const float *)(w), 4, M)
#define PATS_SEVEN(M, acc, x, w) pats_body(acc, x, (const float *)(w), 7, M)
#endif

/* kernels of one body, in tiles of seven rows and in those of four with two banks */
#define PATS_STEP(M)	(1 + __builtin_popcount(M))
#define PATS_ONE(M)								\
	case M:									\
		for (; n; n--, s += PATS_STEP(M)) {				\
			pat_prefetch(s + 192);					\
			PATS_SEVEN(M, acc, panel + s[0], s + 1);		\
		}								\
		break;
#define PATS_TWO(M)								\
	case M:									\
		for (; n > 1; n -= 2, s += 2 * PATS_STEP(M)) {			\
			pat_prefetch(s + 192);					\
			PATS_FOUR(M, acc, panel + s[0], s + 1);			\
			PATS_FOUR(M, acc + 12, panel + s[PATS_STEP(M)],		\
				  s + PATS_STEP(M) + 1);			\
		}								\
		if (n) {							\
			PATS_FOUR(M, acc, panel + s[0], s + 1);			\
			s += PATS_STEP(M);					\
		}								\
		break;

/*
 * The three sets become results of rows from @row on: see strips_out(). They replace the
 * third one, and the second one what is not ahead.
 */
PAT_INLINE void pats_finish(const struct strips_job *j, vf *acc, u32 filter, u32 row, const int R)
{
	const u32 left = j->left, right = j->right, late = j->k->tile_p;
	float *carry = j->carry + (u64)filter * 2 * late + row;
	vf *sum = acc + R, *done = sum + R;

	PAT_UNROLL
	for (int r = 0; r < R; r++) {
		vf next = v_set1(carry[r]), last = v_set1(carry[late + r]);

		v_keep(next);
		v_keep(last);
		v_store1(carry + r, done[r]);
		sum[r] = v_addm(sum[r], right, v_left(done[r], next));
		v_store1(carry + late + r, sum[r]);
		done[r] = v_addm(v_left(sum[r], last), left, acc[r]);
	}
	for (u32 p = 0; p < j->late; p++)
		strips_put(j, j->piece + p, done, filter, row, R);
	for (u32 p = j->late; p < j->pieces; p++)
		strips_put(j, j->piece + p, sum, filter, row, R);
}

/* filters @f0 to @f1, rows @row to @end */
PAT_INLINE void pats_tile(const struct strips_job *j, u32 f0, u32 f1, u32 row, u32 end,
			  const int R, const int BANKS)
{
	const struct pat_conv_packed *k = j->k;
	const u32 *filters = (const u32 *)((const u8 *)k + j->cls->filters);
	const float *bias = (const float *)((const u8 *)k + j->cls->bias);
	const u32 *body = (const u32 *)((const u8 *)k + k->bodies);

	for (u32 f = f0; f < f1; f++) {
		const u32 *count = (const u32 *)((const u8 *)k + j->ptr[f]);

		if (!row)
			strips_ahead(j, j->unit + f);
		for (u32 y = row; y < end; y += R) {
			const u32 *s = count + k->body_count;
			const float *panel = j->panel + y * PAT_VL;
			vf acc[27];

			strips_prefetch(j, filters[f], y, R);
			PAT_UNROLL
			for (int i = 0; i < 3 * R * BANKS; i++)
				acc[i] = i / R == 1 ? v_set1(bias[f]) : v_set1(0);
			for (u32 p = 0; p < k->body_count; p++) {
				u32 n = count[p];

				if (BANKS == 2) {
					switch (body[p]) {
					PATS_BODIES(PATS_TWO)
					}
				} else {
					switch (body[p]) {
					PATS_BODIES(PATS_ONE)
					}
				}
			}
			if (BANKS == 2) {
				PAT_UNROLL
				for (int i = 0; i < 3 * R; i++)
					acc[i] += acc[3 * R + i];
			}
			pats_finish(j, acc, filters[f], y, R);
		}
	}
}

static PAT_HOT void pats_four(const struct strips_job *j, u32 f0, u32 f1, u32 row, u32 end)
{
	pats_tile(j, f0, f1, row, end, 4, 2);
}

static PAT_HOT void pats_seven(const struct strips_job *j, u32 f0, u32 f1, u32 row, u32 end)
{
	pats_tile(j, f0, f1, row, end, PAT_PATS_ROWS, 1);
}
