// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Queries
 *
 * DEV_QUERY and MODEL_QUERY fill structures of the size the caller knows. Elements
 * are made one by one on the stack, zeroed, so that no padding leaks.
 */

#include <linux/string.h>
#include <linux/uaccess.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"
#include "patcnn_model.h"
#include "patcnn_query.h"

static void patcnn_query_info(struct patcnn_device *pdev, struct drm_patcnn_dev_info *info)
{
	struct patcnn_pool *pool = &pdev->pool;
	unsigned int cpu;

	*info = (struct drm_patcnn_dev_info){
		.features = DRM_PATCNN_FEATURE_MODEL_FD | DRM_PATCNN_FEATURE_TIMELINE |
			    DRM_PATCNN_FEATURE_PROFILE,
		.program_version = PATCNN_PROGRAM_VERSION_MAJOR << 16 |
				   PATCNN_PROGRAM_VERSION_MINOR,
		.max_bo_size = PATCNN_MAX_BO_SIZE,
		.max_model_size = PATCNN_MAX_MODEL_SIZE,
		.max_models = PATCNN_MAX_MODELS,
		.max_contexts = PATCNN_MAX_CONTEXTS,
		.max_syncs = PATCNN_MAX_SYNCS,
		.max_queued = PATCNN_MAX_QUEUED,
		.slice_us = READ_ONCE(pool->slice_us),
		.timeout_ms = READ_ONCE(pool->timeout_ms),
	};
	strscpy_pad(info->isa, pat_isa_name(pdev->isa), sizeof(info->isa));

	spin_lock(&pool->lock);
	info->cpus = cpumask_weight(&pool->active);
	for_each_cpu(cpu, &pool->active) {
		if (cpu < 256)
			info->cpu_mask[cpu / 64] |= BIT_ULL(cpu % 64);
	}
	spin_unlock(&pool->lock);
}

int patcnn_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_dev_query *args = data;
	struct drm_patcnn_dev_info info;

	if (args->type != DRM_PATCNN_DEV_QUERY_INFO)
		return -EINVAL;
	if (!args->pointer) {
		args->size = sizeof(info);
		return 0;
	}
	patcnn_query_info(to_patcnn_device(drm), &info);
	args->size = min_t(u32, args->size, sizeof(info));
	return copy_to_user(u64_to_user_ptr(args->pointer), &info, args->size) ? -EFAULT : 0;
}

/* Names are checked by the validator to lie in the section and to end in it. */
static void patcnn_query_name(char *dst, size_t size, const struct pat_program *prog, u32 offset)
{
	u64 left = prog->string_size - offset;

	if (offset < prog->string_size)
		strscpy_pad(dst, prog->strings + offset, min_t(u64, size, left));
}

static void patcnn_query_model(struct patcnn_model *model, u32 index, void *out)
{
	struct patcnn_device *pdev = to_patcnn_device(model->drm);

	*(struct drm_patcnn_model_info *)out = (struct drm_patcnn_model_info){
		.program_bytes = model->blob_bytes,
		.prepared_bytes = patcnn_model_bytes(model) - model->blob_bytes,
		.arena_bytes = model->plan->arena_bytes,
		.scratch_bytes = model->plan->scratch_bytes,
		.macs_dense = model->prog.macs_dense,
		.macs_kept = model->prog.macs_kept,
		.tensors = model->prog.io_count,
		.steps = model->plan->step_count,
		.operators = model->prog.operator_count,
		.workers = patcnn_pool_cpus(&pdev->pool, NULL),
	};
}

static void patcnn_query_tensor(struct patcnn_model *model, u32 index, void *out)
{
	const struct pat_program *prog = &model->prog;
	const struct patcnn_tensor *tensor = &prog->tensors[prog->io[index]];
	struct drm_patcnn_tensor_info *info = out;

	BUILD_BUG_ON(sizeof(info->shape) != sizeof(tensor->shape));
	info->index = prog->io[index];
	info->role = tensor->role;
	info->dtype = tensor->dtype;
	info->layout = tensor->layout;
	info->rank = tensor->rank;
	memcpy(info->shape, tensor->shape, sizeof(info->shape));
	info->bytes = pat_tensor_bytes(tensor);
	patcnn_query_name(info->name, sizeof(info->name), prog, tensor->name);
}

static void patcnn_query_step(struct patcnn_model *model, u32 index, void *out)
{
	const struct pat_step *step = &model->plan->steps[index];
	struct drm_patcnn_step_info *info = out;

	info->op_first = step->op_first;
	info->op_count = step->op_count;
	info->tiles = step->tiles;
	info->kind = step->kind;
	info->macs_dense = step->macs_dense;
	info->macs_kept = step->macs_kept;
	strscpy_pad(info->algorithm, step->algorithm, sizeof(info->algorithm));
	if (step->op_count && step->op_first < model->prog.operator_count)
		patcnn_query_name(info->name, sizeof(info->name), &model->prog,
				  model->prog.operators[step->op_first].name);
}

static int patcnn_query_elements(struct patcnn_model *model, struct drm_patcnn_obj_array *array,
				 u32 count, size_t size,
				 void (*fill)(struct patcnn_model *model, u32 index, void *out))
{
	union {
		struct drm_patcnn_model_info model;
		struct drm_patcnn_tensor_info tensor;
		struct drm_patcnn_step_info step;
	} element;
	u32 i;

	if (!array->array) {
		array->stride = size;
		array->count = count;
		return 0;
	}
	if (!array->stride)
		return -EINVAL;

	array->count = min(array->count, count);
	for (i = 0; i < array->count; i++) {
		u64 to = array->array + (u64)i * array->stride;

		memset(&element, 0, sizeof(element));
		fill(model, i, &element);
		if (copy_to_user(u64_to_user_ptr(to), &element, min_t(size_t, array->stride, size)))
			return -EFAULT;
	}
	return 0;
}

int patcnn_ioctl_model_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_patcnn_model_query *args = data;
	struct patcnn_model *model;
	int ret;

	model = patcnn_model_lookup(to_patcnn_file(file), args->handle);
	if (!model)
		return -ENOENT;
	switch (args->type) {
	case DRM_PATCNN_MODEL_QUERY_INFO:
		ret = patcnn_query_elements(model, &args->array, 1,
					    sizeof(struct drm_patcnn_model_info),
					    patcnn_query_model);
		break;
	case DRM_PATCNN_MODEL_QUERY_TENSORS:
		ret = patcnn_query_elements(model, &args->array, model->prog.io_count,
					    sizeof(struct drm_patcnn_tensor_info),
					    patcnn_query_tensor);
		break;
	case DRM_PATCNN_MODEL_QUERY_STEPS:
		ret = patcnn_query_elements(model, &args->array, model->plan->step_count,
					    sizeof(struct drm_patcnn_step_info),
					    patcnn_query_step);
		break;
	default:
		ret = -EINVAL;
	}
	patcnn_model_put(model);
	return ret;
}
