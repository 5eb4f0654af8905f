// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Submission
 *
 * The ioctl gathers everything a job needs into &struct patcnn_submit_args and
 * &struct patcnn_job: copies of the arrays, references to buffers (mapped here, in the
 * client's context, so that its memory cgroup is charged), fences to wait for, chain
 * nodes for those to signal. All that can fail comes before drm_sched_job_arm(); from
 * then on the job belongs to the scheduler.
 *
 * Locks, in order: &patcnn_ctx.lock, reservation locks of the buffers. The job's fence
 * is added to all buffers as BOOKKEEP: ordering is explicit, it is only there so that
 * BO_SYNC can wait and buffers in use are known. dma_buf_begin_cpu_access() is not
 * called on the client's behalf: it would wait for implicit fences without limit.
 */

#include <linux/dma-fence-chain.h>
#include <linux/ktime.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_exec.h>
#include <drm/drm_gem.h>
#include <drm/drm_syncobj.h>

#include "patcnn_compat.h"
#include "patcnn_drv.h"
#include "patcnn_gem.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_trace.h"

/* An alignment every kernel is content with. */
#define PATCNN_BIND_ALIGN	64

/* Elements of arrays in 0.1, which is what the oldest programs bring. */
#define PATCNN_BINDING_MIN	offsetofend(struct drm_patcnn_binding, offset)
#define PATCNN_SYNC_MIN		offsetofend(struct drm_patcnn_sync, point)

/* struct patcnn_signal - a syncobj to signal. */
struct patcnn_signal {
	struct drm_syncobj *syncobj;
	/* @chain: node for a timeline, consumed when signalled; NULL: binary. */
	struct dma_fence_chain *chain;
	u64 point;
};

/* struct patcnn_range - bytes of a buffer that a job uses. */
struct patcnn_range {
	/* @memory: see patcnn_bo_identity(). */
	const void *memory;
	u64 start;
	u64 end;
	bool write;
};

/* struct patcnn_submit_args - what lives only as long as the ioctl. */
struct patcnn_submit_args {
	struct drm_file *file;
	struct drm_patcnn_binding *bindings;
	struct drm_patcnn_sync *syncs;
	u32 sync_count;
	struct patcnn_signal *signals;
	u32 signal_count;
	struct patcnn_range ranges[PAT_MAX_IO + 1];
	u32 range_count;
};

static int patcnn_submit_add_range(struct patcnn_submit_args *sub, struct drm_gem_object *obj,
				   u64 offset, u64 bytes, bool write)
{
	struct patcnn_range *range = &sub->ranges[sub->range_count];
	u32 i;

	range->memory = patcnn_bo_identity(obj);
	range->start = offset;
	range->end = offset + bytes;
	range->write = write;
	for (i = 0; i < sub->range_count; i++) {
		const struct patcnn_range *other = &sub->ranges[i];

		if ((write || other->write) && range->memory == other->memory &&
		    range->start < other->end && other->start < range->end)
			return -EINVAL;
	}
	sub->range_count++;
	return 0;
}

/*
 * Reference and map the buffer, and check that @bytes fit at @offset.
 * The reference belongs to the job even if this fails.
 */
static void *patcnn_submit_buffer(struct patcnn_submit_args *sub, struct patcnn_job *job,
				  u32 handle, u64 offset, u64 bytes, bool write)
{
	struct drm_gem_object *obj;
	void *vaddr;
	u64 size;
	int ret;

	obj = drm_gem_object_lookup(sub->file, handle);
	if (!obj)
		return ERR_PTR(-ENOENT);
	job->bos[job->bo_count++] = obj;

	size = patcnn_bo_bytes(obj);
	if (!IS_ALIGNED(offset, PATCNN_BIND_ALIGN) || offset > size || bytes > size - offset)
		return ERR_PTR(-EINVAL);
	ret = patcnn_submit_add_range(sub, obj, offset, bytes, write);
	if (ret)
		return ERR_PTR(ret);
	vaddr = patcnn_bo_vmap(obj);
	return IS_ERR(vaddr) ? vaddr : vaddr + offset;
}

static int patcnn_submit_bind(struct patcnn_submit_args *sub, struct patcnn_job *job,
			      const struct drm_patcnn_binding *binding)
{
	const struct pat_program *prog = &job->model->prog;
	const struct patcnn_tensor *tensor;
	void *vaddr;
	u32 i;

	for (i = 0; i < prog->io_count; i++) {
		if (prog->io[i] == binding->tensor)
			break;
	}
	/* Its tensor index comes from the model, hence no speculation on a client's. */
	if (i == prog->io_count || job->io[i])
		return -EINVAL;

	tensor = &prog->tensors[prog->io[i]];
	vaddr = patcnn_submit_buffer(sub, job, binding->handle, binding->offset,
				     pat_tensor_bytes(tensor), tensor->role == PATCNN_ROLE_OUTPUT);
	if (IS_ERR(vaddr))
		return PTR_ERR(vaddr);
	job->io[i] = vaddr;
	return 0;
}

static int patcnn_submit_bindings(struct patcnn_submit_args *sub, struct patcnn_job *job,
				  const struct drm_patcnn_submit *args)
{
	u32 count = args->bindings.count;
	u32 i;
	int ret;

	if (count != job->model->prog.io_count)
		return -EINVAL;
	sub->bindings = patcnn_array_get(&args->bindings, PATCNN_BINDING_MIN,
					 sizeof(*sub->bindings), PAT_MAX_IO);
	if (IS_ERR(sub->bindings))
		return PTR_ERR(sub->bindings);

	/* As many as there are tensors, and none twice: so all of them. */
	for (i = 0; i < count; i++) {
		ret = patcnn_submit_bind(sub, job, &sub->bindings[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int patcnn_submit_profile(struct patcnn_submit_args *sub, struct patcnn_job *job,
				 const struct drm_patcnn_submit *args)
{
	struct patcnn_job_profile *profile;
	void *vaddr;

	if (!args->profile_handle)
		return args->profile_offset ? -EINVAL : 0;

	profile = patcnn_profile_alloc(job->ctx->pdev, job->model->plan->step_count);
	if (!profile)
		return -ENOMEM;
	job->profile = profile;
	vaddr = patcnn_submit_buffer(sub, job, args->profile_handle, args->profile_offset,
				     patcnn_profile_bytes(profile), true);
	if (IS_ERR(vaddr))
		return PTR_ERR(vaddr);
	profile->dst = vaddr;
	return 0;
}

static int patcnn_submit_signal(struct patcnn_submit_args *sub, const struct drm_patcnn_sync *sync)
{
	struct patcnn_signal *signal = &sub->signals[sub->signal_count];

	signal->syncobj = drm_syncobj_find(sub->file, sync->handle);
	if (!signal->syncobj)
		return -ENOENT;
	sub->signal_count++;
	if (sync->flags & DRM_PATCNN_SYNC_TIMELINE) {
		signal->point = sync->point;
		signal->chain = dma_fence_chain_alloc();
		if (!signal->chain)
			return -ENOMEM;
	}
	return 0;
}

static int patcnn_submit_wait(struct patcnn_submit_args *sub, struct patcnn_job *job,
			      const struct drm_patcnn_sync *sync)
{
	struct dma_fence *fence;
	int ret;

	ret = drm_syncobj_find_fence(sub->file, sync->handle, sync->point, 0, &fence);
	if (ret)
		return ret;
	if (dma_fence_is_signaled(fence)) {
		dma_fence_put(fence);
		return 0;
	}
	/* Consumes the reference in any case. */
	return drm_sched_job_add_dependency(&job->base, fence);
}

static int patcnn_submit_syncs(struct patcnn_submit_args *sub, struct patcnn_job *job)
{
	const u32 known = DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE;
	u32 i;
	int ret;

	sub->signals = kvcalloc(sub->sync_count, sizeof(*sub->signals), GFP_KERNEL_ACCOUNT);
	if (sub->sync_count && !sub->signals)
		return -ENOMEM;

	for (i = 0; i < sub->sync_count; i++) {
		const struct drm_patcnn_sync *sync = &sub->syncs[i];
		bool timeline = sync->flags & DRM_PATCNN_SYNC_TIMELINE;

		if ((sync->flags & ~known) || timeline != !!sync->point)
			return -EINVAL;
		if (sync->flags & DRM_PATCNN_SYNC_SIGNAL)
			ret = patcnn_submit_signal(sub, sync);
		else
			ret = patcnn_submit_wait(sub, job, sync);
		if (ret)
			return ret;
	}
	return 0;
}

static void patcnn_submit_cleanup(struct patcnn_submit_args *sub)
{
	u32 i;

	for (i = 0; i < sub->signal_count; i++) {
		drm_syncobj_put(sub->signals[i].syncobj);
		dma_fence_chain_free(sub->signals[i].chain);
	}
	kvfree(sub->signals);
	if (!IS_ERR(sub->syncs))
		kvfree(sub->syncs);
	if (!IS_ERR(sub->bindings))
		kvfree(sub->bindings);
	kfree(sub);
}

/* Nothing fails any more: @fence will signal, so clients may see it. */
static void patcnn_submit_publish(struct patcnn_submit_args *sub, struct dma_fence *fence)
{
	u32 i;

	for (i = 0; i < sub->signal_count; i++) {
		struct patcnn_signal *signal = &sub->signals[i];

		if (signal->chain) {
			drm_syncobj_add_point(signal->syncobj, signal->chain, fence, signal->point);
			signal->chain = NULL;
		} else {
			drm_syncobj_replace_fence(signal->syncobj, fence);
		}
	}
}

static int patcnn_submit_lock_bos(struct drm_exec *exec, struct patcnn_job *job)
{
	int ret = 0;

	drm_exec_until_all_locked(exec) {
		ret = drm_exec_prepare_array(exec, job->bos, job->bo_count, 1);
		drm_exec_retry_on_contention(exec);
		if (ret)
			break;
	}
	return ret;
}

/* With the context's lock: the last things that can fail, and then the push. */
static int patcnn_submit_push(struct patcnn_submit_args *sub, struct patcnn_job *job)
{
	struct patcnn_ctx *ctx = job->ctx;
	struct dma_fence *fence;
	struct drm_exec exec;
	bool direct;
	u32 i;
	int ret;

	if (ctx->dead)
		return -ENOENT;
	if (atomic_read(&ctx->queued) >= PATCNN_MAX_QUEUED)
		return -EBUSY;

	job->arena = patcnn_ctx_arena(ctx, job->model->plan->arena_bytes);
	if (IS_ERR(job->arena)) {
		ret = PTR_ERR(job->arena);
		job->arena = NULL;
		return ret;
	}
	job->run.plan = job->model->plan;
	job->run.arena = job->arena->mem;
	job->run.io = job->io;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES,
		      job->bo_count);
	ret = patcnn_submit_lock_bos(&exec, job);
	if (ret)
		goto unlock;

	direct = xa_empty(&job->base.dependencies) && !atomic_read(&ctx->scheduled);
	patcnn_fence_init(job->fence, ctx);
	if (!direct)
		drm_sched_job_arm(&job->base);
	fence = dma_fence_get(&job->fence->base);
	for (i = 0; i < job->bo_count; i++)
		dma_resv_add_fence(job->bos[i]->resv, fence, DMA_RESV_USAGE_BOOKKEEP);
	atomic_inc(&ctx->queued);
	job->queued_ns = ktime_get_ns();
	spin_lock(&ctx->jobs_lock);
	list_add_tail(&job->ctx_node, &ctx->jobs);
	spin_unlock(&ctx->jobs_lock);
	trace_patcnn_job_queue(job);
	/* The job may be done when push returns; its buffers are not to go while locked. */
	patcnn_job_get(job);
	if (direct) {
		drm_sched_job_cleanup(&job->base);
		job->direct = true;
		patcnn_pool_submit(&ctx->pdev->pool, job);
	} else {
		atomic_inc(&ctx->scheduled);
		drm_sched_entity_push_job(&job->base);
	}

	patcnn_submit_publish(sub, fence);
	dma_fence_put(fence);
	drm_exec_fini(&exec);
	patcnn_job_put(job);
	return 0;

unlock:
	drm_exec_fini(&exec);
	return ret;
}

static struct patcnn_job *patcnn_job_create(struct drm_device *drm, struct patcnn_file *pfile,
					    const struct drm_patcnn_submit *args)
{
	struct patcnn_job *job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);
	int ret = -ENOENT;

	if (!job)
		return ERR_PTR(-ENOMEM);
	kref_init(&job->kref);
	INIT_LIST_HEAD(&job->node);
	INIT_LIST_HEAD(&job->ctx_node);
	job->state = PATCNN_JOB_QUEUED;
	job->ctx = patcnn_ctx_lookup(pfile, args->ctx);
	job->model = patcnn_model_lookup(pfile, args->model);
	if (!job->ctx || !job->model)
		goto err;
	/* Models are made for one device; a file descriptor of another is refused at import. */
	job->fence = patcnn_fence_alloc(drm, pfile->client);
	if (!IS_ERR(job->fence))
		return job;
	ret = PTR_ERR(job->fence);
	job->fence = NULL;
err:
	patcnn_job_abort(job);
	return ERR_PTR(ret);
}

static int patcnn_submit_prepare(struct patcnn_submit_args *sub, struct patcnn_job *job,
				 const struct drm_patcnn_submit *args)
{
	int ret;

	sub->sync_count = args->syncs.count;
	sub->syncs = patcnn_array_get(&args->syncs, PATCNN_SYNC_MIN, sizeof(*sub->syncs),
				      PATCNN_MAX_SYNCS);
	if (IS_ERR(sub->syncs))
		return PTR_ERR(sub->syncs);
	ret = patcnn_submit_bindings(sub, job, args);
	if (ret)
		return ret;
	ret = patcnn_submit_profile(sub, job, args);
	if (ret)
		return ret;
	return patcnn_submit_syncs(sub, job);
}

int patcnn_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);
	const struct drm_patcnn_submit *args = data;
	struct patcnn_submit_args *sub;
	struct patcnn_job *job;
	int ret, idx;

	if (args->flags)
		return -EINVAL;
	sub = kzalloc(sizeof(*sub), GFP_KERNEL_ACCOUNT);
	if (!sub)
		return -ENOMEM;
	sub->file = file;
	job = patcnn_job_create(drm, pfile, args);
	if (IS_ERR(job)) {
		ret = PTR_ERR(job);
		goto free_sub;
	}

	/*
	 * drm_sched_job_init() looks at the entity, which a concurrent kill may be
	 * ending: the lock and @dead are for the push, this only needs its memory.
	 */
	ret = patcnn_sched_job_init(&job->base, &job->ctx->entity, job->ctx, file->client_id);
	if (ret)
		goto abort_job;
	ret = patcnn_submit_prepare(sub, job, args);
	if (ret)
		goto cleanup_job;

	ret = -ENODEV;
	if (!drm_dev_enter(drm, &idx))
		goto cleanup_job;
	ret = mutex_lock_interruptible(&job->ctx->lock);
	if (!ret) {
		struct patcnn_ctx *ctx = job->ctx;

		kref_get(&ctx->kref);
		ret = patcnn_submit_push(sub, job);
		mutex_unlock(&ctx->lock);
		patcnn_ctx_put(ctx);
	}
	drm_dev_exit(idx);
	if (!ret)
		goto free_sub;

cleanup_job:
	drm_sched_job_cleanup(&job->base);
abort_job:
	patcnn_job_abort(job);
free_sub:
	patcnn_submit_cleanup(sub);
	return ret;
}
