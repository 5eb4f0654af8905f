// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Planning and packing for Winograd's F(4x4, 3x3) (tmpl_wino.h): float
 * [point][group of filters][channel][filter of the group], U = G g G'.
 *
 * Packing knows no float. The nine weights of a kernel become integers of one scale, 243 G
 * is integer, so U is exact there, and rounded to a float once.
 */
#include <linux/errno.h>
#include "conv_int.h"

#define POINTS		36
/* makes G of tmpl_wino.h's points integer */
#define SCALE		243
/* bits behind those of a float's mantissa in the integers of a kernel */
#define EXTRA		20

static u32 group_size(const struct pat_conv_isa *isa)
{
	return isa->regs >= 32 ? 8 : 4;
}

static u32 tile_columns(const struct pat_conv *c)
{
	return pat_div_up(c->out.w, 4);
}

bool pat_wino_can(const struct pat_conv *c, const struct pat_tune *t)
{
	return c->kernel_h == 3 && c->kernel_w == 3 && c->stride_h == 1 && c->stride_w == 1 &&
	       c->dilation_h == 1 && c->dilation_w == 1 && c->groups == 1 && c->out.w > 1 &&
	       c->pad_left < 16 && c->pad_top < 16 && c->out.pitch % 16 == 0 && !t->any_row;
}

static bool has_tail(const struct pat_conv_isa *isa, u32 tiles)
{
	return isa->vl == 16 && pat_div_up(tiles, 49) * 25 < pat_div_up(tiles, 16) * 8;
}

static u32 strips_of(const struct pat_conv_isa *isa, u32 tiles)
{
	return has_tail(isa, tiles) ? pat_div_up(tiles, 49) :
	       pat_div_up(pat_div_up(tiles, isa->vl), PAT_GEMM_T);
}

/* vectors of 8 sums, for the product of a band */
static u32 product_cost(const struct pat_conv_isa *isa, u32 tiles)
{
	if (has_tail(isa, tiles))
		return pat_div_up(tiles, 49) * 25;
	/* a vector alone does not fill the pipes */
	return pat_div_up(tiles, isa->vl) == 1 ? 10 : pat_div_up(tiles, isa->vl) * 8;
}

static u64 v_bytes(const struct pat_conv_isa *isa, const struct pat_conv *c, u32 tiles)
{
	return 4ULL * strips_of(isa, tiles) * POINTS *
	       ((u64)c->in.c * PAT_GEMM_T * isa->vl + (c->in.c + 15) / 16 * 16);
}

/* of one group */
static u64 m_bytes(const struct pat_conv_isa *isa, u32 tiles)
{
	return 4ULL * strips_of(isa, tiles) * POINTS * (PAT_GEMM_T * group_size(isa) + 1) * isa->vl;
}

/* rows of tiles of a band */
static u32 pick_rows(const struct pat_conv_isa *isa, const struct pat_tune *t,
		     const struct pat_conv *c)
{
	u32 all = pat_div_up(c->out.h, 4), tx = tile_columns(c), most = all, best = 1;
	u64 weights = (u64)c->in.c * c->out.c * POINTS * 4, least = ~0ULL;

	/* shorter bands than the caller's, but not of less than a strip */
	if (t->band_rows < c->out.h)
		most = pat_min(all, pat_max(t->band_rows / 4,
					    pat_div_up(PAT_GEMM_T * isa->vl, tx)));
	for (u32 rows = 1; rows <= most; rows++) {
		u32 bands = pat_div_up(all, rows), tiles = rows * tx;
		u64 v = v_bytes(isa, c, tiles), cost, far = 0;

		if (rows > 1 && v > t->l2_bytes * 4ULL)
			break;
		/* what does not stay in the second-level cache: weights, and V and M, there and back */
		if (v > t->l2_bytes / 2)
			far += v + v / c->in.c * c->out.c;
		if (weights + v > t->l2_bytes * 3ULL / 4)
			far += weights;
		/* a byte is about a multiply-accumulate of two lanes */
		cost = bands * ((u64)product_cost(isa, tiles) * isa->vl / group_size(isa) * POINTS *
				c->in.c * c->out.c + far * 2);
		if (cost < least) {
			least = cost;
			best = rows;
		}
	}
	return best;
}

/* multiply-accumulates of the same time, about */
u64 pat_wino_cost(const struct pat_conv_isa *isa, const struct pat_tune *t, const struct pat_conv *c)
{
	u32 rows = pick_rows(isa, t, c), tx = tile_columns(c);
	u64 bands = pat_div_up(pat_div_up(c->out.h, 4), rows);

	return bands * ((u64)product_cost(isa, rows * tx) * isa->vl / 8 * POINTS * c->in.c * c->out.c +
			(u64)rows * tx * 400 * (c->in.c + c->out.c));
}

int pat_wino_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  struct pat_conv_packed *k, struct pat_conv_info *info)
{
	const struct pat_conv *c = &k->conv;
	u32 size = group_size(isa), tx = tile_columns(c), rows, tiles, vl = isa->vl;
	u64 weights, m;

	if (!pat_wino_can(c, t))
		return -EINVAL;
	rows = pick_rows(isa, t, c);
	tiles = rows * tx;
	k->band_rows = pat_min(rows * 4, c->out.h);
	k->units = pat_div_up(c->out.c, size);
	weights = (u64)k->units * size * c->in.c * POINTS;
	if (weights >> 32 || v_bytes(isa, c, tiles) >> 31)
		return -E2BIG;
	k->tail = has_tail(isa, tiles);
	k->block = t->block ? t->block : t->l1_bytes * 5 / 4 / (PAT_GEMM_T * vl * 4);
	k->block = pat_min(pat_max(k->block, 16), c->in.c);
	k->blocks = pat_div_up(c->in.c, k->block);
	k->block = pat_div_up(c->in.c, k->blocks);
	/* sums of so many groups at a time: V is read again for each of them */
	m = m_bytes(isa, tiles);
	k->batch = k->units;
	if (v_bytes(isa, c, tiles) <= t->l2_bytes / 2)
		k->batch = pat_max(pat_min(t->l2_bytes / 4 / m, k->units), 1);
	k->batch = pat_div_up(k->units, pat_div_up(k->units, k->batch));

	/* planes of the 6x6 by row modulo 4 */
	k->panel.plane = ((rows + 1) * tx + 2 * vl + 15) / 16 * 16;
	k->panel.lead = 24 * k->panel.plane;
	k->panel.segments = strips_of(isa, tiles);
	k->panel.pitch = (tiles + 2 * vl + 15) / 16 * 16;
	k->partial = pat_align((k->panel.lead + 4ULL * tx + 16 * vl) * 4);
	k->work = pat_align(k->partial + v_bytes(isa, c, tiles));
	k->finish = pat_align(k->work + k->batch * m);
	k->aux_stride = (u64)c->in.c * size;
	info->algo = PAT_CONV_WINOGRAD;
	info->band_rows = k->band_rows;
	info->row_step = 4;
	info->scratch_bytes = pat_align(k->finish + 16ULL * (k->panel.segments * vl +
							    k->panel.pitch) * 4);
	info->gather = (u64)c->in.c * tiles * 512;
	info->packed_bytes = pat_align(sizeof(*k)) + pat_align((u64)k->units * size * 4) +
		pat_align(weights * 4 + 64 * size * 4) + pat_groups_bytes(c);
	return 0;
}

/* @n / SCALE / SCALE * 2^(@exp - 150 - EXTRA), rounded to the nearest float */
static u32 to_float(s64 n, s32 exp)
{
	u64 a = n < 0 ? -(u64)n : (u64)n, q, rest;
	u32 sign = n < 0 ? 1U << 31 : 0, mant;
	int up, up2;

	if (!a)
		return 0;
	up = __builtin_clzll(a);
	a <<= up;
	q = a / (SCALE * SCALE);
	q |= q * (SCALE * SCALE) != a;
	up2 = __builtin_clzll(q);
	q <<= up2;
	mant = q >> 40;
	rest = q & ((1ULL << 40) - 1);
	exp += 40 - up2 - up - EXTRA;
	if (rest > 1ULL << 39 || (rest == 1ULL << 39 && (mant & 1)))
		mant++;
	if (mant >> 24) {
		mant >>= 1;
		exp++;
	}
	if (exp <= 0)
		return sign;
	if (exp >= 255)
		return sign | 0x7f800000;
	return sign | (u32)exp << 23 | (mant & 0x7fffff);
}

/* G g, times SCALE */
static void times_g(const s64 *g, u32 step, s64 *o)
{
	s64 a = g[0], b = g[step], c = g[2 * step];

	o[0] = 192 * a;
	o[1] = -128 * a - 96 * b - 72 * c;
	o[2] = -128 * a + 96 * b - 72 * c;
	o[3] = 32 * a + 48 * b + 72 * c;
	o[4] = 32 * a - 48 * b + 72 * c;
	o[5] = SCALE * c;
}

/* @g: nine floats; @o: 36, @step apart */
static void transform(const u32 *g, u32 *o, u64 step)
{
	s64 fixed[9], half[18], line[6];
	s32 exp = 1;

	for (u32 i = 0; i < 9; i++) {
		s32 e = g[i] >> 23 & 0xff;

		if (e > exp)
			exp = e;
	}
	for (u32 i = 0; i < 9; i++) {
		u32 e = g[i] >> 23 & 0xff, shift = exp - (e ? e : 1);
		s64 m = (g[i] & 0x7fffff) | (e ? 1U << 23 : 0);

		m = shift < 63 ? m << EXTRA >> shift : 0;
		fixed[i] = g[i] >> 31 ? -m : m;
	}
	for (u32 x = 0; x < 3; x++) {
		times_g(fixed + x, 3, line);
		for (u32 y = 0; y < 6; y++)
			half[y * 3 + x] = line[y];
	}
	for (u32 y = 0; y < 6; y++) {
		times_g(half + y * 3, 1, line);
		for (u32 x = 0; x < 6; x++, o += step)
			/* infinities and NaN stay visible */
			*o = exp == 255 ? 0x7fc00000 : to_float(line[x], exp);
	}
}

void pat_wino_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g)
{
	const struct pat_conv *c = &k->conv;
	u32 size = group_size(isa), kernel[9];
	u64 point = k->units * k->aux_stride;
	u8 *base = (u8 *)k;
	u32 *bias, *value;

	k->class_count = 1;
	k->classes[0].size = size;
	k->classes[0].groups = k->units;
	k->classes[0].tile = PAT_GEMM_T;
	k->classes[0].bias = pat_align(sizeof(*k));
	bias = (u32 *)(base + k->classes[0].bias);
	k->aux = k->classes[0].bias + pat_align((u64)k->units * size * 4);
	value = (u32 *)(base + k->aux);
	for (u32 i = 0; i < c->out.c; i++) {
		u32 f = pat_slot_filter(w, i);

		bias[f] = w->bias ? w->bias[f] : 0;
		pat_expand_slot(c, w, i, &g->a);
		for (u32 ch = 0; ch < c->in.c; ch++) {
			for (u32 x = 0; x < 9; x++)
				kernel[x] = g->a.present[ch * 9 + x] ? g->a.value[ch * 9 + x] : 0;
			transform(kernel, value + f / size * k->aux_stride + ch * size + f % size,
				  point);
		}
	}
	k->bytes = pat_align(k->aux + POINTS * point * 4);
}
