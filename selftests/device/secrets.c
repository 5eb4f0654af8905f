// SPDX-License-Identifier: MIT
/*
 * What one client may learn of another: nothing. Each test plants a pattern where the
 * driver keeps data (buffers, arenas, scratch of workers, weights, names) and looks for
 * it where another client can see. Structures that the kernel writes are looked at for
 * bytes of its own.
 */

#include <sys/mman.h>

#include "device.h"
#include "harness.h"

/* A float that no sum of zeros gives. */
#define PATTERN 0x4b1d4b1du

FIXTURE(secrets) { int victim, spy; };
FIXTURE_SETUP(secrets)
{
	self->victim = dev_open();
	self->spy = dev_open();
	ASSERT_GE(self->victim, 0);
	ASSERT_GE(self->spy, 0);
}

FIXTURE_TEARDOWN(secrets)
{
	close(self->victim);
	close(self->spy);
}

/* The pattern at any byte offset: packed data need not be aligned as it was. */
static bool contains(const void *p, size_t bytes)
{
	const uint32_t pattern = PATTERN;

	return memmem(p, bytes, &pattern, sizeof(pattern));
}

static void plant(struct net *net)
{
	for (size_t i = 0; i < net->in_bytes / 4; i++)
		((uint32_t *)net->in_map)[i] = PATTERN;
}

/* Planes of odd widths, whose padding the planner fills: a net of @side. */
static int odd_net(struct net *net, int fd, uint32_t side)
{
	uint32_t in, out, t;
	struct pb pb;

	pb_init(&pb, 7);
	in = pb_input(&pb, 3, side, side + 2);
	t = pb_conv(&pb, &(struct pb_conv){ .in = in, .out = 5, .kh = 3, .kw = 3, .pt = 1, .pl = 1,
					    .pb = 1, .pr = 1 });
	t = pb_conv(&pb, &(struct pb_conv){ .in = t, .out = 7, .kh = 3, .kw = 3, .sh = 2, .sw = 2,
					    .pt = 1, .pl = 1, .pb = 1, .pr = 1,
					    .storage = PATCNN_STORAGE_FKW });
	out = pb_output(&pb, pb_pool(&pb, PATCNN_OP_MAX_POOL,
				     &(struct pb_conv){ .in = t, .kh = 2, .kw = 2, .sh = 1, .sw = 1 },
				     false));
	return net_open(net, fd, &pb, in, out);
}

/* Memory of the victim's freed buffers is not in new ones. */
TEST_F(secrets, freed_buffers)
{
	const size_t bytes = 1 << 20;

	for (int round = 0; round < 8; round++) {
		uint32_t bo;
		uint32_t *p;

		ASSERT_OK(bo_create(self->victim, bytes, &bo));
		p = bo_map(self->victim, bo, bytes);
		ASSERT_NE(p, MAP_FAILED);
		for (size_t i = 0; i < bytes / 4; i++)
			p[i] = PATTERN;
		munmap(p, bytes);
		ASSERT_OK(bo_close(self->victim, bo));
		ASSERT_OK(bo_create(self->spy, bytes, &bo));
		p = bo_map(self->spy, bo, bytes);
		ASSERT_NE(p, MAP_FAILED);
		EXPECT_FALSE(contains(p, bytes));
		munmap(p, bytes);
		ASSERT_OK(bo_close(self->spy, bo));
	}
}

/* Scratch of workers and arenas of contexts: right results on zeros know nothing of before. */
TEST_F(secrets, scratch_and_arenas)
{
	for (uint32_t round = 0; round < 6; round++) {
		struct net victim, spy;

		ASSERT_OK(odd_net(&victim, self->victim, 40 + round));
		plant(&victim);
		for (int i = 0; i < 4; i++)
			ASSERT_EQ(net_run_unchecked(&victim), 0);
		net_close(&victim);
		ASSERT_OK(odd_net(&spy, self->spy, 9 + 3 * round));
		memset(spy.in_map, 0, spy.in_bytes);
		EXPECT_EQ(net_run(&spy), 0);
		EXPECT_FALSE(contains(spy.out_map, spy.out_bytes));
		net_close(&spy);
	}
}

/* Behind the output of a tensor, and behind the profile, its buffer is as it was. */
TEST_F(secrets, nothing_behind_outputs)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	struct drm_patcnn_model_info info;
	struct job job;
	struct net net;
	uint32_t done, bo;
	uint8_t *p;
	size_t used;

	ASSERT_OK(odd_net(&net, self->spy, 11));
	ASSERT_OK(model_info(self->spy, net.model, &info));
	ASSERT_OK(sync_create(self->spy, false, &done));
	ASSERT_OK(bo_create(self->spy, page, &bo));
	p = bo_map(self->spy, bo, page);
	ASSERT_NE(p, MAP_FAILED);
	memset(p, 0x5a, page);
	net_job(&net, &job);
	job.args.profile_handle = bo;
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->spy, &job));
	ASSERT_EQ(sync_result(self->spy, done, 60000), 0);
	used = sizeof(struct drm_patcnn_profile) + 8 * info.steps * (1 + info.workers);
	for (size_t i = used; i < page; i++)
		ASSERT_EQ(p[i], 0x5a);
	for (size_t i = net.out_bytes; i < page; i++)
		ASSERT_EQ(((uint8_t *)net.out_map)[i], 0);
	net_close(&net);
}

/* A job that is cancelled half-way leaves its own half, and nothing of others. */
TEST_F(secrets, cancelled_outputs)
{
	struct net victim, spy;
	uint32_t ctx, done;
	struct job job;

	ASSERT_OK(odd_net(&victim, self->victim, 64));
	plant(&victim);
	ASSERT_OK(net_open_slow(&spy, self->spy, 40));
	memset(spy.in_map, 0, spy.in_bytes);
	for (int round = 0; round < 10; round++) {
		ASSERT_EQ(net_run_unchecked(&victim), 0);
		memset(spy.out_map, 0, spy.out_bytes);
		ASSERT_OK(ctx_create(self->spy, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx));
		ASSERT_OK(sync_create(self->spy, false, &done));
		net_job(&spy, &job);
		job.args.ctx = ctx;
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->spy, &job));
		usleep(round * 4000);
		ASSERT_OK(ctx_destroy(self->spy, ctx));
		sync_result(self->spy, done, 60000);
		EXPECT_FALSE(contains(spy.out_map, spy.out_bytes));
	}
	net_close(&spy);
	net_close(&victim);
}

/* Names, in fields longer than they are: zeros to the end, not what was there before. */
TEST_F(secrets, structures)
{
	struct drm_patcnn_dev_info info;
	struct drm_patcnn_tensor_info tensor[8];
	struct drm_patcnn_step_info step[64];
	struct drm_patcnn_model_query q = { .type = DRM_PATCNN_MODEL_QUERY_TENSORS };
	struct net net;

	ASSERT_OK(net_open_small(&net, self->spy));
	memset(&info, 0xa5, sizeof(info));
	ASSERT_OK(dev_info(self->spy, &info));
	for (size_t i = strlen(info.isa); i < sizeof(info.isa); i++)
		EXPECT_EQ(info.isa[i], 0);
	q.handle = net.model;
	q.array = (struct drm_patcnn_obj_array){ sizeof(tensor[0]), 8, (uintptr_t)tensor };
	memset(tensor, 0xa5, sizeof(tensor));
	ASSERT_OK(dev_ioctl(self->spy, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	for (uint32_t k = 0; k < q.array.count; k++) {
		for (size_t i = strnlen(tensor[k].name, 64); i < 64; i++)
			EXPECT_EQ(tensor[k].name[i], 0);
		for (int i = tensor[k].rank; i < 6; i++)
			EXPECT_LT(tensor[k].shape[i], 2);
	}
	q.type = DRM_PATCNN_MODEL_QUERY_STEPS;
	q.array = (struct drm_patcnn_obj_array){ sizeof(step[0]), 64, (uintptr_t)step };
	memset(step, 0xa5, sizeof(step));
	ASSERT_OK(dev_ioctl(self->spy, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	EXPECT_GT(q.array.count, 0);
	for (uint32_t k = 0; k < q.array.count; k++) {
		for (size_t i = strnlen(step[k].name, 64); i < 64; i++)
			EXPECT_EQ(step[k].name[i], 0);
		for (size_t i = strnlen(step[k].algorithm, 32); i < 32; i++)
			EXPECT_EQ(step[k].algorithm[i], 0);
	}
	net_close(&net);
}

/* The text of a refusal ends where it ends. */
TEST_F(secrets, error_text)
{
	char error[512];
	uint8_t blob[256];
	uint32_t h;

	memset(blob, 0x5a, sizeof(blob));
	memset(error, 0, sizeof(error));
	ASSERT_ERRNO(model_create(self->spy, blob, sizeof(blob), &h, error, sizeof(error)), EINVAL);
	EXPECT_GT(strlen(error), 0);
	for (size_t i = strlen(error); i < sizeof(error); i++)
		EXPECT_EQ(error[i], 0);
}

/* A model that was passed on shows its shapes; its weights are in no answer. */
TEST_F(secrets, weights)
{
	struct drm_patcnn_step_info step[64];
	struct drm_patcnn_model_query q = {
		.type = DRM_PATCNN_MODEL_QUERY_STEPS,
		.array = { sizeof(step[0]), 64, (uintptr_t)step },
	};
	uint32_t in, out, copy;
	struct pb pb;
	size_t size;
	uint8_t *blob;
	int fd;

	pb_init(&pb, 3);
	in = pb_input(&pb, 4, 8, 8);
	out = pb_output(&pb, pb_conv(&pb, &(struct pb_conv){ .in = in, .out = 4, .kh = 3, .kw = 3 }));
	(void)out;
	blob = pb_finish(&pb, &size);
	{
		const struct patcnn_operator *op = pb_element(blob, PATCNN_SECTION_OPERATORS, 0);
		uint8_t *data = pb_element(blob, PATCNN_SECTION_DATA, 0);
		uint32_t *w = (uint32_t *)(data + op->conv.weights.values.offset);

		for (uint64_t i = 0; i < op->conv.weights.values.count; i++)
			w[i] = PATTERN;
	}
	ASSERT_OK(model_create(self->victim, blob, size, &in, NULL, 0));
	fd = model_export(self->victim, in);
	ASSERT_GE(fd, 0);
	ASSERT_OK(model_import(self->spy, fd, &copy));
	memset(step, 0, sizeof(step));
	q.handle = copy;
	ASSERT_OK(dev_ioctl(self->spy, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	EXPECT_FALSE(contains(step, sizeof(step)));
	/* The descriptor is no window on it either. */
	EXPECT_EQ(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	EXPECT_LE(read(fd, step, sizeof(step)), 0);
	close(fd);
	free(blob);
	pb_fini(&pb);
}

TEST_HARNESS_MAIN
