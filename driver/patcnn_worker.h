/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_WORKER_H_
#define _PATCNN_WORKER_H_

#include "patcnn_pool.h"
#include "patcnn_simd.h"

struct patcnn_job;

/** struct patcnn_worker - a CPU's worker; its own thread writes all but @wake and @idle. */
struct patcnn_worker {
	unsigned int cpu;
	/** @wake: work may be there; set by others, before they wake the thread. */
	bool wake;
	/** @idle: asleep or about to be; who clears it must wake the thread. */
	bool idle;
	/** @has_tiles: its share of tiles has been made; &patcnn_pool.scratch_lock. */
	bool has_tiles;
	/** @busy: @tile has been begun and belongs to @job[@slot]. */
	bool busy;
	/** @slot: of @tile, while @busy. */
	unsigned int slot;
	/** @tile: being worked on, or kept for the next one; may be NULL. */
	struct patcnn_tile *tile;
	/** @job: of each slot, referenced, while the thread looks for work. */
	struct patcnn_job *job[PATCNN_SLOTS];
	/** @seq: &patcnn_slot.seq that @job is of. */
	unsigned long seq[PATCNN_SLOTS];
	int nice;
	/** @max_slice_ns: longest SIMD section. */
	u64 max_slice_ns;
	/** @busy_ns: time in SIMD sections. */
	u64 busy_ns;
	/** @slices: number of SIMD sections. */
	u64 slices;
	/** @simd: register memory. */
	struct patcnn_simd simd;
};

/* patcnn_worker.c */
int patcnn_workers_start(struct patcnn_pool *pool);
void patcnn_workers_stop(void);
void patcnn_workers_kick(struct patcnn_pool *pool, const struct patcnn_job *job,
			 unsigned int count);
struct patcnn_worker *patcnn_worker_of(unsigned int cpu);

/* patcnn_pool.c, for workers */
void patcnn_pool_set_ready(struct patcnn_pool *pool, unsigned int cpu, bool ready);
struct patcnn_job *patcnn_pool_get_job(struct patcnn_slot *slot, unsigned long *seq);
bool patcnn_pool_may_run(struct patcnn_pool *pool, const struct patcnn_job *job, unsigned int cpu);
bool patcnn_pool_claimable(const struct patcnn_job *job);
bool patcnn_pool_claim(struct patcnn_job *job, struct patcnn_tile *tile);
void patcnn_pool_tile_done(struct patcnn_slot *slot, struct patcnn_job *job, u32 step);
struct patcnn_tile *patcnn_pool_take_free(struct patcnn_pool *pool);
void patcnn_pool_put_free(struct patcnn_pool *pool, struct patcnn_tile *tile);
struct patcnn_tile *patcnn_pool_adopt(struct patcnn_slot *slot, struct patcnn_job *job);
bool patcnn_pool_orphan(struct patcnn_slot *slot, struct patcnn_job *job, struct patcnn_tile *tile);

/* patcnn_scratch.c, for workers */
void patcnn_tile_refresh(struct patcnn_pool *pool, struct patcnn_tile *tile);
bool patcnn_tiles_add(struct patcnn_pool *pool, unsigned int cpu);

/* patcnn_profile.c */
void patcnn_profile_claim(struct patcnn_job *job, u32 step);
void patcnn_profile_step(struct patcnn_job *job, u32 step);
void patcnn_profile_busy(struct patcnn_job *job, u32 step, unsigned int cpu, u64 ns);

#endif
