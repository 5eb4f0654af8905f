// SPDX-License-Identifier: MIT
/* Nets of the device tests, with buffers, context and reference. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"

/* A job's result may take long where the CPU is emulated. */
#define RUN_MS 60000

static size_t tensor_bytes(const struct patcnn_tensor *t)
{
	return (size_t)t->c * t->h * t->w * (t->dtype == PATCNN_DTYPE_U8 ? 1 : 4);
}

int net_open(struct net *net, int fd, struct pb *pb, uint32_t in, uint32_t out)
{
	char error[200] = "";

	memset(net, 0, sizeof(*net));
	net->fd = fd;
	net->in = in;
	net->out = out;
	net->in_bytes = tensor_bytes(&pb->tensors[in]);
	net->out_bytes = tensor_bytes(&pb->tensors[out]);
	net->blob = pb_finish(pb, &net->size);
	pb_fini(pb);
	ref_open(&net->ref, net->blob);
	if (model_create(fd, net->blob, net->size, &net->model, error, sizeof(error))) {
		printf("# MODEL_CREATE: %s: %s\n", strerror(errno), error);
		return -1;
	}
	if (ctx_create(fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &net->ctx)) {
		printf("# CTX_CREATE: %s\n", strerror(errno));
		return -1;
	}
	if (bo_create(fd, net->in_bytes, &net->in_bo) ||
	    bo_create(fd, net->out_bytes, &net->out_bo)) {
		printf("# BO_CREATE: %s\n", strerror(errno));
		return -1;
	}
	net->in_map = bo_map(fd, net->in_bo, net->in_bytes);
	net->out_map = bo_map(fd, net->out_bo, net->out_bytes);
	if (net->in_map == MAP_FAILED || net->out_map == MAP_FAILED) {
		printf("# mmap: %s\n", strerror(errno));
		return -1;
	}
	net_fill(net, 1);
	return 0;
}

void net_close(struct net *net)
{
	if (!net->blob)
		return;
	munmap(net->in_map, net->in_bytes);
	munmap(net->out_map, net->out_bytes);
	bo_close(net->fd, net->in_bo);
	bo_close(net->fd, net->out_bo);
	ctx_destroy(net->fd, net->ctx);
	model_destroy(net->fd, net->model);
	ref_close(&net->ref);
	free(net->blob);
	memset(net, 0, sizeof(*net));
}

void net_fill(struct net *net, uint64_t seed)
{
	struct pb rnd;
	float *f = net->in_map;

	pb_init(&rnd, seed + 17);
	if (net->ref.tensors[net->in].dtype == PATCNN_DTYPE_U8)
		for (size_t i = 0; i < net->in_bytes; i++)
			((uint8_t *)net->in_map)[i] = pb_random(&rnd, 256);
	else
		for (size_t i = 0; i < net->in_bytes / sizeof(float); i++)
			f[i] = pb_random_float(&rnd);
	pb_fini(&rnd);
}

void net_job(const struct net *net, struct job *job)
{
	job_init(job, net->ctx, net->model);
	job_bind(job, net->in, net->in_bo, 0);
	job_bind(job, net->out, net->out_bo, 0);
}

bool net_right(struct net *net)
{
	const void *io[64] = { NULL };
	struct ref_diff d;

	io[net->in] = net->in_map;
	ref_run(&net->ref, io);
	if (ref_compare(&net->ref, net->out, net->out_map, &d))
		return true;
	printf("# %llu values are wrong; the first is [%llu]: %.9g, should be %.9g +- %.3g\n",
	       (unsigned long long)d.bad, (unsigned long long)d.first, d.got, d.want, d.bound);
	return false;
}

/* Submit and wait. Return: 0 or an errno. */
static int run_job(const struct net *net, struct job *job)
{
	uint32_t done;
	int err;

	if (sync_create(net->fd, false, &done))
		return errno;
	job_sync(job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	err = job_submit(net->fd, job) ? errno : -sync_result(net->fd, done, RUN_MS);
	sync_destroy(net->fd, done);
	return err;
}

int net_run_unchecked(struct net *net)
{
	struct job job;

	net_job(net, &job);
	memset(net->out_map, 0xff, net->out_bytes);
	return run_job(net, &job);
}

int net_run(struct net *net)
{
	int err = net_run_unchecked(net);

	return err || net_right(net) ? err : EBADMSG;
}

int net_run_with(struct net *net, uint32_t in, uint64_t in_offset, uint32_t out)
{
	struct job job;

	net_job(net, &job);
	job.binding[0].handle = in;
	job.binding[0].offset = in_offset;
	job.binding[1].handle = out;
	return run_job(net, &job);
}

void build_small(struct pb *pb, uint32_t *in, uint32_t *out)
{
	uint32_t t, u;

	pb_init(pb, 42);
	*in = pb_input(pb, 3, 9, 11);
	t = pb_conv(pb, &(struct pb_conv){ .in = *in, .out = 8, .kh = 3, .kw = 3, .pt = 1,
					   .pl = 1, .pb = 1, .pr = 1, .act = PATCNN_ACT_RELU });
	u = pb_conv(pb, &(struct pb_conv){ .in = t, .out = 8, .kh = 3, .kw = 3, .pt = 1, .pl = 1,
					   .pb = 1, .pr = 1, .storage = PATCNN_STORAGE_FKW,
					   .residual = t, .act = PATCNN_ACT_RELU });
	t = pb_pool(pb, PATCNN_OP_MAX_POOL,
		    &(struct pb_conv){ .in = u, .kh = 2, .kw = 2, .sh = 2, .sw = 2 }, false);
	t = pb_reduce(pb, t, PATCNN_REDUCE_MEAN, 0xc);
	t = pb_linear(pb, t, 10, PATCNN_STORAGE_DENSE);
	*out = pb_output(pb, pb_softmax(pb, t, 1));
}

void build_slow(struct pb *pb, unsigned int layers, unsigned int side, uint32_t *in,
		uint32_t *out)
{
	uint32_t t;

	pb_init(pb, 7);
	*in = pb_input(pb, 16, side, side);
	t = *in;
	for (unsigned int i = 0; i < layers; i++)
		t = pb_conv(pb, &(struct pb_conv){ .in = t, .out = 16, .kh = 3, .kw = 3, .pt = 1,
						   .pl = 1, .pb = 1, .pr = 1,
						   .act = PATCNN_ACT_CLIP, .a = -1, .b = 1 });
	t = pb_reduce(pb, t, PATCNN_REDUCE_MEAN, 0xc);
	*out = pb_output(pb, t);
}

int net_open_small(struct net *net, int fd)
{
	uint32_t in, out;
	struct pb pb;

	build_small(&pb, &in, &out);
	return net_open(net, fd, &pb, in, out);
}

static int open_layers(struct net *net, int fd, unsigned int layers, unsigned int side)
{
	uint32_t in, out;
	struct pb pb;

	build_slow(&pb, layers, side, &in, &out);
	return net_open(net, fd, &pb, in, out);
}

/* Time of one job, without the comparison; 0 on failure. */
static int64_t job_ns(struct net *net)
{
	struct job job;
	uint32_t done;
	int64_t t;

	if (sync_create(net->fd, false, &done))
		return 0;
	net_job(net, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	t = now_ns();
	if (job_submit(net->fd, &job) || sync_result(net->fd, done, RUN_MS))
		t = 0;
	else
		t = now_ns() - t;
	sync_destroy(net->fd, done);
	return t;
}

/* Best of three; 0 on failure. */
static int64_t best_ns(struct net *net)
{
	int64_t best = 0;

	for (int i = 0; i < 3; i++) {
		int64_t t = job_ns(net);

		if (!t)
			return 0;
		if (!best || t < best)
			best = t;
	}
	return best;
}

unsigned int net_ms(struct net *net)
{
	return (best_ns(net) + 999999) / 1000000;
}

/*
 * Grows a net until a job of it has been seen to take that long, for what a job costs
 * besides its layers differs a hundredfold between kernels. What the watchdog would not
 * let end is extrapolated.
 */
int net_open_slow(struct net *net, int fd, unsigned int ms)
{
	struct drm_patcnn_dev_info info;
	unsigned int layers = 4, side = 32;
	int64_t want = ms * 1000000ll, limit, seen, permille;

	if (dev_info(fd, &info))
		return -1;
	limit = info.timeout_ms * 500000ll;
	for (;;) {
		if (open_layers(net, fd, layers, side))
			return -1;
		/* Again, if others kept the CPUs until the watchdog came. */
		seen = best_ns(net);
		if (!seen)
			seen = best_ns(net);
		if (!seen) {
			puts("# the probe of the slow net failed");
			return -1;
		}
		if (seen >= want || layers == 2000)
			return 0;
		net_close(net);
		if (want > limit && seen > limit / 4)
			break;
		permille = (want < limit ? want : limit) * 1200 / seen;
		if (permille > 16000)
			permille = 16000;
		/* Few large layers rather than many small ones: the program stays small. */
		for (; side < 256 && permille >= 4000; permille /= 4)
			side *= 2;
		layers = layers * permille / 1000 + 1;
		layers = layers > 2000 ? 2000 : layers;
	}
	layers = layers * (want / 1000) / (seen / 1000) + 1;
	return open_layers(net, fd, layers > 2000 ? 2000 : layers, side);
}
