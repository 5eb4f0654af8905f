// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Planning for strips (tmpl_strips.h). */
#include <linux/errno.h>
#include "conv_int.h"

/* cycles that a kernel of four taps takes in a tile of four rows with two banks, of seven with one */
#define KERNEL_TWO_BANKS	9
#define KERNEL			18
/* the end of a filter, for each of its rows too */
#define FINISH			20
#define FINISH_ROW		6
/* a line that is copied to the panel: both are in the second-level cache */
#define GATHER_LINE		4
#define MOST_STRIPS		16

/* cycles of a column of @rows rows */
static u64 column_cost(const struct pat_conv_packed *k, const struct pat_weights *w, u32 rows)
{
	const struct pat_conv *c = &k->conv;
	u64 cost = (u64)c->in.c * (rows + 2) * GATHER_LINE;
	u32 step = pat_pats_rows(k), kernel = k->banks == 2 ? KERNEL_TWO_BANKS : KERNEL;

	return cost + pat_div_up(rows, step) *
		      (w->nnz / 4 * kernel + (u64)c->out.c * (step * FINISH_ROW + FINISH));
}

/*
 * Rows and number of strips. @limit: rows of a band. Fewer rows in one piece are better for
 * sharing work: more have to save two per cent.
 */
static int pick_tile(const struct pat_tune *t, const struct pat_weights *w, u32 limit,
		     struct pat_conv_packed *k)
{
	const struct pat_conv *c = &k->conv;
	/* a vector has room for 8 pieces of rows */
	u32 strips = c->out.w < 3 ? MOST_STRIPS / 2 : MOST_STRIPS;
	u64 best = ~0ULL;

	for (u32 b = 1; b <= strips && b <= limit; b++) {
		u32 columns = pat_div_up(b * c->out.w + pat_streams(c, t), k->vl);

		/* kernels jump about in the panel: the first-level cache has to hold it */
		for (u32 r = 1; r <= PAT_PATS_ROWS && (b - 1) * r < limit; r++) {
			u32 rows = pat_min(b * r, limit), left = limit % rows;
			u64 cost = limit / rows * column_cost(k, w, pat_div_up(rows, b));

			if (left)
				cost += column_cost(k, w, pat_div_up(left, b));
			cost *= columns;
			if (r == t->tile_r && b == t->tile_v)
				cost = 0;
			if (cost >= best - best / 50)
				continue;
			best = cost;
			k->tile_r = r;
			k->strips = b;
			k->columns = columns;
		}
	}
	return best == ~0ULL ? -EINVAL : 0;
}

/* everything but packed_bytes */
int pat_strips_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		    const struct pat_weights *w, struct pat_conv_packed *k,
		    struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	struct pat_panel *p = &k->panel;
	u32 limit = t->any_row ? pat_min(t->band_rows, c->out.h) : c->out.h, piece;
	u64 total;
	int ret;

	/* what is added up in which order must not depend on the rows of a band */
	k->banks = c->out.w <= isa->vl / 2 ? 2 : 1;
	ret = pick_tile(t, w, limit, k);
	if (ret)
		return ret;
	/* a piece less than whole takes as long */
	piece = k->strips * k->tile_r;
	k->band_rows = pat_min(pat_max(pat_min(t->band_rows, limit) / piece, 1) * piece, limit);
	/* the last tile may have rows that are not wanted */
	k->tile_p = k->tile_r + PAT_PATS_ROWS;
	k->stream = pat_streams(c, t);
	/* results are stored without crossing lines where a lane is free for that */
	k->lead = k->strips * c->out.w % isa->vl != 0 || k->stream;
	p->pitch = (k->tile_r + 2) * isa->vl;
	p->plane = p->pitch;
	total = (u64)p->plane * c->in.c + PAT_PATS_ROWS * isa->vl;
	if (total >> 32)
		return -E2BIG;
	k->ahead = (u64)c->in.c * piece * c->stride_h * c->in.pitch * 4 <= t->l2_bytes / 2;
	k->blocks = 1;
	k->block = c->in.c;
	k->units = c->out.c;
	k->partial = pat_align(total * 4);
	k->finish = k->partial + pat_align((u64)c->out.c * 2 * k->tile_p * 4);
	info->band_rows = k->band_rows;
	info->row_step = piece;
	info->scratch_bytes = k->finish + isa->regs * isa->vl * 4;
	info->gather = total * k->columns * 4 * pat_div_up(k->band_rows, piece);
	return 0;
}
