/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_MODEL_H_
#define _PATCNN_MODEL_H_

#include <linux/kref.h>

#include <drm/drm_file.h>

#include "patcnn_compute.h"

/** struct patcnn_model - a program made ready; immutable once it has a handle. */
struct patcnn_model {
	struct kref kref;
	/** @drm: device it was made for; referenced, so that its address is not reused. */
	struct drm_device *drm;
	/** @blob: copy of the program. */
	void *blob;
	u64 blob_bytes;
	struct pat_program prog;
	/** @plan: memory given to pat_plan_build(). */
	struct pat_plan *plan;
	u64 plan_bytes;
	/** @packed: memory given to pat_plan_pack(). */
	void *packed;
	/** @reserved: scratch for it is. */
	bool reserved;
};

struct patcnn_file;

struct patcnn_model *patcnn_model_lookup(struct patcnn_file *pfile, u32 handle);
void patcnn_model_put(struct patcnn_model *model);
u64 patcnn_model_bytes(const struct patcnn_model *model);

int patcnn_ioctl_model_create(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_model_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_model_query(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_model_export(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_model_import(struct drm_device *drm, void *data, struct drm_file *file);

#endif
