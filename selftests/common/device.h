/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_TEST_DEVICE_H
#define PATCNN_TEST_DEVICE_H

/*
 * The ioctls of the driver for tests: no library between, so that a test can say
 * anything to the kernel. Functions return 0 (or a descriptor) or -1 with errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <drm/patcnn_drm.h>
#include <drm/patcnn_program.h>

#include "build_program.h"
#include "reference.h"

/* ioctl() without the restart loop of libdrm: tests want to see EINTR. */
int dev_ioctl(int fd, unsigned long request, void *arg);

/* The first patcnn node (or $PATCNN_NODE), opened again at each call. */
int dev_open(void);
const char *dev_path(void);
int dev_info(int fd, struct drm_patcnn_dev_info *info);

/* Of the watchdog, for all clients: to be restored. Needs root. */
int dev_set_timeout(unsigned int ms, unsigned int *old);

int bo_create(int fd, uint64_t size, uint32_t *handle);
void *bo_map(int fd, uint32_t handle, size_t size);
int bo_close(int fd, uint32_t handle);
int bo_export(int fd, uint32_t handle);
int bo_import(int fd, int dmabuf, uint32_t *handle);
int bo_sync(int fd, uint32_t handle, uint32_t flags, int64_t timeout_ns);
/* A dma-buf of @size bytes by udmabuf; -1 with ENODEV if the kernel has none. */
int udmabuf_create(size_t size, int *memfd);

/* One as no driver should make it, by patcnn_exporter.ko; @kind: see its header. */
int exporter_make(uint32_t kind, size_t bytes);

int model_create(int fd, const void *blob, size_t size, uint32_t *handle, char *error,
		 size_t error_size);
int model_destroy(int fd, uint32_t handle);
int model_info(int fd, uint32_t handle, struct drm_patcnn_model_info *info);
int model_export(int fd, uint32_t handle);
int model_import(int fd, int model_fd, uint32_t *handle);

int ctx_create(int fd, uint32_t priority, const uint64_t *mask, uint32_t *handle);
int ctx_destroy(int fd, uint32_t handle);

int sync_create(int fd, bool signaled, uint32_t *handle);
int sync_destroy(int fd, uint32_t handle);
/* @point 0: binary. Waits at most @ms; -1 with ETIME. */
int sync_wait(int fd, uint32_t handle, uint64_t point, int ms);
int sync_signal_point(int fd, uint32_t handle, uint64_t point);
int sync_export_file(int fd, uint32_t handle);
/* 1: signalled, 0: not yet, negative: the job's error. */
int sync_file_status(int file);
/* Wait and return the job's error (0 or negative), or -ETIME. */
int sync_result(int fd, uint32_t handle, int ms);

/* A descriptor through a socket (SCM_RIGHTS). */
int send_fd(int sock, int fd);
int receive_fd(int sock);

int64_t now_ns(void);
/* Write @text to a file that exists: a setting of sysfs, debugfs or a cgroup. */
int write_file(const char *path, const char *text);
/* Size and credentials of this process for messages of skipped tests. */
bool is_root(void);

#define DEV_MAX_BINDINGS 8
#define DEV_MAX_SYNCS 8

/* struct job - arguments of SUBMIT, to fill and to spoil. */
struct job {
	struct drm_patcnn_binding binding[DEV_MAX_BINDINGS];
	struct drm_patcnn_sync sync[DEV_MAX_SYNCS];
	struct drm_patcnn_submit args;
};

void job_init(struct job *job, uint32_t ctx, uint32_t model);
void job_bind(struct job *job, uint32_t tensor, uint32_t handle, uint64_t offset);
void job_sync(struct job *job, uint32_t handle, uint32_t flags, uint64_t point);
int job_submit(int fd, struct job *job);

/*
 * struct net - a model with one input and one output, its buffers, context and
 * reference: what most tests need.
 */
struct net {
	int fd;
	void *blob;
	size_t size;
	uint32_t in, out;	/* tensors */
	size_t in_bytes, out_bytes;
	uint32_t model, ctx;
	uint32_t in_bo, out_bo;
	void *in_map;
	float *out_map;
	struct ref ref;
};

/* Takes the tables of @pb; @fd stays the caller's. Return: 0 or -1; what failed is printed. */
int net_open(struct net *net, int fd, struct pb *pb, uint32_t in, uint32_t out);
void net_close(struct net *net);
void net_fill(struct net *net, uint64_t seed);
void net_job(const struct net *net, struct job *job);
/* Submit, wait, compare with the reference. Return: 0, or an errno; EBADMSG: wrong result. */
int net_run(struct net *net);
/* The same without a look at the result. */
int net_run_unchecked(struct net *net);
/* With other buffers, the input at an offset; nothing is compared. Return: 0 or an errno. */
int net_run_with(struct net *net, uint32_t in, uint64_t in_offset, uint32_t out);
/* Milliseconds of a job, best of three; 0: it failed. */
unsigned int net_ms(struct net *net);
/* Compare what is in the output now. */
bool net_right(struct net *net);

/* A small net of many operators on 3 x 9 x 11, and one whose job takes about @ms. */
int net_open_small(struct net *net, int fd);
int net_open_slow(struct net *net, int fd, unsigned int ms);

/* The same as programs, for tests that want no buffers. */
void build_small(struct pb *pb, uint32_t *in, uint32_t *out);
void build_slow(struct pb *pb, unsigned int layers, unsigned int side, uint32_t *in,
		uint32_t *out);

#endif
