// SPDX-License-Identifier: MIT
/* Clients that die, contexts that go, with jobs queued and running. */

#include <signal.h>
#include <sys/wait.h>

#include "device.h"
#include "harness.h"

FIXTURE(kill) { int fd; struct net net; };
FIXTURE_SETUP(kill)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(kill)
{
	net_close(&self->net);
	close(self->fd);
}

/* A child that has submitted @jobs jobs of @ms each and then waits to be killed. */
static pid_t victim(unsigned int jobs, unsigned int ms)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		int fd = dev_open();
		struct net slow;
		struct job job;

		if (fd < 0 || net_open_slow(&slow, fd, ms))
			_exit(1);
		net_job(&slow, &job);
		for (unsigned int i = 0; i < jobs; i++)
			if (job_submit(fd, &job))
				break;
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

/* Milliseconds until @pid is gone; -1: not within 10 s. */
static int64_t gone_after(pid_t pid, int sig)
{
	int64_t t = now_ns();

	kill(pid, sig);
	for (int i = 0; i < 10000; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return (now_ns() - t) / 1000000;
		usleep(1000);
	}
	return -1;
}

TEST_F_TIMEOUT(kill, mid_job, 60)
{
	for (int i = 0; i < 4; i++) {
		pid_t pid = victim(1, 400);
		int64_t ms;

		ASSERT_GT(pid, 0);
		usleep(20000 * i);
		ms = gone_after(pid, SIGKILL);
		TH_LOG("gone after %lld ms", (long long)ms);
		EXPECT_GE(ms, 0);
		EXPECT_LT(ms, 300 * th_slow());
		EXPECT_EQ(net_run(&self->net), 0);
	}
}

TEST_F_TIMEOUT(kill, full_queue, 60)
{
	pid_t pid = victim(10000, 100);
	int64_t ms;

	ASSERT_GT(pid, 0);
	ms = gone_after(pid, SIGKILL);
	TH_LOG("gone after %lld ms", (long long)ms);
	EXPECT_GE(ms, 0);
	EXPECT_LT(ms, 1500 * th_slow());
	EXPECT_EQ(net_run(&self->net), 0);
}

/* SIGTERM, whose default closes the files in an exiting task as well. */
TEST_F_TIMEOUT(kill, sigterm, 60)
{
	pid_t pid = victim(10, 100);
	int64_t ms;

	ASSERT_GT(pid, 0);
	ms = gone_after(pid, SIGTERM);
	EXPECT_GE(ms, 0);
	EXPECT_EQ(net_run(&self->net), 0);
}

/* A stopped client keeps its jobs running; nobody waits for it. */
TEST_F_TIMEOUT(kill, stopped_client, 60)
{
	pid_t pid = victim(20, 50);

	ASSERT_GT(pid, 0);
	kill(pid, SIGSTOP);
	EXPECT_EQ(net_run(&self->net), 0);
	EXPECT_GE(gone_after(pid, SIGKILL), 0);
}

/* The file alone closed, with jobs queued; mapping and device go on. */
TEST_F_TIMEOUT(kill, close_with_jobs, 60)
{
	for (int i = 0; i < 5; i++) {
		int fd = dev_open();
		struct net slow;
		struct job job;
		int64_t t;

		ASSERT_OK(net_open_slow(&slow, fd, 100));
		net_job(&slow, &job);
		for (int k = 0; k < 10; k++)
			ASSERT_OK(job_submit(fd, &job));
		t = now_ns();
		close(fd);
		t = (now_ns() - t) / 1000000;
		TH_LOG("close() took %lld ms", (long long)t);
		EXPECT_LT(t, 1500 * th_slow());
		/* The mapping lives as long as it is mapped. */
		slow.out_map[0] = 1;
		EXPECT_EQ(net_run(&self->net), 0);
	}
}

/* Cancel within a slice: destroying a context waits for nothing, its fences come soon. */
TEST_F_TIMEOUT(kill, ctx_destroy_is_quick, 60)
{
	int64_t t, worst = 0, fence = 0, least = INT64_MAX;
	struct net slow;
	struct job job;
	uint32_t done;

	ASSERT_OK(net_open_slow(&slow, self->fd, 1000));
	ASSERT_OK(sync_create(self->fd, false, &done));
	for (int i = 0; i < 5; i++) {
		uint32_t ctx;

		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx));
		net_job(&slow, &job);
		job.args.ctx = ctx;
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &job));
		job.args.syncs.count = 0;
		for (int k = 0; k < 3; k++)
			ASSERT_OK(job_submit(self->fd, &job));
		usleep(5000);
		t = now_ns();
		ASSERT_OK(ctx_destroy(self->fd, ctx));
		if (now_ns() - t > worst)
			worst = now_ns() - t;
		EXPECT_EQ(sync_result(self->fd, done, 60000), -ECANCELED);
		t = now_ns() - t;
		fence = t > fence ? t : fence;
		least = t < least ? t : least;
	}
	TH_LOG("CTX_DESTROY took %lld us at most, the fence of the running job came after %lld to %lld us",
	       (long long)worst / 1000, (long long)least / 1000, (long long)fence / 1000);
	EXPECT_LT(worst, 200000000ll * th_slow());
	/* The job would take longer; where nobody else wants the CPUs, it ends with its chunk. */
	EXPECT_LT(fence, 800000000ll);
	EXPECT_LT(least, 20000000ll * th_slow());
	net_close(&slow);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A wait that a signal ends says EINTR or goes on; it never eats the job's result. */
TEST_F_TIMEOUT(kill, interrupted_wait, 60)
{
	struct net slow;
	struct job job;
	uint32_t done;
	pid_t pid;

	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	/* A handler without SA_RESTART: waits really end. */
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 100; i++) {
			kill(getppid(), SIGUSR1);
			usleep(2000);
		}
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		while (job_submit(self->fd, &job))
			ASSERT_EQ(errno, EINTR);
		while (bo_sync(self->fd, slow.out_bo, DRM_PATCNN_BO_SYNC_READ,
			       now_ns() + 60000000000ll))
			ASSERT_EQ(errno, EINTR);
		ASSERT_EQ(sync_result(self->fd, done, 60000), 0);
	}
	waitpid(pid, NULL, 0);
	net_close(&slow);
}

/* A client that waits in BO_SYNC for a job dies as quickly as any other. */
TEST_F_TIMEOUT(kill, while_waiting, 60)
{
	pid_t pid = fork();

	if (!pid) {
		int fd = dev_open();
		struct net slow;
		struct job job;

		if (net_open_slow(&slow, fd, 1000))
			_exit(1);
		net_job(&slow, &job);
		for (int i = 0; i < 5; i++)
			job_submit(fd, &job);
		bo_sync(fd, slow.out_bo, DRM_PATCNN_BO_SYNC_READ, INT64_MAX);
		_exit(0);
	}
	usleep(700000 * th_slow());
	{
		int64_t ms = gone_after(pid, SIGKILL);

		EXPECT_GE(ms, 0);
		EXPECT_LT(ms, 1500 * th_slow());
	}
	EXPECT_EQ(net_run(&self->net), 0);
}

TEST_HARNESS_MAIN
