/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_H
#define PATCNN_H

/*
 * libpatcnn: a thin library over the ioctls of the patcnn driver.
 *
 * Every function returns 0 (or what it says) or a negative errno. Handles are
 * opaque. Different handles may be used by different threads at the same time;
 * one handle by one thread at a time, except patcnn_submit() and
 * patcnn_submit_wait(), which any number of threads may call on one context.
 * Nothing is global. Destroying an object is allowed while jobs use it; NULL is
 * ignored by every destroy function. Objects of a device must be destroyed
 * before the device is closed.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct patcnn_device;
struct patcnn_buffer;
struct patcnn_model;
struct patcnn_context;

/* ---- devices ---- */

/* Path of device node number @index (0, 1, ...) whose driver is patcnn, into @path. -ENODEV behind the last. */
int patcnn_device_path(unsigned int index, char *path, size_t size);

/* Open the node @path, or the first device if NULL. -ENODEV: none; -EACCES: no permission. */
int patcnn_device_open(const char *path, struct patcnn_device **dev);

/* Use an already open file descriptor; it is duplicated. -ENOTTY: not a patcnn device. */
int patcnn_device_open_fd(int fd, struct patcnn_device **dev);

void patcnn_device_close(struct patcnn_device *dev);

/* The file descriptor, for libdrm calls (syncobjs); stays owned by @dev. */
int patcnn_device_fd(const struct patcnn_device *dev);

struct patcnn_device_info {
	char isa[16];			/* "generic", "avx2", "avx512", "neon" */
	uint32_t driver_major;
	uint32_t driver_minor;
	uint32_t program_version;	/* major << 16 | minor */
	uint32_t cpus;			/* in the pool */
	uint64_t cpu_mask[4];		/* bit n of word n / 64: CPU n */
	uint64_t max_buffer_size;
	uint64_t max_model_size;
	uint32_t max_models;
	uint32_t max_contexts;
	uint32_t max_queued;
	uint32_t slice_us;
	uint32_t timeout_ms;
};

int patcnn_device_get_info(struct patcnn_device *dev, struct patcnn_device_info *info);

/* ---- buffers ---- */

/* Allocate zeroed, cached memory of at least @size bytes and map it. */
int patcnn_buffer_create(struct patcnn_device *dev, uint64_t size, struct patcnn_buffer **buf);

/* Import a dma-buf (camera, GPU, udmabuf); @fd stays the caller's. Mapped on first patcnn_buffer_map(). */
int patcnn_buffer_import(struct patcnn_device *dev, int fd, struct patcnn_buffer **buf);

/* A dma-buf file descriptor (O_CLOEXEC) of the buffer, for other devices: returned. */
int patcnn_buffer_export(struct patcnn_buffer *buf);

/* Address of the buffer's memory in this process. */
int patcnn_buffer_map(struct patcnn_buffer *buf, void **ptr);

uint64_t patcnn_buffer_size(const struct patcnn_buffer *buf);

void patcnn_buffer_destroy(struct patcnn_buffer *buf);

#define PATCNN_READ	1u
#define PATCNN_WRITE	2u

/*
 * Bracket CPU access to a buffer that jobs or other devices also use: begin
 * waits at most @timeout_ms (-1: forever) until no job uses it. -ETIMEDOUT.
 */
int patcnn_buffer_begin(struct patcnn_buffer *buf, unsigned int access, int timeout_ms);
int patcnn_buffer_end(struct patcnn_buffer *buf, unsigned int access);

/* ---- models ---- */

/* @error, of @error_size bytes, receives a sentence if the program is refused; may be NULL. */
int patcnn_model_load(struct patcnn_device *dev, const char *path,
		      struct patcnn_model **model, char *error, size_t error_size);
int patcnn_model_create(struct patcnn_device *dev, const void *program, size_t size,
			unsigned int flags, struct patcnn_model **model,
			char *error, size_t error_size);

#define PATCNN_MODEL_NO_FUSE	1u	/* one operator a step, for comparison */

/* A file descriptor (O_CLOEXEC) that another process turns into the same model, weights shared: returned. */
int patcnn_model_export(struct patcnn_model *model);
int patcnn_model_import(struct patcnn_device *dev, int fd, struct patcnn_model **model);

void patcnn_model_destroy(struct patcnn_model *model);

struct patcnn_model_info {
	uint64_t program_bytes;
	uint64_t prepared_bytes;
	uint64_t arena_bytes;
	uint64_t scratch_bytes;
	uint64_t macs_dense;
	uint64_t macs_kept;
	uint32_t inputs;
	uint32_t outputs;
	uint32_t steps;
	uint32_t operators;
	uint32_t workers;
};

int patcnn_model_get_info(struct patcnn_model *model, struct patcnn_model_info *info);

enum patcnn_type {
	PATCNN_TYPE_F32 = 1,
	PATCNN_TYPE_U8 = 2,
};

struct patcnn_tensor_desc {
	const char *name;	/* lives as long as the model */
	uint32_t index;		/* tensor index of the program */
	uint32_t type;		/* enum patcnn_type */
	uint32_t layout;	/* 0: in the order of the shape; 1: height, width, channel */
	uint32_t rank;
	uint32_t shape[6];
	uint64_t bytes;
};

/* Inputs and outputs are numbered from 0 in the order of the program. -ERANGE behind the last. */
int patcnn_model_input(struct patcnn_model *model, unsigned int i, struct patcnn_tensor_desc *desc);
int patcnn_model_output(struct patcnn_model *model, unsigned int i, struct patcnn_tensor_desc *desc);

struct patcnn_step_desc {
	const char *name;	/* of the main operator; lives as long as the model */
	const char *algorithm;
	const char *kind;	/* "conv", "linear", ... */
	uint32_t op_first;
	uint32_t op_count;
	uint32_t tiles;
	uint64_t macs_dense;
	uint64_t macs_kept;
};

int patcnn_model_step(struct patcnn_model *model, unsigned int i, struct patcnn_step_desc *desc);

/* ---- contexts and jobs ---- */

enum patcnn_priority {
	PATCNN_PRIORITY_LOW = 0,
	PATCNN_PRIORITY_NORMAL = 1,
	PATCNN_PRIORITY_HIGH = 2,	/* needs CAP_SYS_NICE: -EACCES */
};

/* @cpu_mask: 4 words as in patcnn_device_info, or NULL: the whole pool. */
int patcnn_context_create(struct patcnn_device *dev, enum patcnn_priority priority,
			  const uint64_t *cpu_mask, struct patcnn_context **ctx);

/* Cancels what is queued (-ECANCELED to those who wait) and waits until no job of it runs. */
void patcnn_context_destroy(struct patcnn_context *ctx);

struct patcnn_binding {
	struct patcnn_buffer *buffer;
	uint64_t offset;	/* multiple of 64 */
};

struct patcnn_job_args {
	const struct patcnn_binding *inputs;	/* one for each input, in order */
	const struct patcnn_binding *outputs;	/* one for each output, in order */
	int in_fence;				/* sync_file to wait for, or -1; stays the caller's */
	struct patcnn_buffer *profile;		/* of patcnn_profile_size() bytes, or NULL */
	uint64_t profile_offset;		/* multiple of 64 */
};

/* Queue a job; its sync_file is stored in @out_fence (poll() it, pass it on, close it) unless NULL. */
int patcnn_submit(struct patcnn_context *ctx, struct patcnn_model *model,
		  const struct patcnn_job_args *args, int *out_fence);

/* Queue a job and wait for it. -ETIMEDOUT: still running; -ECANCELED, -ETIME: the job's own error. */
int patcnn_submit_wait(struct patcnn_context *ctx, struct patcnn_model *model,
		       const struct patcnn_job_args *args, int timeout_ms);

/* Wait for a sync_file and return the job's error, if any. */
int patcnn_fence_wait(int fence, int timeout_ms);

/* Bytes of a profile of @model. */
uint64_t patcnn_profile_size(struct patcnn_model *model);

struct patcnn_profile {
	uint64_t queued_ns;
	uint64_t start_ns;
	uint64_t end_ns;
	uint32_t steps;
	uint32_t workers;
	const uint64_t *wall_ns;	/* [steps] */
	const uint64_t *busy_ns;	/* [steps][workers] */
};

/* Read a finished job's profile at @ptr (mapped); pointers are into @ptr. */
int patcnn_profile_read(const void *ptr, uint64_t size, struct patcnn_profile *profile);

#ifdef __cplusplus
}
#endif

#endif
