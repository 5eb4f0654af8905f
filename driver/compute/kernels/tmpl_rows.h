/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* A band of output rows through the row tiles of tmpl_cols.h. */
#include "tmpl_cols.h"

/* cur: a: channels gathered, b: piece of the band and segment, c: block, d: filters done */
static bool rows_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, s64 budget, float *scratch)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	u32 u0 = (u64)k->units * t->part / t->parts, u1 = (u64)k->units * (t->part + 1) / t->parts;
	struct cols_job j = {
		.k = k, .out = t->out, .res = t->res, .act = pat_clamp_of(c),
		.partial = (float *)((u8 *)scratch + k->partial),
		.tmp = (float *)((u8 *)scratch + k->finish),
	};
	u64 lanes = (u64)k->tile_r * k->tile_v * PAT_VL;

	if (u0 == u1)
		return true;
	for (; cur->b < pat_div_up(t->rows, k->tile_r) * p->segments; cur->b++) {
		u32 seg = cur->b % p->segments, at = cur->b / p->segments * k->tile_r;
		struct pat_conv_tile part = *t;

		part.row += at;
		part.rows = pat_min(k->tile_r, t->rows - at);
		if (!gather_some(k, &part, seg, &cur->a, &budget, scratch))
			return false;
		j.row = part.row;
		j.rows = part.rows;
		j.col = seg * p->segment;
		j.cols = pat_min(p->segment, c->out.w - j.col);
		j.panel = scratch;
		for (; cur->c < k->blocks; cur->c++) {
			j.ptr = (const u64 *)((const u8 *)k + k->classes[0].ptr) +
				(u64)cur->c * (k->units + 1);
			j.first = cur->c == 0;
			j.last = cur->c + 1 == k->blocks;
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
		cur->a = 0;
	}
	return true;
}
