/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_TMPL_GATHER_H_
#define _PAT_TMPL_GATHER_H_

/* Rows of the input into the panel: borders become zeros, strides become phases. */

PAT_INLINE void zero_floats(float *d, u32 n)
{
	const vf z = v_set1(0);
	u32 i = 0;

	for (; i + PAT_VL <= n; i += PAT_VL)
		v_storeu(d + i, z);
	if (i < n)
		v_storem(d + i, v_first(n - i), z);
}

/* reads s[0] to s[n - 1] and nothing else */
PAT_INLINE void copy_floats(float *d, const float *s, u32 n)
{
	u32 i = 0;

	for (; i + PAT_VL <= n; i += PAT_VL)
		v_storeu(d + i, v_loadu(s + i));
	if (i < n && n >= PAT_VL)
		v_storeu(d + n - PAT_VL, v_loadu(s + n - PAT_VL));
	else
		for (; i < n; i++)
			d[i] = s[i];
}

/* d[i] = s[2 i]; likewise up to s[2 n - 2] */
PAT_INLINE void halve_floats(float *d, const float *s, u32 n)
{
	u32 i = 0;

	for (; i + PAT_VL < n; i += PAT_VL)
		v_storeu(d + i, v_even(v_loadu(s + 2 * i), v_loadu(s + 2 * i + PAT_VL)));
	for (; i < n; i++)
		d[i] = s[2 * i];
}

/* d[j] = row[x0 + j * step] for 0 <= j < n, zero outside of 0 <= x < w */
static PAT_NOINLINE void gather_row(float *d, u32 n, const float *row, u32 w, s32 x0, u32 step)
{
	u32 j0 = x0 < 0 ? ((u32)-x0 + step - 1) / step : 0;
	u32 j1 = x0 < (s32)w ? ((u32)((s32)w - x0) + step - 1) / step : 0;

	if (j1 > n)
		j1 = n;
	if (j0 > j1)
		j0 = j1;
	if (j0)
		zero_floats(d, j0);
	row += x0 + (s32)(j0 * step);
	if (step == 1)
		copy_floats(d + j0, row, j1 - j0);
	else if (step == 2)
		halve_floats(d + j0, row, j1 - j0);
	else
		for (u32 j = j0; j < j1; j++)
			d[j] = row[(j - j0) * step];
	if (j1 < n)
		zero_floats(d + j1, n - j1);
}

#define GATHER_VECTORS 32

/* lanes of the @i-th vector from column @x0 on that are inside a row of @w */
PAT_INLINE u32 gather_mask(s32 x0, u32 w, u32 i)
{
	s32 x = x0 + (s32)(i * PAT_VL), left = (s32)w - x;
	u32 hi = left < 0 ? 0 : pat_min(left, PAT_VL), lo = x < 0 ? pat_min(-x, PAT_VL) : 0;

	return v_first(hi) & ~v_first(lo);
}

/*
 * @rows rows of @n columns from input column @x0 on, at column steps of 1 or 2. Whole
 * vectors are written: what is written behind a row is overwritten by the rows and
 * channels that follow, so rows go in ascending order, and the panel has room behind
 * its last row.
 */
PAT_INLINE vf gather_vector(const float *s, u32 mask)
{
	return v_loadm(s, mask);
}

PAT_INLINE void gather_rows(float *d, u32 pitch, const float *src, s64 src_pitch, s32 y0,
			    u32 y_step, u32 h, u32 rows, u32 n, s32 x0, u32 w, const u32 step)
{
	u32 vectors = (n + PAT_VL - 1) / PAT_VL, mask[GATHER_VECTORS * 2];
	u32 r0 = y0 < 0 ? (-y0 + y_step - 1) / y_step : 0;
	u32 r1 = y0 < (s32)h ? ((s32)h - y0 + y_step - 1) / y_step : 0;

	for (u32 i = 0; i < vectors * step; i++)
		mask[i] = gather_mask(x0, w, i);
	/* rows [r0, r1) are inside of the input */
	if (r0 > rows)
		r0 = rows;
	r1 = pat_min(r1, rows);
	src += (y0 + (s64)r0 * y_step) * src_pitch + x0;
	for (u32 r = 0; r < r0; r++, d += pitch)
		for (u32 i = 0; i < vectors; i++)
			v_storeu(d + i * PAT_VL, v_set1(0));
	if (vectors == 1 && step == 1) {
		const u32 m = mask[0];

		/* the piece of the row beside this one is gathered next */
		for (u32 r = r0; r < r1; r++, d += pitch, src += y_step * src_pitch) {
			pat_prefetch(src + 2 * PAT_VL);
			v_storeu(d, gather_vector(src, m));
		}
	} else {
		for (u32 r = r0; r < r1; r++, d += pitch, src += y_step * src_pitch) {
			for (u32 i = 0; i < vectors; i++) {
				vf v = gather_vector(src + i * step * PAT_VL, mask[i * step]);

				if (step == 2)
					v = v_even(v, gather_vector(src + (2 * i + 1) * PAT_VL,
								    mask[2 * i + 1]));
				v_storeu(d + i * PAT_VL, v);
			}
		}
	}
	for (u32 r = pat_max(r0, r1); r < rows; r++, d += pitch)
		for (u32 i = 0; i < vectors; i++)
			v_storeu(d + i * PAT_VL, v_set1(0));
}

/* all phases and rows of channel @ch and segment @segment for output rows from @row on */
static PAT_NOINLINE void gather_channel(const struct pat_conv_packed *k, const float *in,
					u32 ch, u32 segment, u32 row, u32 rows, float *panel)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	const float *src = in + (u64)ch * c->in.plane;
	u32 total = rows + p->halo_rows, sx = c->stride_w;

	float *d = panel + p->lead + (u64)ch * p->phases_y * p->phases_x * p->plane;
	s32 first = (s32)(segment * p->segment * sx) - p->origin;

	for (u32 ph = 0; ph < p->phases_y * p->phases_x; ph++, d += p->plane) {
		s32 y0 = (s32)(row * c->stride_h + ph / p->phases_x) - p->origin_y;
		s32 x0 = first + (s32)(ph % p->phases_x);

		/* masks are free there only; elsewhere edges are handled row by row */
		if (PAT_VL == 16 && sx == 1 && p->content <= GATHER_VECTORS * PAT_VL) {
			gather_rows(d, p->pitch, src, c->in.pitch, y0, c->stride_h,
				    c->in.h, total, p->content, x0, c->in.w, 1);
			continue;
		}
		if (PAT_VL == 16 && sx == 2 && p->content <= GATHER_VECTORS * PAT_VL) {
			gather_rows(d, p->pitch, src, c->in.pitch, y0, c->stride_h,
				    c->in.h, total, p->content, x0, c->in.w, 2);
			continue;
		}
		for (u32 r = 0; r < total; r++) {
			s32 y = y0 + (s32)(r * c->stride_h);
			float *o = d + (u64)r * p->pitch;

			if (y < 0 || y >= (s32)c->in.h)
				zero_floats(o, p->content);
			else
				gather_row(o, p->content, src + (u64)y * c->in.pitch,
					   c->in.w, x0, sx);
		}
	}
}

/* gather what is missing of the panel; false if the budget ends first */
PAT_INLINE bool gather_some(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			    u32 segment, u32 *done, s64 *budget, float *panel)
{
	const struct pat_panel *p = &k->panel;
	s64 cost = (s64)(t->rows + p->halo_rows) * p->pitch *
		   p->phases_x * p->phases_y * 4;

	while (*done < k->conv.in.c) {
		if (*budget <= 0)
			return false;
		gather_channel(k, t->in, (*done)++, segment, t->row, t->rows, panel);
		*budget -= cost;
	}
	return true;
}

#endif
