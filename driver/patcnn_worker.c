// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The workers
 *
 * One thread per CPU, made and parked by the kernel's smpboot code, so that CPU
 * hotplug and suspend need nothing of ours. A thread whose CPU is not in the pool
 * sleeps.
 *
 * A worker looks for work in this order: its own tile if there is nothing in a
 * preferred slot; orphans; a new tile. It works in slices: a SIMD section of at most
 * &patcnn_pool.slice_us, in which preemption is off on x86. Between slices it
 * yields, looks at the masks, at cancellation, at the preferred slot, and at whether
 * it is to park.
 *
 * At the end of a step there may be nothing to claim until others are done. It then
 * spins for as long as a slice, for a sleep and a wake-up cost more than most steps,
 * and then sleeps. Sleeping: it sets @idle, looks for work once more, and returns to
 * smpboot, which sleeps unless @wake is set. Who makes work available then clears
 * @idle of as many workers as there is work, sets @wake and wakes them: either the
 * worker sees the work or the other one sees @idle. Idle workers use no CPU time and
 * hold no reference to a job.
 */

#include <linux/cpu.h>
#include <linux/dma-fence.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smpboot.h>
#include <linux/vmalloc.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_worker.h"

/* About a slice, in which others finish the tiles of the step. Ends when somebody needs the CPU. */
#define PATCNN_SPIN_NS		(100 * NSEC_PER_USEC)

static DEFINE_PER_CPU(struct task_struct *, patcnn_task);
static DEFINE_PER_CPU(struct patcnn_worker, patcnn_workers);

/* smpboot gives its callbacks nothing but the CPU; there is one device. */
static struct patcnn_pool *patcnn_pool_instance;

struct patcnn_worker *patcnn_worker_of(unsigned int cpu)
{
	return per_cpu_ptr(&patcnn_workers, cpu);
}

/*
 * patcnn_workers_kick - wake workers that may find work
 * @job: theirs, or NULL: wake all, whatever they may run
 * @count: how many are enough
 */
void patcnn_workers_kick(struct patcnn_pool *pool, const struct patcnn_job *job, unsigned int count)
{
	unsigned int cpu;

	/* What was made available is visible before idle is looked at; see the worker. */
	smp_mb();
	for_each_cpu(cpu, job ? &pool->active : cpu_possible_mask) {
		struct patcnn_worker *worker = patcnn_worker_of(cpu);
		struct task_struct *task = per_cpu(patcnn_task, cpu);

		if (!task || !READ_ONCE(worker->idle))
			continue;
		if (job && !patcnn_pool_may_run(pool, job, cpu))
			continue;
		if (!xchg(&worker->idle, false))
			continue;
		WRITE_ONCE(worker->wake, true);
		wake_up_process(task);
		if (!--count)
			break;
	}
}

static struct patcnn_job *patcnn_worker_job(struct patcnn_worker *worker, unsigned int i)
{
	struct patcnn_slot *slot = &patcnn_pool_instance->slot[i];
	struct patcnn_job *old = worker->job[i];

	if (READ_ONCE(slot->seq) != worker->seq[i]) {
		worker->job[i] = patcnn_pool_get_job(slot, &worker->seq[i]);
		if (old)
			patcnn_job_put(old);
	}
	return worker->job[i];
}

/* Leave the tile in hand to others; a cancelled one is done with. */
static void patcnn_worker_leave_tile(struct patcnn_worker *worker)
{
	struct patcnn_slot *slot = &patcnn_pool_instance->slot[worker->slot];
	struct patcnn_job *job = worker->job[worker->slot];

	worker->busy = false;
	if (patcnn_pool_orphan(slot, job, worker->tile))
		worker->tile = NULL;
	else
		patcnn_pool_tile_done(slot, job, worker->tile->step);
}

/* What another client left in the scratch must not be there for the next one. */
static void patcnn_worker_clean(struct patcnn_tile *tile, const struct patcnn_job *job)
{
	if (tile->owner != job->ctx->client->id) {
		memset(tile->scratch, 0, tile->dirty);
		tile->owner = job->ctx->client->id;
		tile->dirty = 0;
	}
	tile->dirty = max_t(size_t, tile->dirty, job->run.plan->scratch_bytes);
}

static bool patcnn_worker_claim(struct patcnn_worker *worker, unsigned int i)
{
	struct patcnn_pool *pool = patcnn_pool_instance;
	struct patcnn_slot *slot = &pool->slot[i];
	struct patcnn_job *job = worker->job[i];
	struct patcnn_tile *tile;

	if (READ_ONCE(slot->orphan_count)) {
		tile = patcnn_pool_adopt(slot, job);
		if (tile) {
			if (worker->tile)
				patcnn_pool_put_free(pool, worker->tile);
			worker->tile = tile;
			return true;
		}
	}

	if (!patcnn_pool_claimable(job))
		return false;
	if (!worker->tile)
		worker->tile = patcnn_pool_take_free(pool);
	tile = worker->tile;
	if (!tile)
		return false;
	patcnn_tile_refresh(pool, tile);
	/* Can only be if memory was short when this CPU came online: others will do it. */
	if (tile->scratch_bytes < job->run.plan->scratch_bytes)
		return false;
	if (!patcnn_pool_claim(job, tile))
		return false;
	if (!tile->index)
		patcnn_profile_claim(job, tile->step);
	patcnn_worker_clean(tile, job);
	return true;
}

/* This worker has something better to do, or may not: others might be asleep. */
static void patcnn_worker_pass_on(const struct patcnn_job *job)
{
	if (job && patcnn_pool_claimable(job))
		patcnn_workers_kick(patcnn_pool_instance, job, UINT_MAX);
}

/* Return: true if the worker has a tile to work on. @wait returns whether there may be one soon. */
static bool patcnn_worker_pick(struct patcnn_worker *worker, bool *wait)
{
	struct patcnn_pool *pool = patcnn_pool_instance;
	unsigned int i;

	*wait = false;
	if (worker->busy && !patcnn_pool_may_run(pool, worker->job[worker->slot], worker->cpu))
		patcnn_worker_leave_tile(worker);

	for (i = 0; i < PATCNN_SLOTS; i++) {
		struct patcnn_job *job = patcnn_worker_job(worker, i);

		if (!job)
			continue;
		if (!patcnn_pool_may_run(pool, job, worker->cpu)) {
			patcnn_worker_pass_on(job);
			continue;
		}
		if (worker->busy) {
			if (worker->slot == i)
				return true;
			if (!READ_ONCE(pool->slot[i].orphan_count) && !patcnn_pool_claimable(job))
				continue;
			patcnn_worker_leave_tile(worker);
		}
		if (patcnn_worker_claim(worker, i)) {
			worker->slot = i;
			worker->busy = true;
			if (i == PATCNN_SLOT_HIGH) {
				struct patcnn_job *below;

				below = patcnn_worker_job(worker, PATCNN_SLOT_NORMAL);
				patcnn_worker_pass_on(below);
			}
			return true;
		}
		*wait = true;
	}
	return false;
}

static void patcnn_worker_slice(struct patcnn_worker *worker)
{
	struct patcnn_pool *pool = patcnn_pool_instance;
	struct patcnn_job *job = worker->job[worker->slot];
	struct patcnn_tile *tile = worker->tile;
	u64 limit = (u64)READ_ONCE(pool->slice_us) * NSEC_PER_USEC;
	bool done = false;
	u64 start, ns = 0;

	start = patcnn_clock();
	patcnn_simd_begin(&worker->simd);
	while (!READ_ONCE(job->stop)) {
		done = pat_exec(&job->run, tile->step, tile->index, &tile->cursor, tile->scratch);
		ns = patcnn_clock() - start;
		if (done || ns >= limit)
			break;
	}
	patcnn_simd_end(&worker->simd);

	worker->slices++;
	worker->busy_ns += ns;
	if (ns > worker->max_slice_ns)
		WRITE_ONCE(worker->max_slice_ns, ns);
	atomic64_add(ns, &job->ctx->client->busy_ns);
	patcnn_profile_busy(job, tile->step, worker->cpu, ns);

	if (done || READ_ONCE(job->stop)) {
		worker->busy = false;
		patcnn_pool_tile_done(&pool->slot[worker->slot], job, tile->step);
	}
}

static void patcnn_worker_rest(struct patcnn_worker *worker)
{
	unsigned int i;

	if (worker->busy)
		patcnn_worker_leave_tile(worker);
	if (worker->tile)
		patcnn_tile_refresh(patcnn_pool_instance, worker->tile);
	for (i = 0; i < PATCNN_SLOTS; i++) {
		if (worker->job[i])
			patcnn_job_put(worker->job[i]);
		worker->job[i] = NULL;
		/* No slot ever has this one again before the next look. */
		worker->seq[i] = READ_ONCE(patcnn_pool_instance->slot[i].seq) - 1;
	}
}

static void patcnn_worker_fn(unsigned int cpu)
{
	struct patcnn_worker *worker = patcnn_worker_of(cpu);
	u64 spin_until = 0;
	bool cookie, wait;
	int nice;

	xchg(&worker->wake, false);
	xchg(&worker->idle, false);
	nice = READ_ONCE(patcnn_pool_instance->nice);
	if (nice != worker->nice) {
		set_user_nice(current, nice);
		worker->nice = nice;
	}

	cookie = dma_fence_begin_signalling();
	while (!kthread_should_park() && !kthread_should_stop()) {
		if (patcnn_worker_pick(worker, &wait)) {
			WRITE_ONCE(worker->idle, false);
			patcnn_worker_slice(worker);
			spin_until = 0;
			cond_resched();
			continue;
		}
		if (READ_ONCE(worker->idle))
			break;
		if (wait && !need_resched()) {
			if (!spin_until)
				spin_until = patcnn_clock() + PATCNN_SPIN_NS;
			if ((s64)(spin_until - patcnn_clock()) > 0) {
				cpu_relax();
				continue;
			}
		}
		WRITE_ONCE(worker->idle, true);
		/* Pairs with the barrier in kick: idle is visible before the last look. */
		smp_mb();
	}
	patcnn_worker_rest(worker);
	WRITE_ONCE(worker->idle, true);
	dma_fence_end_signalling(cookie);
}

static int patcnn_worker_should_run(unsigned int cpu)
{
	return READ_ONCE(patcnn_worker_of(cpu)->wake);
}

static void patcnn_worker_unpark(unsigned int cpu)
{
	struct patcnn_worker *worker = patcnn_worker_of(cpu);

	if (READ_ONCE(worker->has_tiles))
		patcnn_pool_set_ready(patcnn_pool_instance, cpu, true);
	WRITE_ONCE(worker->wake, true);
}

static void patcnn_worker_setup(unsigned int cpu)
{
	struct patcnn_worker *worker = patcnn_worker_of(cpu);

	worker->nice = READ_ONCE(patcnn_pool_instance->nice);
	set_user_nice(current, worker->nice);
	patcnn_worker_unpark(cpu);
}

static void patcnn_worker_park(unsigned int cpu)
{
	patcnn_pool_set_ready(patcnn_pool_instance, cpu, false);
}

static struct smp_hotplug_thread patcnn_threads = {
	.store			= &patcnn_task,
	.thread_should_run	= patcnn_worker_should_run,
	.thread_fn		= patcnn_worker_fn,
	.setup			= patcnn_worker_setup,
	.park			= patcnn_worker_park,
	.unpark			= patcnn_worker_unpark,
	.thread_comm		= "patcnn/%u",
};

/* A CPU comes up: what its worker needs is made before the worker runs. */
static int patcnn_worker_prepare(unsigned int cpu)
{
	struct patcnn_pool *pool = patcnn_pool_instance;
	struct patcnn_worker *worker = patcnn_worker_of(cpu);

	mutex_lock(&pool->scratch_lock);
	/* Without memory the CPU still comes up; its worker just stays out of the pool. */
	if (!worker->has_tiles)
		WRITE_ONCE(worker->has_tiles, patcnn_tiles_add(pool, cpu));
	mutex_unlock(&pool->scratch_lock);
	return 0;
}

int patcnn_workers_start(struct patcnn_pool *pool)
{
	unsigned int cpu;
	int ret;

	patcnn_pool_instance = pool;
	for_each_possible_cpu(cpu) {
		struct patcnn_worker *worker = patcnn_worker_of(cpu);

		memset(worker, 0, sizeof(*worker));
		worker->cpu = cpu;
		worker->idle = true;
		worker->seq[0] = ULONG_MAX;
		worker->seq[1] = ULONG_MAX;
	}

	pool->hp_state = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "patcnn:prepare",
					   patcnn_worker_prepare, NULL);
	if (pool->hp_state < 0)
		return pool->hp_state;
	ret = list_empty(&pool->tiles) ? -ENOMEM : smpboot_register_percpu_thread(&patcnn_threads);
	if (ret) {
		cpuhp_remove_state_nocalls(pool->hp_state);
		return ret;
	}
	pool->running = true;

	/* The threads say so themselves, but only once they run; queries come earlier. */
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		if (patcnn_worker_of(cpu)->has_tiles)
			patcnn_pool_set_ready(pool, cpu, true);
	}
	cpus_read_unlock();
	return 0;
}

void patcnn_workers_stop(void)
{
	struct patcnn_pool *pool = patcnn_pool_instance;

	if (!pool->running)
		return;
	smpboot_unregister_percpu_thread(&patcnn_threads);
	cpuhp_remove_state_nocalls(pool->hp_state);
	pool->running = false;
}
