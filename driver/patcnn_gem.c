// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Buffers
 *
 * Buffers are shmem GEM objects, cached, or dma-bufs of others.
 *
 * Workers reach a buffer through a kernel mapping that is made once, by the first
 * submit that names the buffer, and kept until the buffer is freed. It is made in the
 * client's context: pages are charged to who instantiates them, and workers may not
 * take the reservation lock. &patcnn_bo.lock makes it happen once; after that
 * &patcnn_bo.map does not change and is read without a lock by who holds a reference
 * obtained after it was set.
 *
 * Imports are attached but not mapped for DMA: CPUs do the work. Exports have
 * dma_buf_ops of their own, for DRM's have no CPU-access brackets: on machines with
 * non-coherent devices an importer would not see what workers wrote.
 *
 * The address of our ops also tells an import of our own export, which yields the
 * object itself.
 */

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <drm/drm_gem.h>
#include <drm/drm_prime.h>
#include <drm/drm_utils.h>
#include <drm/drm_vma_manager.h>

#include "patcnn_compat.h"
#include "patcnn_drv.h"
#include "patcnn_gem.h"

PATCNN_IMPORT_NS();

/* ---- kernel mapping ---- */

static int patcnn_bo_map_import(struct patcnn_bo *bo)
{
	struct dma_buf *dmabuf = bo->base.base.import_attach->dmabuf;
	struct iosys_map map;
	int ret;

	ret = dma_buf_vmap_unlocked(dmabuf, &map);
	if (ret)
		return ret;
	/* Device memory: neither vector loads nor ordering are as workers need them. */
	if (map.is_iomem) {
		dma_buf_vunmap_unlocked(dmabuf, &map);
		return -EINVAL;
	}
	bo->map = map;
	return 0;
}

static int patcnn_bo_map_own(struct patcnn_bo *bo)
{
	struct iosys_map map;
	int ret;

	ret = dma_resv_lock_interruptible(bo->base.base.resv, NULL);
	if (ret)
		return ret;
	ret = patcnn_shmem_vmap(&bo->base, &map);
	dma_resv_unlock(bo->base.base.resv);
	if (!ret)
		bo->map = map;
	return ret;
}

/*
 * patcnn_bo_vmap - address of a buffer, valid as long as the buffer
 *
 * Return: address or error pointer; -EINVAL: an import that CPUs cannot use.
 */
void *patcnn_bo_vmap(struct drm_gem_object *obj)
{
	struct patcnn_bo *bo = to_patcnn_bo(obj);
	int ret;

	ret = mutex_lock_interruptible(&bo->lock);
	if (ret)
		return ERR_PTR(ret);
	if (iosys_map_is_null(&bo->map))
		ret = drm_gem_is_imported(obj) ? patcnn_bo_map_import(bo) : patcnn_bo_map_own(bo);
	mutex_unlock(&bo->lock);
	return ret ? ERR_PTR(ret) : bo->map.vaddr;
}

/* patcnn_bo_bytes - usable bytes: of an import not what its pages round it up to. */
u64 patcnn_bo_bytes(struct drm_gem_object *obj)
{
	return drm_gem_is_imported(obj) ? obj->import_attach->dmabuf->size : obj->size;
}

/* patcnn_bo_identity - equal for objects of the same memory: one dma-buf may be imported twice. */
const void *patcnn_bo_identity(struct drm_gem_object *obj)
{
	return drm_gem_is_imported(obj) ? (void *)obj->import_attach->dmabuf : obj;
}

/* ---- object functions ---- */

static void patcnn_gem_free(struct drm_gem_object *obj)
{
	struct patcnn_bo *bo = to_patcnn_bo(obj);

	if (!iosys_map_is_null(&bo->map)) {
		if (drm_gem_is_imported(obj)) {
			dma_buf_vunmap_unlocked(obj->import_attach->dmabuf, &bo->map);
		} else {
			dma_resv_lock(obj->resv, NULL);
			patcnn_shmem_vunmap(&bo->base, &bo->map);
			dma_resv_unlock(obj->resv);
		}
	}
	mutex_destroy(&bo->lock);
	drm_gem_shmem_free(&bo->base);
}

static int patcnn_gem_open(struct drm_gem_object *obj, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);

	return atomic_add_unless(&pfile->bos, 1, PATCNN_MAX_BOS) ? 0 : -EMFILE;
}

static void patcnn_gem_close(struct drm_gem_object *obj, struct drm_file *file)
{
	atomic_dec(&to_patcnn_file(file)->bos);
}

static int patcnn_gem_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	/* Activations are no code. */
	if (vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vm_flags_clear(vma, VM_MAYEXEC);
	return drm_gem_shmem_object_mmap(obj, vma);
}

static struct sg_table *patcnn_dmabuf_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	struct sg_table *sgt = drm_gem_map_dma_buf(attach, dir);

	/* Under the reservation lock, like those who read it. */
	if (!IS_ERR(sgt))
		attach->priv = sgt;
	return sgt;
}

static void patcnn_dmabuf_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
				enum dma_data_direction dir)
{
	attach->priv = NULL;
	drm_gem_unmap_dma_buf(attach, sgt, dir);
}

static int patcnn_dmabuf_begin(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_buf_attachment *attach;
	int ret;

	ret = dma_resv_lock_interruptible(dmabuf->resv, NULL);
	if (ret)
		return ret;
	list_for_each_entry(attach, &dmabuf->attachments, node) {
		if (attach->priv)
			dma_sync_sgtable_for_cpu(attach->dev, attach->priv, dir);
	}
	dma_resv_unlock(dmabuf->resv);
	return 0;
}

static int patcnn_dmabuf_end(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct dma_buf_attachment *attach;

	dma_resv_lock(dmabuf->resv, NULL);
	list_for_each_entry(attach, &dmabuf->attachments, node) {
		if (attach->priv)
			dma_sync_sgtable_for_device(attach->dev, attach->priv, dir);
	}
	dma_resv_unlock(dmabuf->resv);
	return 0;
}

static const struct dma_buf_ops patcnn_dmabuf_ops = {
	.attach = drm_gem_map_attach,
	.detach = drm_gem_map_detach,
	.map_dma_buf = patcnn_dmabuf_map,
	.unmap_dma_buf = patcnn_dmabuf_unmap,
	.release = drm_gem_dmabuf_release,
	.mmap = drm_gem_dmabuf_mmap,
	.vmap = drm_gem_dmabuf_vmap,
	.vunmap = drm_gem_dmabuf_vunmap,
	.begin_cpu_access = patcnn_dmabuf_begin,
	.end_cpu_access = patcnn_dmabuf_end,
};

static struct dma_buf *patcnn_gem_export(struct drm_gem_object *obj, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = "patcnn",
		.owner = THIS_MODULE,
		.ops = &patcnn_dmabuf_ops,
		.size = obj->size,
		.flags = flags,
		.priv = obj,
		.resv = obj->resv,
	};

	return drm_gem_dmabuf_export(obj->dev, &info);
}

static const struct drm_gem_object_funcs patcnn_gem_funcs = {
	.free = patcnn_gem_free,
	.open = patcnn_gem_open,
	.close = patcnn_gem_close,
	.print_info = drm_gem_shmem_object_print_info,
	.export = patcnn_gem_export,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = patcnn_gem_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/* patcnn_gem_create_object - &drm_driver.gem_create_object. */
struct drm_gem_object *patcnn_gem_create_object(struct drm_device *drm, size_t size)
{
	struct patcnn_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL_ACCOUNT);

	if (!bo)
		return ERR_PTR(-ENOMEM);
	mutex_init(&bo->lock);
	bo->base.base.funcs = &patcnn_gem_funcs;
	return &bo->base.base;
}

/* patcnn_gem_prime_import - &drm_driver.gem_prime_import, without a mapping for DMA. */
struct drm_gem_object *patcnn_gem_prime_import(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct dma_buf_attachment *attach;
	struct drm_gem_object *obj;

	if (dmabuf->ops == &patcnn_dmabuf_ops) {
		obj = dmabuf->priv;
		if (obj->dev == drm) {
			drm_gem_object_get(obj);
			return obj;
		}
	}
	if (dmabuf->size > PATCNN_MAX_BO_SIZE)
		return ERR_PTR(-E2BIG);

	attach = dma_buf_attach(dmabuf, drm->dev);
	if (IS_ERR(attach))
		return ERR_CAST(attach);
	get_dma_buf(dmabuf);
	obj = drm_gem_shmem_prime_import_sg_table(drm, attach, NULL);
	if (IS_ERR(obj)) {
		dma_buf_detach(dmabuf, attach);
		dma_buf_put(dmabuf);
		return obj;
	}
	obj->import_attach = attach;
	obj->resv = dmabuf->resv;
	return obj;
}

/* ---- ioctls ---- */

int patcnn_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_bo_create *args = data;
	struct drm_gem_shmem_object *shmem;
	int ret;

	if (!args->size || args->flags || args->handle)
		return -EINVAL;
	/* Before the helper rounds it up, which may wrap. */
	if (args->size > PATCNN_MAX_BO_SIZE)
		return -E2BIG;

	shmem = drm_gem_shmem_create(drm, args->size);
	if (IS_ERR(shmem))
		return PTR_ERR(shmem);
	args->size = shmem->base.size;
	ret = drm_gem_handle_create(file, &shmem->base, &args->handle);
	/* The handle has its own reference. */
	drm_gem_object_put(&shmem->base);
	return ret;
}

int patcnn_ioctl_bo_mmap_offset(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_bo_mmap_offset *args = data;
	struct drm_gem_object *obj;

	if (args->pad)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	/* The shmem helper made it with the object. */
	args->offset = drm_vma_node_offset_addr(&obj->vma_node);
	drm_gem_object_put(obj);
	return 0;
}

static int patcnn_bo_wait(struct drm_gem_object *obj, s64 timeout_ns)
{
	long left;

	if (dma_resv_test_signaled(obj->resv, DMA_RESV_USAGE_BOOKKEEP))
		return 0;
	/* Jiffies may lag behind the clock and jump then: when time is up the clock says. */
	do {
		left = drm_timeout_abs_to_jiffies(timeout_ns);
		if (!left)
			return -ETIMEDOUT;
		left = dma_resv_wait_timeout(obj->resv, DMA_RESV_USAGE_BOOKKEEP, true, left);
	} while (!left);
	return left < 0 ? left : 0;
}

/* The dma-buf whose brackets tell other devices, or NULL if no other can be involved. */
static struct dma_buf *patcnn_bo_get_dmabuf(struct drm_gem_object *obj)
{
	struct dma_buf *dmabuf;

	mutex_lock(&obj->dev->object_name_lock);
	dmabuf = drm_gem_is_imported(obj) ? obj->import_attach->dmabuf : obj->dma_buf;
	if (dmabuf)
		get_dma_buf(dmabuf);
	mutex_unlock(&obj->dev->object_name_lock);
	return dmabuf;
}

int patcnn_ioctl_bo_sync(struct drm_device *drm, void *data, struct drm_file *file)
{
	const u32 access = DRM_PATCNN_BO_SYNC_READ | DRM_PATCNN_BO_SYNC_WRITE;
	const struct drm_patcnn_bo_sync *args = data;
	enum dma_data_direction dir = DMA_BIDIRECTIONAL;
	struct drm_gem_object *obj;
	struct dma_buf *dmabuf;
	int ret = 0;

	if ((args->flags & ~(access | DRM_PATCNN_BO_SYNC_END)) || !(args->flags & access))
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	if ((args->flags & access) == DRM_PATCNN_BO_SYNC_READ)
		dir = DMA_FROM_DEVICE;
	else if ((args->flags & access) == DRM_PATCNN_BO_SYNC_WRITE)
		dir = DMA_TO_DEVICE;

	if (!(args->flags & DRM_PATCNN_BO_SYNC_END))
		ret = patcnn_bo_wait(obj, args->timeout_ns);
	if (ret)
		goto put;
	dmabuf = patcnn_bo_get_dmabuf(obj);
	if (dmabuf) {
		if (args->flags & DRM_PATCNN_BO_SYNC_END)
			ret = dma_buf_end_cpu_access(dmabuf, dir);
		else
			ret = dma_buf_begin_cpu_access(dmabuf, dir);
		dma_buf_put(dmabuf);
	}
put:
	drm_gem_object_put(obj);
	return ret;
}
