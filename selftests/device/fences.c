// SPDX-License-Identifier: MIT
/* Fences: in and out, binary and timeline, poll on a sync_file, error codes. */

#include <linux/sync_file.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "device.h"
#include "harness.h"

#define LONG_MS 60000
/* Of the watchdog, and while a job is sized that it is to end. */
#define WATCHDOG_MS 1000
#define SIZING_MS 5000

FIXTURE(fences) {
	int fd;
	struct net net;
	struct job job;
	unsigned int usual_ms;
};

FIXTURE_SETUP(fences)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
	net_job(&self->net, &self->job);
}

FIXTURE_TEARDOWN(fences)
{
	if (self->usual_ms)
		EXPECT_OK(dev_set_timeout(self->usual_ms, NULL));
	net_close(&self->net);
	close(self->fd);
}

#define REFUSED(e) EXPECT_ERRNO(job_submit(self->fd, &self->job), e)

TEST_F(fences, out_binary)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	for (int i = 0; i < 10; i++) {
		ASSERT_OK(job_submit(self->fd, &self->job));
		ASSERT_EQ(sync_result(self->fd, s, LONG_MS), 0);
	}
}

TEST_F(fences, out_several)
{
	uint32_t s[4];

	for (int i = 0; i < 4; i++) {
		ASSERT_OK(sync_create(self->fd, false, &s[i]));
		job_sync(&self->job, s[i], DRM_PATCNN_SYNC_SIGNAL |
			 (i & 1 ? DRM_PATCNN_SYNC_TIMELINE : 0), i & 1 ? 5 : 0);
	}
	ASSERT_OK(job_submit(self->fd, &self->job));
	for (int i = 0; i < 4; i++)
		EXPECT_OK(sync_wait(self->fd, s[i], i & 1 ? 5 : 0, LONG_MS));
}

TEST_F(fences, out_timeline)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE, 1);
	for (uint64_t p = 1; p <= 10; p++) {
		self->job.sync[0].point = p * 3;
		ASSERT_OK(job_submit(self->fd, &self->job));
	}
	ASSERT_OK(sync_wait(self->fd, s, 30, LONG_MS));
	ASSERT_OK(sync_wait(self->fd, s, 3, 0));
	EXPECT_ERRNO(sync_wait(self->fd, s, 31, 10), ETIME);
}

/* The job must not run before the point is there. */
TEST_F(fences, in_timeline)
{
	uint32_t slow_done, done;
	struct net slow;
	struct job job;

	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &slow_done));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, slow_done, DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE, 7);
	ASSERT_OK(job_submit(self->fd, &job));
	job_sync(&self->job, slow_done, DRM_PATCNN_SYNC_TIMELINE, 7);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_EQ(sync_result(self->fd, done, LONG_MS), 0);
	/* Another context: only the fence can have ordered them. */
	EXPECT_OK(sync_wait(self->fd, slow_done, 7, 0));
	EXPECT_TRUE(net_right(&self->net));
	net_close(&slow);
}

TEST_F(fences, in_binary)
{
	uint32_t slow_done, done;
	struct net slow;
	struct job job;

	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &slow_done));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, slow_done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	job_sync(&self->job, slow_done, 0, 0);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_EQ(sync_result(self->fd, done, LONG_MS), 0);
	EXPECT_OK(sync_wait(self->fd, slow_done, 0, 0));
	net_close(&slow);
}

/* A point signalled by hand starts the job. */
TEST_F(fences, in_from_user)
{
	uint32_t s, done;

	ASSERT_OK(sync_create(self->fd, false, &s));
	ASSERT_OK(sync_create(self->fd, false, &done));
	ASSERT_OK(sync_signal_point(self->fd, s, 4));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_TIMELINE, 4);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	EXPECT_EQ(sync_result(self->fd, done, LONG_MS), 0);
}

TEST_F(fences, bad_handles)
{
	const uint32_t bad[] = { 0, 99, 0xffffffff };

	for (int i = 0; i < 3; i++)
		for (int signal = 0; signal < 2; signal++) {
			net_job(&self->net, &self->job);
			job_sync(&self->job, bad[i], signal, 0);
			REFUSED(ENOENT);
		}
}

TEST_F(fences, bad_flags)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, true, &s));
	job_sync(&self->job, s, 0, 0);
	for (int b = 2; b < 32; b++) {
		self->job.sync[0].flags = 1u << b;
		REFUSED(EINVAL);
	}
}

TEST_F(fences, binary_with_point)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, true, &s));
	job_sync(&self->job, s, 0, 1);
	REFUSED(EINVAL);
	self->job.sync[0].flags = DRM_PATCNN_SYNC_SIGNAL;
	REFUSED(EINVAL);
}

TEST_F(fences, timeline_without_point)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, true, &s));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_TIMELINE, 0);
	REFUSED(EINVAL);
	self->job.sync[0].flags |= DRM_PATCNN_SYNC_SIGNAL;
	REFUSED(EINVAL);
}

/* A syncobj that nobody has given a fence yet: an error at once, never a job that hangs. */
TEST_F(fences, in_without_fence)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	job_sync(&self->job, s, 0, 0);
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == EINVAL || errno == ENOENT);
	self->job.sync[0].flags = DRM_PATCNN_SYNC_TIMELINE;
	self->job.sync[0].point = 1ull << 63;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == EINVAL || errno == ENOENT);
}

TEST_F(fences, too_many)
{
	struct drm_patcnn_dev_info info;
	struct drm_patcnn_sync *many;
	uint32_t s;

	ASSERT_OK(dev_info(self->fd, &info));
	ASSERT_OK(sync_create(self->fd, true, &s));
	many = calloc(100000, sizeof(*many));
	for (int i = 0; i < 100000; i++)
		many[i].handle = s;
	self->job.args.syncs.array = (uintptr_t)many;
	self->job.args.syncs.count = info.max_syncs;
	EXPECT_OK(job_submit(self->fd, &self->job));
	self->job.args.syncs.count = info.max_syncs + 1;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == EINVAL || errno == E2BIG);
	self->job.args.syncs.count = 100000;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	self->job.args.syncs.count = 0xffffffff;
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	free(many);
}

/* The same syncobj to wait for and to signal: waits for the old fence, gets the new one. */
TEST_F(fences, in_and_out_the_same)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, true, &s));
	job_sync(&self->job, s, 0, 0);
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	for (int i = 0; i < 20; i++)
		ASSERT_OK(job_submit(self->fd, &self->job));
	EXPECT_EQ(sync_result(self->fd, s, LONG_MS), 0);
}

/* A refused job must not have touched its out fences. */
TEST_F(fences, refused_leaves_syncobj)
{
	uint32_t s, t;

	ASSERT_OK(sync_create(self->fd, false, &s));
	ASSERT_OK(sync_create(self->fd, false, &t));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	job_sync(&self->job, t, DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE, 0);
	REFUSED(EINVAL);
	EXPECT_ERRNO(sync_wait(self->fd, s, 0, 10), ETIME);
	EXPECT_ERRNO(sync_export_file(self->fd, s), EINVAL);
}

TEST_F(fences, poll_sync_file)
{
	struct pollfd p = { .events = POLLIN };
	bool pending = false;
	struct net slow;
	uint32_t s;

	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &s));
	net_job(&slow, &self->job);
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	/* Again, if others kept this process from looking until the job was done. */
	for (int i = 0; i < 5; i++) {
		ASSERT_OK(job_submit(self->fd, &self->job));
		p.fd = sync_export_file(self->fd, s);
		ASSERT_GE(p.fd, 0);
		pending = !poll(&p, 1, 0) && !sync_file_status(p.fd);
		if (pending)
			break;
		close(p.fd);
	}
	ASSERT_TRUE(pending);
	EXPECT_EQ(poll(&p, 1, LONG_MS), 1);
	EXPECT_EQ(p.revents, POLLIN);
	EXPECT_EQ(sync_file_status(p.fd), 1);
	close(p.fd);
	net_close(&slow);
}

TEST_F(fences, sync_file_names_the_driver)
{
	struct sync_fence_info f = { 0 };
	struct sync_file_info info = { .num_fences = 1, .sync_fence_info = (uintptr_t)&f };
	uint32_t s;
	int file;

	ASSERT_OK(sync_create(self->fd, false, &s));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	file = sync_export_file(self->fd, s);
	ASSERT_GE(file, 0);
	ASSERT_OK(ioctl(file, SYNC_IOC_FILE_INFO, &info));
	ASSERT_EQ(info.num_fences, 1);
	EXPECT_LT(strnlen(f.driver_name, sizeof(f.driver_name)), sizeof(f.driver_name));
	EXPECT_TRUE(f.driver_name[0]);
	EXPECT_EQ(sync_result(self->fd, s, LONG_MS), 0);
	close(file);
}

/* A context that goes away tells those who wait why. */
TEST_F(fences, canceled)
{
	uint32_t s[6];
	struct net slow;
	int canceled = 0;

	ASSERT_OK(net_open_slow(&slow, self->fd, 300));
	for (int i = 0; i < 6; i++) {
		ASSERT_OK(sync_create(self->fd, false, &s[i]));
		net_job(&slow, &self->job);
		job_sync(&self->job, s[i], DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &self->job));
	}
	ASSERT_OK(ctx_destroy(self->fd, slow.ctx));
	for (int i = 0; i < 6; i++) {
		int r = sync_result(self->fd, s[i], 5000);

		EXPECT_TRUE(r == 0 || r == -ECANCELED);
		canceled += r == -ECANCELED;
	}
	EXPECT_GE(canceled, 4);
	slow.ctx = 0;
	net_close(&slow);
	/* And the device works on. */
	EXPECT_EQ(net_run(&self->net), 0);
}

/*
 * A queued job that is cancelled ends before the one that runs, and that one still
 * writes for a moment: their buffer is not idle until both are done.
 */
TEST_F_TIMEOUT(fences, canceled_out_of_order, 120)
{
	struct net slow;

	ASSERT_OK(net_open_slow(&slow, self->fd, 20));
	for (int round = 0; round < 100; round++) {
		uint32_t ctx, running, queued;
		struct job job;
		int file;

		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx));
		ASSERT_OK(sync_create(self->fd, false, &running));
		ASSERT_OK(sync_create(self->fd, false, &queued));
		net_job(&slow, &job);
		job.args.ctx = ctx;
		job_sync(&job, running, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &job));
		job.sync[0].handle = queued;
		ASSERT_OK(job_submit(self->fd, &job));
		file = sync_export_file(self->fd, running);
		ASSERT_GE(file, 0);
		usleep(round * 20);
		ASSERT_OK(ctx_destroy(self->fd, ctx));
		ASSERT_OK(bo_sync(self->fd, slow.out_bo, DRM_PATCNN_BO_SYNC_READ,
				  now_ns() + 20000000000));
		ASSERT_NE(sync_file_status(file), 0);
		close(file);
		sync_destroy(self->fd, running);
		sync_destroy(self->fd, queued);
	}
	net_close(&slow);
}

/*
 * When a context goes, jobs that waited end before the one that runs. Who waits for both
 * must not be given the last fence alone, as if they came in their order: so BO_SYNC,
 * which asks the buffer's reservation object, and sync_files that are merged, which can
 * be looked at.
 */
TEST_F(fences, order_is_not_promised)
{
	struct sync_file_info info = { 0 };
	struct sync_merge_data merge = { .name = "both" };
	struct net slow;
	uint32_t done[2];
	int file[2];

	ASSERT_OK(net_open_slow(&slow, self->fd, 300));
	for (int i = 0; i < 2; i++) {
		ASSERT_OK(sync_create(self->fd, false, &done[i]));
		net_job(&slow, &self->job);
		job_sync(&self->job, done[i], DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &self->job));
		file[i] = sync_export_file(self->fd, done[i]);
		ASSERT_GE(file[i], 0);
	}
	merge.fd2 = file[1];
	ASSERT_OK(ioctl(file[0], SYNC_IOC_MERGE, &merge));
	ASSERT_OK(ioctl(merge.fence, SYNC_IOC_FILE_INFO, &info));
	if (sync_file_status(file[0]))
		SKIP(return, "this machine is too busy to look at a job while it runs");
	EXPECT_EQ(info.num_fences, 2);
	ASSERT_OK(ctx_destroy(self->fd, slow.ctx));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(sync_result(self->fd, done[i], LONG_MS), -ECANCELED);
	EXPECT_NE(sync_file_status(merge.fence), 0);
	EXPECT_OK(bo_sync(self->fd, slow.out_bo, DRM_PATCNN_BO_SYNC_READ, 0));
	for (int i = 0; i < 2; i++)
		close(file[i]);
	close(merge.fence);
	slow.ctx = 0;
	net_close(&slow);
}

/* More work than the time limit allows ends with ETIME, and the next job is not affected. */
TEST_F_TIMEOUT(fences, watchdog, 180)
{
	struct drm_patcnn_dev_info info;
	struct net slow;
	int64_t t;
	uint32_t s;
	int r;

	/* The largest net may be done in less than jobs are usually given. */
	ASSERT_OK(dev_info(self->fd, &info));
	if (!dev_set_timeout(SIZING_MS, &self->usual_ms))
		info.timeout_ms = WATCHDOG_MS;
	ASSERT_OK(net_open_slow(&slow, self->fd, info.timeout_ms * 3));
	if (self->usual_ms)
		ASSERT_OK(dev_set_timeout(WATCHDOG_MS, NULL));
	ASSERT_OK(sync_create(self->fd, false, &s));
	net_job(&slow, &self->job);
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	t = now_ns();
	ASSERT_OK(job_submit(self->fd, &self->job));
	r = sync_result(self->fd, s, info.timeout_ms * 10);
	t = (now_ns() - t) / 1000000;
	TH_LOG("result %d after %lld ms, limit %u ms", r, (long long)t, info.timeout_ms);
	if (!r && t < info.timeout_ms)
		SKIP(return, "this machine is too fast for the largest slow net: %lld ms",
		     (long long)t);
	EXPECT_EQ(r, -ETIME);
	EXPECT_GE(t, info.timeout_ms - 1);
	EXPECT_LE(t, info.timeout_ms + 1500);
	if (self->usual_ms)
		EXPECT_OK(dev_set_timeout(self->usual_ms, NULL));
	EXPECT_EQ(net_run(&self->net), 0);
	net_close(&slow);
}

TEST_HARNESS_MAIN
