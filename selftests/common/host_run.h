/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_HOST_RUN_H
#define PATCNN_HOST_RUN_H

/*
 * Runs a program on the host build of the compute core, the way the driver
 * would, but with every block of memory under guard:
 *
 * HR_GUARD_EXACT	blocks of exactly the size asked for, for AddressSanitizer;
 * HR_GUARD_PAGES	pages without access before and behind (reads may go on to the
 *			next multiple of 64 there, writes may not: canary bytes), and
 *			what a job must not write is mapped read-only while it runs.
 *
 * The arena and the scratch start with a chosen byte, so that a value that was
 * never written shows.
 */

#include <stdbool.h>
#include <stddef.h>
#include "patcnn_compute.h"

enum hr_guard { HR_GUARD_EXACT, HR_GUARD_PAGES };

struct hr_opts {
	const struct pat_isa *isa;
	enum hr_guard guard;
	unsigned int threads;	/* 0: one, tiles in random order, two tiles interleaved */
	u32 flags;		/* PAT_PLAN */
	u32 l1_bytes;
	u32 l2_bytes;
	u8 fill;		/* of arena and scratch */
	u64 max_bytes;		/* 0: any; above them hr_open() returns -EFBIG */
	u64 max_work;
	u64 seed;
};

/* struct hr_block - guarded memory. */
struct hr_block {
	u8 *p;
	u64 size;
	u8 *map;
	size_t map_size;
};

#define HR_MAX_THREADS 8

struct hr {
	struct hr_opts opts;
	struct hr_block blob, plan_mem, packed, arena;
	struct hr_block scratch[HR_MAX_THREADS];
	struct hr_block io[PAT_MAX_IO];
	void *io_ptr[PAT_MAX_IO];
	struct pat_program prog;
	struct pat_plan *plan;
	struct pat_error error;
	u64 calls;		/* of pat_exec() in the last run */
	u64 longest_ns;		/* thread time of the longest pat_exec() */
};

/* Return: 0; the validator's or planner's error; -EFBIG. Text in error. */
int hr_open(struct hr *h, const void *blob, size_t size, const struct hr_opts *opts);
void hr_close(struct hr *h);

/* Random inputs: F32 in [-1, 1), U8 in [0, 255]. */
void hr_random_inputs(struct hr *h, u64 seed);

/* Run. Return: NULL, or what it broke. */
const char *hr_run(struct hr *h);

/* Memory of tensor @t, an input or output. */
void *hr_io(const struct hr *h, u32 t);

/* Every ISA that is built in and that this CPU can run; NULL behind the last. */
const struct pat_isa *hr_isa(unsigned int i);

#endif
