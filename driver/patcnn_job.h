/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_JOB_H_
#define _PATCNN_JOB_H_

#include <linux/cpumask.h>
#include <linux/dma-fence.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include <drm/gpu_scheduler.h>

#include "patcnn_compute.h"

struct drm_gem_object;
struct patcnn_client;
struct patcnn_device;
struct patcnn_file;
struct patcnn_model;

/** struct patcnn_arena - activations of a context's jobs, which run one after the other. */
struct patcnn_arena {
	struct kref kref;
	size_t bytes;
	void *mem;
};

/**
 * struct patcnn_ctx - a queue of jobs.
 *
 * References: its handle and each of its jobs.
 */
struct patcnn_ctx {
	struct kref kref;
	struct patcnn_device *pdev;
	struct patcnn_client *client;
	/** @sched: of its own: the pool does what is to be done between contexts. */
	struct drm_gpu_scheduler sched;
	struct drm_sched_entity entity;
	/** @node: in &patcnn_device.contexts. */
	struct list_head node;
	/** @slot: of the pool. */
	unsigned int slot;
	/** @priority: enum drm_patcnn_priority. */
	unsigned int priority;
	/** @waiting: jobs that could start; &patcnn_pool.lock. */
	struct list_head waiting;
	/** @queue_node: in &patcnn_client_queue.contexts, while @waiting is not empty. */
	struct list_head queue_node;
	/** @all_cpus: @cpus is not to be looked at. */
	bool all_cpus;
	struct cpumask cpus;
	/** @lock: push of a job against patcnn_ctx_kill(); protects @dead, @arena, @seqno. */
	struct mutex lock;
	/** @dead: nothing is pushed any more. */
	bool dead;
	struct patcnn_arena *arena;
	u64 seqno;
	/** @queued: jobs whose fence has not been signalled. */
	atomic_t queued;
	/** @scheduled: jobs that the scheduler has not given to the pool yet; @lock to add. */
	atomic_t scheduled;
	/** @jobs_lock: protects @jobs. */
	spinlock_t jobs_lock;
	/** @jobs: submitted, not yet signalled or freed by the scheduler, nor cancelled. */
	struct list_head jobs;
	/** @free: ends @sched and frees the memory. */
	struct rcu_work free;
};

/**
 * struct patcnn_fence - what clients wait for.
 *
 * The scheduler's own fences are never given out: nothing would keep their
 * memory and code while a file descriptor refers to them. This one holds the
 * device and the module.
 */
struct patcnn_fence {
	struct dma_fence base;
	/** @lock: of @base, and of nothing else. */
	spinlock_t lock;
	struct drm_device *drm;
	struct patcnn_client *client;
	struct work_struct work;
	struct rcu_head rcu;
};

/** enum patcnn_job_state - where a job is; &patcnn_pool.lock. */
enum patcnn_job_state {
	/** @PATCNN_JOB_QUEUED: with the scheduler. */
	PATCNN_JOB_QUEUED,
	/** @PATCNN_JOB_WAITING: in &patcnn_ctx.waiting. */
	PATCNN_JOB_WAITING,
	/** @PATCNN_JOB_RUNNING: &patcnn_slot.job. */
	PATCNN_JOB_RUNNING,
	/** @PATCNN_JOB_DONE: its fence has been, or is being, signalled. */
	PATCNN_JOB_DONE,
};

/** struct patcnn_job_profile - times taken while a job runs, and where they go. */
struct patcnn_job_profile {
	struct drm_patcnn_profile *dst;
	u32 steps;
	u32 workers;
	/** @first_ns: of each step: first claim; then wall time. */
	u64 *wall_ns;
	/** @busy_ns: [steps][workers]; a column is written by its worker only. */
	u64 *busy_ns;
	/** @column: of each CPU; U16_MAX: none. */
	u16 *column;
};

/**
 * struct patcnn_job - one run of a model.
 *
 * References: the scheduler until free_job(), or for it the context until the job is
 * signalled; the pool from submit to finish,
 * each worker that looks at it. The last one queues @release.
 */
struct patcnn_job {
	struct drm_sched_job base;
	struct kref kref;
	struct work_struct release;
	struct patcnn_ctx *ctx;
	struct patcnn_model *model;
	struct patcnn_arena *arena;
	struct patcnn_fence *fence;
	struct patcnn_job_profile *profile;
	/** @ctx_node: in &patcnn_ctx.jobs. */
	struct list_head ctx_node;
	u64 queued_ns;
	/** @direct: the scheduler does not know it. */
	bool direct;

	/** @state: see there; &patcnn_pool.lock. */
	enum patcnn_job_state state;
	/** @node: in &patcnn_ctx.waiting. */
	struct list_head node;
	u64 start_ns;
	u64 end_ns;
	/** @run: what pat_exec() is given. */
	struct pat_run run;
	/** @claim: step << 32 | next tile, or PATCNN_CLAIM_CLOSED. */
	atomic64_t claim;
	/** @left: tiles of the step that are not done. */
	atomic_t left;
	/** @stop: negative errno once cancelled; workers look at it after each chunk. */
	int stop;

	/** @bo_count: entries of @bos. */
	u32 bo_count;
	struct drm_gem_object *bos[PAT_MAX_IO + 1];
	void *io[PAT_MAX_IO];
};

static inline struct patcnn_job *to_patcnn_job(struct drm_sched_job *base)
{
	return container_of(base, struct patcnn_job, base);
}

void patcnn_job_get(struct patcnn_job *job);
void patcnn_job_put(struct patcnn_job *job);
void patcnn_job_abort(struct patcnn_job *job);
void patcnn_job_signal(struct patcnn_job *job, int error);
int patcnn_sched_init(struct patcnn_ctx *ctx);
void patcnn_sched_fini(struct patcnn_ctx *ctx);
struct patcnn_fence *patcnn_fence_alloc(struct drm_device *drm, struct patcnn_client *client);
void patcnn_fence_init(struct patcnn_fence *fence, struct patcnn_ctx *ctx);
void patcnn_fence_put(struct patcnn_fence *fence);
void patcnn_fences_wait(long timeout);

/* patcnn_profile.c */
struct patcnn_job_profile *patcnn_profile_alloc(struct patcnn_device *pdev, u32 steps);
void patcnn_profile_free(struct patcnn_job_profile *profile);
u64 patcnn_profile_bytes(const struct patcnn_job_profile *profile);
void patcnn_profile_write(struct patcnn_job *job);

struct patcnn_ctx *patcnn_ctx_lookup(struct patcnn_file *pfile, u32 handle);
void patcnn_ctx_put(struct patcnn_ctx *ctx);
void patcnn_ctx_kill(struct patcnn_ctx *ctx);
void patcnn_ctx_kill_all(struct patcnn_device *pdev);
void patcnn_ctx_release(struct patcnn_ctx *ctx);
struct patcnn_arena *patcnn_ctx_arena(struct patcnn_ctx *ctx, size_t bytes);
void patcnn_arena_put(struct patcnn_arena *arena);

int patcnn_ioctl_ctx_create(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_ctx_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif
