// SPDX-License-Identifier: MIT
/* Ioctls of the driver, dma-buf, syncobj and sync_file for tests. */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/sync_file.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../exporter/patcnn_exporter.h"
#include "device.h"

int dev_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static bool is_patcnn(int fd)
{
	char name[16] = "";
	struct drm_version v = { .name = name, .name_len = sizeof(name) - 1 };

	return !ioctl(fd, DRM_IOCTL_VERSION, &v) && !strcmp(name, "patcnn");
}

const char *dev_path(void)
{
	static char path[64];
	const char *env = getenv("PATCNN_NODE");

	if (env)
		return env;
	/* Looked for each time: a device that was bound again has another number. */
	path[0] = 0;
	for (int i = 0; i < 128 && !path[0]; i++) {
		int fd;

		if (i < 64)
			snprintf(path, sizeof(path), "/dev/accel/accel%d", i);
		else
			snprintf(path, sizeof(path), "/dev/dri/renderD%d", 128 + i - 64);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || !is_patcnn(fd))
			path[0] = 0;
		if (fd >= 0)
			close(fd);
	}
	return path;
}

int dev_open(void)
{
	const char *path = dev_path();

	if (!*path) {
		puts("# no patcnn device: is the module loaded?");
		errno = ENODEV;
		return -1;
	}
	return open(path, O_RDWR | O_CLOEXEC);
}

int dev_info(int fd, struct drm_patcnn_dev_info *info)
{
	struct drm_patcnn_dev_query q = {
		.type = DRM_PATCNN_DEV_QUERY_INFO, .size = sizeof(*info),
		.pointer = (uintptr_t)info,
	};

	memset(info, 0, sizeof(*info));
	return dev_ioctl(fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q);
}

int dev_set_timeout(unsigned int ms, unsigned int *old)
{
	char path[300] = "", text[20];
	int fd, ret = -1;
	glob_t g;

	/* What the device is called depends on who made it. */
	if (!glob("/sys/bus/platform/drivers/patcnn/*/timeout_ms", 0, NULL, &g) && g.gl_pathc) {
		snprintf(path, sizeof(path), "%s", g.gl_pathv[0]);
		globfree(&g);
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!old || read(fd, text, sizeof(text)) > 0) {
		if (old)
			*old = atoi(text);
		snprintf(text, sizeof(text), "%u", ms ? ms : 1);
		ret = pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) ? 0 : -1;
	}
	close(fd);
	return ret;
}

int bo_create(int fd, uint64_t size, uint32_t *handle)
{
	struct drm_patcnn_bo_create a = { .size = size };
	int ret = dev_ioctl(fd, DRM_IOCTL_PATCNN_BO_CREATE, &a);

	*handle = a.handle;
	return ret;
}

void *bo_map(int fd, uint32_t handle, size_t size)
{
	struct drm_patcnn_bo_mmap_offset a = { .handle = handle };

	if (dev_ioctl(fd, DRM_IOCTL_PATCNN_BO_MMAP_OFFSET, &a))
		return MAP_FAILED;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, a.offset);
}

int bo_close(int fd, uint32_t handle)
{
	struct drm_gem_close a = { .handle = handle };

	return dev_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &a);
}

int bo_export(int fd, uint32_t handle)
{
	struct drm_prime_handle a = { .handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR };

	return dev_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &a) ? -1 : a.fd;
}

int bo_import(int fd, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle a = { .fd = dmabuf };
	int ret = dev_ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &a);

	*handle = a.handle;
	return ret;
}

int bo_sync(int fd, uint32_t handle, uint32_t flags, int64_t timeout_ns)
{
	struct drm_patcnn_bo_sync a = { handle, flags, timeout_ns };

	return dev_ioctl(fd, DRM_IOCTL_PATCNN_BO_SYNC, &a);
}

int udmabuf_create(size_t size, int *memfd)
{
	struct udmabuf_create c = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0) {
		errno = ENODEV;
		return -1;
	}
	*memfd = memfd_create("patcnn-test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	if (*memfd < 0 || ftruncate(*memfd, size) || fcntl(*memfd, F_ADD_SEALS, F_SEAL_SHRINK)) {
		close(dev);
		return -1;
	}
	c.memfd = *memfd;
	fd = ioctl(dev, UDMABUF_CREATE, &c);
	close(dev);
	return fd;
}

int exporter_make(uint32_t kind, size_t bytes)
{
	struct patcnn_exporter_make make = { .kind = kind, .bytes = bytes };
	int exporter = open("/dev/patcnn_exporter", O_RDWR | O_CLOEXEC), ret;

	if (exporter < 0)
		return -1;
	ret = ioctl(exporter, PATCNN_EXPORTER_MAKE, &make);
	close(exporter);
	return ret ? -1 : make.fd;
}

int model_create(int fd, const void *blob, size_t size, uint32_t *handle, char *error,
		 size_t error_size)
{
	struct drm_patcnn_model_create a = {
		.program = (uintptr_t)blob, .size = size,
		.error = (uintptr_t)error, .error_size = error_size,
	};
	int ret = dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_CREATE, &a);

	*handle = a.handle;
	return ret;
}

int model_destroy(int fd, uint32_t handle)
{
	struct drm_patcnn_model_destroy a = { .handle = handle };

	return dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_DESTROY, &a);
}

int model_info(int fd, uint32_t handle, struct drm_patcnn_model_info *info)
{
	struct drm_patcnn_model_query q = {
		.handle = handle, .type = DRM_PATCNN_MODEL_QUERY_INFO,
		.array = { sizeof(*info), 1, (uintptr_t)info },
	};

	memset(info, 0, sizeof(*info));
	return dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q);
}

int model_export(int fd, uint32_t handle)
{
	struct drm_patcnn_model_fd a = { .handle = handle };

	return dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_EXPORT, &a) ? -1 : a.fd;
}

int model_import(int fd, int model_fd, uint32_t *handle)
{
	struct drm_patcnn_model_fd a = { .fd = model_fd };
	int ret = dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_IMPORT, &a);

	*handle = a.handle;
	return ret;
}

int ctx_create(int fd, uint32_t priority, const uint64_t *mask, uint32_t *handle)
{
	struct drm_patcnn_ctx_create a = { .priority = priority };
	int ret;

	if (mask)
		memcpy(a.cpu_mask, mask, sizeof(a.cpu_mask));
	ret = dev_ioctl(fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a);
	*handle = a.handle;
	return ret;
}

int ctx_destroy(int fd, uint32_t handle)
{
	struct drm_patcnn_ctx_destroy a = { .handle = handle };

	return dev_ioctl(fd, DRM_IOCTL_PATCNN_CTX_DESTROY, &a);
}

int sync_create(int fd, bool signaled, uint32_t *handle)
{
	struct drm_syncobj_create a = {
		.flags = signaled ? DRM_SYNCOBJ_CREATE_SIGNALED : 0,
	};
	int ret = dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &a);

	*handle = a.handle;
	return ret;
}

int sync_destroy(int fd, uint32_t handle)
{
	struct drm_syncobj_destroy a = { .handle = handle };

	return dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &a);
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	close(fd);
	return ret;
}

int send_fd(int sock, int fd)
{
	char c = 0, buf[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec io = { &c, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = buf,
			    .msg_controllen = sizeof(buf) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	return sendmsg(sock, &m, 0) == 1 ? 0 : -1;
}

int receive_fd(int sock)
{
	char c, buf[CMSG_SPACE(sizeof(int))];
	struct iovec io = { &c, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = buf,
			    .msg_controllen = sizeof(buf) };
	int fd = -1;

	if (recvmsg(sock, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int retry(int fd, unsigned long request, void *arg)
{
	int ret;

	do
		ret = ioctl(fd, request, arg);
	while (ret && (errno == EINTR || errno == EAGAIN));
	return ret;
}

int sync_wait(int fd, uint32_t handle, uint64_t point, int ms)
{
	int64_t end = now_ns() + ms * 1000000ll;

	if (point) {
		struct drm_syncobj_timeline_wait w = {
			.handles = (uintptr_t)&handle, .points = (uintptr_t)&point,
			.timeout_nsec = end, .count_handles = 1,
			.flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
		};

		return retry(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &w);
	} else {
		struct drm_syncobj_wait w = {
			.handles = (uintptr_t)&handle, .timeout_nsec = end,
			.count_handles = 1, .flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
		};

		return retry(fd, DRM_IOCTL_SYNCOBJ_WAIT, &w);
	}
}

int sync_signal_point(int fd, uint32_t handle, uint64_t point)
{
	struct drm_syncobj_timeline_array a = {
		.handles = (uintptr_t)&handle, .points = (uintptr_t)&point, .count_handles = 1,
	};

	return dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &a);
}

int sync_export_file(int fd, uint32_t handle)
{
	struct drm_syncobj_handle a = {
		.handle = handle, .flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
	};

	return dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &a) ? -1 : a.fd;
}

int sync_file_status(int file)
{
	struct sync_file_info info = { 0 };

	if (ioctl(file, SYNC_IOC_FILE_INFO, &info))
		return -errno;
	return info.status;
}

int sync_result(int fd, uint32_t handle, int ms)
{
	int file, status;

	if (sync_wait(fd, handle, 0, ms))
		return -errno;
	file = sync_export_file(fd, handle);
	if (file < 0)
		return -errno;
	status = sync_file_status(file);
	close(file);
	return status == 1 ? 0 : status ? status : -EINPROGRESS;
}

bool is_root(void)
{
	return !geteuid();
}

void job_init(struct job *job, uint32_t ctx, uint32_t model)
{
	memset(job, 0, sizeof(*job));
	job->args.ctx = ctx;
	job->args.model = model;
	job->args.bindings.stride = sizeof(job->binding[0]);
	job->args.syncs.stride = sizeof(job->sync[0]);
}

void job_bind(struct job *job, uint32_t tensor, uint32_t handle, uint64_t offset)
{
	job->binding[job->args.bindings.count++] =
		(struct drm_patcnn_binding){ tensor, handle, offset };
}

void job_sync(struct job *job, uint32_t handle, uint32_t flags, uint64_t point)
{
	job->sync[job->args.syncs.count++] = (struct drm_patcnn_sync){ handle, flags, point };
}

int job_submit(int fd, struct job *job)
{
	/* A test may have set other arrays. */
	if (!job->args.bindings.array)
		job->args.bindings.array = (uintptr_t)job->binding;
	if (!job->args.syncs.array && job->args.syncs.count)
		job->args.syncs.array = (uintptr_t)job->sync;
	return dev_ioctl(fd, DRM_IOCTL_PATCNN_SUBMIT, &job->args);
}
