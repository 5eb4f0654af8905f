/* SPDX-License-Identifier: MIT */
#ifndef _PATCNN_DRM_H_
#define _PATCNN_DRM_H_

#if defined(__KERNEL__)
#include <drm/drm.h>
#else
#include "drm.h"	/* libdrm's */
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * DOC: Introduction
 *
 * PatCNN makes the CPU cores of a system a shared CNN accelerator behind a DRM
 * device: /dev/accel/accelN, or /dev/dri/renderDN where the kernel has no accel
 * class. Driver name "patcnn".
 *
 * A client creates buffers (BO), a model from a program (patcnn_program.h) and a
 * context, and submits jobs: one model, one buffer range per input and output
 * tensor, fences to wait for and to signal. Waiting for a job is DRM's own
 * syncobj wait, or poll() on a sync_file.
 *
 * Rules:
 *
 * - Padding and reserved members must be zero; unknown flags and values are
 *   refused with EINVAL. Members are only appended, and a bit or query tells of
 *   new ones.
 * - Arrays are &struct drm_patcnn_obj_array: the caller states the size of its
 *   elements, so that both sides may be older than the other.
 * - Handles are never zero. Buffers use DRM's GEM handles; models and contexts
 *   have handle spaces of their own, one per open file.
 * - Destroying an object only drops the caller's reference: jobs already
 *   submitted keep what they use.
 * - Sizes and addresses are 64 bits, times are nanoseconds of CLOCK_MONOTONIC.
 *
 * Errors common to all: EFAULT (bad pointer), ENOMEM, ENODEV (device unbound),
 * ENOENT (no object of that handle), EINVAL as above.
 */

/** enum drm_patcnn_ioctl_id - numbers behind DRM_COMMAND_BASE; appended to only. */
enum drm_patcnn_ioctl_id {
	/** @DRM_PATCNN_DEV_QUERY: versions, limits, features. */
	DRM_PATCNN_DEV_QUERY = 0,
	/** @DRM_PATCNN_BO_CREATE: allocate a buffer. */
	DRM_PATCNN_BO_CREATE,
	/** @DRM_PATCNN_BO_MMAP_OFFSET: offset to pass to mmap(). */
	DRM_PATCNN_BO_MMAP_OFFSET,
	/** @DRM_PATCNN_BO_SYNC: bracket CPU access. */
	DRM_PATCNN_BO_SYNC,
	/** @DRM_PATCNN_MODEL_CREATE: copy, validate and prepare a program. */
	DRM_PATCNN_MODEL_CREATE,
	/** @DRM_PATCNN_MODEL_DESTROY: drop a model. */
	DRM_PATCNN_MODEL_DESTROY,
	/** @DRM_PATCNN_MODEL_QUERY: a model's tensors and steps. */
	DRM_PATCNN_MODEL_QUERY,
	/** @DRM_PATCNN_MODEL_EXPORT: a file descriptor for a model. */
	DRM_PATCNN_MODEL_EXPORT,
	/** @DRM_PATCNN_MODEL_IMPORT: a model from such a file descriptor. */
	DRM_PATCNN_MODEL_IMPORT,
	/** @DRM_PATCNN_CTX_CREATE: a queue of jobs. */
	DRM_PATCNN_CTX_CREATE,
	/** @DRM_PATCNN_CTX_DESTROY: cancel a context's jobs and drop it. */
	DRM_PATCNN_CTX_DESTROY,
	/** @DRM_PATCNN_SUBMIT: queue a job. */
	DRM_PATCNN_SUBMIT,
};

/** struct drm_patcnn_obj_array - an array of user space. */
struct drm_patcnn_obj_array {
	/** @stride: bytes of one element as the caller knows it. */
	__u32 stride;
	/** @count: number of elements. */
	__u32 count;
	/** @array: user pointer to the first element. */
	__u64 array;
};

/** enum drm_patcnn_dev_query_type - what DEV_QUERY returns. */
enum drm_patcnn_dev_query_type {
	/** @DRM_PATCNN_DEV_QUERY_INFO: &struct drm_patcnn_dev_info. */
	DRM_PATCNN_DEV_QUERY_INFO = 0,
};

/**
 * struct drm_patcnn_dev_query - DEV_QUERY.
 *
 * With @pointer 0, @size returns the driver's size of the structure. Otherwise
 * at most @size bytes are written, and @size returns how many; bytes that the
 * caller has room for and the driver does not know are left as they are.
 */
struct drm_patcnn_dev_query {
	/** @type: enum drm_patcnn_dev_query_type. */
	__u32 type;
	/** @size: bytes at @pointer, in and out. */
	__u32 size;
	/** @pointer: user pointer. */
	__u64 pointer;
};

/** define DRM_PATCNN_FEATURE_MODEL_FD - models can be passed as file descriptors. */
#define DRM_PATCNN_FEATURE_MODEL_FD	0x1ULL
/** define DRM_PATCNN_FEATURE_TIMELINE - timeline syncobjs. */
#define DRM_PATCNN_FEATURE_TIMELINE	0x2ULL
/** define DRM_PATCNN_FEATURE_PROFILE - profile buffers. */
#define DRM_PATCNN_FEATURE_PROFILE	0x4ULL

/** struct drm_patcnn_dev_info - the device. */
struct drm_patcnn_dev_info {
	/** @features: DRM_PATCNN_FEATURE bits. */
	__u64 features;
	/** @cpus: number of CPUs in the pool now. */
	__u32 cpus;
	/** @program_version: highest program version, major << 16 | minor. */
	__u32 program_version;
	/** @isa: kernels in use: "generic", "avx2", "avx512", "neon". */
	char isa[16];
	/** @cpu_mask: CPUs 0 to 255 of the pool, bit n of word n / 64. */
	__u64 cpu_mask[4];
	/** @max_bo_size: bytes. */
	__u64 max_bo_size;
	/** @max_model_size: bytes of a program. */
	__u64 max_model_size;
	/** @max_models: per open file. */
	__u32 max_models;
	/** @max_contexts: per open file. */
	__u32 max_contexts;
	/** @max_syncs: per SUBMIT. */
	__u32 max_syncs;
	/** @max_queued: jobs of one context that have not finished. */
	__u32 max_queued;
	/** @slice_us: longest stretch of work between two points where a worker can be stopped. */
	__u32 slice_us;
	/** @timeout_ms: a running job is cancelled after this wall-clock time. */
	__u32 timeout_ms;
};

/**
 * struct drm_patcnn_bo_create - BO_CREATE.
 *
 * Memory is zeroed, cached, and charged to the caller's memory cgroup.
 * Fails with E2BIG above &drm_patcnn_dev_info.max_bo_size.
 */
struct drm_patcnn_bo_create {
	/** @size: bytes, not zero; returns the size rounded up to pages. */
	__u64 size;
	/** @flags: must be zero. */
	__u32 flags;
	/** @handle: returns the GEM handle. */
	__u32 handle;
};

/** struct drm_patcnn_bo_mmap_offset - BO_MMAP_OFFSET. */
struct drm_patcnn_bo_mmap_offset {
	/** @handle: GEM handle. */
	__u32 handle;
	/** @pad: must be zero. */
	__u32 pad;
	/** @offset: returns the offset for mmap() on the device's file. */
	__u64 offset;
};

/** define DRM_PATCNN_BO_SYNC_READ - the CPU is about to read, or has read. */
#define DRM_PATCNN_BO_SYNC_READ		0x1
/** define DRM_PATCNN_BO_SYNC_WRITE - the CPU is about to write, or has written. */
#define DRM_PATCNN_BO_SYNC_WRITE	0x2
/** define DRM_PATCNN_BO_SYNC_END - end of the access; without it: wait for jobs, then begin. */
#define DRM_PATCNN_BO_SYNC_END		0x4

/**
 * struct drm_patcnn_bo_sync - BO_SYNC.
 *
 * Begin waits until no job uses the buffer (ETIMEDOUT at @timeout_ns, EINTR),
 * and makes what other devices wrote to an imported buffer visible to the CPU;
 * end makes what the CPU wrote visible to them.
 */
struct drm_patcnn_bo_sync {
	/** @handle: GEM handle. */
	__u32 handle;
	/** @flags: DRM_PATCNN_BO_SYNC bits; READ or WRITE at least. */
	__u32 flags;
	/** @timeout_ns: absolute; in the past: do not wait. */
	__s64 timeout_ns;
};

/**
 * struct drm_patcnn_model_create - MODEL_CREATE.
 *
 * The program is copied once: changing the memory afterwards has no effect. If
 * it is refused (EINVAL; E2BIG above a limit), @error receives a text that
 * names operator and field.
 */
struct drm_patcnn_model_create {
	/** @program: user pointer to the program. */
	__u64 program;
	/** @size: bytes of the program. */
	__u64 size;
	/** @error: user pointer to a text buffer, or 0. */
	__u64 error;
	/** @error_size: bytes at @error. */
	__u32 error_size;
	/** @flags: DRM_PATCNN_MODEL bits. */
	__u32 flags;
	/** @handle: returns the model handle. */
	__u32 handle;
	/** @pad: must be zero. */
	__u32 pad;
};

/** define DRM_PATCNN_MODEL_NO_FUSE - one operator a step; for comparison. */
#define DRM_PATCNN_MODEL_NO_FUSE	0x1

/** struct drm_patcnn_model_destroy - MODEL_DESTROY. */
struct drm_patcnn_model_destroy {
	/** @handle: model handle. */
	__u32 handle;
	/** @pad: must be zero. */
	__u32 pad;
};

/** enum drm_patcnn_model_query_type - what MODEL_QUERY returns. */
enum drm_patcnn_model_query_type {
	/** @DRM_PATCNN_MODEL_QUERY_INFO: one &struct drm_patcnn_model_info. */
	DRM_PATCNN_MODEL_QUERY_INFO = 0,
	/**
	 * @DRM_PATCNN_MODEL_QUERY_TENSORS: &struct drm_patcnn_tensor_info of each input
	 * and output.
	 */
	DRM_PATCNN_MODEL_QUERY_TENSORS,
	/** @DRM_PATCNN_MODEL_QUERY_STEPS: &struct drm_patcnn_step_info of each step. */
	DRM_PATCNN_MODEL_QUERY_STEPS,
};

/** struct drm_patcnn_model_info - sizes of a model. */
struct drm_patcnn_model_info {
	/** @program_bytes: size of the program. */
	__u64 program_bytes;
	/** @prepared_bytes: memory of the plan and the packed weights. */
	__u64 prepared_bytes;
	/** @arena_bytes: activations of one job in flight. */
	__u64 arena_bytes;
	/** @scratch_bytes: of each worker. */
	__u64 scratch_bytes;
	/** @macs_dense: multiply-accumulates of the net without zeros removed. */
	__u64 macs_dense;
	/** @macs_kept: of the net as it runs. */
	__u64 macs_kept;
	/** @tensors: number of inputs and outputs. */
	__u32 tensors;
	/** @steps: number of steps. */
	__u32 steps;
	/** @operators: number of operators of the program. */
	__u32 operators;
	/** @workers: columns of a profile: CPUs of the pool, in ascending order. */
	__u32 workers;
};

/** struct drm_patcnn_tensor_info - an input or output of a model. */
struct drm_patcnn_tensor_info {
	/** @index: tensor index of the program; what a binding names. */
	__u32 index;
	/** @role: enum patcnn_role: INPUT or OUTPUT. */
	__u8 role;
	/** @dtype: enum patcnn_dtype. */
	__u8 dtype;
	/** @layout: enum patcnn_layout. */
	__u8 layout;
	/** @rank: valid entries of @shape. */
	__u8 rank;
	/** @shape: as in the program. */
	__u32 shape[6];
	/** @bytes: what a binding needs. */
	__u64 bytes;
	/** @name: NUL-terminated, truncated. */
	char name[64];
};

/** struct drm_patcnn_step_info - one step of a model's plan. */
struct drm_patcnn_step_info {
	/** @op_first: first operator of the step. */
	__u32 op_first;
	/** @op_count: operators that it runs; 0: a copy in or out that the plan added. */
	__u32 op_count;
	/** @tiles: pieces that workers claim. */
	__u32 tiles;
	/** @kind: enum patcnn_operator_kind of the main operator. */
	__u32 kind;
	/** @macs_dense: see &drm_patcnn_model_info. */
	__u64 macs_dense;
	__u64 macs_kept;
	/** @algorithm: NUL-terminated, e.g. "pattern 7x2 g4". */
	char algorithm[32];
	/** @name: of the main operator, NUL-terminated, truncated. */
	char name[64];
};

/**
 * struct drm_patcnn_model_query - MODEL_QUERY.
 *
 * With @array.array 0, @array.count returns the number of elements and
 * @array.stride the driver's size of one. Otherwise up to @array.count elements
 * are written, @array.stride bytes apart, and @array.count returns how many.
 */
struct drm_patcnn_model_query {
	/** @handle: model handle. */
	__u32 handle;
	/** @type: enum drm_patcnn_model_query_type. */
	__u32 type;
	/** @array: in and out. */
	struct drm_patcnn_obj_array array;
};

/** struct drm_patcnn_model_fd - MODEL_EXPORT and MODEL_IMPORT. */
struct drm_patcnn_model_fd {
	/** @handle: model handle; MODEL_IMPORT returns it. */
	__u32 handle;
	/** @fd: file descriptor (O_CLOEXEC); MODEL_EXPORT returns it. */
	__s32 fd;
	/** @flags: must be zero. */
	__u32 flags;
	/** @pad: must be zero. */
	__u32 pad;
};

/** enum drm_patcnn_priority - of a context. */
enum drm_patcnn_priority {
	DRM_PATCNN_PRIORITY_LOW = 0,
	DRM_PATCNN_PRIORITY_NORMAL = 1,
	/** @DRM_PATCNN_PRIORITY_HIGH: needs CAP_SYS_NICE; else EACCES. */
	DRM_PATCNN_PRIORITY_HIGH = 2,
};

/**
 * struct drm_patcnn_ctx_create - CTX_CREATE.
 *
 * Jobs of a context run one after the other, in the order of submission.
 */
struct drm_patcnn_ctx_create {
	/** @priority: enum drm_patcnn_priority. */
	__u32 priority;
	/** @flags: must be zero. */
	__u32 flags;
	/**
	 * @cpu_mask: CPUs 0 to 255 that may work for it; all zero: the whole pool; none of
	 * them in the pool: EINVAL.
	 */
	__u64 cpu_mask[4];
	/** @handle: returns the context handle. */
	__u32 handle;
	/** @pad: must be zero. */
	__u32 pad;
};

/** struct drm_patcnn_ctx_destroy - CTX_DESTROY. */
struct drm_patcnn_ctx_destroy {
	/** @handle: context handle. */
	__u32 handle;
	/** @pad: must be zero. */
	__u32 pad;
};

/** struct drm_patcnn_binding - memory of one input or output tensor. */
struct drm_patcnn_binding {
	/** @tensor: tensor index of the program. */
	__u32 tensor;
	/** @handle: GEM handle. */
	__u32 handle;
	/** @offset: in the buffer, multiple of 64; the tensor must fit behind it. */
	__u64 offset;
};

/**
 * define DRM_PATCNN_SYNC_SIGNAL - signal when the job is done; without it: wait before it
 * starts.
 */
#define DRM_PATCNN_SYNC_SIGNAL		0x1
/** define DRM_PATCNN_SYNC_TIMELINE - @point is of a timeline syncobj. */
#define DRM_PATCNN_SYNC_TIMELINE	0x2

/** struct drm_patcnn_sync - a syncobj to wait for or to signal. */
struct drm_patcnn_sync {
	/** @handle: syncobj handle. */
	__u32 handle;
	/** @flags: DRM_PATCNN_SYNC bits. */
	__u32 flags;
	/** @point: timeline point, not zero; binary: zero. */
	__u64 point;
};

/**
 * struct drm_patcnn_submit - SUBMIT.
 *
 * Every input and output tensor of the model is bound exactly once. Outputs must
 * not overlap each other or an input. Fails with EBUSY when the context has
 * &drm_patcnn_dev_info.max_queued jobs.
 *
 * The fence of a job that was cancelled carries an error: ECANCELED (context or
 * client gone, device unbound), ETIME (took longer than timeout_ms).
 */
struct drm_patcnn_submit {
	/** @ctx: context handle. */
	__u32 ctx;
	/** @model: model handle. */
	__u32 model;
	/** @bindings: of &struct drm_patcnn_binding. */
	struct drm_patcnn_obj_array bindings;
	/** @syncs: of &struct drm_patcnn_sync. */
	struct drm_patcnn_obj_array syncs;
	/** @profile_handle: GEM handle of a buffer for &struct drm_patcnn_profile, or 0. */
	__u32 profile_handle;
	/** @flags: must be zero. */
	__u32 flags;
	/** @profile_offset: in that buffer, multiple of 64. */
	__u64 profile_offset;
};

/**
 * struct drm_patcnn_profile - head of a profile, written when the job is done.
 *
 * Followed by __u64 wall_ns[steps] (first claim of a tile to last tile done)
 * and by __u64 busy_ns[steps][workers] (time in kernels).
 */
struct drm_patcnn_profile {
	/** @steps: as in &struct drm_patcnn_model_info. */
	__u32 steps;
	/** @workers: as in &struct drm_patcnn_model_info. */
	__u32 workers;
	/** @queued_ns: SUBMIT. */
	__u64 queued_ns;
	/** @start_ns: workers woken. */
	__u64 start_ns;
	/** @end_ns: last tile done. */
	__u64 end_ns;
};

#define DRM_IOCTL_PATCNN_DEV_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_DEV_QUERY, struct drm_patcnn_dev_query)
#define DRM_IOCTL_PATCNN_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_BO_CREATE, struct drm_patcnn_bo_create)
#define DRM_IOCTL_PATCNN_BO_MMAP_OFFSET \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_BO_MMAP_OFFSET, struct drm_patcnn_bo_mmap_offset)
#define DRM_IOCTL_PATCNN_BO_SYNC \
	DRM_IOW(DRM_COMMAND_BASE + DRM_PATCNN_BO_SYNC, struct drm_patcnn_bo_sync)
#define DRM_IOCTL_PATCNN_MODEL_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_MODEL_CREATE, struct drm_patcnn_model_create)
#define DRM_IOCTL_PATCNN_MODEL_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_PATCNN_MODEL_DESTROY, struct drm_patcnn_model_destroy)
#define DRM_IOCTL_PATCNN_MODEL_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_MODEL_QUERY, struct drm_patcnn_model_query)
#define DRM_IOCTL_PATCNN_MODEL_EXPORT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_MODEL_EXPORT, struct drm_patcnn_model_fd)
#define DRM_IOCTL_PATCNN_MODEL_IMPORT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_MODEL_IMPORT, struct drm_patcnn_model_fd)
#define DRM_IOCTL_PATCNN_CTX_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_PATCNN_CTX_CREATE, struct drm_patcnn_ctx_create)
#define DRM_IOCTL_PATCNN_CTX_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_PATCNN_CTX_DESTROY, struct drm_patcnn_ctx_destroy)
#define DRM_IOCTL_PATCNN_SUBMIT \
	DRM_IOW(DRM_COMMAND_BASE + DRM_PATCNN_SUBMIT, struct drm_patcnn_submit)

#if defined(__cplusplus)
}
#endif

#endif
