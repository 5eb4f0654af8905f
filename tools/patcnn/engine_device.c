// SPDX-License-Identifier: MIT
/* The device as an engine: one context; in each slot a buffer for each input and output. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <patcnn.h>

#include "engine.h"
#include "util.h"

struct slot {
	struct patcnn_binding inputs[PAT_MAX_IO];
	struct patcnn_binding outputs[PAT_MAX_IO];
	struct patcnn_buffer *profile;
	void *io[PAT_MAX_IO];
	uint64_t submitted_ns;
	int fence;
};

struct device_engine {
	struct engine base;
	struct patcnn_device *dev;
	struct patcnn_model *model;
	struct patcnn_context *ctx;
	struct slot slots[ENGINE_MAX_DEPTH];
	int timeout_ms;
};

static int device_submit(struct engine *e, uint32_t slot)
{
	struct device_engine *d = (struct device_engine *)e;
	struct slot *s = &d->slots[slot];
	struct patcnn_job_args args = {
		.inputs = s->inputs,
		.outputs = s->outputs,
		.in_fence = -1,
		.profile = s->profile,
	};

	s->submitted_ns = now_ns();
	return patcnn_submit(d->ctx, d->model, &args, &s->fence);
}

static int read_profile(struct engine *e, struct patcnn_buffer *buf)
{
	struct patcnn_profile profile;
	void *ptr;
	int ret;

	ret = patcnn_buffer_map(buf, &ptr);
	if (!ret)
		ret = patcnn_profile_read(ptr, patcnn_buffer_size(buf), &profile);
	if (ret)
		return ret;
	if (profile.steps != e->step_count)
		return -EPROTO;
	e->workers = profile.workers;	/* the pool may have changed */
	e->profile = (struct engine_profile){
		.queued_ns = profile.queued_ns,
		.start_ns = profile.start_ns,
		.end_ns = profile.end_ns,
		.wall_ns = profile.wall_ns,
		.busy_ns = profile.busy_ns,
	};
	return 0;
}

static int device_wait(struct engine *e, uint32_t slot, uint64_t *ns)
{
	struct device_engine *d = (struct device_engine *)e;
	struct slot *s = &d->slots[slot];
	int ret;

	ret = patcnn_fence_wait(s->fence, d->timeout_ms);
	*ns = now_ns() - s->submitted_ns;
	close(s->fence);
	s->fence = -1;
	return ret || !s->profile ? ret : read_profile(e, s->profile);
}

static void *device_slot_io(struct engine *e, uint32_t slot, uint32_t io)
{
	return ((struct device_engine *)e)->slots[slot].io[io];
}

static void device_close(struct engine *e)
{
	struct device_engine *d = (struct device_engine *)e;
	uint32_t i, k;

	patcnn_context_destroy(d->ctx);
	for (k = 0; k < ENGINE_MAX_DEPTH; k++) {
		struct slot *s = &d->slots[k];

		for (i = 0; i < PAT_MAX_IO; i++) {
			patcnn_buffer_destroy(s->inputs[i].buffer);
			patcnn_buffer_destroy(s->outputs[i].buffer);
		}
		patcnn_buffer_destroy(s->profile);
	}
	patcnn_model_destroy(d->model);
	patcnn_device_close(d->dev);
	free(e->steps);
	free(d);
}

static const struct engine_ops device_ops = {
	.submit = device_submit,
	.wait = device_wait,
	.slot_io = device_slot_io,
	.close = device_close,
};

static int make_slot(struct device_engine *d, struct slot *s, bool profile)
{
	const struct model_file *file = d->base.file;
	uint32_t in = 0, out = 0, i;
	int ret;

	for (i = 0; i < file->prog.io_count; i++) {
		const struct patcnn_tensor *t = model_file_io(file, i);
		struct patcnn_binding *b = t->role == PATCNN_ROLE_INPUT ? &s->inputs[in++] :
					   &s->outputs[out++];

		ret = patcnn_buffer_create(d->dev, pat_tensor_bytes(t), &b->buffer);
		if (!ret)
			ret = patcnn_buffer_map(b->buffer, &s->io[i]);
		if (ret)
			return ret;
	}
	return profile ? patcnn_buffer_create(d->dev, patcnn_profile_size(d->model), &s->profile) : 0;
}

static void read_steps(struct device_engine *d)
{
	struct patcnn_step_desc desc;
	uint32_t i;

	d->base.steps = xcalloc(d->base.step_count, sizeof(*d->base.steps));
	for (i = 0; i < d->base.step_count; i++) {
		struct engine_step *s = &d->base.steps[i];

		patcnn_model_step(d->model, i, &desc);
		s->kind = desc.kind;
		s->op_first = desc.op_first;
		s->op_count = desc.op_count;
		s->tiles = desc.tiles;
		s->macs_dense = desc.macs_dense;
		s->macs_kept = desc.macs_kept;
		snprintf(s->name, sizeof(s->name), "%s", desc.name);
		snprintf(s->algorithm, sizeof(s->algorithm), "%s", desc.algorithm);
	}
}

static const char *open_failure(int err)
{
	switch (-err) {
	case ENODEV:
		return "no patcnn device: is the module loaded (modprobe patcnn)? --host runs without it";
	case EACCES:
	case EPERM:
		return "no permission: is this user in the group render?";
	case ENOTTY:
		return "not a patcnn device";
	default:
		return strerror(-err);
	}
}

int engine_export(struct engine *e)
{
	return patcnn_model_export(((struct device_engine *)e)->model);
}

struct engine *engine_device_open(const struct model_file *file, const struct engine_opts *opts)
{
	struct device_engine *d = xcalloc(1, sizeof(*d));
	struct patcnn_device_info dev_info;
	struct patcnn_model_info info;
	char error[256] = "";
	uint32_t i;
	int ret;

	d->base.file = file;
	d->base.ops = &device_ops;
	d->base.depth = opts->depth ? opts->depth : 1;
	d->timeout_ms = opts->timeout_ms;
	if (opts->device)
		snprintf(d->base.where, sizeof(d->base.where), "%s", opts->device);
	else
		patcnn_device_path(0, d->base.where, sizeof(d->base.where));

	ret = patcnn_device_open(opts->device, &d->dev);
	if (ret) {
		if (opts->device)
			complain("%s: %s", opts->device, open_failure(ret));
		else
			complain("%s", open_failure(ret));
		goto fail;
	}
	ret = patcnn_device_get_info(d->dev, &dev_info);
	if (ret) {
		complain("%s: query: %s", d->base.where, strerror(-ret));
		goto fail;
	}
	memcpy(d->base.isa, dev_info.isa, sizeof(d->base.isa));

	if (opts->model_fd)
		ret = patcnn_model_import(d->dev, opts->model_fd, &d->model);
	else
		ret = patcnn_model_create(d->dev, file->blob, file->size,
					  opts->no_fuse ? PATCNN_MODEL_NO_FUSE : 0, &d->model,
					  error, sizeof(error));
	if (ret) {
		complain("%s: refused by %s: %s", file->path, d->base.where,
			 *error ? error : strerror(-ret));
		goto fail;
	}
	patcnn_model_get_info(d->model, &info);
	d->base.step_count = info.steps;
	d->base.workers = info.workers;
	d->base.prepared_bytes = info.prepared_bytes;
	d->base.arena_bytes = info.arena_bytes;
	d->base.scratch_bytes = info.scratch_bytes;
	read_steps(d);

	ret = patcnn_context_create(d->dev, (enum patcnn_priority)opts->priority,
				    opts->have_cpus ? opts->cpus : NULL, &d->ctx);
	if (ret) {
		complain("%s: context: %s%s", d->base.where, strerror(-ret),
			 ret == -EACCES ? " (--priority high needs CAP_SYS_NICE)" :
			 ret == -EINVAL && opts->have_cpus ? " (no CPU of --cpus is in the pool)" :
			 "");
		goto fail;
	}
	for (i = 0; i < d->base.depth; i++) {
		ret = make_slot(d, &d->slots[i], opts->profile);
		if (ret) {
			complain("%s: buffers: %s", d->base.where, strerror(-ret));
			goto fail;
		}
	}
	memcpy(d->base.io, d->slots[0].io, sizeof(d->base.io));
	return &d->base;
fail:
	device_close(&d->base);
	return NULL;
}
