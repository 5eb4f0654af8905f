/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_KERNELS_H_
#define _PAT_KERNELS_H_

/**
 * DOC: Convolution kernels
 *
 * One entry for every 2-D convolution (and linear layer, as a convolution with one
 * output pixel): any kernel, stride, dilation, groups; dense, pattern, block and
 * unstructured weights; bias, residual and activation fused.
 *
 *	pat_conv_plan()	 sizes and tiling, from the geometry alone; no float
 *	pat_conv_pack()	 weights into the stream of the chosen kernels; no float
 *	pat_conv_run()	 SIMD: a bounded chunk of a tile
 *
 * A tile is a band of output rows times a range of units (filters, or groups of
 * filters that share channels and patterns). A tile first gathers the input rows
 * it needs into a panel in the caller's scratch, in the order the inner loops read
 * them, and borders are made there: the input needs no padding around its rows.
 * Nothing here allocates, has state of its own or calls out.
 */

#include "../patcnn_compute.h"

/** struct pat_planes - channel planes of floats; element (c, y, x) at base + c * plane + y * pitch + x. */
struct pat_planes {
	u64 plane;
	u32 pitch;
	u32 c;
	u32 h;
	u32 w;
};

/** struct pat_conv - geometry and epilogue of a convolution. */
struct pat_conv {
	struct pat_planes in;
	/**
	 * @out: columns from w to pitch are written as zeros; rows 64-byte
	 * aligned, pitch a multiple of 16.
	 */
	struct pat_planes out;
	/** @res: residual of the output's shape; plane and pitch used if @has_res. */
	struct pat_planes res;
	u32 kernel_h;
	u32 kernel_w;
	u32 stride_h;
	u32 stride_w;
	u32 dilation_h;
	u32 dilation_w;
	u32 pad_top;
	u32 pad_left;
	u32 groups;
	/** @act: enum patcnn_activation_kind for which pat_conv_act() is true. */
	u32 act;
	/** @act_a: bits of a float, like @act_b. */
	u32 act_a;
	u32 act_b;
	u32 has_res;
};

/**
 * struct pat_weights - weights as a program stores them (see enum patcnn_storage)
 *
 * All arrays as described there, floats as their bits. Unused ones are NULL.
 */
struct pat_weights {
	/** @storage: DENSE, FKW, CSR or BLOCK. */
	u32 storage;
	u32 block_out;
	u32 block_in;
	/** @flat: BLOCK: blocks are of neighbouring positions of a filter, whatever the kernel. */
	u32 flat;
	/** @pattern_count: FKW. */
	u32 pattern_count;
	/** @nnz: number of values. */
	u64 nnz;
	/** @bias: or NULL: zeros. */
	const u32 *bias;
	const u32 *values;
	const u32 *offset;
	const u32 *index;
	const u32 *reorder;
	const u32 *stride;
	/** @patterns: FKW: pattern_count of them. */
	const struct patcnn_pattern *patterns;
	/** @taps: FKW: what patterns[].tap_first counts in. */
	const struct patcnn_tap *taps;
};

/** struct pat_tune - what to plan for; zeros: defaults. */
struct pat_tune {
	u32 l1_bytes;
	u32 l2_bytes;
	/** @algo: enum pat_conv_algo. */
	u32 algo;
	/**
	 * @band_rows: upper bound of pat_conv_info.band_rows; PAT_CONV_WINOGRAD has a least
	 * height, of as many tiles as its vectors hold, and PAT_CONV_PATTERNS one of its strips
	 * unless @any_row.
	 */
	u32 band_rows;
	/** @row_step: band_rows becomes a multiple of it where it can. */
	u32 row_step;
	/** @any_row: tiles may begin at any row. */
	u32 any_row;
	/** @block: input channels of a block. */
	u32 block;
	/** @tile_r: rows and vectors of a row tile; one that does not exist is ignored. */
	u32 tile_r;
	u32 tile_v;
};

/** enum pat_conv_algo - families of kernels. */
enum pat_conv_algo {
	PAT_CONV_AUTO = 0,
	/** @PAT_CONV_TAPS: flat register tiles of pixels by filters over a list of taps. */
	PAT_CONV_TAPS = 1,
	/** @PAT_CONV_COLUMNS: row tiles; the taps of a kernel column share loads. */
	PAT_CONV_COLUMNS = 2,
	/** @PAT_CONV_DEPTHWISE: one input channel per filter. */
	PAT_CONV_DEPTHWISE = 3,
	/** @PAT_CONV_GEMV: one output pixel. */
	PAT_CONV_GEMV = 4,
	/** @PAT_CONV_PATTERNS: 3x3 patterns in row tiles with all column shifts in registers. */
	PAT_CONV_PATTERNS = 5,
	/** @PAT_CONV_GEMM: dense, as a matrix product. */
	PAT_CONV_GEMM = 6,
	/** @PAT_CONV_WINOGRAD: dense 3x3, F(4x4, 3x3); tiles begin at multiples of four rows. */
	PAT_CONV_WINOGRAD = 7,
};

/** struct pat_conv_info - what pat_conv_plan() found. */
struct pat_conv_info {
	/** @algo: enum pat_conv_algo. */
	u32 algo;
	/** @band_rows: most output rows of a tile; the bands of a step start at multiples of it. */
	u32 band_rows;
	/** @row_step: rows that are computed together. */
	u32 row_step;
	/** @packed_bytes: memory for pat_conv_pack(). */
	u64 packed_bytes;
	/** @scratch_bytes: memory of a worker while inside a tile. */
	u64 scratch_bytes;
	/** @gather: a tile's fixed work, per band, in multiply-accumulates, however few of its units it has. */
	u64 gather;
};

/** struct pat_conv_tile - one tile of a convolution. */
struct pat_conv_tile {
	/** @in: channel 0, row 0, column 0 of the input; only rows that the tile needs are read. */
	const float *in;
	/** @out: likewise for the output. */
	float *out;
	/** @res: likewise for the residual, or NULL. */
	const float *res;
	/** @row: first output row. */
	u32 row;
	/** @rows: number of output rows, at most band_rows. */
	u32 rows;
	/** @part: this tile has the units from units * part / parts to units * (part + 1) / parts. */
	u32 part;
	u32 parts;
};

struct pat_conv_isa;
struct pat_conv_packed;

/** pat_conv_isa_get - kernels of @id, NULL if not built in. */
const struct pat_conv_isa *pat_conv_isa_get(enum pat_isa_id id);

/** pat_conv_act - whether @act (enum patcnn_activation_kind) can be fused. */
bool pat_conv_act(u32 act);

/**
 * pat_conv_plan - choose kernels and tiles
 * @isa: kernels
 * @tune: or NULL
 * @conv: geometry
 * @w: storage, nnz and block sizes are read, no array is
 * @info: filled in
 *
 * Return: 0, -EINVAL if tune.algo cannot do this convolution, -E2BIG if offsets
 * exceed 32 bits.
 */
int pat_conv_plan(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *conv, const struct pat_weights *w,
		  struct pat_conv_info *info);

/**
 * pat_conv_work - multiply-accumulates that would take as long as this convolution
 *
 * Arguments as for pat_conv_plan(). Fewer than there are where Winograd's are taken.
 */
u64 pat_conv_work(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *conv, const struct pat_weights *w);

/**
 * pat_conv_pack - weights into the stream of the chosen kernels
 * @packed: packed_bytes, PAT_ALIGN aligned, zeroed
 *
 * The other arguments as for pat_conv_plan(). @w is not needed afterwards. The
 * result has no pointers: it may be moved. Return: as pat_conv_plan().
 */
int pat_conv_pack(const struct pat_conv_isa *isa, const struct pat_tune *tune,
		  const struct pat_conv *conv, const struct pat_weights *w,
		  void *packed);

/** pat_conv_units - number of units of @packed, at least 1: parts beyond it are empty. */
u32 pat_conv_units(const void *packed);

/** pat_conv_describe - for people: "columns 7x2", "taps 6x4"; at most 32 bytes with NUL. */
void pat_conv_describe(const void *packed, char *text);

/**
 * pat_conv_run - SIMD: the next chunk of a tile
 * @isa: as packed for
 * @packed: from pat_conv_pack()
 * @tile: the tile
 * @cur: progress; zeroed before a tile's first chunk
 * @budget: stop after about so many multiply-accumulates
 * @scratch: scratch_bytes, PAT_ALIGN aligned, kept between the chunks of a tile
 *
 * Return: true when the tile is done.
 */
bool pat_conv_run(const struct pat_conv_isa *isa, const void *packed,
		  const struct pat_conv_tile *tile, struct pat_cursor *cur,
		  u64 budget, void *scratch);

#endif
