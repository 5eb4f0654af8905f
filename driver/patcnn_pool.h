/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_POOL_H_
#define _PATCNN_POOL_H_

#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "patcnn_compute.h"

struct device;
struct patcnn_job;
struct seq_file;

/* A job of each slot may be in flight; workers prefer the lower slot number. */
#define PATCNN_SLOT_HIGH	0
#define PATCNN_SLOT_NORMAL	1
#define PATCNN_SLOTS		2

/* As in enum drm_patcnn_priority. */
#define PATCNN_PRIORITIES	3

/* Memory of one worker inside a tile; what a plan may ask for at most. */
#define PATCNN_MAX_SCRATCH	SZ_32M
#define PATCNN_MIN_SCRATCH	((size_t)SZ_64K)
/* Powers of two from the least to the most. */
#define PATCNN_SCRATCH_CLASSES	10

/* A fence must signal well within ten seconds. */
#define PATCNN_MAX_TIMEOUT_MS	10000
#define PATCNN_MAX_SLICE_US	1000

/**
 * struct patcnn_tile - a tile being worked on, and the scratch it needs.
 *
 * Belongs to a worker, to &patcnn_slot.orphans, or to &patcnn_pool.free. Two
 * exist for each CPU that ever was online: see patcnn_pool.c for why one is
 * always there when a worker needs it.
 */
struct patcnn_tile {
	/** @node: in orphans or free; &patcnn_pool.lock. */
	struct list_head node;
	/** @all_node: in &patcnn_pool.tiles; &patcnn_pool.scratch_lock. */
	struct list_head all_node;
	u32 step;
	u32 index;
	struct pat_cursor cursor;
	/** @scratch: used by whoever holds the tile. */
	void *scratch;
	/** @scratch_bytes: of @scratch. */
	size_t scratch_bytes;
	/** @dirty: bytes that the client @owner may have written. */
	size_t dirty;
	/** @owner: &patcnn_client.id. */
	u64 owner;
	/** @lock: protects @next, @next_bytes and @old. */
	spinlock_t lock;
	/** @next: another scratch, to be taken before the next tile. */
	void *next;
	/** @next_bytes: of @next. */
	size_t next_bytes;
	/** @old: the one it replaced, to be freed by &patcnn_pool.settle. */
	void *old;
};

/** struct patcnn_slot - a job in flight. */
struct patcnn_slot {
	/** @job: being run; &patcnn_pool.lock. */
	struct patcnn_job *job;
	/** @seq: changes with @job; read without lock. */
	unsigned long seq;
	/** @orphans: begun tiles of @job that no worker holds; &patcnn_pool.lock. */
	struct list_head orphans;
	/** @orphan_count: entries of @orphans; read without lock. */
	unsigned int orphan_count;
	/** @watchdog: cancels @job after &patcnn_pool.timeout_ms. */
	struct delayed_work watchdog;
	/** @pool: back pointer for @watchdog. */
	struct patcnn_pool *pool;
};

/** struct patcnn_pool - the workers. */
struct patcnn_pool {
	/** @lock: slots, tile lists, job states, CPU masks. Innermost but for &patcnn_tile.lock. */
	spinlock_t lock;
	struct patcnn_slot slot[PATCNN_SLOTS];
	/** @waiting: of &struct patcnn_client_queue, by priority: clients with jobs to start. */
	struct list_head waiting[PATCNN_PRIORITIES];
	/** @free: tiles nobody uses. */
	struct list_head free;
	/** @mask: CPUs the administrator gave. */
	struct cpumask mask;
	/** @ready: CPUs whose worker is not parked. */
	struct cpumask ready;
	/** @active: CPUs that work: @mask and @ready, or @ready if that is empty. */
	struct cpumask active;
	/** @slice_us: longest stretch in SIMD. */
	unsigned int slice_us;
	/** @timeout_ms: wall-clock limit of a job. */
	unsigned int timeout_ms;
	/** @nice: of the workers. */
	int nice;
	/** @paused: no job is started; &lock. */
	bool paused;
	/** @idle: woken when a slot has become empty. */
	wait_queue_head_t idle;
	/** @wq: runs the watchdogs. */
	struct workqueue_struct *wq;
	/** @scratch_lock: protects @tiles and what follows; lives as long as the device. */
	struct mutex scratch_lock;
	struct list_head tiles;
	/** @scratch_bytes: that every tile has at least, or is about to have. */
	size_t scratch_bytes;
	/** @scratch_users: models that live, by the power of two that they need. */
	unsigned int scratch_users[PATCNN_SCRATCH_CLASSES];
	/** @closing: tiles are about to go. */
	bool closing;
	/** @settle: shrinks and frees scratch. */
	struct delayed_work settle;
	/** @hp_state: CPU hotplug state that makes tiles for new CPUs. */
	int hp_state;
	/** @running: workers are registered. */
	bool running;
};

int patcnn_pool_init(struct patcnn_pool *pool);
void patcnn_pool_fini(struct patcnn_pool *pool);
void patcnn_pool_submit(struct patcnn_pool *pool, struct patcnn_job *job);
bool patcnn_pool_cancel(struct patcnn_pool *pool, struct patcnn_job *job, int error);
int patcnn_pool_set_mask(struct patcnn_pool *pool, const struct cpumask *mask);
void patcnn_pool_set_nice(struct patcnn_pool *pool, int nice);
unsigned int patcnn_pool_cpus(struct patcnn_pool *pool, struct cpumask *cpus);
int patcnn_pool_pause(struct patcnn_pool *pool);
void patcnn_pool_drain(struct patcnn_pool *pool);
void patcnn_pool_resume(struct patcnn_pool *pool);

/* patcnn_scratch.c */
void patcnn_scratch_init(struct patcnn_pool *pool);
void patcnn_scratch_close(struct patcnn_pool *pool);
void patcnn_scratch_fini(struct patcnn_pool *pool);
int patcnn_scratch_reserve(struct patcnn_pool *pool, size_t bytes);
void patcnn_scratch_release(struct patcnn_pool *pool, size_t bytes);

/* patcnn_queue.c */
void patcnn_waiting_add(struct patcnn_pool *pool, struct patcnn_job *job);
void patcnn_waiting_del(struct patcnn_pool *pool, struct patcnn_job *job);
struct patcnn_job *patcnn_waiting_first(struct patcnn_pool *pool, unsigned int priority);

/* patcnn_stats.c */
void patcnn_pool_show(struct patcnn_pool *pool, struct seq_file *m);

#endif
