/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_HOST_H
#define PATCNN_HOST_H

/*
 * The compute core in this process: what the driver does with its workers, done
 * with threads. For --host, for measuring without the kernel, and for tests.
 */

#include <stdbool.h>
#include <stdint.h>

#include "patcnn_compute.h"

/* Kernels by name, or the best for this CPU if NULL. Complains and returns NULL if it cannot. */
const struct pat_isa *host_isa(const char *name);

/* One for each CPU this process may use. */
uint32_t host_threads(void);

struct host_opts {
	const struct pat_isa *isa;
	uint32_t threads;	/* at least 1; the caller of host_run() is one of them */
	uint32_t plan_flags;	/* PAT_PLAN bits */
	bool have_cpus;
	uint64_t cpus[4];	/* threads are bound to these, one each, in turn */
	/* Of one thread: times are its processor time, which other programs disturb less. */
	bool cpu_time;
};

/* Times of one run; arrays are the caller's, or NULL: not wanted. */
struct host_times {
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t *wall_ns;	/* [steps] first tile claimed to last tile done */
	uint64_t *busy_ns;	/* [steps][threads] */
};

/* The plan alone, unpacked; free() it. Complains and returns NULL on failure. */
struct pat_plan *host_plan(const char *name, const struct pat_program *prog,
			   const struct host_opts *opts);

struct host;

/* Plan, packed weights and threads for @prog, which must outlive it. Complains on failure. */
struct host *host_open(const char *name, const struct pat_program *prog,
		       const struct host_opts *opts);
const struct pat_plan *host_get_plan(const struct host *h);

/* Run once; @io as in struct pat_run. */
void host_run(struct host *h, void *const *io, struct host_times *times);
void host_close(struct host *h);

#endif
