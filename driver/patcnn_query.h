/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_QUERY_H_
#define _PATCNN_QUERY_H_

struct drm_device;
struct drm_file;

int patcnn_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file);
int patcnn_ioctl_model_query(struct drm_device *drm, void *data, struct drm_file *file);

#endif
