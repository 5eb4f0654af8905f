// SPDX-License-Identifier: MIT
/*
 * Devices: finding the node by its driver's name, opening it, asking what it is.
 *
 * A node is /dev/accel/accelN on kernels with the accel class and
 * /dev/dri/renderDN on the others. The driver's name is read from sysfs where
 * possible: opening every render node of a machine would wake its GPUs.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xf86drm.h>

#include "internal.h"

#define DRIVER_NAME "patcnn"

static const struct node_class {
	const char *dir;
	const char *prefix;
} node_classes[] = {
	{ "/dev/accel", "accel" },
	{ "/dev/dri", "renderD" },
};

int patcnn_ioctl(const struct patcnn_device *dev, unsigned long request, void *arg)
{
	return drmIoctl(dev->fd, request, arg) ? -errno : 0;
}

static bool fd_is_patcnn(int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	bool match;

	if (!version)
		return false;
	match = version->name && !strcmp(version->name, DRIVER_NAME);
	drmFreeVersion(version);
	return match;
}

static bool node_is_patcnn(const char *path)
{
	char link[64], target[PATH_MAX];
	const char *base;
	struct stat st;
	bool match;
	ssize_t n;
	int fd;

	if (stat(path, &st) || !S_ISCHR(st.st_mode))
		return false;

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device/driver",
		 major(st.st_rdev), minor(st.st_rdev));
	n = readlink(link, target, sizeof(target) - 1);
	if (n > 0) {
		target[n] = '\0';
		base = strrchr(target, '/');
		return !strcmp(base ? base + 1 : target, DRIVER_NAME);
	}

	/* No sysfs, or a device without a bound driver: the node itself knows. */
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	match = fd_is_patcnn(fd);
	close(fd);
	return match;
}

static int path_in_class(const struct node_class *cls, unsigned int *index,
			 char *path, size_t size)
{
	struct dirent **list;
	int i, n, ret = -ENODEV;

	n = scandir(cls->dir, &list, NULL, versionsort);
	if (n < 0)
		return -ENODEV;
	for (i = 0; i < n; i++) {
		char node[sizeof("/dev/accel/") + NAME_MAX];

		if (ret == -ENODEV && !strncmp(list[i]->d_name, cls->prefix, strlen(cls->prefix))) {
			snprintf(node, sizeof(node), "%s/%s", cls->dir, list[i]->d_name);
			if (node_is_patcnn(node) && !(*index)--)
				ret = (size_t)snprintf(path, size, "%s", node) < size ? 0 :
				      -ENAMETOOLONG;
		}
		free(list[i]);
	}
	free(list);
	return ret;
}

int patcnn_device_path(unsigned int index, char *path, size_t size)
{
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(node_classes); i++) {
		ret = path_in_class(&node_classes[i], &index, path, size);
		if (ret != -ENODEV)
			return ret;
	}
	return -ENODEV;
}

/* Takes over @fd, also on failure. */
static int device_init(int fd, struct patcnn_device **out)
{
	struct patcnn_device *dev;

	if (!fd_is_patcnn(fd)) {
		close(fd);
		return -ENOTTY;
	}
	dev = calloc(1, sizeof(*dev));
	if (!dev) {
		close(fd);
		return -ENOMEM;
	}
	dev->fd = fd;
	pthread_mutex_init(&dev->lock, NULL);
	*out = dev;
	return 0;
}

int patcnn_device_open(const char *path, struct patcnn_device **dev)
{
	char node[64];
	unsigned int i;
	int fd, ret, first = -ENODEV;

	if (path) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : device_init(fd, dev);
	}

	for (i = 0; !patcnn_device_path(i, node, sizeof(node)); i++) {
		ret = patcnn_device_open(node, dev);
		if (!ret)
			return 0;
		if (first == -ENODEV)
			first = ret;
	}
	return first;
}

int patcnn_device_open_fd(int fd, struct patcnn_device **dev)
{
	int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return dup_fd < 0 ? -errno : device_init(dup_fd, dev);
}

void patcnn_device_close(struct patcnn_device *dev)
{
	if (!dev)
		return;
	pthread_mutex_destroy(&dev->lock);
	close(dev->fd);
	free(dev);
}

int patcnn_device_fd(const struct patcnn_device *dev)
{
	return dev->fd;
}

int patcnn_device_get_info(struct patcnn_device *dev, struct patcnn_device_info *info)
{
	/* An older driver writes less than this: what it does not know stays 0. */
	struct drm_patcnn_dev_info drm = { 0 };
	struct drm_patcnn_dev_query query = {
		.type = DRM_PATCNN_DEV_QUERY_INFO,
		.size = sizeof(drm),
		.pointer = (uintptr_t)&drm,
	};
	drmVersionPtr version;
	int ret;

	ret = patcnn_ioctl(dev, DRM_IOCTL_PATCNN_DEV_QUERY, &query);
	if (ret)
		return ret;
	version = drmGetVersion(dev->fd);
	if (!version)
		return -ENOMEM;

	memset(info, 0, sizeof(*info));
	memcpy(info->isa, drm.isa, sizeof(info->isa));
	info->isa[sizeof(info->isa) - 1] = '\0';
	info->driver_major = (uint32_t)version->version_major;
	info->driver_minor = (uint32_t)version->version_minor;
	info->program_version = drm.program_version;
	info->cpus = drm.cpus;
	memcpy(info->cpu_mask, drm.cpu_mask, sizeof(info->cpu_mask));
	info->max_buffer_size = drm.max_bo_size;
	info->max_model_size = drm.max_model_size;
	info->max_models = drm.max_models;
	info->max_contexts = drm.max_contexts;
	info->max_queued = drm.max_queued;
	info->slice_us = drm.slice_us;
	info->timeout_ms = drm.timeout_ms;
	drmFreeVersion(version);
	return 0;
}
