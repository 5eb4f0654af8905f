/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Softmax, reductions, norms: passes over an inner loop, for each unit of an outer one. */
#include "op_common.h"

/*
 * Work is resumable within a unit, for a reduction may be as long as a tensor:
 * cur->a is the unit, cur->b the pass, cur->c the iteration of the inner loop
 * without its last axis, cur->d the position in the last axis. Running values
 * are in the scratch, one for each lane.
 */
struct pass {
	const struct pat_reduce_task *t;
	const struct patcnn_activation *act;
	struct pat_cursor *cur;
	s64 budget;
	float *first;
	float *second;
	/* of the unit */
	u32 lanes;
	float *out;
	const float *in;
	const float *scale;
	const float *bias;
};

/* struct piece - what a pass treats at a time: elements along the last axis, or all lanes */
struct piece {
	u32 n;
	u32 so;
	u32 si;
	u32 ss;
	u32 sb;
	float *out;
	const float *in;
	const float *scale;
	const float *bias;
};

/* Longest piece of a row. */
#define PIECE		4096

typedef void (*pass_fn)(struct pass *p, const struct piece *e);

/* All of the inner loop; false if the budget ends first. */
static bool pass_over(struct pass *p, pass_fn fn, u32 cost)
{
	const struct pat_nd *nd = &p->t->inner;
	u32 last = nd->rank - 1, n = nd->n[last];
	struct op_loop loop;
	u64 rows = 1;

	for (u32 a = 0; a < last; a++)
		rows *= nd->n[a];
	op_loop_seek(&loop, nd, last, p->cur->c);
	for (; p->cur->c < rows; p->cur->c++, p->cur->d = 0) {
		while (p->cur->d < n) {
			u32 x = p->cur->d, step = n - x < PIECE ? n - x : PIECE;
			struct piece e = { .n = step };

			if (p->budget <= 0)
				return false;
			if (p->lanes > 1) {
				step = 1;
				e.n = p->lanes;
			}
			e.so = p->lanes > 1 ? 1 : nd->stride[0][last];
			e.si = p->lanes > 1 ? 1 : nd->stride[1][last];
			e.ss = nd->stride[2][last];
			e.sb = nd->stride[3][last];
			e.out = p->out + loop.off[0] + (u64)x * nd->stride[0][last];
			e.in = p->in + loop.off[1] + (u64)x * nd->stride[1][last];
			e.scale = p->scale ? p->scale + loop.off[2] + (u64)x * e.ss : NULL;
			e.bias = p->bias ? p->bias + loop.off[3] + (u64)x * e.sb : NULL;
			fn(p, &e);
			p->budget -= (s64)cost * (e.n + 16);
			p->cur->d += step;
		}
		op_loop_next(&loop, nd, last);
	}
	p->cur->c = 0;
	p->cur->b++;
	return true;
}

/* -1 in the lanes of the bit mask */
PAT_INLINE vi op_mask(u32 m)
{
	vi v = { 0 };

	for (u32 i = 0; i < PAT_VL; i++)
		v[i] = -(int)(m >> i & 1);
	return v;
}

enum fold { FOLD_MAX, FOLD_SUM, FOLD_SQUARE };

PAT_INLINE vf fold(enum fold kind, vf acc, vf x, vf mean)
{
	if (kind == FOLD_MAX)
		return op_vmax(acc, x);
	if (kind == FOLD_SQUARE)
		return acc + (x - mean) * (x - mean);
	return acc + x;
}

/* Into values[lane], or, of a row, all into values[0]. */
PAT_INLINE void fold_piece(enum fold kind, struct pass *p, const struct piece *e, float *values)
{
	vf acc = v_set1(kind == FOLD_MAX ? -__builtin_inff() : 0.0f), mean = v_set1(p->first[0]);

	if (p->lanes > 1) {
		for (u32 i = 0; i < e->n; i += PAT_VL) {
			u32 m = op_lanes(i, e->n);

			acc = op_load(values + i, 1, m);
			mean = op_load(p->first + i, 1, m);
			op_store(values + i, 1, m, fold(kind, acc, op_load(e->in + i, 1, m), mean));
		}
		return;
	}
	for (u32 i = 0; i < e->n; i += PAT_VL) {
		u32 m = op_lanes(i, e->n);
		vf next = fold(kind, acc, op_load(e->in + (u64)i * e->si, e->si, m), mean);

		acc = m == PAT_ALL_LANES ? next : m_select(op_mask(m), next, acc);
	}
	if (kind == FOLD_MAX) {
		float top = op_max(acc);

		if (top > values[0] || top != top)
			values[0] = top;
	} else {
		values[0] += op_sum(acc);
	}
}

static void fold_max(struct pass *p, const struct piece *e)
{
	fold_piece(FOLD_MAX, p, e, p->first);
}

static void fold_sum(struct pass *p, const struct piece *e)
{
	fold_piece(FOLD_SUM, p, e, p->first);
}

/* second: the sum of squared distances from the mean in first */
static void fold_square(struct pass *p, const struct piece *e)
{
	fold_piece(FOLD_SQUARE, p, e, p->second);
}

/* out = e^(in - first), second: its sum */
static void pass_exp(struct pass *p, const struct piece *e)
{
	bool lanes = p->lanes > 1;
	vf sum = v_set1(0.0f);

	for (u32 i = 0; i < e->n; i += PAT_VL) {
		u32 m = op_lanes(i, e->n);
		vf top = lanes ? op_load(p->first + i, 1, m) : v_set1(p->first[0]);
		vf x = m_exp(op_load(e->in + (u64)i * e->si, e->si, m) - top);

		op_store(e->out + (u64)i * e->so, e->so, m, x);
		if (lanes)
			op_store(p->second + i, 1, m, op_load(p->second + i, 1, m) + x);
		else
			sum += m == PAT_ALL_LANES ? x : (vf)((vi)x & op_mask(m));
	}
	if (!lanes)
		p->second[0] += op_sum(sum);
}

/* out *= second */
static void pass_scale(struct pass *p, const struct piece *e)
{
	for (u32 i = 0; i < e->n; i += PAT_VL) {
		u32 m = op_lanes(i, e->n);
		vf f = p->lanes > 1 ? op_load(p->second + i, 1, m) : v_set1(p->second[0]);
		float *out = e->out + (u64)i * e->so;

		op_store(out, e->so, m, op_load(out, e->so, m) * f);
	}
	op_activate(p->act, e->out, e->so, e->n);
}

/* out = (in - first) * second * scale + bias */
static void pass_norm(struct pass *p, const struct piece *e)
{
	vf mean = v_set1(p->first[0]), f = v_set1(p->second[0]);

	for (u32 i = 0; i < e->n; i += PAT_VL) {
		u32 m = op_lanes(i, e->n);
		vf x = (op_load(e->in + (u64)i * e->si, e->si, m) - mean) * f;

		if (e->scale)
			x *= op_load(e->scale + (u64)i * e->ss, e->ss, m);
		if (e->bias)
			x += op_load(e->bias + (u64)i * e->sb, e->sb, m);
		op_store(e->out + (u64)i * e->so, e->so, m, x);
	}
	op_activate(p->act, e->out, e->so, e->n);
}

static void pass_start(struct pass *p, const struct pat_work *w, struct pat_cursor *cur,
		       void *scratch)
{
	*p = (struct pass){
		.t = &w->task->reduce,
		.act = &w->task->act,
		.cur = cur,
		.budget = PAT_CHUNK_MACS,
		.first = scratch,
		.second = (float *)scratch + PAT_LANES,
	};
}

/* Sets @p to the unit of the cursor; running values start with @first and 0. */
static void pass_unit(struct pass *p, const struct pat_work *w, float first)
{
	const struct pat_reduce_task *t = p->t;
	u64 unit = w->first + p->cur->a;
	u32 block = unit % t->blocks, left = t->lanes - block * PAT_LANES;
	struct op_loop loop;

	op_loop_seek(&loop, &t->outer, t->outer.rank, unit / t->blocks);
	p->lanes = left < PAT_LANES ? left : PAT_LANES;
	p->out = w->out + loop.off[0] + block * PAT_LANES;
	p->in = w->in[0] + loop.off[1] + block * PAT_LANES;
	p->scale = w->in[1] ? w->in[1] + loop.off[2] : NULL;
	p->bias = w->in[2] ? w->in[2] + loop.off[3] : NULL;
	if (p->cur->b | p->cur->c | p->cur->d)
		return;
	for (u32 i = 0; i < p->lanes; i++) {
		p->first[i] = first;
		p->second[i] = 0.0f;
	}
}

static void pass_next(struct pass *p)
{
	p->cur->a++;
	p->cur->b = 0;
}

static bool softmax_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	struct pass p;

	pass_start(&p, w, cur, scratch);
	for (; cur->a < w->count; pass_next(&p)) {
		pass_unit(&p, w, -__builtin_inff());
		if (cur->b == 0 && !pass_over(&p, fold_max, 1))
			return false;
		if (cur->b == 1) {
			if (!pass_over(&p, pass_exp, 12))
				return false;
			for (u32 i = 0; i < p.lanes; i++)
				p.second[i] = 1.0f / p.second[i];
		}
		if (!pass_over(&p, pass_scale, 2))
			return false;
	}
	return true;
}

static bool reduce_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	bool max = w->task->reduce.kind == PATCNN_REDUCE_MAX;
	struct pass p;

	pass_start(&p, w, cur, scratch);
	for (; cur->a < w->count; pass_next(&p)) {
		pass_unit(&p, w, max ? -__builtin_inff() : 0.0f);
		if (!pass_over(&p, max ? fold_max : fold_sum, 1))
			return false;
		for (u32 i = 0; i < p.lanes; i++)
			p.out[i] = p.t->kind == PATCNN_REDUCE_MEAN ?
				   p.first[i] / (float)p.t->count : p.first[i];
		op_activate(p.act, p.out, 1, p.lanes);
	}
	return true;
}

static bool norm_run(const struct pat_work *w, struct pat_cursor *cur, void *scratch)
{
	const struct pat_reduce_task *t = &w->task->reduce;
	struct pass p;

	pass_start(&p, w, cur, scratch);
	for (; cur->a < w->count; pass_next(&p)) {
		pass_unit(&p, w, 0.0f);
		if (cur->b == 0) {
			if (!pass_over(&p, fold_sum, 1))
				return false;
			p.first[0] /= (float)t->count;
		}
		if (cur->b == 1) {
			vf variance;

			if (!pass_over(&p, fold_square, 2))
				return false;
			variance = v_set1(p.second[0] / (float)t->count + op_float(t->epsilon));
			p.second[0] = 1.0f / m_sqrt(variance)[0];
		}
		if (!pass_over(&p, pass_norm, 4))
			return false;
	}
	return true;
}
