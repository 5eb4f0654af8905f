// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Models
 *
 * A model is made in one go by MODEL_CREATE: the program is copied into memory of the
 * kernel, validated, planned for the CPUs of the pool, and its weights are packed for
 * this CPU's kernels. Nothing of it changes afterwards, and no address a worker uses
 * depends on anything a client can still write. All of its memory is charged to the
 * caller's memory cgroup.
 *
 * Copying and packing go in pieces, so that a fatal signal is noticed and nobody
 * waits for the CPU.
 *
 * References: handles of files, file descriptors made by MODEL_EXPORT, jobs. Such a
 * descriptor is recognised by its file operations; it pins the module as every file
 * does. A model holds its device so that import can compare addresses.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <drm/drm_drv.h>

#include "patcnn_drv.h"
#include "patcnn_model.h"

#define PATCNN_COPY_BYTES	SZ_1M

/* A client may ask for more than there is: no need to log it. */
#define PATCNN_MODEL_GFP	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN)

static void patcnn_model_free(struct kref *kref)
{
	struct patcnn_model *model = container_of(kref, struct patcnn_model, kref);

	if (model->reserved)
		patcnn_scratch_release(&to_patcnn_device(model->drm)->pool,
				       model->plan->scratch_bytes);
	vfree(model->packed);
	vfree(model->plan);
	vfree(model->blob);
	drm_dev_put(model->drm);
	kfree(model);
}

/* patcnn_model_put - drop a reference; may free large memory: not for workers. */
void patcnn_model_put(struct patcnn_model *model)
{
	kref_put(&model->kref, patcnn_model_free);
}

/* patcnn_model_lookup - the model of @handle, referenced, or NULL. */
struct patcnn_model *patcnn_model_lookup(struct patcnn_file *pfile, u32 handle)
{
	struct patcnn_model *model;

	xa_lock(&pfile->models);
	model = xa_load(&pfile->models, handle);
	if (model)
		kref_get(&model->kref);
	xa_unlock(&pfile->models);
	return model;
}

/* patcnn_model_bytes - memory that it takes. */
u64 patcnn_model_bytes(const struct patcnn_model *model)
{
	return model->blob_bytes + model->plan_bytes + model->plan->packed_bytes;
}

/* Consumes the reference. */
static int patcnn_model_publish(struct patcnn_file *pfile, struct patcnn_model *model, u32 *handle)
{
	int ret;

	ret = xa_alloc(&pfile->models, handle, model, XA_LIMIT(1, PATCNN_MAX_MODELS),
		       GFP_KERNEL_ACCOUNT);
	if (ret)
		patcnn_model_put(model);
	return ret == -EBUSY ? -EMFILE : ret;
}

static int patcnn_model_copy(struct patcnn_model *model, u64 program)
{
	u64 done;

	model->blob = __vmalloc(max_t(u64, model->blob_bytes, PAT_ALIGN), PATCNN_MODEL_GFP);
	if (!model->blob)
		return -ENOMEM;
	for (done = 0; done < model->blob_bytes; done += PATCNN_COPY_BYTES) {
		size_t bytes = min_t(u64, PATCNN_COPY_BYTES, model->blob_bytes - done);

		if (copy_from_user(model->blob + done, u64_to_user_ptr(program + done), bytes))
			return -EFAULT;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int patcnn_model_open(struct patcnn_model *model, struct pat_error *error)
{
	void *work = vmalloc(PAT_WORK_BYTES);
	int ret;

	if (!work)
		return -ENOMEM;
	ret = pat_program_open(&model->prog, model->blob, model->blob_bytes, work, error);
	vfree(work);
	return ret;
}

static int patcnn_model_plan(struct patcnn_model *model, u32 flags, struct pat_error *error)
{
	struct patcnn_device *pdev = to_patcnn_device(model->drm);
	struct pat_plan_opts opts = {
		.isa = pdev->isa,
		.workers = max(patcnn_pool_cpus(&pdev->pool, NULL), 1U),
		.flags = flags & DRM_PATCNN_MODEL_NO_FUSE ? PAT_PLAN_NO_FUSE : 0,
	};
	int ret;

	model->plan_bytes = pat_plan_bytes(&model->prog);
	model->plan = __vmalloc(model->plan_bytes, PATCNN_MODEL_GFP | __GFP_ZERO);
	if (!model->plan)
		return -ENOMEM;
	ret = pat_plan_build(model->plan, &model->prog, &opts, error);
	if (ret)
		return ret;
	if (!model->plan->step_count) {
		strscpy(error->text, "program: no operator", sizeof(error->text));
		return -EINVAL;
	}
	ret = patcnn_scratch_reserve(&pdev->pool, model->plan->scratch_bytes);
	model->reserved = !ret;
	if (ret == -E2BIG)
		snprintf(error->text, sizeof(error->text),
			 "plan: scratch of %llu bytes, %u allowed",
			 model->plan->scratch_bytes, PATCNN_MAX_SCRATCH);
	return ret;
}

/* Without SIMD: weights are only moved. A call may take as long as a layer is large. */
static int patcnn_model_pack(struct patcnn_model *model)
{
	struct pat_pack_cursor cursor = {};

	model->packed = patcnn_vmalloc_huge(max_t(u64, model->plan->packed_bytes, PAT_ALIGN));
	if (!model->packed)
		return -ENOMEM;
	while (!pat_plan_pack(model->plan, model->packed, &cursor)) {
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static int patcnn_model_make(struct patcnn_model *model,
			     const struct drm_patcnn_model_create *args, struct pat_error *error)
{
	int ret;

	ret = patcnn_model_copy(model, args->program);
	if (ret)
		return ret;
	ret = patcnn_model_open(model, error);
	if (ret)
		return ret;
	ret = patcnn_model_plan(model, args->flags, error);
	if (ret)
		return ret;
	return patcnn_model_pack(model);
}

/* The reason is worth more than whether it could be told: a failing copy is ignored. */
static void patcnn_model_tell(const struct drm_patcnn_model_create *args, struct pat_error *error)
{
	size_t bytes;

	if (!args->error || !args->error_size || !error->text[0])
		return;
	bytes = min_t(size_t, sizeof(error->text), args->error_size);
	error->text[bytes - 1] = 0;
	bytes = strlen(error->text) + 1;
	if (copy_to_user(u64_to_user_ptr(args->error), error->text, bytes))
		return;
}

int patcnn_ioctl_model_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_model_create *args = data;
	struct patcnn_model *model;
	struct pat_error *error;
	int ret = -ENOMEM;

	if ((args->flags & ~DRM_PATCNN_MODEL_NO_FUSE) || args->pad)
		return -EINVAL;
	if (args->size > PATCNN_MAX_MODEL_SIZE)
		return -E2BIG;

	error = kzalloc(sizeof(*error), GFP_KERNEL);
	model = kzalloc(sizeof(*model), GFP_KERNEL_ACCOUNT);
	if (!error || !model) {
		kfree(model);
		goto free_error;
	}
	kref_init(&model->kref);
	model->drm = drm;
	drm_dev_get(drm);
	model->blob_bytes = args->size;

	ret = patcnn_model_make(model, args, error);
	if (ret) {
		patcnn_model_tell(args, error);
		patcnn_model_put(model);
		goto free_error;
	}
	ret = patcnn_model_publish(to_patcnn_file(file), model, &args->handle);
free_error:
	kfree(error);
	return ret;
}

int patcnn_ioctl_model_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct patcnn_file *pfile = to_patcnn_file(file);
	struct drm_patcnn_model_destroy *args = data;
	struct patcnn_model *model;

	if (args->pad)
		return -EINVAL;
	model = xa_erase(&pfile->models, args->handle);
	if (!model)
		return -ENOENT;
	patcnn_model_put(model);
	return 0;
}

static int patcnn_model_file_release(struct inode *inode, struct file *filp)
{
	patcnn_model_put(filp->private_data);
	return 0;
}

static const struct file_operations patcnn_model_fops = {
	.owner = THIS_MODULE,
	.release = patcnn_model_file_release,
};

int patcnn_ioctl_model_export(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_model_fd *args = data;
	struct patcnn_model *model;
	int fd;

	if (args->flags || args->pad)
		return -EINVAL;
	model = patcnn_model_lookup(to_patcnn_file(file), args->handle);
	if (!model)
		return -ENOENT;
	fd = anon_inode_getfd("patcnn-model", &patcnn_model_fops, model, O_CLOEXEC);
	if (fd < 0) {
		patcnn_model_put(model);
		return fd;
	}
	args->fd = fd;
	return 0;
}

int patcnn_ioctl_model_import(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_model_fd *args = data;
	struct patcnn_model *model;
	struct file *filp;
	int ret = 0;

	if (args->flags || args->pad)
		return -EINVAL;
	filp = fget(args->fd);
	if (!filp)
		return -EBADF;
	if (filp->f_op != &patcnn_model_fops) {
		ret = -EINVAL;
		goto put;
	}
	model = filp->private_data;
	if (model->drm != drm) {
		ret = -EINVAL;
		goto put;
	}
	kref_get(&model->kref);
	ret = patcnn_model_publish(to_patcnn_file(file), model, &args->handle);
put:
	fput(filp);
	return ret;
}
