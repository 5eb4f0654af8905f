// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Jobs and fences
 *
 * Each context has a scheduler with one entity: it waits for the fences that a job
 * depends on and gives the job to the pool, which is what decides between contexts.
 * A job that depends on nothing, while no other of its context is with the scheduler,
 * is given to the pool by the ioctl itself: the way through the scheduler's work costs
 * more than a small net.
 * (One scheduler for all would free jobs in the order in which it started them, so that
 * a job that is kept waiting would keep the memory of all that overtook it; and it
 * would let a client with a full queue go first until that is empty.) It knows no
 * timeout: the pool has a watchdog that cancels, and a cancelled job ends within a chunk
 * of work, so there never is anything to reset.
 *
 * Clients are given &struct patcnn_fence, made by the submit ioctl; run_job() returns
 * the same fence to the scheduler. It is signalled by whoever moves the job to
 * PATCNN_JOB_DONE: the worker that finished it, or who cancelled it, also while it is
 * still queued; the scheduler runs and frees a cancelled job like any other. A job that
 * it never saw leaves its context when it is signalled.
 *
 * A fence refers to device and module until it is freed, since anyone may keep a
 * sync_file; so do jobs through their fence. It is freed by a workqueue, because the
 * device's last reference may sleep, and because module exit can drain a workqueue:
 * nothing of ours runs on behalf of a fence after that. Its memory stays for an RCU
 * grace period, as dma_fence asks for.
 */

#include <linux/module.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>

#include "patcnn_compat.h"
#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_trace.h"

/* Never a limit: see PATCNN_MAX_QUEUED. */
#define PATCNN_SCHED_CREDITS	(2 * PATCNN_MAX_QUEUED)

/* Fences that are not freed yet, each of which pins the module. */
static atomic_t patcnn_fences;
static DECLARE_WAIT_QUEUE_HEAD(patcnn_fences_gone);

static struct patcnn_fence *to_patcnn_fence(struct dma_fence *fence)
{
	return container_of(fence, struct patcnn_fence, base);
}

static const char *patcnn_fence_driver_name(struct dma_fence *fence)
{
	return "patcnn";
}

static const char *patcnn_fence_timeline_name(struct dma_fence *fence)
{
	return "patcnn-ctx";
}

/* Runs in a workqueue that module exit drains, so it may drop the module's last reference. */
static void patcnn_fence_free(struct patcnn_fence *fence)
{
	struct patcnn_client *client = fence->client;

	drm_dev_put(fence->drm);
	kfree_rcu(fence, rcu);
	atomic_dec(&client->fences);
	patcnn_client_put(client);
	module_put(THIS_MODULE);
	/* After that: who waits wants the module to be free of them. */
	if (atomic_dec_and_test(&patcnn_fences))
		wake_up(&patcnn_fences_gone);
}

/* patcnn_fences_wait - for the last fence to be freed, at most @timeout jiffies. */
void patcnn_fences_wait(long timeout)
{
	wait_event_timeout(patcnn_fences_gone, !atomic_read(&patcnn_fences), timeout);
}

static void patcnn_fence_free_work(struct work_struct *work)
{
	patcnn_fence_free(container_of(work, struct patcnn_fence, work));
}

static void patcnn_fence_release(struct dma_fence *base)
{
	struct patcnn_fence *fence = to_patcnn_fence(base);

	INIT_WORK(&fence->work, patcnn_fence_free_work);
	queue_work(patcnn_release_wq, &fence->work);
}

static const struct dma_fence_ops patcnn_fence_ops = {
	.get_driver_name = patcnn_fence_driver_name,
	.get_timeline_name = patcnn_fence_timeline_name,
	.release = patcnn_fence_release,
};

/*
 * patcnn_fence_alloc - memory and references; patcnn_fence_init() makes it a fence
 *
 * Return: -EBUSY: the client has very many already.
 */
struct patcnn_fence *patcnn_fence_alloc(struct drm_device *drm, struct patcnn_client *client)
{
	struct patcnn_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT);

	if (!fence)
		return ERR_PTR(-ENOMEM);
	if (!atomic_add_unless(&client->fences, 1, PATCNN_MAX_FENCES)) {
		kfree(fence);
		return ERR_PTR(-EBUSY);
	}
	spin_lock_init(&fence->lock);
	fence->drm = drm;
	drm_dev_get(drm);
	fence->client = client;
	kref_get(&client->kref);
	/* Cannot fail: the open file pins the module. */
	__module_get(THIS_MODULE);
	atomic_inc(&patcnn_fences);
	return fence;
}

/*
 * patcnn_fence_init - make it the next fence of @ctx
 *
 * On a timeline of its own: fences of one have to signal in order, and a reservation
 * object keeps the last only. But a queued job that is cancelled signals while the one
 * before it may be writing, and a short job may be done before its predecessor's fence is.
 */
void patcnn_fence_init(struct patcnn_fence *fence, struct patcnn_ctx *ctx)
{
	lockdep_assert_held(&ctx->lock);
	dma_fence_init(&fence->base, &patcnn_fence_ops, &fence->lock,
		       dma_fence_context_alloc(1), ++ctx->seqno);
}

/* patcnn_fence_put - also of a fence that was never initialised. */
void patcnn_fence_put(struct patcnn_fence *fence)
{
	if (!fence)
		return;
	if (kref_read(&fence->base.refcount))
		dma_fence_put(&fence->base);
	else
		patcnn_fence_free(fence);
}

static void patcnn_job_release_work(struct work_struct *work)
{
	struct patcnn_job *job = container_of(work, struct patcnn_job, release);
	u32 i;

	for (i = 0; i < job->bo_count; i++)
		drm_gem_object_put(job->bos[i]);
	patcnn_profile_free(job->profile);
	patcnn_arena_put(job->arena);
	if (job->model)
		patcnn_model_put(job->model);
	if (job->ctx)
		patcnn_ctx_put(job->ctx);
	/* Last: it may be what keeps the device. */
	patcnn_fence_put(job->fence);
	kfree(job);
}

/* patcnn_job_abort - free a job that was never armed. */
void patcnn_job_abort(struct patcnn_job *job)
{
	patcnn_job_release_work(&job->release);
}

static void patcnn_job_last_put(struct kref *kref)
{
	struct patcnn_job *job = container_of(kref, struct patcnn_job, kref);

	INIT_WORK(&job->release, patcnn_job_release_work);
	queue_work(patcnn_release_wq, &job->release);
}

void patcnn_job_get(struct patcnn_job *job)
{
	kref_get(&job->kref);
}

/* patcnn_job_put - may be called anywhere: freeing is done by a workqueue. */
void patcnn_job_put(struct patcnn_job *job)
{
	kref_put(&job->kref, patcnn_job_last_put);
}

/* Neither the scheduler nor the pool will come back to it. */
static void patcnn_job_leave_ctx(struct patcnn_job *job)
{
	struct patcnn_ctx *ctx = job->ctx;

	spin_lock(&ctx->jobs_lock);
	list_del_init(&job->ctx_node);
	spin_unlock(&ctx->jobs_lock);
	patcnn_job_put(job);
}

/* patcnn_job_signal - tell the world; by who moved @job to PATCNN_JOB_DONE, once. */
void patcnn_job_signal(struct patcnn_job *job, int error)
{
	trace_patcnn_job_end(job, error);
	atomic64_inc(&job->ctx->client->jobs);
	/* Before the fence: a client that saw it may submit again. */
	atomic_dec(&job->ctx->queued);
	if (error)
		dma_fence_set_error(&job->fence->base, error);
	dma_fence_signal(&job->fence->base);
	if (job->direct)
		patcnn_job_leave_ctx(job);
}

static struct dma_fence *patcnn_job_run(struct drm_sched_job *base)
{
	struct patcnn_job *job = to_patcnn_job(base);

	patcnn_pool_submit(&job->ctx->pdev->pool, job);
	/* Only now may the next one overtake the scheduler: jobs run in order. */
	atomic_dec(&job->ctx->scheduled);
	return dma_fence_get(&job->fence->base);
}

static void patcnn_job_free(struct drm_sched_job *base)
{
	drm_sched_job_cleanup(base);
	patcnn_job_leave_ctx(to_patcnn_job(base));
}

static const struct drm_sched_backend_ops patcnn_sched_ops = {
	.run_job = patcnn_job_run,
	.free_job = patcnn_job_free,
};

/* patcnn_sched_init - the scheduler of @ctx, and its entity */
int patcnn_sched_init(struct patcnn_ctx *ctx)
{
	const struct drm_sched_init_args args = {
		.ops = &patcnn_sched_ops,
		.submit_wq = patcnn_sched_wq,
#ifdef PATCNN_HAVE_SCHED_NUM_RQS
		.num_rqs = 1,
#endif
		.credit_limit = PATCNN_SCHED_CREDITS,
		.timeout = MAX_SCHEDULE_TIMEOUT,
		.name = "patcnn",
		.dev = ctx->pdev->drm.dev,
	};
	struct drm_gpu_scheduler *sched = &ctx->sched;
	int ret;

	ret = drm_sched_init(sched, &args);
	if (ret)
		return ret;
	ret = drm_sched_entity_init(&ctx->entity, DRM_SCHED_PRIORITY_KERNEL, &sched, 1, NULL);
	if (ret)
		drm_sched_fini(sched);
	return ret;
}

/*
 * patcnn_sched_fini - end the scheduler of @ctx
 *
 * It has no jobs, and nobody calls it any more; its work may be on its way out.
 */
void patcnn_sched_fini(struct patcnn_ctx *ctx)
{
	drm_sched_wqueue_stop(&ctx->sched);
	drm_sched_entity_fini(&ctx->entity);
	drm_sched_fini(&ctx->sched);
}
