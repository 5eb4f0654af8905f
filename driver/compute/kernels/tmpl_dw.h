/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Depthwise layers: a channel's band is gathered with its borders, small enough for the
 * first-level cache, and swept four rows of a vector at a time; a loaded vector serves all
 * rows and taps below each other that need it.
 */
#include "tmpl_act.h"
#include "tmpl_gather.h"
#include "tmpl_dwd.h"

#define DW_ROWS 4

struct dw_job {
	const struct pat_conv_packed *k;
	const float *panel;
	const float *w;
	float bias;
	float *out;
	const float *res;
	u32 rows;
	struct pat_clamp act;
};

PAT_INLINE void dw_store(const struct dw_job *j, u32 r, u32 x, vf v)
{
	const struct pat_conv *c = &j->k->conv;
	u32 lanes = v_first(c->out.w - x);
	float *o = j->out + (u64)r * c->out.pitch + x;

	if (j->res)
		v += v_loadm(j->res + (u64)r * c->res.pitch + x, lanes & PAT_ALL_LANES);
	v = v_min(v_max(v, v_set1(j->act.lo)), v_set1(j->act.hi));
	if (j->act.other)
		v = v_act(j->act.other, j->act.a, j->act.b, v);
	if (x + PAT_VL < c->out.w) {
		v_storeu(o, v);
		return;
	}
	v_storem(o, lanes, v);
	if (c->out.pitch > c->out.w)
		zero_floats(o + (c->out.w - x), c->out.pitch - c->out.w);
}

/* constant KH, KW, SH, SW unfold; the general case has them at run time, R is 1 there */
PAT_INLINE void dw_sweep(const struct dw_job *j, const int KH, const int KW, const int SH,
			 const int SW, const int R)
{
	const struct pat_panel *p = &j->k->panel;
	u32 ow = j->k->conv.out.w;
	/* more weights than fit beside the rest are broadcast where they are used */
	const bool held = KH * KW <= 9;
	vf w[25];

	PAT_UNROLL
	for (int i = 0; i < 25; i++)
		w[i] = v_set1(held && i < KH * KW ? j->w[i] : 0);
	for (u32 r0 = 0; r0 < j->rows; r0 += R) {
		const float *row = j->panel + (u64)r0 * p->pitch;

		for (u32 x = 0; x < ow; x += PAT_VL, row += PAT_VL) {
			const float *wp = j->w;
			vf acc[DW_ROWS];
			PAT_UNROLL
			for (int r = 0; r < R; r++)
				acc[r] = v_set1(j->bias);
			/* input row i of phase py: kernel row ky = q SH + py of output row i - q */
			PAT_UNROLL
			for (int py = 0; py < (KH < SH ? KH : SH); py++) {
				PAT_UNROLL
				for (int kx = 0; kx < KW; kx++) {
					const float *s = row + (py * p->phases_x + kx % SW) * p->plane +
							 kx / SW;

					/* a column's broadcasts at a time, or all would be spilled */
					__asm__ volatile("" : "+r"(wp));
					PAT_UNROLL
					for (int i = 0; i < R + KH - 1; i++) {
						vf v;

						if (i > R - 1 + (KH - 1 - py) / SH)
							continue;
						v = v_loadu(s + i * p->pitch);
						v_keep(v);
						PAT_UNROLL
						for (int q = 0; q < KH; q++)
							if (q * SH + py < KH && i - q >= 0 && i - q < R) {
								const int t = (q * SH + py) * KW + kx;

								acc[i - q] = v_fma(held ? w[t] : v_set1(wp[t]),
										   v, acc[i - q]);
							}
					}
				}
			}
			PAT_UNROLL
			for (int r = 0; r < R; r++)
				if (r0 + r < j->rows)
					dw_store(j, r0 + r, x, acc[r]);
		}
	}
}

/* any kernel and stride */
static PAT_NOINLINE void dw_general(const struct dw_job *j)
{
	const struct pat_conv *c = &j->k->conv;
	const struct pat_panel *p = &j->k->panel;

	for (u32 r = 0; r < j->rows; r++) {
		for (u32 x = 0; x < c->out.w; x += PAT_VL) {
			vf a = v_set1(j->bias);

			for (u32 ky = 0; ky < c->kernel_h; ky++) {
				for (u32 kx = 0; kx < c->kernel_w; kx++) {
					u32 ph = ky % c->stride_h * p->phases_x + kx % c->stride_w;
					const float *s = j->panel + (u64)ph * p->plane + x +
						(u64)(r + ky / c->stride_h) * p->pitch + kx / c->stride_w;

					a = v_fma(v_set1(j->w[ky * c->kernel_w + kx]), v_loadu(s), a);
				}
			}
			dw_store(j, r, x, a);
		}
	}
}

#define DW_ALL(X) X(3, 1) X(3, 2) X(5, 1) X(5, 2)
#define DW_DEFINE(K, S)								\
static PAT_HOT void dw_##K##s##S(const struct dw_job *j)			\
{										\
	dw_sweep(j, K, K, S, S, K > 3 ? 2 : DW_ROWS);				\
}
#define DW_CASE(K, S)								\
	if (c->kernel_h == (K) && c->kernel_w == (K) && c->stride_h == (S) &&	\
	    c->stride_w == (S)) {						\
		dw_##K##s##S(&j);						\
		continue;							\
	}

DW_ALL(DW_DEFINE)

/* cur: d: filters done */
static bool dw_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		   struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 per = c->out.c / c->groups, taps = c->kernel_h * c->kernel_w;
	/* a channel: what is computed, and the pass over memory before it */
	s64 cost = (s64)t->rows * p->pitch * (taps + 16);
	struct dw_job j = { .k = k, .panel = scratch, .rows = t->rows, .act = pat_clamp_of(c) };

	if (k->direct)
		return dwd_run(k, t, cur, budget, scratch);
	for (; u0 + cur->d < u1; cur->d++) {
		u32 f = u0 + cur->d, ch = f / per;

		if (budget <= 0)
			return false;
		budget -= cost;
		gather_channel(k, t->in, ch, 0, t->row, t->rows,
			       scratch - (u64)ch * p->phases_y * p->phases_x * p->plane);
		j.w = (const float *)((const u8 *)k + k->aux) + (u64)f * taps;
		j.bias = ((const float *)((const u8 *)k + k->classes[0].bias))[f];
		j.out = t->out + f * c->out.plane + (u64)t->row * c->out.pitch;
		j.res = t->res ? t->res + f * c->res.plane + (u64)t->row * c->res.pitch : NULL;
		DW_ALL(DW_CASE)
		dw_general(&j);
	}
	return true;
}
