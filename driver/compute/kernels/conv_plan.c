// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Choice of kernels for a convolution, and the frame of packing. No float here: the
 * module builds this file without vector registers.
 */
#include <linux/errno.h>
#include "conv_int.h"

const struct pat_conv_isa *pat_conv_isa_get(enum pat_isa_id id)
{
	extern const struct pat_conv_isa pat_conv_isa_generic;
#if defined(__x86_64__)
	extern const struct pat_conv_isa pat_conv_isa_avx2, pat_conv_isa_avx512;
#elif defined(__aarch64__)
	extern const struct pat_conv_isa pat_conv_isa_neon;
#endif

	switch (id) {
	case PAT_ISA_GENERIC:
		return &pat_conv_isa_generic;
#if defined(__x86_64__)
	case PAT_ISA_AVX2:
		return &pat_conv_isa_avx2;
	case PAT_ISA_AVX512:
		return &pat_conv_isa_avx512;
#elif defined(__aarch64__)
	case PAT_ISA_NEON:
		return &pat_conv_isa_neon;
#endif
	default:
		return NULL;
	}
}

bool pat_conv_act(u32 act)
{
	return act <= PATCNN_ACT_ELU;
}

static int can(const struct pat_conv_isa *isa, const struct pat_tune *t, const struct pat_conv *c,
	       u32 algo)
{
	switch (algo) {
	case PAT_CONV_TAPS:
		return 1;
	case PAT_CONV_COLUMNS:
		return c->kernel_h <= 9 && c->kernel_w <= 9 && c->stride_w <= 4 &&
		       c->stride_h <= 4 && c->dilation_h == 1 && c->dilation_w == 1 &&
		       c->pad_left < c->kernel_w;
	case PAT_CONV_PATTERNS:
		return isa->strips && c->kernel_h == 3 && c->kernel_w == 3 &&
		       c->stride_h == 1 && c->stride_w == 1 && c->dilation_h == 1 &&
		       c->dilation_w == 1 && c->pad_top == 1 && c->pad_left == 1 &&
		       c->in.h == c->out.h && c->in.w == c->out.w;
	case PAT_CONV_WINOGRAD:
		return pat_wino_can(c, t);
	case PAT_CONV_GEMM:
		return c->groups == 1;
	case PAT_CONV_DEPTHWISE:
		/* what is done at a time, the 28 rows of a band, must not take long */
		return c->groups == c->in.c && c->dilation_h == 1 && c->dilation_w == 1 &&
		       28ULL * c->out.w * c->kernel_h * c->kernel_w <= 4 * PAT_CHUNK_MACS;
	case PAT_CONV_GEMV:
		return c->out.h == 1 && c->out.w == 1 && c->groups == 1;
	default:
		return 0;
	}
}

/* for filters that share nothing */
static int rows(u32 algo)
{
	return algo == PAT_CONV_COLUMNS || algo == PAT_CONV_PATTERNS;
}

/* Winograd's products are for all weights: whether they take less time than those kept */
static int wino_pays(const struct pat_conv_isa *isa, const struct pat_tune *t,
		     const struct pat_conv *c, const struct pat_weights *w)
{
	u64 kept = w->nnz * c->out.w * c->out.h, all = (u64)c->out.c * pat_filter_taps(c);

	if (!can(isa, t, c, PAT_CONV_WINOGRAD) || c->in.c < 8 || c->out.c < 8)
		return 0;
	/* sparse kernels reach about two thirds of the speed of products */
	if (w->nnz * 5 < all * 4)
		kept += kept / 2;
	return pat_wino_cost(isa, t, c) < kept;
}

/*
 * Kernels with patterns of which filters share nothing. The tiles that are made for these
 * want runs of kernels of one pattern, and take every column of the input. Elsewhere taps
 * are faster, and products are faster still if a third of the weights is there.
 */
static u32 choose_free(const struct pat_conv_isa *isa, const struct pat_tune *t,
		       const struct pat_conv *c, const struct pat_weights *w)
{
	bool patterns = can(isa, t, c, PAT_CONV_PATTERNS);

	if (c->stride_w > 1 || (patterns ? 4 : 2) * c->out.w <= isa->vl)
		return w->nnz * 3 >= (u64)c->out.c * pat_filter_taps(c) &&
		       can(isa, t, c, PAT_CONV_GEMM) ? PAT_CONV_GEMM : PAT_CONV_TAPS;
	if (patterns && w->nnz >= 24ULL * c->out.c)
		return PAT_CONV_PATTERNS;
	return can(isa, t, c, PAT_CONV_COLUMNS) ? PAT_CONV_COLUMNS : PAT_CONV_TAPS;
}

static u32 choose(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_conv *c, const struct pat_weights *w)
{
	if (can(isa, t, c, PAT_CONV_GEMV))
		return PAT_CONV_GEMV;
	if (c->groups > 1 && can(isa, t, c, PAT_CONV_DEPTHWISE))
		return PAT_CONV_DEPTHWISE;
	if (wino_pays(isa, t, c, w))
		return PAT_CONV_WINOGRAD;
	if (w->storage == PATCNN_STORAGE_FKW && c->kernel_h > 1)
		return choose_free(isa, t, c, w);
	if (c->groups == 1 && c->out.c >= 4 && w->nnz * 5 >= (u64)c->out.c * pat_filter_taps(c) * 4)
		return PAT_CONV_GEMM;
	return PAT_CONV_TAPS;
}

static int plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		const struct pat_conv *c, const struct pat_weights *w, u32 algo,
		struct pat_conv_packed *k, struct pat_conv_info *info)
{
	int ret;

	__builtin_memset(k, 0, sizeof(*k));
	k->conv = *c;
	k->algo = algo;
	k->vl = isa->vl;
	info->packed_bytes = 0;
	switch (algo) {
	case PAT_CONV_GEMV:
		ret = pat_gemv_plan(isa, w, k, info);
		break;
	case PAT_CONV_DEPTHWISE:
		ret = pat_dw_plan(isa, tune, k, info);
		break;
	case PAT_CONV_PATTERNS:
		ret = pat_pats_plan(isa, tune, w, k, info);
		break;
	case PAT_CONV_WINOGRAD:
		ret = pat_wino_plan(isa, tune, k, info);
		break;
	case PAT_CONV_GEMM:
		ret = pat_gemm_plan(isa, tune, k, info);
		break;
	case PAT_CONV_COLUMNS:
		ret = pat_cols_plan(isa, tune, w, k, info);
		break;
	default:
		ret = pat_taps_plan(isa, tune, w, k, info);
	}
	/* pat_conv_pack() works at the end of the packed memory: keep it aligned */
	info->packed_bytes = pat_align(info->packed_bytes);
	return ret;
}

static struct pat_tune defaults(const struct pat_tune *tune)
{
	struct pat_tune t = { 0 };

	if (tune)
		t = *tune;
	if (!t.l1_bytes)
		t.l1_bytes = 32 << 10;
	if (!t.l2_bytes)
		t.l2_bytes = 512 << 10;
	if (!t.band_rows)
		t.band_rows = ~0U;
	return t;
}

int pat_conv_plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *c, const struct pat_weights *w,
		  struct pat_conv_info *info)
{
	struct pat_tune t = defaults(tune);
	struct pat_conv_packed k;
	struct pat_conv_info other;
	int ret;

	if (t.algo && !can(isa, &t, c, t.algo))
		return -EINVAL;
	info->algo = t.algo ? t.algo : choose(isa, &t, c, w);
	ret = plan(isa, &t, c, w, info->algo, &k, info);
	if (ret == -EINVAL && !t.algo) {
		info->algo = PAT_CONV_TAPS;
		ret = plan(isa, &t, c, w, info->algo, &k, info);
	}
	if (ret || t.algo || !rows(info->algo))
		return ret;

	/* whether filters form groups is only known when their weights are: have room for both */
	if (info->algo == PAT_CONV_COLUMNS)
		t.row_step = info->row_step;
	ret = plan(isa, &t, c, w, PAT_CONV_TAPS, &k, &other);
	if (ret)
		return ret;
	if (info->algo == PAT_CONV_COLUMNS)
		info->band_rows = other.band_rows;
	if (other.packed_bytes > info->packed_bytes)
		info->packed_bytes = other.packed_bytes;
	if (other.scratch_bytes > info->scratch_bytes)
		info->scratch_bytes = other.scratch_bytes;
	return 0;
}

u64 pat_conv_work(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *c, const struct pat_weights *w)
{
	struct pat_tune t = defaults(tune);

	return choose(isa, &t, c, w) == PAT_CONV_WINOGRAD ? pat_wino_cost(isa, &t, c) :
	       w->nnz * c->out.w * c->out.h;
}

int pat_conv_pack(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *c, const struct pat_weights *w, void *packed)
{
	struct pat_conv_packed *k = packed;
	struct pat_tune t = defaults(tune);
	struct pat_conv_info info, one;
	struct pat_groups g;
	u32 algo, largest = isa->regs >= 32 ? 8 : 4;
	int ret;

	ret = pat_conv_plan(isa, tune, c, w, &info);
	if (ret)
		return ret;
	algo = info.algo;
	if (algo == PAT_CONV_GEMV)
		largest = 1;
	else if (w->storage == PATCNN_STORAGE_DENSE)
		largest = 4;

	/* the groups are formed behind everything else; see PAT_SPARE in the planners */
	pat_groups_form(&g, c, w, largest,
			(u8 *)packed + info.packed_bytes - pat_groups_bytes(c));
	if (!t.algo && rows(algo)) {
		u32 shared = g.first[PAT_CLASSES - 1];

		if (shared * 2 > c->out.c)
			algo = PAT_CONV_TAPS;
	}
	if (algo != info.algo && info.algo == PAT_CONV_COLUMNS)
		t.row_step = info.row_step;
	ret = plan(isa, &t, c, w, algo, k, &one);
	if (ret)
		return ret;
	/* what one of the two wants the other one takes piece by piece */
	k->band_rows = info.band_rows;
	switch (algo) {
	case PAT_CONV_GEMV:
		pat_gemv_pack(isa, w, k, &g);
		break;
	case PAT_CONV_DEPTHWISE:
		pat_dw_pack(w, k, &g);
		break;
	case PAT_CONV_PATTERNS:
		pat_pats_pack(isa, w, k, &g);
		break;
	case PAT_CONV_WINOGRAD:
		pat_wino_pack(isa, w, k, &g);
		break;
	case PAT_CONV_GEMM:
		pat_gemm_pack(isa, w, k, &g);
		break;
	case PAT_CONV_COLUMNS:
		pat_cols_pack(isa, w, k, &g);
		break;
	default:
		pat_taps_pack(isa, w, k, &g);
	}
	return 0;
}

u32 pat_conv_units(const void *packed)
{
	const struct pat_conv_packed *k = packed;

	return k->units;
}

static char *number(char *s, u32 n)
{
	char digits[10];
	int i = 0;

	do {
		digits[i++] = '0' + n % 10;
		n /= 10;
	} while (n);
	while (i)
		*s++ = digits[--i];
	return s;
}

static char *word(char *s, const char *w)
{
	while (*w)
		*s++ = *w++;
	return s;
}

void pat_conv_describe(const void *packed, char *text)
{
	const struct pat_conv_packed *k = packed;

	switch (k->algo) {
	case PAT_CONV_TAPS:
		text = word(text, "taps ");
		text = number(text, k->classes[0].tile);
		text = word(text, "x");
		text = number(text, k->classes[0].size);
		break;
	case PAT_CONV_DEPTHWISE:
		text = word(text, "depthwise");
		break;
	case PAT_CONV_PATTERNS:
		text = word(text, "patterns ");
		text = number(text, k->tile_r);
		text = word(text, "x");
		text = number(text, k->strips);
		break;
	case PAT_CONV_WINOGRAD:
		text = word(text, "winograd");
		break;
	case PAT_CONV_GEMM:
		text = word(text, k->tail ? "dense +1" : "dense");
		break;
	case PAT_CONV_COLUMNS:
		text = word(text, "columns ");
		text = number(text, k->tile_r);
		text = word(text, "x");
		text = number(text, k->tile_v);
		break;
	default:
		text = word(text, "gemv");
	}
	if (k->blocks > 1) {
		text = word(text, " block ");
		text = number(text, k->block);
	}
	*text = 0;
}

bool pat_conv_run(const struct pat_conv_isa *isa, const void *packed,
		  const struct pat_conv_tile *tile, struct pat_cursor *cur,
		  u64 budget, void *scratch)
{
	return isa->run(packed, tile, cur, budget, scratch);
}
