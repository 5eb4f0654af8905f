// SPDX-License-Identifier: MIT
/* Contexts: life, priority and its permission, subsets of the CPUs, limits. */

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "device.h"
#include "harness.h"

FIXTURE(ctx) { int fd; struct drm_patcnn_dev_info info; };
FIXTURE_SETUP(ctx)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(dev_info(self->fd, &self->info));
}

FIXTURE_TEARDOWN(ctx)
{
	close(self->fd);
}

TEST_F(ctx, life)
{
	uint32_t a, b;

	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &a));
	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_LOW, NULL, &b));
	EXPECT_NE(a, 0);
	EXPECT_NE(a, b);
	ASSERT_OK(ctx_destroy(self->fd, a));
	EXPECT_ERRNO(ctx_destroy(self->fd, a), ENOENT);
	EXPECT_ERRNO(ctx_destroy(self->fd, 0), ENOENT);
	EXPECT_ERRNO(ctx_destroy(self->fd, 0xffffffff), ENOENT);
}

TEST_F(ctx, arguments)
{
	struct drm_patcnn_ctx_create a = { .priority = 3 };
	struct drm_patcnn_ctx_destroy d = { .pad = 1 };

	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a), EINVAL);
	a.priority = 0xffffffff;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a), EINVAL);
	a.priority = DRM_PATCNN_PRIORITY_NORMAL;
	a.flags = 1;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a), EINVAL);
	a.flags = 0;
	a.pad = 1;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a), EINVAL);
	a.pad = 0;
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_CREATE, &a));
	d.handle = a.handle;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_CTX_DESTROY, &d), EINVAL);
}

/* Contexts belong to one open file. */
TEST_F(ctx, foreign)
{
	int other = dev_open();
	uint32_t a;

	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &a));
	EXPECT_ERRNO(ctx_destroy(other, a), ENOENT);
	close(other);
	EXPECT_OK(ctx_destroy(self->fd, a));
}

static void drop_sys_nice(struct __test_metadata *_metadata)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	ASSERT_EQ(syscall(SYS_capget, &h, d), 0);
	d[0].effective &= ~(1u << CAP_SYS_NICE);
	d[0].permitted &= ~(1u << CAP_SYS_NICE);
	ASSERT_EQ(syscall(SYS_capset, &h, d), 0);
}

TEST_F(ctx, high_priority_with_permission)
{
	uint32_t a;

	if (!is_root())
		SKIP(return, "needs CAP_SYS_NICE: run as root");
	EXPECT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_HIGH, NULL, &a));
}

TEST_F(ctx, high_priority_without_permission)
{
	uint32_t a;

	drop_sys_nice(_metadata);
	EXPECT_ERRNO(ctx_create(self->fd, DRM_PATCNN_PRIORITY_HIGH, NULL, &a), EACCES);
	EXPECT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &a));
	EXPECT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_LOW, NULL, &a));
}

/* The highest CPU of the pool alone, and then whether only it worked. */
TEST_F(ctx, cpu_subset)
{
	uint64_t mask[4] = { 0 }, *busy, others = 0, mine = 0;
	struct drm_patcnn_model_info mi;
	struct drm_patcnn_profile *p;
	uint32_t bo, done, ctx, column = 0;
	struct net net;
	struct job job;
	int cpu = 255;

	while (!(self->info.cpu_mask[cpu / 64] >> cpu % 64 & 1))
		cpu--;
	for (int i = 0; i < cpu; i++)
		column += self->info.cpu_mask[i / 64] >> i % 64 & 1;
	mask[cpu / 64] = 1ull << cpu % 64;
	ASSERT_OK(net_open_slow(&net, self->fd, 50));
	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, mask, &ctx));
	ASSERT_OK(model_info(self->fd, net.model, &mi));
	ASSERT_OK(bo_create(self->fd, 1 << 20, &bo));
	p = bo_map(self->fd, bo, 1 << 20);
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&net, &job);
	job.args.ctx = ctx;
	job.args.profile_handle = bo;
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	ASSERT_EQ(sync_result(self->fd, done, 60000), 0);
	ASSERT_LT(column, p->workers);
	busy = (uint64_t *)(p + 1) + p->steps;
	for (uint32_t s = 0; s < p->steps; s++)
		for (uint32_t w = 0; w < p->workers; w++)
			*(w == column ? &mine : &others) += busy[s * p->workers + w];
	EXPECT_EQ(others, 0);
	EXPECT_GT(mine, 0);
	if (self->info.cpus == 1)
		TH_LOG("the pool has one CPU: the subset was the pool");
	net_close(&net);
}

TEST_F(ctx, cpu_subset_outside_pool)
{
	uint64_t mask[4];
	uint32_t a;

	for (int i = 0; i < 4; i++)
		mask[i] = ~self->info.cpu_mask[i];
	EXPECT_ERRNO(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, mask, &a), EINVAL);
	/* Some of them in the pool is enough. */
	for (int i = 0; i < 4; i++)
		mask[i] = ~0ull;
	EXPECT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, mask, &a));
}

TEST_F(ctx, results_on_each_cpu)
{
	struct net net;
	uint32_t whole;

	ASSERT_OK(net_open_small(&net, self->fd));
	whole = net.ctx;
	for (int cpu = 0; cpu < 256; cpu++) {
		uint64_t mask[4] = { 0 };

		if (!(self->info.cpu_mask[cpu / 64] >> cpu % 64 & 1))
			continue;
		mask[cpu / 64] = 1ull << cpu % 64;
		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, mask, &net.ctx));
		EXPECT_EQ(net_run(&net), 0);
		ASSERT_OK(ctx_destroy(self->fd, net.ctx));
	}
	net.ctx = whole;
	net_close(&net);
}

TEST_F_TIMEOUT(ctx, limit_per_file, 120)
{
	uint32_t a, n = 0;
	int other;

	while (!ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &a) &&
	       n <= self->info.max_contexts)
		n++;
	EXPECT_EQ(n, self->info.max_contexts);
	EXPECT_TRUE(errno == ENOSPC || errno == EMFILE || errno == EBUSY || errno == EDQUOT);
	other = dev_open();
	EXPECT_OK(ctx_create(other, DRM_PATCNN_PRIORITY_NORMAL, NULL, &a));
	close(other);
}

/* A high-priority job overtakes a flood of low-priority ones of another client. */
TEST_F_TIMEOUT(ctx, priority_overtakes, 120)
{
	uint32_t low, high, done;
	struct net slow, quick;
	struct job job;
	int64_t t, worst = 0;

	if (!is_root())
		SKIP(return, "needs CAP_SYS_NICE: run as root");
	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(net_open_small(&quick, self->fd));
	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_LOW, NULL, &low));
	ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_HIGH, NULL, &high));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job.args.ctx = low;
	for (int i = 0; i < 20; i++)
		if (job_submit(self->fd, &job))
			break;
	for (int i = 0; i < 10; i++) {
		net_job(&quick, &job);
		job.args.ctx = high;
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		usleep(20000);
		t = now_ns();
		ASSERT_OK(job_submit(self->fd, &job));
		ASSERT_EQ(sync_result(self->fd, done, 60000), 0);
		t = now_ns() - t;
		if (t > worst)
			worst = t;
	}
	TH_LOG("high priority waited %lld us at most behind 200 ms jobs", (long long)worst / 1000);
	/* Preemption at tiles: not behind a whole job. */
	EXPECT_LT(worst, 150000000ll * th_slow());
	EXPECT_OK(ctx_destroy(self->fd, low));
	net_close(&quick);
	net_close(&slow);
}

TEST_HARNESS_MAIN
