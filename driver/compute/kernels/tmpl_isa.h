/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Every template, for the instruction set that the including file chose. */
#include "conv_int.h"
#include "vec.h"
#include "tmpl_taps.h"
#include "tmpl_pw.h"
#include "tmpl_rows.h"
#include "tmpl_strips.h"
#include "tmpl_gemm.h"
#include "tmpl_wino.h"
#include "tmpl_dw.h"
#include "tmpl_gemv.h"

static bool conv_run(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		     struct pat_cursor *cur, u64 budget, void *scratch)
{
	s64 left = budget > 1ULL << 60 ? 1LL << 60 : (s64)budget;

	if (k->algo == PAT_CONV_GEMV)
		return gemv_run(k, t, cur, left, scratch);
	if (k->algo == PAT_CONV_PATTERNS)
		return strips_run(k, t, cur, left, scratch);
	if (k->algo == PAT_CONV_COLUMNS)
		return rows_run(k, t, cur, left, scratch);
	if (k->algo == PAT_CONV_DEPTHWISE)
		return dw_run(k, t, cur, left, scratch);
	if (k->algo == PAT_CONV_WINOGRAD)
		return wino_run(k, t, cur, left, scratch);
	if (k->algo == PAT_CONV_GEMM)
		return gemm_run(k, t, cur, left, scratch);
	if (k->direct)
		return pw_run(k, t, cur, left, scratch);
	return taps_run(k, t, cur, left, scratch);
}

extern const struct pat_conv_isa PAT_ISA(pat_conv_isa);
const struct pat_conv_isa PAT_ISA(pat_conv_isa) = {
	.name = PAT_NAME,
	.vl = PAT_VL,
	.regs = PAT_REGS,
	.strips = PAT_VL == 16,
	.tile_count = sizeof(cols_tiles) / sizeof(*cols_tiles),
	.tiles = cols_tiles,
	.run = conv_run,
};
