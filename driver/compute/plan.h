/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_PLAN_H_
#define _PAT_PLAN_H_

/*
 * The inside of a plan, shared by plan*.c, exec.c and the operator templates in
 * kernels/. A step of the plan is one or more tasks without dependencies between
 * them; a task is a loop over units (rows, segments of rows, blocks), which tiles
 * split evenly. Sizes and strides are in floats unless they say bytes.
 */

#include "program_check.h"
#include "kernels/pat_kernels.h"

#define PAT_NONE	(~0U)

/* Each worker of the pool has as much for the largest model: more is no edge device's model. */
#define PAT_MAX_SCRATCH	(64U << 20)

/** enum pat_base - what an offset counts from. */
enum pat_base {
	PAT_BASE_ARENA = 0,
	PAT_BASE_IO = 1,
	PAT_BASE_DATA = 2,
};

/** struct pat_map - where a tensor lies. */
struct pat_map {
	/** @off: bytes from the base to element (0, 0, 0). */
	u64 off;
	/** @plane: from a channel to the next. */
	u32 plane;
	/** @pitch: from a row to the next. */
	u32 pitch;
	/** @parent: tensor that this one is a part of, or PAT_NONE. */
	u32 parent;
	/** @parent_off: offset in the parent. */
	u32 parent_off;
	/** @first: first step that writes it (roots: it or a part). */
	u32 first;
	/** @last: last step that uses it. */
	u32 last;
	/** @uses: operands that name it. */
	u32 uses;
	/** @through_uses: operands of operators that could read the parent instead. */
	u32 through_uses;
	/** @chain: next root of the arena, by address; before, in pat_chains(): the writer. */
	u32 chain;
	u8 base;
	u8 io;
	/** @padded: rows start at multiples of 64 bytes. */
	u8 padded;
	/** @through: not there: the only readers read the parent instead. */
	u8 through;
	/** @copy_out: lies in the arena and is copied to its binding. */
	u8 copy_out;
};

/** struct pat_ref - an address that is known when a job runs. */
struct pat_ref {
	u64 off;
	/** @tensor: while planning: tensor whose map gives the rest, or PAT_NONE: all is known. */
	u32 tensor;
	u8 base;
	u8 io;
	u8 used;
};

static inline struct pat_ref pat_ref_data(const struct patcnn_array *a)
{
	return (struct pat_ref){ .off = a->offset, .tensor = PAT_NONE, .base = PAT_BASE_DATA,
				 .used = a->count > 0 };
}

#define PAT_ND_RANK	PATCNN_MAX_RANK
#define PAT_ND_OPERANDS	4

/** struct pat_nd - nested loops with a stride per operand; 0 is the output. */
struct pat_nd {
	u32 rank;
	u32 n[PAT_ND_RANK];
	u32 stride[PAT_ND_OPERANDS][PAT_ND_RANK];
};

/** enum pat_fn - what executes a task. */
enum pat_fn {
	PAT_FN_CONV = 0,
	PAT_FN_MAP,
	PAT_FN_RESHAPE,
	PAT_FN_PAD,
	PAT_FN_CONVERT,
	PAT_FN_CONV_TRANSPOSE,
	PAT_FN_MATMUL,
	PAT_FN_POOL,
	PAT_FN_RESIZE,
	PAT_FN_SOFTMAX,
	PAT_FN_REDUCE,
	PAT_FN_NORM,
	/** @PAT_FN_CHAIN: the tasks behind it in the step, depth-first. */
	PAT_FN_CHAIN,
	PAT_FN_COUNT
};

/* Columns of one unit of an elementwise operator. */
#define PAT_SEGMENT	2048
/* Columns that a reduction across rows keeps sums of. */
#define PAT_LANES	256

/** struct pat_map_task - PAT_FN_MAP: out = act(a op b), element by element. */
struct pat_map_task {
	struct pat_nd nd;
	/** @op: PATCNN_OP_ADD, SUB, MUL, DIV, PRELU, or 0: copy. */
	u32 op;
	/** @segments: of an innermost row. */
	u32 segments;
};

/** struct pat_reduce_task - SOFTMAX, REDUCE, NORM: a loop outside, one inside. */
struct pat_reduce_task {
	/** @outer: kept or independent dimensions. */
	struct pat_nd outer;
	/** @inner: dimensions reduced over. */
	struct pat_nd inner;
	/** @lanes: neighbouring columns treated side by side, stride 1 everywhere; 1: none. */
	u32 lanes;
	/** @blocks: of at most PAT_LANES lanes. */
	u32 blocks;
	/** @kind: enum patcnn_reduce_kind. */
	u32 kind;
	/** @scale: 1 / elements for a mean, epsilon for a norm; bits of a float. */
	u32 epsilon;
	/** @count: elements reduced into one. */
	u64 count;
};

/** struct pat_pad_task - PAD: per axis, not merged. */
struct pat_pad_task {
	struct pat_nd nd;
	u32 before[PAT_ND_RANK];
	u32 in[PAT_ND_RANK];
	u32 mode;
	u32 value;
};

/** struct pat_window_task - operators on planes. */
struct pat_window_task {
	struct pat_planes in;
	struct pat_planes out;
	/** @segment: output columns of a unit. */
	u32 segment;
	u32 segments;
	/** @row_floats: of a padded input row; 0: too long, go pixel by pixel. */
	u32 row_floats;
	/** @hwc: CONVERT: the input's channels are innermost. */
	u32 hwc;
	/** @bytes: CONVERT: the input is u8. */
	u32 bytes;
};

/** struct pat_matmul_task - MATMUL, and LINEAR with several rows. */
struct pat_matmul_task {
	struct pat_planes a;
	struct pat_planes out;
	/** @b_plane: 0: the same for all channels. */
	u32 b_plane;
	u32 b_pitch;
	u32 depth;
	/** @col_blocks: units along a row of four rows. */
	u32 col_blocks;
	u32 row_blocks;
	/** @packed: the second factor is packed weights. */
	u32 packed;
};

/** struct pat_conv_task - CONV, and LINEAR with one row. */
struct pat_conv_task {
	struct pat_conv conv;
	struct pat_tune tune;
	/** @algo: as pat_conv_plan() found it, like @row_step and @scratch_bytes. */
	u32 algo;
	u32 row_step;
	u64 scratch_bytes;
	u32 band_rows;
	u32 bands;
	u32 parts;
};

/* Bytes in front of a chain's scratch, for its state. */
#define PAT_CHAIN_STATE	256

/* Longest chain of operators run depth-first. */
#define PAT_CHAIN_MAX	8

/**
 * struct pat_chain_task - PAT_FN_CHAIN
 *
 * A tile is a band of rows of the last stage's output. It is made sub_rows rows at
 * a time: each stage first computes the rows that the next one needs and that
 * are not there yet, into a buffer that holds no more than those and rolls down
 * the planes. Rows that the next rows need again are carried, not recomputed;
 * at the edge of a tile they are computed by both.
 */
struct pat_chain_task {
	u32 stages;
	u32 band_rows;
	u32 sub_rows;
	/** @kernel_scratch: bytes into the scratch that the stages' kernels get. */
	u64 kernel_scratch;
};

/** struct pat_roll - a stage of a chain. */
struct pat_roll {
	/** @buffer: bytes into the scratch of the output's rows; unused by the last stage. */
	u64 buffer;
	/** @rows: rows of the buffer. */
	u32 rows;
	/** @stride: input rows from an output row to the next. */
	u32 stride;
	u32 pad_top;
	/** @span: input rows of an output row. */
	u32 span;
	u32 in_h;
	u32 out_h;
	/** @row_work: multiply-accumulates of a row, about. */
	u64 row_work;
};

/** struct pat_link - how operators form chains; private to plan_chain.c. */
struct pat_link {
	/** @prev: operator whose output this one alone reads, or PAT_NONE. */
	u32 prev;
	/** @next: the reverse. */
	u32 next;
	/** @inside: is a stage of a chain but not its last. */
	u32 inside;
};

/** struct pat_task - one loop over units. */
struct pat_task {
	const struct patcnn_operator *op;
	u32 fn;
	/** @chunk: units a call of pat_exec() does. */
	u32 chunk;
	u64 units;
	/** @tile_first: first tile of the step that is this task's. */
	u32 tile_first;
	u32 tiles;
	struct patcnn_activation act;
	struct pat_ref out;
	struct pat_ref in[3];
	/** @packed: bytes from the packed weights. */
	u64 packed;
	u64 packed_bytes;
	struct pat_roll roll;
	union {
		struct pat_chain_task chain;
		struct pat_conv_task conv;
		struct pat_map_task map;
		struct pat_reduce_task reduce;
		struct pat_pad_task pad;
		struct pat_window_task window;
		struct pat_matmul_task matmul;
	};
};

/** struct pat_step_tasks - the tasks of a step. */
struct pat_step_tasks {
	u32 first;
	u32 count;
};

/** struct pat_work - units of a task with their addresses: what a template gets. */
struct pat_work {
	const struct pat_task *task;
	float *out;
	const float *in[3];
	const void *packed;
	/** @first: first unit. */
	u64 first;
	/** @count: number of units. */
	u64 count;
	/** @row: operators on planes: first row of the output that is wanted. */
	u32 row;
	/** @rows: number of rows; units count these, not all. */
	u32 rows;
};

typedef bool (*pat_work_fn)(const struct pat_work *w, struct pat_cursor *cur, void *scratch);

/** struct pat_ops - the operators of one instruction set. */
struct pat_ops {
	/** @run: by enum pat_fn; none for PAT_FN_CONV and PAT_FN_CHAIN. */
	pat_work_fn run[PAT_FN_COUNT];
	/** @move: copy @n floats, also to a lower address of the same memory. */
	void (*move)(float *to, const float *from, u64 n);
};

/** struct pat_isa - everything that exists for one instruction set. */
struct pat_isa {
	const char *name;
	const struct pat_ops *ops;
	u32 id;
	/** @lanes: floats of a vector. */
	u32 lanes;
};

/** struct pat_plan_full - a plan, private part behind the public one. */
struct pat_plan_full {
	struct pat_plan pub;
	struct pat_plan_opts opts;
	const struct pat_conv_isa *conv_isa;
	struct pat_map *maps;
	struct pat_step *steps;
	struct pat_step_tasks *step_tasks;
	struct pat_task *tasks;
	struct pat_link *links;
	u32 task_count;
	u32 task_max;
	u32 step_max;
	/** @packed: set by pat_plan_pack(). */
	const u8 *packed;
};

/** struct pat_builder - a plan in the making. */
struct pat_builder {
	struct pat_plan_full *plan;
	const struct pat_program *prog;
	struct pat_check ck;
	u32 step;
	/** @tuned: follow the program's measured choices. */
	bool tuned;
};

/* What the head of a task costs to start; below this much work a tile is not worth it. */
#define PAT_TILE_WORK	(32U * 1024)

static inline u64 pat_up(u64 x, u64 unit)
{
	return (x + unit - 1) / unit * unit;
}

/* plan.c */
struct pat_task *pat_task_new(struct pat_builder *b, u32 fn, const struct patcnn_operator *op);
void pat_task_split(struct pat_builder *b, struct pat_task *t, u64 units, u64 unit_work);
void pat_task_scratch(struct pat_builder *b, u64 bytes);
void pat_use(struct pat_builder *b, struct pat_ref *ref, u32 tensor, bool write);
struct pat_planes pat_planes_of(const struct pat_builder *b, u32 tensor);
const struct pat_map *pat_map_of(const struct pat_builder *b, u32 tensor);

/* plan_layout.c */
void pat_layout(struct pat_builder *b);
bool pat_is_view(const struct pat_builder *b, const struct patcnn_operator *op);

/* plan_memory.c */
int pat_place(struct pat_builder *b);

/* plan_nd.c */
void pat_axis_strides(const struct pat_builder *b, u32 tensor, u32 rank, u32 *stride);
void pat_nd_merge(struct pat_nd *nd, u32 operands);
int pat_plan_map(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_copy(struct pat_builder *b, u32 tensor);
int pat_plan_concat(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_slice(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_permute(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_pad(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_reshape(struct pat_builder *b, const struct patcnn_operator *op);

/* plan_reduce.c */
int pat_plan_softmax(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_reduce(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_norm(struct pat_builder *b, const struct patcnn_operator *op);

/* plan_chain.c */
void pat_chains(struct pat_builder *b);
int pat_plan_chain(struct pat_builder *b, u32 last);

/* exec_chain.c */
bool pat_exec_chain(const struct pat_plan_full *plan, const struct pat_run *run,
		    const struct pat_task *t, u32 tile, struct pat_cursor *cur, void *scratch);

/* exec.c */
void pat_work_of(const struct pat_run *run, const struct pat_task *t, struct pat_work *w);

/* plan_window.c */
int pat_conv_sizes(struct pat_builder *b, struct pat_task *t, struct pat_conv_info *info);
void pat_conv_geometry(struct pat_builder *b, struct pat_task *t, const struct patcnn_operator *op);
u64 pat_pool_geometry(struct pat_task *t);
u64 pat_convert_geometry(struct pat_builder *b, struct pat_task *t);
int pat_plan_conv(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_linear(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_matmul(struct pat_builder *b, const struct patcnn_operator *op);
int pat_plan_planes(struct pat_builder *b, const struct patcnn_operator *op);
bool pat_linear_rows(const struct pat_program *prog, const struct patcnn_operator *op);

/* plan_tune.c */
const struct patcnn_tuning *pat_tuning_of(const struct pat_builder *b, u32 op);
int pat_tuned_plan(struct pat_builder *b, struct pat_conv_task *c, u32 op,
		   const struct pat_weights *w, struct pat_conv_info *info);

/* pack.c */
struct pat_weights pat_weights_of(const struct pat_program *prog,
				  const struct patcnn_operator *op);

#endif
