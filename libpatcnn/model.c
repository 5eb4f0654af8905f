// SPDX-License-Identifier: MIT
/*
 * Models: created from a program or from another process's file descriptor, and
 * what the driver says about them. The descriptions are read once, when the
 * model is made: a model never changes.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* Fetch the array @type of a model into calloc()ed memory of @elem_size bytes an element. */
static int query_array(const struct patcnn_model *model, uint32_t type, uint32_t elem_size,
		       void **out, uint32_t *count)
{
	struct drm_patcnn_model_query query = { .handle = model->handle, .type = type };
	void *array;
	int ret;

	ret = patcnn_ioctl(model->dev, DRM_IOCTL_PATCNN_MODEL_QUERY, &query);
	if (ret)
		return ret;
	/* One element more: calloc() of nothing may return NULL. */
	array = calloc((size_t)query.array.count + 1, elem_size);
	if (!array)
		return -ENOMEM;
	query.array.stride = elem_size;
	query.array.array = (uintptr_t)array;
	if (query.array.count)
		ret = patcnn_ioctl(model->dev, DRM_IOCTL_PATCNN_MODEL_QUERY, &query);
	if (ret) {
		free(array);
		return ret;
	}
	*out = array;
	*count = query.array.count;
	return 0;
}

static int query_info(const struct patcnn_model *model, struct drm_patcnn_model_info *info)
{
	struct drm_patcnn_model_query query = {
		.handle = model->handle,
		.type = DRM_PATCNN_MODEL_QUERY_INFO,
		.array = {
			.stride = sizeof(*info),
			.count = 1,
			.array = (uintptr_t)info,
		},
	};

	memset(info, 0, sizeof(*info));
	return patcnn_ioctl(model->dev, DRM_IOCTL_PATCNN_MODEL_QUERY, &query);
}

static int model_describe(struct patcnn_model *model)
{
	uint32_t count, i, in = 0, out = 0;
	void *array;
	int ret;

	ret = query_info(model, &model->info);
	if (ret)
		return ret;
	ret = query_array(model, DRM_PATCNN_MODEL_QUERY_TENSORS, sizeof(*model->tensors), &array,
			  &count);
	if (ret)
		return ret;
	model->tensors = array;
	model->order = calloc((size_t)count + 1, sizeof(*model->order));
	if (!model->order)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		model->tensors[i].name[sizeof(model->tensors[i].name) - 1] = '\0';
		model->inputs += model->tensors[i].role == PATCNN_ROLE_INPUT;
	}
	model->outputs = count - model->inputs;
	for (i = 0; i < count; i++) {
		if (model->tensors[i].role == PATCNN_ROLE_INPUT)
			model->order[in++] = i;
		else
			model->order[model->inputs + out++] = i;
	}

	ret = query_array(model, DRM_PATCNN_MODEL_QUERY_STEPS, sizeof(*model->steps), &array,
			  &model->step_count);
	if (ret)
		return ret;
	model->steps = array;
	for (i = 0; i < model->step_count; i++) {
		model->steps[i].name[sizeof(model->steps[i].name) - 1] = '\0';
		model->steps[i].algorithm[sizeof(model->steps[i].algorithm) - 1] = '\0';
	}
	return 0;
}

/* Takes over @handle, also on failure. */
static int model_init(struct patcnn_device *dev, uint32_t handle, struct patcnn_model **out)
{
	struct drm_patcnn_model_destroy destroy = { .handle = handle };
	struct patcnn_model *model = calloc(1, sizeof(*model));
	int ret;

	if (!model) {
		patcnn_ioctl(dev, DRM_IOCTL_PATCNN_MODEL_DESTROY, &destroy);
		return -ENOMEM;
	}
	model->dev = dev;
	model->handle = handle;
	ret = model_describe(model);
	if (ret) {
		patcnn_model_destroy(model);
		return ret;
	}
	*out = model;
	return 0;
}

int patcnn_model_create(struct patcnn_device *dev, const void *program, size_t size,
			unsigned int flags, struct patcnn_model **model,
			char *error, size_t error_size)
{
	struct drm_patcnn_model_create args = {
		.program = (uintptr_t)program,
		.size = size,
		.flags = flags & PATCNN_MODEL_NO_FUSE ? DRM_PATCNN_MODEL_NO_FUSE : 0,
	};
	int ret;

	if (flags & ~PATCNN_MODEL_NO_FUSE)
		return -EINVAL;
	if (!error_size)
		error = NULL;
	if (error) {
		error[0] = '\0';
		args.error = (uintptr_t)error;
		args.error_size = error_size > UINT32_MAX ? UINT32_MAX : (uint32_t)error_size;
	}

	ret = patcnn_ioctl(dev, DRM_IOCTL_PATCNN_MODEL_CREATE, &args);
	if (!ret)
		return model_init(dev, args.handle, model);
	/* The driver speaks only of the program; the other failures get their own name. */
	if (error) {
		error[error_size - 1] = '\0';
		if (!error[0])
			snprintf(error, error_size, "%s", strerror(-ret));
	}
	return ret;
}

int patcnn_model_load(struct patcnn_device *dev, const char *path, struct patcnn_model **model,
		      char *error, size_t error_size)
{
	void *map = MAP_FAILED;
	struct stat st = { 0 };
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || !st.st_size)
		ret = -EINVAL;
	if (!ret) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED)
			ret = -errno;
	}
	if (fd >= 0)
		close(fd);
	if (ret) {
		if (error && error_size)
			snprintf(error, error_size, "%s", ret == -EINVAL ?
				 "not a regular file with content" : strerror(-ret));
		return ret;
	}

	ret = patcnn_model_create(dev, map, (size_t)st.st_size, 0, model, error, error_size);
	munmap(map, (size_t)st.st_size);
	return ret;
}

int patcnn_model_export(struct patcnn_model *model)
{
	struct drm_patcnn_model_fd args = { .handle = model->handle };
	int ret = patcnn_ioctl(model->dev, DRM_IOCTL_PATCNN_MODEL_EXPORT, &args);

	return ret ? ret : args.fd;
}

int patcnn_model_import(struct patcnn_device *dev, int fd, struct patcnn_model **model)
{
	struct drm_patcnn_model_fd args = { .fd = fd };
	int ret = patcnn_ioctl(dev, DRM_IOCTL_PATCNN_MODEL_IMPORT, &args);

	return ret ? ret : model_init(dev, args.handle, model);
}

void patcnn_model_destroy(struct patcnn_model *model)
{
	struct drm_patcnn_model_destroy args;

	if (!model)
		return;
	args = (struct drm_patcnn_model_destroy){ .handle = model->handle };
	patcnn_ioctl(model->dev, DRM_IOCTL_PATCNN_MODEL_DESTROY, &args);
	free(model->tensors);
	free(model->order);
	free(model->steps);
	free(model);
}

int patcnn_model_get_info(struct patcnn_model *model, struct patcnn_model_info *info)
{
	*info = (struct patcnn_model_info){
		.program_bytes = model->info.program_bytes,
		.prepared_bytes = model->info.prepared_bytes,
		.arena_bytes = model->info.arena_bytes,
		.scratch_bytes = model->info.scratch_bytes,
		.macs_dense = model->info.macs_dense,
		.macs_kept = model->info.macs_kept,
		.inputs = model->inputs,
		.outputs = model->outputs,
		.steps = model->step_count,
		.operators = model->info.operators,
		.workers = model->info.workers,
	};
	return 0;
}

static void fill_tensor(const struct patcnn_model *model, uint32_t i,
			struct patcnn_tensor_desc *desc)
{
	const struct drm_patcnn_tensor_info *t = &model->tensors[model->order[i]];

	*desc = (struct patcnn_tensor_desc){
		.name = t->name,
		.index = t->index,
		.type = t->dtype,
		.layout = t->layout,
		.rank = t->rank,
		.bytes = t->bytes,
	};
	memcpy(desc->shape, t->shape, sizeof(desc->shape));
}

int patcnn_model_input(struct patcnn_model *model, unsigned int i, struct patcnn_tensor_desc *desc)
{
	if (i >= model->inputs)
		return -ERANGE;
	fill_tensor(model, i, desc);
	return 0;
}

int patcnn_model_output(struct patcnn_model *model, unsigned int i, struct patcnn_tensor_desc *desc)
{
	if (i >= model->outputs)
		return -ERANGE;
	fill_tensor(model, model->inputs + i, desc);
	return 0;
}

/* In the order of enum patcnn_operator_kind. */
static const char *const kind_names[] = {
	"copy", "convert", "conv", "conv-transpose", "linear", "matmul", "max-pool", "avg-pool",
	"add", "sub", "mul", "div", "activation", "prelu", "concat", "slice", "permute",
	"reshape", "pad", "resize", "softmax", "reduce", "layer-norm", "instance-norm",
};

int patcnn_model_step(struct patcnn_model *model, unsigned int i, struct patcnn_step_desc *desc)
{
	const struct drm_patcnn_step_info *s;

	if (i >= model->step_count)
		return -ERANGE;
	s = &model->steps[i];
	*desc = (struct patcnn_step_desc){
		.name = s->name,
		.algorithm = s->algorithm,
		.kind = s->kind < ARRAY_SIZE(kind_names) ? kind_names[s->kind] : "unknown",
		.op_first = s->op_first,
		.op_count = s->op_count,
		.tiles = s->tiles,
		.macs_dense = s->macs_dense,
		.macs_kept = s->macs_kept,
	};
	if (!s->op_count)
		desc->kind = kind_names[0];
	return 0;
}

uint64_t patcnn_profile_size(struct patcnn_model *model)
{
	struct drm_patcnn_model_info info;

	/* Asked anew: the number of workers follows the pool, which may have grown. */
	if (query_info(model, &info))
		info = model->info;
	return sizeof(struct drm_patcnn_profile) +
	       (uint64_t)info.steps * (1 + (uint64_t)info.workers) * sizeof(uint64_t);
}
