/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_GEM_H_
#define _PATCNN_GEM_H_

#include <linux/iosys-map.h>
#include <linux/mutex.h>

#include <drm/drm_gem_shmem_helper.h>

/** struct patcnn_bo - a buffer. */
struct patcnn_bo {
	/** @base: must be first: the shmem helper frees it by its own pointer. */
	struct drm_gem_shmem_object base;
	/** @lock: serialises the making of @map; taken before the reservation lock. */
	struct mutex lock;
	/** @map: kernel mapping, made once in a client's context, kept until free. */
	struct iosys_map map;
};

static inline struct patcnn_bo *to_patcnn_bo(struct drm_gem_object *obj)
{
	return container_of(to_drm_gem_shmem_obj(obj), struct patcnn_bo, base);
}

struct drm_gem_object *patcnn_gem_create_object(struct drm_device *drm, size_t size);
struct drm_gem_object *patcnn_gem_prime_import(struct drm_device *drm, struct dma_buf *dmabuf);
void *patcnn_bo_vmap(struct drm_gem_object *obj);
u64 patcnn_bo_bytes(struct drm_gem_object *obj);
const void *patcnn_bo_identity(struct drm_gem_object *obj);

int patcnn_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file);

#endif
