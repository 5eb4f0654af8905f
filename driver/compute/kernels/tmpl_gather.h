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

PAT_INLINE void copy_floats(float *d, const float *s, u32 n)
{
	u32 i = 0;

	for (; i + PAT_VL <= n; i += PAT_VL)
		v_storeu(d + i, v_loadu(s + i));
	if (i < n)
		v_storem(d + i, v_first(n - i), v_loadm(s + i, v_first(n - i)));
}

/* d[i] = s[2 i] */
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

/* all phases and rows of channel @ch for output rows from @row on */
static PAT_NOINLINE void gather_channel(const struct pat_conv_packed *k, const float *in,
					u32 ch, u32 row, u32 rows, float *panel)
{
	const struct pat_conv *c = &k->conv;
	const struct pat_panel *p = &k->panel;
	const float *src = in + (u64)ch * c->in.plane;
	u32 total = rows + p->halo_rows;

	for (u32 s = 0; s < p->segments; s++) {
		float *seg = panel + p->lead + s * p->segment_plane +
			     (u64)ch * p->phases_y * p->phases_x * p->plane;
		s32 first = (s32)(s * p->segment * c->stride_w) - p->origin;

		for (u32 py = 0; py < p->phases_y; py++) {
			for (u32 px = 0; px < p->phases_x; px++, seg += p->plane) {
				for (u32 r = 0; r < total; r++) {
					s32 y = (s32)((row + r) * c->stride_h + py) - p->origin_y;
					u32 n = r + 1 < total ? pat_min(p->pitch, p->content) : p->content;
					float *d = seg + (u64)r * p->pitch;

					if (y < 0 || y >= (s32)c->in.h)
						zero_floats(d, n);
					else
						gather_row(d, n, src + (u64)y * c->in.pitch, c->in.w,
							   first + (s32)px, c->stride_w);
				}
			}
		}
	}
}

/* gather what is missing of the panel; false if the budget ends first */
PAT_INLINE bool gather_some(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
			    u32 *done, s64 *budget, float *panel)
{
	const struct pat_panel *p = &k->panel;
	s64 cost = (s64)(t->rows + p->halo_rows) * p->pitch * p->segments *
		   p->phases_x * p->phases_y * 4;

	while (*done < k->conv.in.c) {
		if (*budget <= 0)
			return false;
		gather_channel(k, t->in, (*done)++, t->row, t->rows, panel);
		*budget -= cost;
	}
	return true;
}

#endif
