/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Strips: 3x3 kernels in row tiles whose vectors are full whatever the width of the map.
 * The rows of a piece of output are cut into strips of K rows, which lie side by side: row
 * r of the panel is row r of every strip, one behind the other, so that 56, 28 or 14
 * columns fill vectors as well as 112 do. A tile is one column of vectors, K rows high; it
 * is gathered for all channels, then all filters pass over it. All loads are aligned.
 *
 * There are no pads: tmpl_pats.h adds up results that are shifted against each other, and
 * masks those that would cross the edge of a strip.
 */
#include "tmpl_act.h"

#ifdef PAT_VEC_AVX512

#define STRIPS_MOST	8
/* strips in a vector, zeros behind each, and the first pixel of all */
#define STRIPS_PIECES	(2 * STRIPS_MOST + 2)

/* lanes of results that go to consecutive columns of rows of the output */
struct strips_piece {
	s64 out;
	s64 res;
	/* lanes with results, and those to be written: zeros beyond the former */
	u32 mask;
	u32 store;
	u32 rows;
};

/* lanes of the panel that come from consecutive columns of rows of the input */
struct strips_source {
	s64 at;
	u32 mask;
	/* rows of the panel that are inside of the input */
	u32 from;
	u32 to;
};

struct strips_job {
	const struct pat_conv_packed *k;
	const struct pat_class *cls;
	const float *panel;
	const u64 *ptr;
	float *out;
	const float *res;
	/* what of a filter's rows reaches into the column of vectors on the left */
	float *carry;
	float *tmp;
	struct pat_clamp act;
	/* a residual, or an activation that is not a clamp */
	bool slow;
	/* results go past the caches: whole lines, for more than these hold */
	bool stream;
	u32 rows;
	/* lanes whose left, right neighbour is of the same row */
	u32 left;
	u32 right;
	/* lines of the next column of the input, of one channel: see strips_ahead() */
	const float *ahead;
	u32 unit;
	u32 units;
	u32 lines;
	/* or rows of the next piece, in as many steps as there are columns and units */
	u32 below;
	u32 below_rows;
	u32 step;
	u32 steps;
	struct strips_source line[2 * STRIPS_MOST];
	/* pieces of the results; those from @late on are of the unshifted ones */
	u32 late;
	u32 pieces;
	struct strips_piece piece[STRIPS_PIECES];
};

/* lanes [from, to), cut off at the vector's ends */
PAT_INLINE u32 strips_lanes(s32 from, s32 to)
{
	u32 lo = from < 0 ? 0 : from, hi = to < 0 ? 0 : pat_min(to, PAT_VL);

	return v_first(hi) & ~v_first(lo);
}

static void strips_add_piece(struct strips_job *j, const struct pat_conv_tile *t, s32 base,
			     u32 strip, u32 lanes)
{
	const struct pat_conv *c = &j->k->conv;
	u32 w = c->out.w, above = strip * j->rows;
	s32 col = base - (s32)(strip * w), end = (s32)w - col, pads = end + c->out.pitch - w;
	struct strips_piece *q = j->piece + j->pieces;

	if (!lanes || t->rows <= above)
		return;
	q->out = (s64)(t->row + above) * c->out.pitch + col;
	q->res = (s64)(t->row + above) * c->res.pitch + col;
	q->mask = lanes;
	q->store = lanes;
	q->rows = pat_min(t->rows - above, j->rows);
	j->pieces++;
	if (end > PAT_VL)
		return;
	q->store |= strips_lanes(end, pads);
	if (pads <= PAT_VL)
		return;
	q[1] = *q;
	q[1].out += PAT_VL;
	q[1].res += PAT_VL;
	q[1].mask = 0;
	q[1].store = v_first(pads - PAT_VL);
	j->pieces++;
}

/*
 * Where the results of column @v go. Columns are done from the right to the left, and a
 * vector of results is one pixel ahead of that of the panel: its pixel 0 has to wait for
 * the column on the left. If there is none, it comes last.
 */
static PAT_NOINLINE void strips_out(struct strips_job *j, const struct pat_conv_tile *t, u32 v)
{
	const struct pat_conv_packed *k = j->k;
	u32 w = k->conv.out.w;
	s32 base = (s32)(v * PAT_VL) + 1 - (s32)k->lead;

	j->pieces = 0;
	j->left = 0;
	j->right = 0;
	for (u32 i = 0; i < PAT_VL; i++) {
		/* pixels of the sum of two sets, and of the results */
		u32 p = v * PAT_VL + i - k->lead, q = base + i;

		j->right |= (u32)((p + 1) % w != 0) << i;
		j->left |= (u32)(q % w != 0) << i;
	}
	for (u32 b = 0; b < k->strips; b++)
		strips_add_piece(j, t, base, b, strips_lanes((s32)(b * w) - base,
							     (s32)((b + 1) * w) - base));
	j->late = j->pieces;
	if (base > 0 && !v)
		strips_add_piece(j, t, 0, 0, 1);
}

static PAT_NOINLINE void strips_put_slow(const struct strips_job *j, float *out, const float *res,
					 const float *x, u32 rows, u32 mask, u32 store)
{
	const struct pat_conv *c = &j->k->conv;

	for (u32 r = 0; r < rows; r++) {
		vf y = v_load(x + r * PAT_VL);

		if (j->res)
			y += v_loadm(res + (u64)r * c->res.pitch, mask);
		y = v_min(v_max(y, v_set1(j->act.lo)), v_set1(j->act.hi));
		y = v_act(j->act.other, j->act.a, j->act.b, y);
		v_storem(out + (u64)r * c->out.pitch, store, v_minz(mask, y, y));
	}
}

/* results @x of @filter to piece @q: R rows from @row on */
PAT_INLINE void strips_put(const struct strips_job *j, const struct strips_piece *q, const vf *x,
			   u32 filter, u32 row, const int R)
{
	const struct pat_conv *c = &j->k->conv;
	const u64 pitch = c->out.pitch, rpitch = c->res.pitch;
	const vf lo = v_set1(j->act.lo), hi = v_set1(j->act.hi);
	const u32 mask = q->mask, store = q->store;
	const u32 rows = q->rows > row ? q->rows - row : 0;
	const float *res = j->res ? j->res + filter * c->res.plane + q->res + row * rpitch : NULL;
	float *o = j->out + filter * c->out.plane + q->out + row * pitch;

	/* strips beyond the first may begin anywhere in a line */
	if (j->stream && store == PAT_ALL_LANES && q->out % PAT_VL == 0 && rows >= (u32)R) {
		PAT_UNROLL
		for (int r = 0; r < R; r++)
			v_stream(o + r * pitch, v_minz(mask, v_max(x[r], lo), hi));
	} else if (pat_likely(!j->slow && rows >= (u32)R)) {
		PAT_UNROLL
		for (int r = 0; r < R; r++)
			v_storem(o + r * pitch, store, v_minz(mask, v_max(x[r], lo), hi));
	} else if (!j->act.other) {
		PAT_UNROLL
		for (int r = 0; r < R; r++) {
			vf y = x[r];

			if ((u32)r >= rows)
				break;
			if (res)
				y += v_loadm(res + r * rpitch, mask);
			v_storem(o + r * pitch, store, v_minz(mask, v_max(y, lo), hi));
		}
	} else {
		PAT_UNROLL
		for (int r = 0; r < R; r++)
			v_store(j->tmp + r * PAT_VL, x[r]);
		strips_put_slow(j, o, res, j->tmp, pat_min(rows, R), mask, store);
	}
}

/* the lines that a filter will write: large maps come from far away */
PAT_INLINE void strips_prefetch(const struct strips_job *j, u32 filter, u32 row, const int R)
{
	const struct pat_planes *o = &j->k->conv.out, *in = &j->k->conv.res;

	if (j->stream)
		return;
	for (u32 i = 0; i < j->pieces; i++) {
		const float *p = j->out + j->piece[i].out + filter * o->plane + (u64)row * o->pitch;

		for (int r = 0; r < R; r++)
			pat_prefetchw(p + (u64)r * o->pitch);
		if (!j->res)
			continue;
		p = j->res + j->piece[i].res + filter * in->plane + (u64)row * in->pitch;
		for (int r = 0; r < R; r++)
			pat_prefetch(p + (u64)r * in->pitch);
	}
}

/*
 * The input comes from far away, too: while unit @u is computed, its share of what will be
 * gathered next goes to the second-level cache.
 */
static PAT_NOINLINE void strips_ahead(const struct strips_job *j, u32 u)
{
	const struct pat_planes *in = &j->k->conv.in;
	u32 from = (u64)u * in->c / j->units, to = (u64)(u + 1) * in->c / j->units;

	if (j->below_rows) {
		u64 all = (u64)in->c * j->below_rows, i = j->step + u;

		from = all * i / j->steps;
		to = all * (i + 1) / j->steps;
		for (; from < to; from++) {
			const float *p = j->ahead + from / j->below_rows * in->plane +
				(u64)(j->below + from % j->below_rows) * in->pitch;

			for (u32 x = 0; x < in->w; x += 64 / sizeof(float))
				__builtin_prefetch(p + x, 0, 2);
		}
		return;
	}
	for (; from < to; from++) {
		for (u32 i = 0; i < j->lines; i++) {
			const struct strips_source *s = j->line + i;
			const float *p = j->ahead + from * in->plane + s->at;

			for (u32 r = s->from; r < s->to; r++)
				__builtin_prefetch(p + (u64)r * in->pitch, 0, 2);
		}
	}
}

/*
 * Rows of the input that the piece below @part needs beside those of @part, if all channels'
 * leave room in the second-level cache: whole rows come faster than lines of many.
 */
static PAT_NOINLINE void strips_below(struct strips_job *j, const struct pat_conv_tile *t,
				      const struct pat_conv_tile *part, u32 column, u32 columns)
{
	const struct pat_conv *c = &j->k->conv;
	u32 end = part->row + part->rows, left = t->row + t->rows - end;
	u32 extent = (c->kernel_h - 1) * c->dilation_h + 1;
	s32 from = (s32)((end - 1) * c->stride_h + extent) - (s32)c->pad_top;
	s32 to = from + (s32)(pat_min(left, j->k->strips * j->k->tile_r) * c->stride_h);

	from = from < 0 ? 0 : from;
	to = to < (s32)c->in.h ? to : (s32)c->in.h;
	j->below_rows = j->k->ahead && from < to ? to - from : 0;
	j->below = from;
	j->ahead = t->in;
	j->step = column * j->units;
	j->steps = columns * j->units;
}

#include "tmpl_pats.h"

/* where lanes of column @v come from; @t: the piece, its strips @rows high */
static u32 strips_in(const struct pat_conv_packed *k, const struct pat_conv_tile *t, u32 rows,
		     u32 v, struct strips_source *src)
{
	const struct pat_conv *c = &k->conv;
	s32 w = (s32)c->out.w, h = (s32)pat_min(c->in.h, t->row + t->rows + 1);
	u32 n = 0;

	for (s32 b = 0; b < (s32)k->strips; b++) {
		s32 lane = b * w - (s32)(v * PAT_VL) + (s32)k->lead;
		s32 y = (s32)t->row + b * (s32)rows - 1, end = h - y;
		u32 mask = strips_lanes(lane, lane + w);

		if (!mask)
			continue;
		src[n].at = (s64)y * c->in.pitch - lane;
		src[n].mask = mask;
		src[n].from = y < 0;
		src[n].to = end < 0 ? 0 : pat_min(end, rows + 2);
		if (src[n].to < src[n].from)
			src[n].to = src[n].from;
		n++;
	}
	return n;
}

static PAT_NOINLINE bool strips_gather(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
				       u32 rows, u32 v, u32 *done, s64 *budget, float *panel)
{
	struct strips_source src[STRIPS_MOST];
	u32 n = strips_in(k, t, rows, v, src), pitch = k->conv.in.pitch;
	s64 cost = (s64)(rows + 2) * PAT_VL * 4;

	for (; *done < k->conv.in.c; ++*done, *budget -= cost) {
		const float *in = t->in + *done * k->conv.in.plane;
		float *d = panel + (u64)*done * k->panel.plane;

		if (*budget <= 0)
			return false;
		for (u32 i = 0; i < n; i++) {
			const struct strips_source *s = src + i;
			const float *p = in + s->at + (u64)s->from * pitch;
			const u32 mask = s->mask;

			/* the first one writes whole vectors */
			for (u32 r = 0; !i && r < s->from; r++)
				v_store(d + r * PAT_VL, v_set1(0));
			if (i)
				for (u32 r = s->from; r < s->to; r++, p += pitch)
					v_storem(d + r * PAT_VL, mask, v_loadm(p, mask));
			else
				for (u32 r = s->from; r < s->to; r++, p += pitch)
					v_store(d + r * PAT_VL, v_loadm(p, mask));
			for (u32 r = s->to; !i && r < rows + 2; r++)
				v_store(d + r * PAT_VL, v_set1(0));
		}
	}
	return true;
}

/* what strips_ahead() has to fetch for column @v */
static PAT_NOINLINE void strips_next(struct strips_job *j, const struct pat_conv_tile *t, u32 v)
{
	struct strips_source src[STRIPS_MOST];
	u32 n = strips_in(j->k, t, j->rows, v, src);

	j->ahead = t->in;
	j->lines = 0;
	for (u32 i = 0; i < n; i++) {
		u32 first = __builtin_ctz(src[i].mask), last = 31 - __builtin_clz(src[i].mask);
		struct strips_source *l = j->line + j->lines;

		l[0] = src[i];
		l[0].at += first;
		l[1] = src[i];
		l[1].at += last;
		/* rows are 64-byte aligned */
		j->lines += l[0].at >> 4 == l[1].at >> 4 ? 1 : 2;
	}
}

/* cur: a: channels gathered, b: piece of the band and column, c: tile of the column, d: filters done */
static bool strips_some(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			struct pat_cursor *cur, s64 budget, float *scratch)
{
	u32 f0 = (u64)k->units * t->part / t->parts, f1 = (u64)k->units * (t->part + 1) / t->parts;
	u32 most = k->strips * k->tile_r, columns = k->columns;
	struct strips_job j = {
		.k = k, .cls = k->classes, .out = t->out, .res = t->res,
		.act = pat_clamp_of(&k->conv), .panel = scratch,
		.unit = 0 - f0, .units = f1 - f0,
		.ptr = (const u64 *)((const u8 *)k + k->classes->ptr),
		.carry = (float *)((u8 *)scratch + k->partial),
		.tmp = (float *)((u8 *)scratch + k->finish),
	};

	if (f0 == f1)
		return true;
	j.slow = j.res || j.act.other;
	j.stream = k->stream && !j.slow;
	for (; cur->b < pat_div_up(t->rows, most) * columns; cur->b++) {
		u32 at = cur->b / columns * most, v = columns - 1 - cur->b % columns, rows;
		struct pat_conv_tile part = *t;
		u64 lanes;

		part.row += at;
		part.rows = pat_min(most, t->rows - at);
		j.rows = pat_div_up(part.rows, k->strips);
		if (!strips_gather(k, &part, j.rows, v, &cur->a, &budget, scratch))
			return false;
		strips_out(&j, &part, v);
		j.lines = 0;
		strips_below(&j, t, &part, columns - 1 - v, columns);
		if (v && !j.below_rows)
			strips_next(&j, &part, v - 1);
		rows = pat_pats_rows(k);
		lanes = (u64)rows * PAT_VL;
		for (; cur->c * rows < j.rows; cur->c++) {
			u32 row = cur->c * rows, end = pat_min(row + rows, j.rows);

			while (f0 + cur->d < f1) {
				u32 f = f0 + cur->d, e = f;
				u64 limit = budget > 0 ? (u64)budget / lanes * 4 : 0;

				if (budget <= 0)
					return false;
				do
					e++;
				while (e < f1 && j.ptr[e] - j.ptr[f] < limit);
				if (k->banks == 2)
					pats_four(&j, f, e, row, end);
				else
					pats_seven(&j, f, e, row, end);
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

static bool strips_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		       struct pat_cursor *cur, s64 budget, float *scratch)
{
	bool done = strips_some(k, t, cur, budget, scratch);

	v_stream_end();
	return done;
}

#else

PAT_INLINE bool strips_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			   struct pat_cursor *cur, s64 budget, float *scratch)
{
	(void)k;
	(void)t;
	(void)cur;
	(void)budget;
	(void)scratch;
	return true;
}

#endif
