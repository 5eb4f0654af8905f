/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_COMPAT_H_
#define _PATCNN_COMPAT_H_

/*
 * DOC: Kernels
 *
 * The one place that knows that kernels differ. patcnn_config.h is made by
 * probe.sh, which compiles a few lines against the headers of the kernel being
 * built for: distributions backport interfaces, so version numbers say nothing.
 */

#include <drm/drm_gem_shmem_helper.h>
#include <drm/gpu_scheduler.h>

#include "patcnn_config.h"

#ifdef PATCNN_HAVE_SHMEM_VMAP_LOCKED
#define patcnn_shmem_vmap	drm_gem_shmem_vmap_locked
#define patcnn_shmem_vunmap	drm_gem_shmem_vunmap_locked
#else
#define patcnn_shmem_vmap	drm_gem_shmem_vmap
#define patcnn_shmem_vunmap	drm_gem_shmem_vunmap
#endif

static inline int patcnn_sched_job_init(struct drm_sched_job *job, struct drm_sched_entity *entity,
					void *owner, u64 client_id)
{
#ifdef PATCNN_HAVE_SCHED_CLIENT_ID
	return drm_sched_job_init(job, entity, 1, owner, client_id);
#else
	return drm_sched_job_init(job, entity, 1, owner);
#endif
}

#ifdef PATCNN_HAVE_IMPORT_NS_TOKEN
#define PATCNN_IMPORT_NS()	MODULE_IMPORT_NS(DMA_BUF)
#else
#define PATCNN_IMPORT_NS()	MODULE_IMPORT_NS("DMA_BUF")
#endif

#endif
