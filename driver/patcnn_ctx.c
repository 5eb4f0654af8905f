// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Contexts
 *
 * A context is a scheduler with what its jobs share: priority, CPUs, and an
 * arena for activations. Jobs of a context never overlap, so one arena will do; it is
 * allocated and charged in the ioctl that needs it, and replaced when a larger model
 * comes. Jobs keep the one they were submitted with.
 *
 * &patcnn_ctx.lock serialises arming and pushing of jobs with patcnn_ctx_kill(). After
 * that @dead is set, and nothing is pushed any more. It is killed by whoever comes first:
 * CTX_DESTROY, the close of the file, or the device's removal.
 *
 * A killed context is not torn down: its jobs have been cancelled, their fences have
 * signalled, and they pass through the scheduler like others, doing nothing, once what
 * they depend on has signalled. The last of them takes the context with it. Tearing down
 * an entity with jobs in it (drm_sched_entity_kill()) would race with the scheduler's
 * work, which pops jobs of the same queue and puts the entity back into the run queue.
 */

#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <drm/drm_drv.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"

static void patcnn_arena_free(struct kref *kref)
{
	struct patcnn_arena *arena = container_of(kref, struct patcnn_arena, kref);

	vfree(arena->mem);
	kfree(arena);
}

/* patcnn_arena_put - drop a reference; may free large memory: not for workers. */
void patcnn_arena_put(struct patcnn_arena *arena)
{
	if (arena)
		kref_put(&arena->kref, patcnn_arena_free);
}

/*
 * patcnn_ctx_arena - an arena of at least @bytes, referenced
 *
 * Zeroed when made; afterwards it only ever holds data of this context.
 */
struct patcnn_arena *patcnn_ctx_arena(struct patcnn_ctx *ctx, size_t bytes)
{
	struct patcnn_arena *arena = ctx->arena;

	lockdep_assert_held(&ctx->lock);

	if (!arena || arena->bytes < bytes) {
		arena = kzalloc(sizeof(*arena), GFP_KERNEL_ACCOUNT);
		if (!arena)
			return ERR_PTR(-ENOMEM);
		kref_init(&arena->kref);
		arena->bytes = max_t(size_t, bytes, PAGE_SIZE);
		arena->mem = patcnn_vmalloc_huge(arena->bytes);
		if (!arena->mem) {
			kfree(arena);
			return ERR_PTR(-ENOMEM);
		}
		patcnn_arena_put(ctx->arena);
		ctx->arena = arena;
	}
	kref_get(&arena->kref);
	return arena;
}

/*
 * All jobs are gone. A fence that the last of them depended on may still be calling the
 * scheduler: it does so with interrupts off, hence the grace period before this.
 */
static void patcnn_ctx_free_work(struct work_struct *work)
{
	struct patcnn_ctx *ctx = container_of(to_rcu_work(work), struct patcnn_ctx, free);

	patcnn_sched_fini(ctx);
	kfree(ctx);
}

static void patcnn_ctx_free(struct kref *kref)
{
	struct patcnn_ctx *ctx = container_of(kref, struct patcnn_ctx, kref);

	patcnn_arena_put(ctx->arena);
	patcnn_client_put(ctx->client);
	mutex_destroy(&ctx->lock);
	INIT_RCU_WORK(&ctx->free, patcnn_ctx_free_work);
	queue_rcu_work(patcnn_release_wq, &ctx->free);
}

void patcnn_ctx_put(struct patcnn_ctx *ctx)
{
	kref_put(&ctx->kref, patcnn_ctx_free);
}

/* patcnn_ctx_lookup - the context of @handle, referenced, or NULL. */
struct patcnn_ctx *patcnn_ctx_lookup(struct patcnn_file *pfile, u32 handle)
{
	struct patcnn_ctx *ctx;

	xa_lock(&pfile->contexts);
	ctx = xa_load(&pfile->contexts, handle);
	if (ctx)
		kref_get(&ctx->kref);
	xa_unlock(&pfile->contexts);
	return ctx;
}

static struct patcnn_job *patcnn_ctx_pop_job(struct patcnn_ctx *ctx)
{
	struct patcnn_job *job;

	spin_lock(&ctx->jobs_lock);
	job = list_first_entry_or_null(&ctx->jobs, struct patcnn_job, ctx_node);
	if (job) {
		list_del_init(&job->ctx_node);
		patcnn_job_get(job);
	}
	spin_unlock(&ctx->jobs_lock);
	return job;
}

/*
 * patcnn_ctx_kill - cancel all jobs and take no more
 *
 * Waits for nothing: fences of jobs that run signal within a chunk of work, those of
 * all others at once, for they use no buffer.
 */
void patcnn_ctx_kill(struct patcnn_ctx *ctx)
{
	struct patcnn_job *job;

	mutex_lock(&ctx->lock);
	ctx->dead = true;
	while ((job = patcnn_ctx_pop_job(ctx))) {
		patcnn_pool_cancel(&ctx->pdev->pool, job, -ECANCELED);
		patcnn_job_put(job);
	}
	mutex_unlock(&ctx->lock);
}

/* patcnn_ctx_kill_all - at removal: no context is created any more. */
void patcnn_ctx_kill_all(struct patcnn_device *pdev)
{
	struct patcnn_ctx *ctx;

	mutex_lock(&pdev->ctx_lock);
	list_for_each_entry(ctx, &pdev->contexts, node)
		patcnn_ctx_kill(ctx);
	mutex_unlock(&pdev->ctx_lock);
}

/* patcnn_ctx_release - kill it and drop the reference of its handle. */
void patcnn_ctx_release(struct patcnn_ctx *ctx)
{
	struct patcnn_device *pdev = ctx->pdev;

	patcnn_ctx_kill(ctx);
	mutex_lock(&pdev->ctx_lock);
	list_del(&ctx->node);
	mutex_unlock(&pdev->ctx_lock);
	patcnn_ctx_put(ctx);
}

/* Without a CPU of the pool in it, a mask is a mistake: say so now. */
static int patcnn_ctx_set_cpus(struct patcnn_ctx *ctx, const u64 mask[4])
{
	struct patcnn_pool *pool = &ctx->pdev->pool;
	unsigned int cpu;
	bool any;

	if (!mask[0] && !mask[1] && !mask[2] && !mask[3]) {
		ctx->all_cpus = true;
		return 0;
	}

	for (cpu = 0; cpu < min(nr_cpu_ids, 256U); cpu++) {
		if (mask[cpu / 64] & BIT_ULL(cpu % 64))
			cpumask_set_cpu(cpu, &ctx->cpus);
	}
	spin_lock(&pool->lock);
	any = cpumask_intersects(&ctx->cpus, &pool->active);
	spin_unlock(&pool->lock);
	return any ? 0 : -EINVAL;
}

static int patcnn_ctx_init(struct patcnn_ctx *ctx, struct patcnn_file *pfile,
			   const struct drm_patcnn_ctx_create *args)
{
	int ret;

	ctx->pdev = pfile->pdev;
	ret = patcnn_ctx_set_cpus(ctx, args->cpu_mask);
	if (ret)
		return ret;
	/* Range-checked by the caller; not to be used speculatively beyond it. */
	ctx->priority = array_index_nospec(args->priority, PATCNN_PRIORITIES);
	ctx->slot = ctx->priority == DRM_PATCNN_PRIORITY_HIGH ?
		    PATCNN_SLOT_HIGH : PATCNN_SLOT_NORMAL;
	ret = patcnn_sched_init(ctx);
	if (ret)
		return ret;

	kref_init(&ctx->kref);
	mutex_init(&ctx->lock);
	spin_lock_init(&ctx->jobs_lock);
	INIT_LIST_HEAD(&ctx->jobs);
	INIT_LIST_HEAD(&ctx->waiting);
	INIT_LIST_HEAD(&ctx->queue_node);
	ctx->client = pfile->client;
	kref_get(&ctx->client->kref);
	return 0;
}

int patcnn_ioctl_ctx_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct patcnn_device *pdev = to_patcnn_device(drm);
	struct patcnn_file *pfile = to_patcnn_file(file);
	struct drm_patcnn_ctx_create *args = data;
	struct patcnn_ctx *ctx;
	int ret, idx;

	if (args->flags || args->pad || args->priority > DRM_PATCNN_PRIORITY_HIGH)
		return -EINVAL;
	if (args->priority == DRM_PATCNN_PRIORITY_HIGH && !capable(CAP_SYS_NICE))
		return -EACCES;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return -ENOMEM;

	/* Removal waits for this section, and then finds the context in the list. */
	if (!drm_dev_enter(drm, &idx)) {
		kfree(ctx);
		return -ENODEV;
	}
	ret = patcnn_ctx_init(ctx, pfile, args);
	if (ret) {
		/* Nobody has seen its scheduler. */
		kfree(ctx);
		goto exit;
	}
	mutex_lock(&pdev->ctx_lock);
	list_add(&ctx->node, &pdev->contexts);
	mutex_unlock(&pdev->ctx_lock);

	ret = xa_alloc(&pfile->contexts, &args->handle, ctx, XA_LIMIT(1, PATCNN_MAX_CONTEXTS),
		       GFP_KERNEL_ACCOUNT);
	if (ret) {
		patcnn_ctx_release(ctx);
		ret = ret == -EBUSY ? -EMFILE : ret;
	}
exit:
	drm_dev_exit(idx);
	return ret;
}

int patcnn_ioctl_ctx_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);
	struct drm_patcnn_ctx_destroy *args = data;
	struct patcnn_ctx *ctx;

	if (args->pad)
		return -EINVAL;
	ctx = xa_erase(&pfile->contexts, args->handle);
	if (!ctx)
		return -ENOENT;
	patcnn_ctx_release(ctx);
	return 0;
}
