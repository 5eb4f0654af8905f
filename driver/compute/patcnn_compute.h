/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PATCNN_COMPUTE_H_
#define _PATCNN_COMPUTE_H_

/**
 * DOC: The door of the compute core
 *
 * Turns a program (patcnn_program.h) into a plan and runs the plan tile by tile.
 * The core is freestanding C, compiled unchanged into the module and into a host
 * library. It never allocates, locks, sleeps or prints: callers bring memory and
 * threads. The way of a model:
 *
 *	pat_program_open()	validates; the only code that reads untrusted bytes
 *	pat_plan_build()	steps, tiles, memory map, sizes of what follows
 *	pat_plan_pack()		weights into the streams of this CPU's kernels
 *	pat_exec()		one bounded chunk of one tile of one step
 *
 * Functions marked SIMD use vector registers: the kernel calls them between
 * kernel_fpu_begin() and kernel_fpu_end() (or their like) and each call is bounded to
 * about PAT_CHUNK_MACS of work. All others use no float.
 *
 * A plan is immutable once packed and may be executed by any number of threads
 * for any number of jobs. Steps of one job are executed in order: every tile of a
 * step is done before a tile of the next one starts. Tiles of one step are
 * independent and may be claimed by any worker in any order.
 */

#include <linux/types.h>
#include <drm/patcnn_program.h>

#ifndef __KERNEL__
#include <stdbool.h>
#include <stddef.h>
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
#endif

/** define PAT_ALIGN - alignment of every memory block given to the core. */
#define PAT_ALIGN		64

/**
 * define PAT_CHUNK_MACS - work of one pat_exec() or pat_plan_pack() call, in
 * multiply-accumulates, about.
 */
#define PAT_CHUNK_MACS		(256U * 1024)

/* Limits of a program; the validator refuses what exceeds them. */
#define PAT_MAX_TENSORS		8192
#define PAT_MAX_OPERATORS	8192
#define PAT_MAX_IO		64		/* inputs and outputs together */
#define PAT_MAX_DIM		(1024U * 1024)	/* elements along c, h or w */
#define PAT_MAX_ELEMENTS	(256ULL * 1024 * 1024)	/* elements of a tensor */
#define PAT_MAX_PROGRAM		(2048ULL * 1024 * 1024)	/* bytes */
#define PAT_MAX_MACS		(1024ULL * 1024 * 1024 * 1024)	/* work of a whole model */
#define PAT_MAX_ARENA		(2048ULL * 1024 * 1024)	/* bytes of activations */

/** struct pat_error - what is wrong with a program and where; NUL-terminated. */
struct pat_error {
	char text[192];
};

/** struct pat_program - a validated program; pointers into the caller's blob. */
struct pat_program {
	const struct patcnn_program_header *header;
	const struct patcnn_tensor *tensors;
	const struct patcnn_operator *operators;
	const u32 *operands;
	const struct patcnn_pattern *patterns;
	const struct patcnn_tap *taps;
	const struct patcnn_tuning *tuning;
	const u8 *data;
	const char *strings;
	u64 data_size;
	u64 string_size;
	u64 macs_dense;
	u64 macs_kept;
	u32 tensor_count;
	u32 operator_count;
	u32 operand_count;
	u32 pattern_count;
	u32 tap_count;
	u32 tuning_count;
	/** @io_count: entries of @io. */
	u32 io_count;
	/** @io: tensor indices of inputs and outputs, ascending; order of pat_run.io. */
	u16 io[PAT_MAX_IO];
};

/** define PAT_WORK_BYTES - working memory of pat_program_open(). */
#define PAT_WORK_BYTES		(32U << 10)

/**
 * pat_program_open - validate a program
 * @prog: filled in on success
 * @blob: the bytes, PAT_ALIGN aligned, not changed by anyone until @prog is no longer used
 * @size: number of bytes
 * @work: PAT_WORK_BYTES of working memory
 * @err: filled in on failure
 *
 * Time is linear in @size. Return: 0, -EINVAL (malformed) or -E2BIG (a limit).
 */
int pat_program_open(struct pat_program *prog, const void *blob, u64 size,
		     void *work, struct pat_error *err);

/** pat_tensor_bytes - bytes of @t in a bound buffer. */
u64 pat_tensor_bytes(const struct patcnn_tensor *t);

/** pat_operator_macs - multiply-accumulates of operator @op, zeros included (@dense) or as kept. */
u64 pat_operator_macs(const struct pat_program *prog, u32 op, bool dense);

/** enum pat_isa_id - instruction sets that kernels exist for. */
enum pat_isa_id {
	PAT_ISA_GENERIC = PATCNN_ISA_GENERIC,
	PAT_ISA_AVX2 = PATCNN_ISA_AVX2,		/* AVX2 and FMA */
	PAT_ISA_AVX512 = PATCNN_ISA_AVX512,	/* AVX-512 F, BW, DQ and VL */
	PAT_ISA_NEON = PATCNN_ISA_NEON,		/* AArch64 Advanced SIMD */
	PAT_ISA_COUNT
};

struct pat_isa;

/**
 * pat_isa_get - kernels of @id, or NULL if not built in. Whether the CPU can run them is
 * the caller's question.
 */
const struct pat_isa *pat_isa_get(enum pat_isa_id id);
/** pat_isa_name - "generic", "avx2", "avx512", "neon". */
const char *pat_isa_name(const struct pat_isa *isa);
/** pat_isa_by_name - the reverse; NULL if unknown or not built in. */
const struct pat_isa *pat_isa_by_name(const char *name);

/** define PAT_PLAN_NO_FUSE - one operator a step. */
#define PAT_PLAN_NO_FUSE	0x1

/** struct pat_plan_opts - what a plan is made for. */
struct pat_plan_opts {
	const struct pat_isa *isa;
	/** @workers: threads that will claim tiles, at least 1. */
	u32 workers;
	/** @flags: PAT_PLAN bits. */
	u32 flags;
	/** @l1_bytes: data cache of a core; 0: 32 KiB. */
	u32 l1_bytes;
	/** @l2_bytes: second-level cache of a core; 0: 512 KiB. */
	u32 l2_bytes;
};

/** struct pat_step - one step of a plan, for those who run and show it. */
struct pat_step {
	u32 op_first;
	/** @op_count: 0: a copy that the plan added. */
	u32 op_count;
	/** @kind: enum patcnn_operator_kind of the main operator, CONVERT for copies. */
	u32 kind;
	/** @tiles: at least 1. */
	u32 tiles;
	u64 macs_dense;
	u64 macs_kept;
	/** @algorithm: for people, e.g. "pattern 7x2 g4". */
	char algorithm[32];
};

/** struct pat_plan - public head of a plan. */
struct pat_plan {
	const struct pat_program *program;
	const struct pat_step *steps;
	u32 step_count;
	/** @packed_bytes: memory to give to pat_plan_pack(). */
	u64 packed_bytes;
	/** @arena_bytes: memory of one job in flight, for activations; needs no initialisation. */
	u64 arena_bytes;
	/** @scratch_bytes: memory of one worker while inside a tile. */
	u64 scratch_bytes;
};

/** pat_plan_bytes - memory that pat_plan_build() needs for @prog at most. */
u64 pat_plan_bytes(const struct pat_program *prog);

/**
 * pat_plan_build - plan a program
 * @mem: pat_plan_bytes() of memory, PAT_ALIGN aligned, zeroed; becomes the plan
 * @prog: validated; must outlive the plan
 * @opts: copied
 * @err: filled in on failure
 *
 * Return: 0, -E2BIG (arena above PAT_MAX_ARENA).
 */
int pat_plan_build(void *mem, const struct pat_program *prog,
		   const struct pat_plan_opts *opts, struct pat_error *err);

/** struct pat_choice - how an operator is run, for those who tune. */
struct pat_choice {
	/** @step: that runs it. */
	u32 step;
	/** @stages: operators that this step runs depth-first. */
	u32 stages;
	/** @algo: family of kernels of a convolution, else 0; with what follows. */
	u32 algo;
	u32 band_rows;
	u32 row_step;
	u64 packed_bytes;
	u64 scratch_bytes;
};

/** pat_plan_choice - how @op is run; false: no step is there for it. */
bool pat_plan_choice(const struct pat_plan *plan, u32 op, struct pat_choice *choice);

/** struct pat_pack_cursor - progress of packing; zero it before the first call. */
struct pat_pack_cursor {
	u32 step;
	u32 op;
	u64 pos;
};

/**
 * pat_plan_pack - SIMD: pack the next bounded part of the weights
 * @plan: from pat_plan_build()
 * @packed: packed_bytes of memory, PAT_ALIGN aligned, zeroed; must outlive the plan
 * @cur: progress
 *
 * Return: true when all is packed; the plan may then be executed.
 */
bool pat_plan_pack(struct pat_plan *plan, void *packed, struct pat_pack_cursor *cur);

/** struct pat_run - memory of one job. */
struct pat_run {
	const struct pat_plan *plan;
	/** @arena: arena_bytes, PAT_ALIGN aligned. */
	void *arena;
	/** @io: of each tensor of pat_program.io: pat_tensor_bytes() of memory, 64-byte aligned. */
	void *const *io;
};

/** struct pat_cursor - a worker's progress within a tile; zero it before a tile's first chunk. */
struct pat_cursor {
	u32 a;
	u32 b;
	u32 c;
	u32 d;
};

/**
 * pat_exec - SIMD: run the next chunk of a tile
 * @run: the job
 * @step: less than step_count
 * @tile: less than the step's tiles
 * @cur: progress within the tile
 * @scratch: scratch_bytes of the calling worker, PAT_ALIGN aligned; must keep its
 *	content between the chunks of one tile, holds nothing of value between tiles
 *
 * Input buffers may change while a job runs: results are then undefined, addresses
 * never depend on them. Return: true when the tile is done.
 */
bool pat_exec(const struct pat_run *run, u32 step, u32 tile,
	      struct pat_cursor *cur, void *scratch);

#endif
