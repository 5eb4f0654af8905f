// SPDX-License-Identifier: MIT
/* SUBMIT: bindings, offsets, overlaps, profile, and that results are right wherever they lie. */

#include <sys/mman.h>

#include "device.h"
#include "harness.h"

FIXTURE(submit) {
	int fd;
	struct net net;
	struct job job;
};

FIXTURE_SETUP(submit)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
	net_job(&self->net, &self->job);
}

FIXTURE_TEARDOWN(submit)
{
	net_close(&self->net);
	close(self->fd);
}

#define REFUSED(e) EXPECT_ERRNO(job_submit(self->fd, &self->job), e)

TEST_F(submit, right_result)
{
	for (int i = 0; i < 20; i++) {
		net_fill(&self->net, i);
		EXPECT_EQ(net_run(&self->net), 0);
	}
}

TEST_F(submit, bad_context)
{
	const uint32_t bad[] = { 0, 77, 0xffffffff };

	for (int i = 0; i < 3; i++) {
		self->job.args.ctx = bad[i];
		REFUSED(ENOENT);
	}
}

TEST_F(submit, bad_model)
{
	const uint32_t bad[] = { 0, 77, 0xffffffff };

	for (int i = 0; i < 3; i++) {
		self->job.args.model = bad[i];
		REFUSED(ENOENT);
	}
}

TEST_F(submit, unknown_flags)
{
	for (int b = 0; b < 32; b++) {
		self->job.args.flags = 1u << b;
		REFUSED(EINVAL);
	}
}

TEST_F(submit, missing_binding)
{
	self->job.args.bindings.count = 1;
	REFUSED(EINVAL);
	self->job.binding[0] = self->job.binding[1];
	REFUSED(EINVAL);
	self->job.args.bindings.count = 0;
	REFUSED(EINVAL);
}

TEST_F(submit, double_binding)
{
	self->job.binding[1] = self->job.binding[0];
	REFUSED(EINVAL);
}

TEST_F(submit, binding_too_many)
{
	job_bind(&self->job, self->net.out, self->net.out_bo, 0);
	REFUSED(EINVAL);
	self->job.args.bindings.count = 0xffffffff;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == EINVAL || errno == E2BIG || errno == EFAULT);
}

TEST_F(submit, wrong_tensor)
{
	const uint32_t bad[] = { 1, 2, 1000, 0x10000, 0xffffffff };

	for (int i = 0; i < 5; i++) {
		self->job.binding[0].tensor = bad[i];
		REFUSED(EINVAL);
	}
}

TEST_F(submit, bad_buffer)
{
	const uint32_t bad[] = { 0, 99, 0xffffffff };

	for (int i = 0; i < 3; i++) {
		self->job.binding[1].handle = bad[i];
		REFUSED(ENOENT);
	}
}

/* Only one value has no alignment: multiples of 64. */
TEST_F(submit, offset_misaligned)
{
	uint32_t big;

	ASSERT_OK(bo_create(self->fd, 1 << 16, &big));
	self->job.binding[1].handle = big;
	for (uint64_t off = 1; off < 130; off++) {
		self->job.binding[1].offset = off;
		if (off % 64)
			REFUSED(EINVAL);
		else
			EXPECT_OK(job_submit(self->fd, &self->job));
	}
	self->job.binding[1].offset = 0x8000000000000001ull;
	REFUSED(EINVAL);
}

TEST_F(submit, offset_out_of_range)
{
	const long page = sysconf(_SC_PAGESIZE);
	const uint64_t bad[] = { page, page - 64 + 64, 1ull << 20, 1ull << 32, 1ull << 63,
				 ~63ull, ~63ull - 64 };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		self->job.binding[1].offset = bad[i];
		REFUSED(EINVAL);
	}
	/* The output needs 40 bytes: the last 64 of the page are enough, for the input not. */
	self->job.binding[1].offset = page - 64;
	EXPECT_OK(job_submit(self->fd, &self->job));
	self->job.binding[0].offset = page - 64;
	REFUSED(EINVAL);
}

TEST_F(submit, buffer_too_small)
{
	uint32_t in, out, small;
	struct pb pb;
	struct net net;

	/* An input of more than a page. */
	pb_init(&pb, 1);
	in = pb_input(&pb, 64, 64, 64);
	out = pb_output(&pb, pb_activation(&pb, in, PATCNN_ACT_RELU, 0, 0));
	ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
	ASSERT_OK(bo_create(self->fd, 64 * 64 * 64 * 4 - sysconf(_SC_PAGESIZE), &small));
	net_job(&net, &self->job);
	self->job.binding[0].handle = small;
	REFUSED(EINVAL);
	net_job(&net, &self->job);
	self->job.binding[1].handle = small;
	REFUSED(EINVAL);
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
}

TEST_F(submit, overlap_output_input)
{
	uint32_t big;

	ASSERT_OK(bo_create(self->fd, 1 << 16, &big));
	self->job.binding[0].handle = big;
	self->job.binding[1].handle = big;
	/* The input takes 1188 bytes. */
	self->job.binding[1].offset = 0;
	REFUSED(EINVAL);
	self->job.binding[1].offset = 1152;
	REFUSED(EINVAL);
	self->job.binding[1].offset = 1216;
	EXPECT_OK(job_submit(self->fd, &self->job));
	self->job.binding[0].offset = 64;
	self->job.binding[1].offset = 0;
	EXPECT_OK(job_submit(self->fd, &self->job));
	self->job.binding[1].offset = 64;
	REFUSED(EINVAL);
}

TEST_F(submit, overlap_outputs)
{
	struct pb pb;
	uint32_t in, a, b, m, big;
	size_t size;
	void *blob;

	pb_init(&pb, 1);
	in = pb_input(&pb, 4, 8, 8);
	a = pb_output(&pb, pb_activation(&pb, in, PATCNN_ACT_RELU, 0, 0));
	b = pb_output(&pb, pb_activation(&pb, in, PATCNN_ACT_NEG, 0, 0));
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	ASSERT_OK(model_create(self->fd, blob, size, &m, NULL, 0));
	free(blob);
	ASSERT_OK(bo_create(self->fd, 1 << 16, &big));
	job_init(&self->job, self->net.ctx, m);
	job_bind(&self->job, in, big, 0);
	job_bind(&self->job, a, big, 4096);
	job_bind(&self->job, b, big, 4096);
	REFUSED(EINVAL);
	self->job.binding[2].offset = 4096 + 960;
	REFUSED(EINVAL);
	self->job.binding[2].offset = 4096 + 1024;
	EXPECT_OK(job_submit(self->fd, &self->job));
}

/* Two inputs may be the same memory. */
TEST_F(submit, inputs_may_overlap)
{
	struct pb pb;
	uint32_t a, b, out, m, big, done;
	size_t size;
	void *blob;
	float *p;

	pb_init(&pb, 1);
	a = pb_input(&pb, 1, 8, 8);
	b = pb_input(&pb, 1, 8, 8);
	out = pb_output(&pb, pb_binary(&pb, PATCNN_OP_ADD, a, b));
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	ASSERT_OK(model_create(self->fd, blob, size, &m, NULL, 0));
	free(blob);
	ASSERT_OK(bo_create(self->fd, 1 << 16, &big));
	p = bo_map(self->fd, big, 1 << 16);
	for (int i = 0; i < 64; i++)
		p[i] = i;
	ASSERT_OK(sync_create(self->fd, false, &done));
	job_init(&self->job, self->net.ctx, m);
	job_bind(&self->job, a, big, 0);
	job_bind(&self->job, b, big, 0);
	job_bind(&self->job, out, big, 4096);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_EQ(sync_result(self->fd, done, 20000), 0);
	for (int i = 0; i < 64; i++)
		EXPECT_TRUE(p[1024 + i] == 2 * i);
}

/* Wherever in a buffer, nothing before and behind the output is touched. */
TEST_F(submit, writes_only_the_output)
{
	struct net *net = &self->net;
	uint32_t big, done;
	uint8_t *p;

	ASSERT_OK(bo_create(self->fd, 1 << 16, &big));
	p = bo_map(self->fd, big, 1 << 16);
	ASSERT_NE(p, MAP_FAILED);
	ASSERT_OK(sync_create(self->fd, false, &done));
	for (uint64_t off = 0; off < 4096; off += 64 * 7) {
		memset(p, 0xa5, 1 << 16);
		net_job(net, &self->job);
		self->job.binding[1] = (struct drm_patcnn_binding){ net->out, big, off };
		job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &self->job));
		ASSERT_EQ(sync_result(self->fd, done, 20000), 0);
		memcpy(net->out_map, p + off, net->out_bytes);
		EXPECT_TRUE(net_right(net));
		for (size_t i = 0; i < 1 << 16; i++)
			if (i < off || i >= off + net->out_bytes)
				ASSERT_EQ(p[i], 0xa5);
	}
}

/* Elements longer than the driver knows are skipped; shorter than it needs are refused. */
TEST_F(submit, array_strides)
{
	struct { struct drm_patcnn_binding b; uint64_t more[2]; } wide[2] = {
		{ self->job.binding[0], { 0, 0 } }, { self->job.binding[1], { 0, 0 } },
	};

	self->job.args.bindings.array = (uintptr_t)wide;
	self->job.args.bindings.stride = sizeof(wide[0]);
	EXPECT_OK(job_submit(self->fd, &self->job));
	/* Something of a newer uapi that this driver does not know must not be ignored. */
	wide[1].more[0] = 1;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == E2BIG || errno == EINVAL);
	net_job(&self->net, &self->job);
	self->job.args.bindings.array = (uintptr_t)self->job.binding;
	self->job.args.bindings.stride = 8;
	REFUSED(EINVAL);
	self->job.args.bindings.stride = 0;
	REFUSED(EINVAL);
}

TEST_F(submit, array_pointers)
{
	self->job.args.bindings.array = 8;
	REFUSED(EFAULT);
	self->job.args.bindings.array = ~0ull - 8;
	REFUSED(EFAULT);
	self->job.args.bindings.array = 0xffff888000000000ull;
	REFUSED(EFAULT);
}

TEST_F(submit, profile)
{
	struct drm_patcnn_model_info info;
	struct drm_patcnn_profile *p;
	uint64_t *wall, *busy, sum = 0;
	uint32_t bo, done;

	ASSERT_OK(model_info(self->fd, self->net.model, &info));
	ASSERT_OK(bo_create(self->fd, 1 << 20, &bo));
	p = bo_map(self->fd, bo, 1 << 20);
	ASSERT_NE(p, MAP_FAILED);
	ASSERT_OK(sync_create(self->fd, false, &done));
	self->job.args.profile_handle = bo;
	self->job.args.profile_offset = 128;
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_EQ(sync_result(self->fd, done, 20000), 0);
	p = (void *)((char *)p + 128);
	wall = (uint64_t *)(p + 1);
	busy = wall + p->steps;
	EXPECT_EQ(p->steps, info.steps);
	EXPECT_EQ(p->workers, info.workers);
	EXPECT_GT(p->queued_ns, 0);
	EXPECT_GE(p->start_ns, p->queued_ns);
	EXPECT_GE(p->end_ns, p->start_ns);
	EXPECT_LE(p->end_ns, now_ns());
	for (uint32_t i = 0; i < p->steps; i++) {
		EXPECT_LE(wall[i], p->end_ns - p->start_ns);
		for (uint32_t w = 0; w < p->workers; w++)
			sum += busy[i * p->workers + w];
	}
	EXPECT_GT(sum, 0);
}

TEST_F(submit, profile_arguments)
{
	uint32_t bo;

	ASSERT_OK(bo_create(self->fd, 4096, &bo));
	self->job.args.profile_handle = 77;
	REFUSED(ENOENT);
	self->job.args.profile_handle = bo;
	self->job.args.profile_offset = 4;
	REFUSED(EINVAL);
	self->job.args.profile_offset = sysconf(_SC_PAGESIZE) - 64;
	REFUSED(EINVAL);
	self->job.args.profile_offset = ~63ull;
	REFUSED(EINVAL);
	/* An offset without a buffer means a caller who forgot the buffer. */
	self->job.args.profile_handle = 0;
	self->job.args.profile_offset = 64;
	REFUSED(EINVAL);
}

/* A profile over an output would tell the wrong story to one of them. */
TEST_F(submit, profile_overlaps)
{
	self->job.args.profile_handle = self->net.out_bo;
	REFUSED(EINVAL);
	self->job.args.profile_handle = self->net.in_bo;
	REFUSED(EINVAL);
}

/* As many jobs as the limit says, then EBUSY, and again when they are done. */
TEST_F_TIMEOUT(submit, queue_limit, 120)
{
	struct drm_patcnn_dev_info info;
	uint32_t n = 0, gate, ctx;
	struct net slow;
	int err = 0;

	ASSERT_OK(dev_info(self->fd, &info));
	/* They wait for a job of another context; it must outlast the submitting. */
	for (unsigned int ms = 100; ms < info.timeout_ms && err != EBUSY; ms *= 2) {
		ASSERT_OK(net_open_slow(&slow, self->fd, ms));
		ASSERT_OK(sync_create(self->fd, false, &gate));
		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx));
		net_job(&slow, &self->job);
		job_sync(&self->job, gate, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &self->job));
		net_job(&self->net, &self->job);
		self->job.args.ctx = ctx;
		job_sync(&self->job, gate, 0, 0);
		for (n = 0; n <= info.max_queued && !job_submit(self->fd, &self->job); n++)
			;
		err = errno;
		ASSERT_OK(ctx_destroy(self->fd, ctx));
		net_close(&slow);
	}
	EXPECT_EQ(err, EBUSY);
	EXPECT_EQ(n, info.max_queued);
	EXPECT_EQ(net_run(&self->net), 0);
}

/* Jobs of one context run in their order: each adds one to what the one before wrote. */
TEST_F(submit, order_within_context)
{
	struct pb pb;
	uint32_t in, out, m, bo, done;
	const uint32_t shape[] = { 1, 1, 1, 1 };
	struct net slow;
	struct job job;
	uint32_t gate;
	size_t size;
	void *blob;
	float *p;

	/* The first waits for a job of another context; those behind it must not overtake. */
	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &gate));
	pb_init(&pb, 1);
	in = pb_input(&pb, 1, 1, 1);
	out = pb_constant(&pb, 4, 2, 3, shape);
	*pb_constant_data(&pb, out) = 1;
	out = pb_output(&pb, pb_binary(&pb, PATCNN_OP_ADD, in, out));
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	ASSERT_OK(model_create(self->fd, blob, size, &m, NULL, 0));
	free(blob);
	ASSERT_OK(bo_create(self->fd, 4096, &bo));
	p = bo_map(self->fd, bo, 4096);
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, gate, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	for (int i = 0; i < 30; i++) {
		job_init(&job, self->net.ctx, m);
		job_bind(&job, in, bo, i * 64);
		job_bind(&job, out, bo, (i + 1) * 64);
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		if (!i)
			job_sync(&job, gate, 0, 0);
		while (job_submit(self->fd, &job)) {
			ASSERT_EQ(errno, EBUSY);
			usleep(1000);
		}
	}
	ASSERT_EQ(sync_result(self->fd, done, 20000), 0);
	EXPECT_TRUE(p[30 * 16] == 30);
	net_close(&slow);
}

TEST_HARNESS_MAIN
