// SPDX-License-Identifier: MIT
/*
 * Contexts, jobs and fences.
 *
 * The driver speaks syncobjs, the API sync_files, because those can be polled,
 * passed on and carry a job's error. A syncobj is only needed from its filling to
 * the end of SUBMIT (in) or to the export of its fence (out), so each context keeps a
 * few of them for reuse: a job costs no syncobj creation.
 */

#include <errno.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <xf86drm.h>

#include "internal.h"

#define SYNCOBJ_CACHE	8

struct patcnn_context {
	struct patcnn_device *dev;
	uint32_t handle;
	pthread_mutex_t lock;	/* protects the cache */
	uint32_t syncobjs[SYNCOBJ_CACHE];
	unsigned int syncobj_count;
};

int patcnn_context_create(struct patcnn_device *dev, enum patcnn_priority priority,
			  const uint64_t *cpu_mask, struct patcnn_context **ctx)
{
	struct drm_patcnn_ctx_create args = { .priority = (uint32_t)priority };
	struct patcnn_context *c;
	int ret;

	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (cpu_mask)
		memcpy(args.cpu_mask, cpu_mask, sizeof(args.cpu_mask));
	ret = patcnn_ioctl(dev, DRM_IOCTL_PATCNN_CTX_CREATE, &args);
	if (ret) {
		free(c);
		return ret;
	}
	c->dev = dev;
	c->handle = args.handle;
	pthread_mutex_init(&c->lock, NULL);
	*ctx = c;
	return 0;
}

void patcnn_context_destroy(struct patcnn_context *ctx)
{
	struct drm_patcnn_ctx_destroy args;
	unsigned int i;

	if (!ctx)
		return;
	args = (struct drm_patcnn_ctx_destroy){ .handle = ctx->handle };
	patcnn_ioctl(ctx->dev, DRM_IOCTL_PATCNN_CTX_DESTROY, &args);
	for (i = 0; i < ctx->syncobj_count; i++)
		drmSyncobjDestroy(ctx->dev->fd, ctx->syncobjs[i]);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}

static int syncobj_get(struct patcnn_context *ctx, uint32_t *handle)
{
	*handle = 0;
	pthread_mutex_lock(&ctx->lock);
	if (ctx->syncobj_count)
		*handle = ctx->syncobjs[--ctx->syncobj_count];
	pthread_mutex_unlock(&ctx->lock);
	if (*handle)
		return 0;
	return drmSyncobjCreate(ctx->dev->fd, 0, handle) ? -errno : 0;
}

static void syncobj_put(struct patcnn_context *ctx, uint32_t handle)
{
	if (!handle)
		return;
	pthread_mutex_lock(&ctx->lock);
	if (ctx->syncobj_count < SYNCOBJ_CACHE) {
		ctx->syncobjs[ctx->syncobj_count++] = handle;
		handle = 0;
	}
	pthread_mutex_unlock(&ctx->lock);
	if (handle)
		drmSyncobjDestroy(ctx->dev->fd, handle);
}

static int add_bindings(struct drm_patcnn_binding *drm, const struct patcnn_model *model,
			uint32_t first, uint32_t count, const struct patcnn_binding *bindings)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (!bindings || !bindings[i].buffer)
			return -EINVAL;
		drm[first + i] = (struct drm_patcnn_binding){
			.tensor = model->tensors[model->order[first + i]].index,
			.handle = bindings[i].buffer->handle,
			.offset = bindings[i].offset,
		};
	}
	return 0;
}

int patcnn_submit(struct patcnn_context *ctx, struct patcnn_model *model,
		  const struct patcnn_job_args *args, int *out_fence)
{
	struct drm_patcnn_binding bindings[model->inputs + model->outputs + 1];
	uint32_t in_sync = 0, out_sync = 0;
	struct drm_patcnn_sync syncs[2];
	struct drm_patcnn_submit submit = {
		.ctx = ctx->handle,
		.model = model->handle,
		.bindings = {
			.stride = sizeof(bindings[0]),
			.count = model->inputs + model->outputs,
			.array = (uintptr_t)bindings,
		},
		.syncs = {
			.stride = sizeof(syncs[0]),
			.array = (uintptr_t)syncs,
		},
	};
	int ret;

	ret = add_bindings(bindings, model, 0, model->inputs, args->inputs);
	if (!ret)
		ret = add_bindings(bindings, model, model->inputs, model->outputs, args->outputs);
	if (ret)
		return ret;
	if (args->profile) {
		submit.profile_handle = args->profile->handle;
		submit.profile_offset = args->profile_offset;
	}

	if (args->in_fence >= 0) {
		ret = syncobj_get(ctx, &in_sync);
		if (ret)
			return ret;
		if (drmSyncobjImportSyncFile(ctx->dev->fd, in_sync, args->in_fence)) {
			ret = -errno;
			goto put;
		}
		syncs[submit.syncs.count++] = (struct drm_patcnn_sync){ .handle = in_sync };
	}
	if (out_fence) {
		ret = syncobj_get(ctx, &out_sync);
		if (ret)
			goto put;
		syncs[submit.syncs.count++] = (struct drm_patcnn_sync){
			.handle = out_sync,
			.flags = DRM_PATCNN_SYNC_SIGNAL,
		};
	}

	ret = patcnn_ioctl(ctx->dev, DRM_IOCTL_PATCNN_SUBMIT, &submit);
	if (!ret && out_fence && drmSyncobjExportSyncFile(ctx->dev->fd, out_sync, out_fence))
		ret = -errno;
put:
	syncobj_put(ctx, in_sync);
	syncobj_put(ctx, out_sync);
	return ret;
}

int patcnn_submit_wait(struct patcnn_context *ctx, struct patcnn_model *model,
		       const struct patcnn_job_args *args, int timeout_ms)
{
	int fence = -1, ret;

	ret = patcnn_submit(ctx, model, args, &fence);
	if (ret)
		return ret;
	ret = patcnn_fence_wait(fence, timeout_ms);
	close(fence);
	return ret;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int patcnn_fence_wait(int fence, int timeout_ms)
{
	struct pollfd pfd = { .fd = fence, .events = POLLIN };
	struct sync_file_info info = { 0 };
	int64_t end = timeout_ms > 0 ? now_ms() + timeout_ms : 0;
	int ret;

	if (fence < 0)	/* poll() would just wait */
		return -EINVAL;
	for (;;) {
		ret = poll(&pfd, 1, timeout_ms);
		if (ret > 0)
			break;
		if (!ret)
			return -ETIMEDOUT;
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
		if (timeout_ms > 0) {
			int64_t left = end - now_ms();

			timeout_ms = left > 0 ? (int)left : 0;
		}
	}
	if (pfd.revents & (POLLERR | POLLNVAL))
		return -EINVAL;
	if (drmIoctl(fence, SYNC_IOC_FILE_INFO, &info))
		return -errno;
	return info.status < 0 ? info.status : 0;
}

int patcnn_profile_read(const void *ptr, uint64_t size, struct patcnn_profile *profile)
{
	const struct drm_patcnn_profile *head = ptr;
	uint64_t need;

	if (size < sizeof(*head))
		return -EINVAL;
	/* Read once: the memory may be written by a job that runs now. */
	profile->steps = *(const volatile uint32_t *)&head->steps;
	profile->workers = *(const volatile uint32_t *)&head->workers;
	if (__builtin_mul_overflow((uint64_t)profile->steps * sizeof(uint64_t),
				   1 + (uint64_t)profile->workers, &need) ||
	    need > size - sizeof(*head))
		return -EINVAL;
	profile->queued_ns = head->queued_ns;
	profile->start_ns = head->start_ns;
	profile->end_ns = head->end_ns;
	profile->wall_ns = (const uint64_t *)(head + 1);
	profile->busy_ns = profile->wall_ns + profile->steps;
	return 0;
}
