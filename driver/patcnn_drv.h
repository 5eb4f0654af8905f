/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_DRV_H_
#define _PATCNN_DRV_H_

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>
#include <drm/patcnn_drm.h>

#include "patcnn_compute.h"
#include "patcnn_pool.h"

/* Limits told to user space by DEV_QUERY. */
#define PATCNN_MAX_BO_SIZE	SZ_2G
#define PATCNN_MAX_MODEL_SIZE	SZ_1G
#define PATCNN_MAX_MODELS	64
#define PATCNN_MAX_CONTEXTS	64
#define PATCNN_MAX_SYNCS	256
#define PATCNN_MAX_QUEUED	64
/*
 * Fences of one open file that are not freed: more than all contexts can have queued.
 * Jobs of destroyed contexts may linger until what they wait for signals.
 */
#define PATCNN_MAX_FENCES	(4 * PATCNN_MAX_CONTEXTS * PATCNN_MAX_QUEUED)
/* Buffers of one open file; nobody needs as many, and a leak hits it early. */
#define PATCNN_MAX_BOS		65536

struct dma_fence;
struct seq_file;

/**
 * struct patcnn_device - the one device of the module.
 *
 * Freed with the last reference to @drm, which fences and model files hold:
 * scheduler names and locks stay valid as long as somebody can ask a fence.
 */
struct patcnn_device {
	/** @drm: base. */
	struct drm_device drm;
	/** @pool: the workers. */
	struct patcnn_pool pool;
	/** @isa: kernels in use, chosen at probe. */
	const struct pat_isa *isa;
	/** @ctx_lock: protects @contexts; taken before &patcnn_ctx.lock. */
	struct mutex ctx_lock;
	/** @contexts: every live context, for unbind. */
	struct list_head contexts;
};

static inline struct patcnn_device *to_patcnn_device(struct drm_device *drm)
{
	return container_of(drm, struct patcnn_device, drm);
}

/** struct patcnn_client_queue - contexts of a client and a priority that have jobs waiting. */
struct patcnn_client_queue {
	/** @node: in &patcnn_pool.waiting, while @contexts is not empty; &patcnn_pool.lock. */
	struct list_head node;
	/** @contexts: of &struct patcnn_ctx; &patcnn_pool.lock. */
	struct list_head contexts;
};

/**
 * struct patcnn_client - accounting of an open file; outlives it while its jobs run.
 */
struct patcnn_client {
	struct kref kref;
	/** @id: &drm_file.client_id; tells workers whose data a scratch holds. */
	u64 id;
	/** @queue: what it has for the pool, by priority. */
	struct patcnn_client_queue queue[PATCNN_PRIORITIES];
	/** @busy_ns: time of workers in kernels. */
	atomic64_t busy_ns;
	/** @jobs: finished jobs. */
	atomic64_t jobs;
	/** @fences: of its jobs, not freed yet: each pins the module. */
	atomic_t fences;
};

void patcnn_client_put(struct patcnn_client *client);

/** struct patcnn_file - an open file. */
struct patcnn_file {
	struct patcnn_device *pdev;
	struct patcnn_client *client;
	/** @models: handle to &struct patcnn_model. */
	struct xarray models;
	/** @contexts: handle to &struct patcnn_ctx. */
	struct xarray contexts;
	/** @bos: number of GEM handles. */
	atomic_t bos;
};

static inline struct patcnn_file *to_patcnn_file(struct drm_file *file)
{
	return file->driver_priv;
}

/* Work that frees memory or drops module references; flushed at module exit. */
extern struct workqueue_struct *patcnn_release_wq;
/*
 * What the schedulers of all contexts have to do; ordered. Not the device's: cancelled
 * jobs may pass through them after its removal.
 */
extern struct workqueue_struct *patcnn_sched_wq;

void *patcnn_array_get(const struct drm_patcnn_obj_array *in, size_t min, size_t size, u32 max);

void patcnn_show_fdinfo(struct drm_printer *p, struct drm_file *file);
void patcnn_debugfs_init(struct patcnn_device *pdev);
extern const struct attribute_group *patcnn_attribute_groups[];

/*
 * Zeroed memory for what kernels walk through: neighbouring channels lie pages apart, and a
 * little core has TLB entries for 2 MiB of small pages. Huge ones are taken where rounding
 * up to them costs no more than an eighth. What is allocated is charged to the caller.
 */
static inline void *patcnn_vmalloc_huge(size_t bytes)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;

	if (ALIGN(bytes, PMD_SIZE) - bytes > bytes / 8)
		return __vmalloc(bytes, gfp);
	return vmalloc_huge(bytes, gfp);
}

#endif
