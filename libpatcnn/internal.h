/* SPDX-License-Identifier: MIT */
#ifndef LIBPATCNN_INTERNAL_H
#define LIBPATCNN_INTERNAL_H

/*
 * What the files of libpatcnn share. Each file owns one kind of object; every
 * object points to its device, which must outlive it.
 */

#include <pthread.h>
#include <stdbool.h>

#include <drm/patcnn_drm.h>
#include <drm/patcnn_program.h>

#include "patcnn.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct patcnn_device {
	int fd;
	/*
	 * Protects @buffers and every buffer's refs and map. DRM gives one handle
	 * per object and file, so two imports of one dma-buf share a handle: the
	 * list finds it again, and only the last owner may close it.
	 */
	pthread_mutex_t lock;
	struct patcnn_buffer *buffers;
};

struct patcnn_buffer {
	struct patcnn_device *dev;
	struct patcnn_buffer *next;
	uint32_t handle;
	unsigned int refs;
	uint64_t size;
	void *map;
};

struct patcnn_model {
	struct patcnn_device *dev;
	uint32_t handle;
	struct drm_patcnn_model_info info;
	/* Inputs and outputs in the order of the program; inputs come first in @order. */
	struct drm_patcnn_tensor_info *tensors;
	uint32_t *order;
	uint32_t inputs;
	uint32_t outputs;
	struct drm_patcnn_step_info *steps;
	uint32_t step_count;
};

/* drmIoctl() with a negative errno for -1. */
int patcnn_ioctl(const struct patcnn_device *dev, unsigned long request, void *arg);

#endif
