// SPDX-License-Identifier: MIT
/*
 * Buffers: GEM objects, mapped into this process, and dma-bufs in and out.
 *
 * Importing a dma-buf twice, or one's own export, gives the same GEM handle
 * again; both imports are then one struct patcnn_buffer with two references.
 * Looking a handle up and closing it happen under the device's lock, or an
 * import could get a handle that another thread is about to close.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xf86drm.h>

#include "internal.h"

static void handle_close(struct patcnn_device *dev, uint32_t handle)
{
	struct drm_gem_close args = { .handle = handle };

	patcnn_ioctl(dev, DRM_IOCTL_GEM_CLOSE, &args);
}

/* Caller holds dev->lock. */
static int buffer_map_locked(struct patcnn_buffer *buf)
{
	struct drm_patcnn_bo_mmap_offset args = { .handle = buf->handle };
	void *map;
	int ret;

	if (buf->map)
		return 0;
	if (buf->size > SIZE_MAX)
		return -E2BIG;
	ret = patcnn_ioctl(buf->dev, DRM_IOCTL_PATCNN_BO_MMAP_OFFSET, &args);
	if (ret)
		return ret;
	map = mmap(NULL, (size_t)buf->size, PROT_READ | PROT_WRITE, MAP_SHARED, buf->dev->fd,
		   (off_t)args.offset);
	if (map == MAP_FAILED)
		return -errno;
	buf->map = map;
	return 0;
}

/* Caller holds dev->lock. The handle is closed on failure. */
static struct patcnn_buffer *buffer_new_locked(struct patcnn_device *dev, uint32_t handle,
					       uint64_t size)
{
	struct patcnn_buffer *buf = calloc(1, sizeof(*buf));

	if (!buf) {
		handle_close(dev, handle);
		return NULL;
	}
	buf->dev = dev;
	buf->handle = handle;
	buf->size = size;
	buf->refs = 1;
	buf->next = dev->buffers;
	dev->buffers = buf;
	return buf;
}

/* Caller holds dev->lock. */
static void buffer_put_locked(struct patcnn_buffer *buf)
{
	struct patcnn_buffer **link;

	if (--buf->refs)
		return;
	for (link = &buf->dev->buffers; *link != buf; link = &(*link)->next)
		;
	*link = buf->next;
	if (buf->map)
		munmap(buf->map, (size_t)buf->size);
	handle_close(buf->dev, buf->handle);
	free(buf);
}

int patcnn_buffer_create(struct patcnn_device *dev, uint64_t size, struct patcnn_buffer **buf)
{
	struct drm_patcnn_bo_create args = { .size = size };
	struct patcnn_buffer *b;
	int ret;

	ret = patcnn_ioctl(dev, DRM_IOCTL_PATCNN_BO_CREATE, &args);
	if (ret)
		return ret;

	pthread_mutex_lock(&dev->lock);
	b = buffer_new_locked(dev, args.handle, args.size);
	ret = b ? buffer_map_locked(b) : -ENOMEM;
	if (ret && b)
		buffer_put_locked(b);
	pthread_mutex_unlock(&dev->lock);
	if (!ret)
		*buf = b;
	return ret;
}

int patcnn_buffer_import(struct patcnn_device *dev, int fd, struct patcnn_buffer **buf)
{
	struct patcnn_buffer *b = NULL;
	uint32_t handle;
	off_t size;
	int ret = 0;

	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return -errno;

	pthread_mutex_lock(&dev->lock);
	if (drmPrimeFDToHandle(dev->fd, fd, &handle)) {
		ret = -errno;
		goto unlock;
	}
	for (b = dev->buffers; b; b = b->next)
		if (b->handle == handle)
			break;
	if (b)
		b->refs++;
	else
		b = buffer_new_locked(dev, handle, (uint64_t)size);
	if (!b)
		ret = -ENOMEM;
unlock:
	pthread_mutex_unlock(&dev->lock);
	if (!ret)
		*buf = b;
	return ret;
}

int patcnn_buffer_export(struct patcnn_buffer *buf)
{
	int fd;

	return drmPrimeHandleToFD(buf->dev->fd, buf->handle, DRM_CLOEXEC | DRM_RDWR, &fd) ?
	       -errno : fd;
}

int patcnn_buffer_map(struct patcnn_buffer *buf, void **ptr)
{
	int ret;

	pthread_mutex_lock(&buf->dev->lock);
	ret = buffer_map_locked(buf);
	if (!ret)
		*ptr = buf->map;
	pthread_mutex_unlock(&buf->dev->lock);
	return ret;
}

uint64_t patcnn_buffer_size(const struct patcnn_buffer *buf)
{
	return buf->size;
}

void patcnn_buffer_destroy(struct patcnn_buffer *buf)
{
	struct patcnn_device *dev;

	if (!buf)
		return;
	dev = buf->dev;
	pthread_mutex_lock(&dev->lock);
	buffer_put_locked(buf);
	pthread_mutex_unlock(&dev->lock);
}

static int64_t deadline_ns(int timeout_ms)
{
	struct timespec now;

	if (timeout_ms < 0)
		return INT64_MAX;
	if (!timeout_ms)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec + timeout_ms * INT64_C(1000000);
}

static uint32_t sync_flags(unsigned int access)
{
	return (access & PATCNN_READ ? DRM_PATCNN_BO_SYNC_READ : 0) |
	       (access & PATCNN_WRITE ? DRM_PATCNN_BO_SYNC_WRITE : 0);
}

int patcnn_buffer_begin(struct patcnn_buffer *buf, unsigned int access, int timeout_ms)
{
	struct drm_patcnn_bo_sync args = {
		.handle = buf->handle,
		.flags = sync_flags(access),
		.timeout_ns = deadline_ns(timeout_ms),
	};

	return patcnn_ioctl(buf->dev, DRM_IOCTL_PATCNN_BO_SYNC, &args);
}

int patcnn_buffer_end(struct patcnn_buffer *buf, unsigned int access)
{
	struct drm_patcnn_bo_sync args = {
		.handle = buf->handle,
		.flags = sync_flags(access) | DRM_PATCNN_BO_SYNC_END,
	};

	return patcnn_ioctl(buf->dev, DRM_IOCTL_PATCNN_BO_SYNC, &args);
}
