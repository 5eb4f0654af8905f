// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The pool: jobs in flight
 *
 * A slot runs one job; there are two slots, and workers (patcnn_worker.c) prefer
 * the first. A job is a list of steps, a step a number of tiles.
 *
 * Progress of a job needs no lock. &patcnn_job.claim holds the open step and its
 * next tile; a worker claims by incrementing it. &patcnn_job.left counts the tiles
 * of the step that are not done. Who brings it to zero is alone: it sets @left for
 * the next step and then opens it in @claim, or finishes the job.
 *
 * Cancelling sets &patcnn_job.stop and closes @claim. Tiles that were never claimed
 * and orphans (see below) are subtracted from @left by who cancels, those being
 * worked on by their workers, which look at @stop after every chunk; whoever brings
 * @left to zero finishes the job. If the job is between two steps, opening the next
 * one fails because @claim is closed, and the opener finishes it. So the job is
 * finished exactly once, and when its fence signals nobody touches its buffers.
 *
 * A worker that has something better to do (a job in the preferred slot) or may not
 * go on (its CPU goes offline, or leaves the pool) leaves its tile as an orphan:
 * with cursor and scratch, for anyone to go on. Orphans are taken before new tiles
 * are claimed, hence a slot never has more begun tiles than there are workers; a
 * worker holds at most one tile; therefore two tiles per CPU are enough for all, and
 * nothing is allocated while a job runs.
 *
 * Which job is next: see patcnn_queue.c.
 *
 * Jobs referenced by a slot or a worker stay in memory; a job's last reference only
 * queues work, so it may be dropped anywhere.
 *
 * All of this is in the path that signals fences: no allocation, no reservation
 * lock, no sleeping lock here, except in the functions that set things up.
 */

#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_trace.h"
#include "patcnn_worker.h"

#define PATCNN_CLAIM_CLOSED	(-1LL)

static s64 patcnn_claim_make(u32 step, u32 tile)
{
	return (s64)((u64)step << 32 | tile);
}

static u32 patcnn_job_tiles(const struct patcnn_job *job, u32 step)
{
	return job->run.plan->steps[step].tiles;
}

static struct patcnn_slot *patcnn_job_slot(struct patcnn_pool *pool, const struct patcnn_job *job)
{
	return &pool->slot[job->ctx->slot];
}

static struct patcnn_job *patcnn_slot_next(struct patcnn_slot *slot)
{
	struct patcnn_pool *pool = slot->pool;
	struct patcnn_job *job;

	if (slot == &pool->slot[PATCNN_SLOT_HIGH])
		return patcnn_waiting_first(pool, DRM_PATCNN_PRIORITY_HIGH);
	job = patcnn_waiting_first(pool, DRM_PATCNN_PRIORITY_NORMAL);
	return job ? job : patcnn_waiting_first(pool, DRM_PATCNN_PRIORITY_LOW);
}

/* Makes the next job of @slot the running one. Return: it, to be announced by kick. */
static struct patcnn_job *patcnn_slot_start(struct patcnn_slot *slot)
{
	struct patcnn_pool *pool = slot->pool;
	struct patcnn_job *job;

	lockdep_assert_held(&pool->lock);

	if (slot->job || pool->paused)
		return NULL;
	job = patcnn_slot_next(slot);
	if (!job)
		return NULL;

	patcnn_waiting_del(pool, job);
	job->state = PATCNN_JOB_RUNNING;
	job->start_ns = ktime_get_ns();
	atomic_set(&job->left, patcnn_job_tiles(job, 0));
	atomic64_set(&job->claim, patcnn_claim_make(0, 0));
	slot->job = job;
	WRITE_ONCE(slot->seq, slot->seq + 1);
	mod_delayed_work(pool->wq, &slot->watchdog, msecs_to_jiffies(READ_ONCE(pool->timeout_ms)));
	trace_patcnn_job_start(job);
	return job;
}

/* Called once for a job that was started, when no worker is at it any more. */
static void patcnn_slot_finish(struct patcnn_slot *slot, struct patcnn_job *job)
{
	struct patcnn_pool *pool = slot->pool;
	struct patcnn_job *next;
	int error;

	job->end_ns = ktime_get_ns();

	spin_lock(&pool->lock);
	slot->job = NULL;
	WRITE_ONCE(slot->seq, slot->seq + 1);
	job->state = PATCNN_JOB_DONE;
	error = job->stop;
	next = patcnn_slot_start(slot);
	if (!next)
		cancel_delayed_work(&slot->watchdog);
	else
		patcnn_job_get(next);
	spin_unlock(&pool->lock);

	patcnn_profile_write(job);
	patcnn_job_signal(job, error);
	patcnn_job_put(job);

	if (next) {
		patcnn_workers_kick(pool, next, patcnn_job_tiles(next, 0));
		patcnn_job_put(next);
	} else {
		wake_up(&pool->idle);
	}
}

/*
 * patcnn_pool_submit - let @job run when it is its turn
 *
 * A job that has been cancelled in the meantime is ignored: its fence has signalled.
 */
void patcnn_pool_submit(struct patcnn_pool *pool, struct patcnn_job *job)
{
	struct patcnn_slot *slot = patcnn_job_slot(pool, job);
	struct patcnn_job *started = NULL;

	spin_lock(&pool->lock);
	if (job->state == PATCNN_JOB_QUEUED) {
		patcnn_job_get(job);
		job->state = PATCNN_JOB_WAITING;
		patcnn_waiting_add(pool, job);
		started = patcnn_slot_start(slot);
		if (started)
			patcnn_job_get(started);
	}
	spin_unlock(&pool->lock);

	if (started) {
		patcnn_workers_kick(pool, started, patcnn_job_tiles(started, 0));
		patcnn_job_put(started);
	}
}

static bool patcnn_slot_stop(struct patcnn_slot *slot, struct patcnn_job *job, int error)
{
	struct patcnn_tile *tile, *tmp;
	int dropped = 0;
	s64 old;

	lockdep_assert_held(&slot->pool->lock);

	if (job->stop)
		return false;
	WRITE_ONCE(job->stop, error);
	old = atomic64_xchg(&job->claim, PATCNN_CLAIM_CLOSED);
	if (old != PATCNN_CLAIM_CLOSED)
		dropped = patcnn_job_tiles(job, upper_32_bits(old)) - lower_32_bits(old);

	list_for_each_entry_safe(tile, tmp, &slot->orphans, node) {
		list_move(&tile->node, &slot->pool->free);
		dropped++;
	}
	WRITE_ONCE(slot->orphan_count, 0);

	return dropped && atomic_sub_and_test(dropped, &job->left);
}

/*
 * patcnn_pool_cancel - make the fence of @job signal with @error soon
 *
 * At once if no worker is at it, else within a chunk of work. May be called at
 * any time and more than once; the caller holds a reference.
 *
 * Return: true if the job had not finished before.
 */
bool patcnn_pool_cancel(struct patcnn_pool *pool, struct patcnn_job *job, int error)
{
	struct patcnn_slot *slot = patcnn_job_slot(pool, job);
	bool finish = false, signal = false, waiting = false, live = true;

	spin_lock(&pool->lock);
	switch (job->state) {
	case PATCNN_JOB_WAITING:
		patcnn_waiting_del(pool, job);
		waiting = true;
		fallthrough;
	case PATCNN_JOB_QUEUED:
		job->state = PATCNN_JOB_DONE;
		signal = true;
		break;
	case PATCNN_JOB_RUNNING:
		finish = patcnn_slot_stop(slot, job, error);
		break;
	case PATCNN_JOB_DONE:
		live = false;
		break;
	}
	spin_unlock(&pool->lock);

	if (finish)
		patcnn_slot_finish(slot, job);
	if (signal)
		patcnn_job_signal(job, error);
	if (waiting)
		patcnn_job_put(job);
	return live;
}

static void patcnn_slot_watchdog(struct work_struct *work)
{
	struct patcnn_slot *slot = container_of(to_delayed_work(work), struct patcnn_slot,
						watchdog);
	struct patcnn_pool *pool = slot->pool;
	u64 limit = (u64)READ_ONCE(pool->timeout_ms) * NSEC_PER_MSEC;
	struct patcnn_job *job;
	u64 now = ktime_get_ns();

	spin_lock(&pool->lock);
	job = slot->job;
	if (job) {
		if (now - job->start_ns >= limit) {
			patcnn_job_get(job);
		} else {
			u64 left = limit - (now - job->start_ns);

			/* A later job, or the limit was raised. */
			mod_delayed_work(pool->wq, &slot->watchdog, nsecs_to_jiffies(left) + 1);
			job = NULL;
		}
	}
	spin_unlock(&pool->lock);

	if (job) {
		patcnn_pool_cancel(pool, job, -ETIME);
		patcnn_job_put(job);
	}
}

/* ---- what workers do ---- */

/*
 * patcnn_pool_get_job - the running job of @slot, referenced
 * @seq: returns the &patcnn_slot.seq it is of
 */
struct patcnn_job *patcnn_pool_get_job(struct patcnn_slot *slot, unsigned long *seq)
{
	struct patcnn_job *job;

	spin_lock(&slot->pool->lock);
	job = slot->job;
	if (job)
		patcnn_job_get(job);
	*seq = slot->seq;
	spin_unlock(&slot->pool->lock);
	return job;
}

/*
 * patcnn_pool_may_run - is @cpu to work for @job?
 *
 * A context whose CPUs have all left the pool is served by the whole pool: its
 * jobs must end. Masks are read without lock: whoever changes them kicks all
 * workers afterwards, and they look again after each slice.
 */
bool patcnn_pool_may_run(struct patcnn_pool *pool, const struct patcnn_job *job, unsigned int cpu)
{
	const struct patcnn_ctx *ctx = job->ctx;

	if (!cpumask_test_cpu(cpu, &pool->active))
		return false;
	return ctx->all_cpus || cpumask_test_cpu(cpu, &ctx->cpus) ||
	       !cpumask_intersects(&ctx->cpus, &pool->active);
}

/* patcnn_pool_claimable - is it worth trying to claim? */
bool patcnn_pool_claimable(const struct patcnn_job *job)
{
	s64 claim = atomic64_read(&job->claim);

	return claim != PATCNN_CLAIM_CLOSED &&
	       lower_32_bits(claim) < patcnn_job_tiles(job, upper_32_bits(claim));
}

/* patcnn_pool_claim - claim a tile of @job into @tile. Return: false if there is none. */
bool patcnn_pool_claim(struct patcnn_job *job, struct patcnn_tile *tile)
{
	s64 claim = atomic64_read(&job->claim);

	do {
		if (claim == PATCNN_CLAIM_CLOSED ||
		    lower_32_bits(claim) >= patcnn_job_tiles(job, upper_32_bits(claim)))
			return false;
	} while (!atomic64_try_cmpxchg(&job->claim, &claim, claim + 1));

	tile->step = upper_32_bits(claim);
	tile->index = lower_32_bits(claim);
	memset(&tile->cursor, 0, sizeof(tile->cursor));
	return true;
}

/*
 * patcnn_pool_tile_done - a tile of @step is done, or dropped because the job was cancelled
 *
 * By a worker, which afterwards looks for work: one tile of a step it opens is as good
 * as claimed, so that steps of one tile wake nobody.
 */
void patcnn_pool_tile_done(struct patcnn_slot *slot, struct patcnn_job *job, u32 step)
{
	const struct pat_plan *plan = job->run.plan;
	s64 old;

	if (!atomic_dec_and_test(&job->left))
		return;

	patcnn_profile_step(job, step);
	trace_patcnn_job_step(job, step);
	if (READ_ONCE(job->stop) || step + 1 == plan->step_count) {
		patcnn_slot_finish(slot, job);
		return;
	}

	/* Before the step is opened, for then others may claim and finish its tiles. */
	atomic_set(&job->left, patcnn_job_tiles(job, step + 1));
	old = patcnn_claim_make(step, patcnn_job_tiles(job, step));
	if (!atomic64_try_cmpxchg(&job->claim, &old, patcnn_claim_make(step + 1, 0))) {
		patcnn_slot_finish(slot, job);
		return;
	}
	if (patcnn_job_tiles(job, step + 1) > 1)
		patcnn_workers_kick(slot->pool, job, patcnn_job_tiles(job, step + 1) - 1);
}

/* patcnn_pool_adopt - go on with a tile somebody left. Return: NULL if there is none. */
struct patcnn_tile *patcnn_pool_adopt(struct patcnn_slot *slot, struct patcnn_job *job)
{
	struct patcnn_tile *tile = NULL;

	spin_lock(&slot->pool->lock);
	if (slot->job == job && !list_empty(&slot->orphans)) {
		tile = list_first_entry(&slot->orphans, struct patcnn_tile, node);
		list_del_init(&tile->node);
		WRITE_ONCE(slot->orphan_count, slot->orphan_count - 1);
	}
	spin_unlock(&slot->pool->lock);
	return tile;
}

/*
 * patcnn_pool_orphan - leave a begun tile to others
 *
 * Return: false if the job has been cancelled: then the tile is the caller's, done.
 */
bool patcnn_pool_orphan(struct patcnn_slot *slot, struct patcnn_job *job, struct patcnn_tile *tile)
{
	bool live;

	spin_lock(&slot->pool->lock);
	live = !job->stop;
	if (live) {
		list_add_tail(&tile->node, &slot->orphans);
		WRITE_ONCE(slot->orphan_count, slot->orphan_count + 1);
	}
	spin_unlock(&slot->pool->lock);

	if (live)
		patcnn_workers_kick(slot->pool, job, 1);
	return live;
}

/* patcnn_pool_take_free - a tile for a worker that has none. */
struct patcnn_tile *patcnn_pool_take_free(struct patcnn_pool *pool)
{
	struct patcnn_tile *tile;

	spin_lock(&pool->lock);
	tile = list_first_entry_or_null(&pool->free, struct patcnn_tile, node);
	if (tile)
		list_del_init(&tile->node);
	spin_unlock(&pool->lock);
	return tile;
}

/* patcnn_pool_put_free - the reverse. */
void patcnn_pool_put_free(struct patcnn_pool *pool, struct patcnn_tile *tile)
{
	spin_lock(&pool->lock);
	list_add(&tile->node, &pool->free);
	spin_unlock(&pool->lock);
}

/* ---- which CPUs ---- */

static void patcnn_pool_update_active(struct patcnn_pool *pool)
{
	lockdep_assert_held(&pool->lock);

	if (!cpumask_and(&pool->active, &pool->mask, &pool->ready))
		cpumask_copy(&pool->active, &pool->ready);
}

/* patcnn_pool_set_ready - the worker of @cpu can work, or is about to park. */
void patcnn_pool_set_ready(struct patcnn_pool *pool, unsigned int cpu, bool ready)
{
	spin_lock(&pool->lock);
	if (ready)
		cpumask_set_cpu(cpu, &pool->ready);
	else
		cpumask_clear_cpu(cpu, &pool->ready);
	patcnn_pool_update_active(pool);
	spin_unlock(&pool->lock);

	/* One more looks for work by itself; without one, others may have to step in. */
	if (!ready)
		patcnn_workers_kick(pool, NULL, UINT_MAX);
}

/* patcnn_pool_set_mask - give the pool these CPUs. Return: -EINVAL if none is possible. */
int patcnn_pool_set_mask(struct patcnn_pool *pool, const struct cpumask *mask)
{
	if (!cpumask_intersects(mask, cpu_possible_mask))
		return -EINVAL;

	spin_lock(&pool->lock);
	cpumask_and(&pool->mask, mask, cpu_possible_mask);
	patcnn_pool_update_active(pool);
	spin_unlock(&pool->lock);
	patcnn_workers_kick(pool, NULL, UINT_MAX);
	return 0;
}

/* patcnn_pool_set_nice - of all workers; each applies it when it next has work. */
void patcnn_pool_set_nice(struct patcnn_pool *pool, int nice)
{
	WRITE_ONCE(pool->nice, nice);
	patcnn_workers_kick(pool, NULL, UINT_MAX);
}

/* patcnn_pool_cpus - CPUs that work now, also into @cpus if not NULL. Return: how many. */
unsigned int patcnn_pool_cpus(struct patcnn_pool *pool, struct cpumask *cpus)
{
	unsigned int count;

	spin_lock(&pool->lock);
	count = cpumask_weight(&pool->active);
	if (cpus)
		cpumask_copy(cpus, &pool->active);
	spin_unlock(&pool->lock);
	return count;
}

/* ---- stopping and going on ---- */

static bool patcnn_pool_empty(struct patcnn_pool *pool)
{
	bool empty;

	spin_lock(&pool->lock);
	empty = !pool->slot[PATCNN_SLOT_HIGH].job && !pool->slot[PATCNN_SLOT_NORMAL].job;
	spin_unlock(&pool->lock);
	return empty;
}

/* patcnn_pool_pause - start no more jobs and wait for those running; the watchdog bounds it. */
int patcnn_pool_pause(struct patcnn_pool *pool)
{
	unsigned long limit = msecs_to_jiffies(2 * PATCNN_MAX_TIMEOUT_MS);

	spin_lock(&pool->lock);
	pool->paused = true;
	spin_unlock(&pool->lock);

	if (!wait_event_timeout(pool->idle, patcnn_pool_empty(pool), limit)) {
		patcnn_pool_resume(pool);
		return -EBUSY;
	}
	return 0;
}

/* patcnn_pool_drain - wait for jobs that have been cancelled; workers leave them within a chunk. */
void patcnn_pool_drain(struct patcnn_pool *pool)
{
	wait_event(pool->idle, patcnn_pool_empty(pool));
}

/* patcnn_pool_resume - undo patcnn_pool_pause(). */
void patcnn_pool_resume(struct patcnn_pool *pool)
{
	unsigned int i;

	spin_lock(&pool->lock);
	pool->paused = false;
	for (i = 0; i < PATCNN_SLOTS; i++)
		patcnn_slot_start(&pool->slot[i]);
	spin_unlock(&pool->lock);
	patcnn_workers_kick(pool, NULL, UINT_MAX);
}

int patcnn_pool_init(struct patcnn_pool *pool)
{
	unsigned int i;
	int ret;

	spin_lock_init(&pool->lock);
	init_waitqueue_head(&pool->idle);
	patcnn_scratch_init(pool);
	for (i = 0; i < PATCNN_SLOTS; i++) {
		struct patcnn_slot *slot = &pool->slot[i];

		slot->pool = pool;
		INIT_LIST_HEAD(&slot->orphans);
		INIT_DELAYED_WORK(&slot->watchdog, patcnn_slot_watchdog);
	}

	for (i = 0; i < PATCNN_PRIORITIES; i++)
		INIT_LIST_HEAD(&pool->waiting[i]);

	pool->wq = alloc_workqueue("patcnn-watchdog", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!pool->wq)
		return -ENOMEM;
	ret = patcnn_workers_start(pool);
	if (ret)
		patcnn_pool_fini(pool);
	return ret;
}

/* patcnn_pool_fini - all jobs are done, and no more will come. */
void patcnn_pool_fini(struct patcnn_pool *pool)
{
	unsigned int i;

	patcnn_scratch_close(pool);
	patcnn_workers_stop();
	for (i = 0; i < PATCNN_SLOTS; i++)
		cancel_delayed_work_sync(&pool->slot[i].watchdog);
	destroy_workqueue(pool->wq);
	patcnn_scratch_fini(pool);
}
