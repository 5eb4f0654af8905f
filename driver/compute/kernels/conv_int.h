/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_CONV_INT_H_
#define _PAT_CONV_INT_H_

/*
 * What the planner and packers (conv_*.c, integers only) and the kernels (tmpl_*.h,
 * once per instruction set) have in common. Packed weights are one block that starts
 * with struct pat_conv_packed; all references inside are byte offsets from its start.
 */

#include "pat_kernels.h"

#define PAT_GEMM_T	3	/* vectors of a strip of tmpl_gemm.h */
#define PAT_IN_ROWS	2	/* pat_conv_packed.direct: tmpl_flat.h, tmpl_pw.h */
#define PAT_CLASSES	4	/* groups of 8, 4, 2 and 1 filters */

/**
 * struct pat_panel - the gathered input of a tile
 *
 * Strides are taken apart into phases: phase (py, px) has the input rows and columns
 * that are py, px modulo the strides, so that every tap of a strided kernel is a
 * constant offset into a plane of its phase. Element (channel, phase, row, column)
 * is at ((channel * phases + phase) * plane + row * pitch + column).
 */
struct pat_panel {
	u32 phases_y;
	u32 phases_x;
	u32 plane;
	u32 pitch;
	/** @rows: rows of a plane beyond the output rows of the tile. */
	u32 halo_rows;
	/** @content: columns of a row that the gather writes. */
	u32 content;
	/** @origin: columns before input column 0 (of phase 0). */
	s32 origin;
	/** @origin_y: likewise rows. */
	s32 origin_y;
	/** @segments: pieces of a row that are gathered on their own, @segment output columns each. */
	u32 segments;
	u32 segment;
	/** @lead: floats before the first element. */
	u32 lead;
};

/** struct pat_class - the filter groups of one size. */
struct pat_class {
	/** @size: filters of a group. */
	u32 size;
	u32 groups;
	/** @tile: vectors of a flat tile. */
	u32 tile;
	/** @filters: u32 [groups][size], original filter numbers. */
	u64 filters;
	/** @bias: float [groups][size]. */
	u64 bias;
	/** @ptr: u64 [blocks][groups + 1], byte offsets of taps from the block's start. */
	u64 ptr;
};

struct pat_conv_packed {
	struct pat_conv conv;
	u32 algo;
	u32 vl;
	u32 band_rows;
	/** @rows: of a band that flat tiles take at a time. */
	u32 rows;
	u32 units;
	u32 block;
	u32 blocks;
	/** @ahead: prefetch what later taps read. */
	u32 ahead;
	/** @batch: units that pass over the blocks together. */
	u32 batch;
	u32 class_count;
	/** @tile_r: rows, vectors and row pitch (in vectors) of a row tile. */
	u32 tile_r;
	u32 tile_v;
	u32 tile_p;
	/** @halo: lanes in front of a segment's first output column. */
	u32 halo;
	/** @fold: lanes of one of two rows in a vector (depthwise), or 0. */
	u32 fold;
	/** @strips: strips (tmpl_strips.h) side by side, and the vectors that their rows fill. */
	u32 strips;
	u32 columns;
	/** @lead: lanes in front of the first strip. */
	u32 lead;
	/** @stream: results are too many for the caches. */
	u32 stream;
	/** @banks: of accumulators of pattern tiles. */
	u32 banks;
	/** @bodies: u32 [body_count]: the bodies (masks of 3x3 taps) that a pattern layer uses. */
	u64 bodies;
	u32 body_count;
	struct pat_panel panel;
	struct pat_class classes[PAT_CLASSES];
	/** @partial: where in the scratch partial sums, and other working memory, lie; in bytes. */
	u64 partial;
	u64 work;
	/** @finish: likewise results on their way through a slow epilogue. */
	u64 finish;
	/** @bytes: of the packed block. */
	u64 bytes;
	/** @direct: dense, depthwise: the input is read in place; there is no panel. */
	u32 direct;
	/** @tail: dense: strips have a pixel beyond their vectors. */
	u32 tail;
	/** @aux: GEMV, depthwise, dense: weights. */
	u64 aux;
	u64 aux_stride;
};

/** struct pat_seg - a run of lanes of a result vector and where it goes. */
struct pat_seg {
	s64 out;
	s64 res;
	u32 mask;
};

/** struct pat_tile - rows and vectors of a row tile. */
struct pat_tile {
	u8 r;
	u8 v;
};

struct pat_conv_isa {
	const char *name;
	u32 vl;
	u32 regs;
	/** @strips: has tmpl_strips.h and tmpl_pats.h. */
	bool strips;
	u32 tile_count;
	const struct pat_tile *tiles;
	bool (*run)(const struct pat_conv_packed *k, const struct pat_conv_tile *t,
		    struct pat_cursor *cur, u64 budget, void *scratch);
};

static inline u32 pat_min(u32 a, u32 b)
{
	return a < b ? a : b;
}

static inline u32 pat_max(u32 a, u32 b)
{
	return a > b ? a : b;
}

static inline u32 pat_div_up(u32 a, u32 b)
{
	return (a + b - 1) / b;
}

/* rows of a pattern tile (tmpl_pats.h), and the most that there are */
#define PAT_PATS_ROWS	7

static inline u32 pat_pats_rows(const struct pat_conv_packed *k)
{
	return k->banks == 2 ? 4 : PAT_PATS_ROWS;
}

/* whether what @c writes goes past the caches: they do not hold it until it is read */
static inline u32 pat_streams(const struct pat_conv *c, const struct pat_tune *t)
{
	return c->out.w % 16 == 0 && c->out.plane * c->out.c * sizeof(float) > 2ULL * t->l2_bytes;
}

static inline u64 pat_align(u64 x)
{
	return (x + PAT_ALIGN - 1) & ~(u64)(PAT_ALIGN - 1);
}

/* floor division by a positive number */
static inline s32 pat_floor(s32 a, s32 b)
{
	return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/** struct pat_expand - one filter, spread out. */
struct pat_expand {
	/** @taps: in channels of a group times kernel size. */
	u32 taps;
	u32 kept;
	u32 *value;
	u8 *present;
};

/** struct pat_sort - a filter and the hash of its structure. */
struct pat_sort {
	u64 hash;
	u32 slot;
	u32 filter;
};

/** struct pat_groups - filters put together by structure; working memory of packing. */
struct pat_groups {
	struct pat_sort *sort;
	u32 filters;
	/** @first: index in @sort of each class. */
	u32 first[PAT_CLASSES + 1];
	struct pat_expand a;
	struct pat_expand b;
};

void pat_expand_slot(const struct pat_conv *c, const struct pat_weights *w, u32 slot,
		     struct pat_expand *e);
u32 pat_slot_filter(const struct pat_weights *w, u32 slot);
u64 pat_groups_bytes(const struct pat_conv *c);
void pat_groups_form(struct pat_groups *g, const struct pat_conv *c,
		     const struct pat_weights *w, u32 largest, void *mem);

/* taps of one filter of a conv group, dense */
static inline u32 pat_filter_taps(const struct pat_conv *c)
{
	return c->in.c / c->groups * c->kernel_h * c->kernel_w;
}

/* 1x1, and rows of one pitch: a vector of the output is one of the input's planes */
static inline bool pat_in_rows(const struct pat_conv *c)
{
	return c->kernel_h == 1 && c->kernel_w == 1 && c->stride_h == 1 && c->stride_w == 1 &&
	       !c->pad_top && !c->pad_left && c->in.pitch == c->out.pitch &&
	       c->out.pitch % 16 == 0 && (!c->has_res || c->res.pitch == c->out.pitch);
}

int pat_taps_plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info);
void pat_taps_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);
void pat_taps_panel(const struct pat_conv *c, u32 rows, struct pat_panel *p);
u32 pat_tap_offset(const struct pat_conv_packed *k, u32 ch, u32 ky, u32 kx);
int pat_gemm_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  struct pat_conv_packed *k, struct pat_conv_info *info);
void pat_gemm_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);
bool pat_wino_can(const struct pat_conv *c, const struct pat_tune *t);
u64 pat_wino_cost(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  const struct pat_conv *c);
int pat_wino_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		  struct pat_conv_packed *k, struct pat_conv_info *info);
void pat_wino_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);
int pat_cols_plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info);
void pat_cols_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);
int pat_pats_plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_weights *w, struct pat_conv_packed *k,
		  struct pat_conv_info *info);
void pat_pats_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);
int pat_strips_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		    const struct pat_weights *w, struct pat_conv_packed *k,
		    struct pat_conv_info *info);
int pat_dw_plan(const struct pat_conv_isa *isa, const struct pat_tune *t,
		struct pat_conv_packed *k, struct pat_conv_info *info);
void pat_dw_pack(const struct pat_weights *w, struct pat_conv_packed *k, struct pat_groups *g);
int pat_gemv_plan(const struct pat_conv_isa *isa, const struct pat_weights *w,
		  struct pat_conv_packed *k, struct pat_conv_info *info);
void pat_gemv_pack(const struct pat_conv_isa *isa, const struct pat_weights *w,
		   struct pat_conv_packed *k, struct pat_groups *g);

#endif
