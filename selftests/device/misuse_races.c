// SPDX-License-Identifier: MIT
/* What a hostile or broken client does, second part: at the same time. See misuse.c. */

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "device.h"
#include "harness.h"

/* PATCNN_RACE_S gives each race that many seconds instead. */
#define RACE_MS 1500

FIXTURE(race) { int fd; struct net net; unsigned int usual_ms; };
FIXTURE_SETUP(race)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(race)
{
	int fd = dev_open();
	struct net net;

	if (self->usual_ms)
		EXPECT_OK(dev_set_timeout(self->usual_ms, NULL));
	close(self->fd);
	EXPECT_OK(net_open_small(&net, fd));
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	close(fd);
}

/* struct arena - what the racing threads share. */
struct arena {
	_Atomic int fd;
	_Atomic uint32_t ctx, model, bo;
	struct net *net;
	_Atomic bool stop;
	_Atomic unsigned long submitted, refused, turn;
};

typedef void (*race_fn)(struct arena *a);
struct racer {
	struct arena *arena;
	race_fn fn;
};

static void *race_thread(void *arg)
{
	struct racer *r = arg;

	while (!r->arena->stop)
		r->fn(r->arena);
	return NULL;
}

static void race_time(unsigned int times)
{
	unsigned int s = th_race_s();

	if (s)
		sleep(s);
	else
		usleep(RACE_MS * 1000 * times);
}

static void race(struct arena *a, unsigned int n, const race_fn *fn)
{
	struct racer r[8];
	pthread_t t[8];

	for (unsigned int i = 0; i < n; i++) {
		r[i] = (struct racer){ a, fn[i] };
		pthread_create(&t[i], NULL, race_thread, &r[i]);
	}
	race_time(1);
	a->stop = true;
	for (unsigned int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	TH_LOG("%lu submitted, %lu refused", a->submitted, a->refused);
}

static void do_submit(struct arena *a)
{
	struct job job;

	net_job(a->net, &job);
	job.args.ctx = a->ctx;
	job.args.model = a->model;
	job.binding[1].handle = a->bo;
	if (job_submit(a->fd, &job))
		a->refused++;
	else
		a->submitted++;
}

/* Of all priorities in turn: those who submit change theirs with it. */
static void do_ctx(struct arena *a)
{
	uint32_t ctx;

	if (!ctx_create(a->fd, a->turn++ % (DRM_PATCNN_PRIORITY_HIGH + 1), NULL, &ctx))
		ctx_destroy(a->fd, atomic_exchange(&a->ctx, ctx));
}

/* Destroys whatever number comes next: a context that another thread just made. */
static void do_guess(struct arena *a)
{
	ctx_destroy(a->fd, a->ctx);
	ctx_destroy(a->fd, a->ctx + 1);
	model_destroy(a->fd, a->model + 1);
}

static void do_model(struct arena *a)
{
	uint32_t m;

	if (!model_create(a->fd, a->net->blob, a->net->size, &m, NULL, 0))
		model_destroy(a->fd, atomic_exchange(&a->model, m));
}

static void do_buffer(struct arena *a)
{
	uint32_t bo;

	if (!bo_create(a->fd, a->net->out_bytes, &bo))
		bo_close(a->fd, atomic_exchange(&a->bo, bo));
}

static struct arena arena_of(struct net *net)
{
	return (struct arena){ .fd = net->fd, .ctx = net->ctx, .model = net->model,
			       .bo = net->out_bo, .net = net };
}

TEST_F_TIMEOUT(race, case16_submit_ctx_destroy, 60)
{
	const race_fn fn[] = { do_submit, do_submit, do_ctx, do_ctx };
	struct arena a = arena_of(&self->net);

	race(&a, 4, fn);
	EXPECT_GT(a.submitted, 0);
}

TEST_F_TIMEOUT(race, case16_guessed_ids, 60)
{
	const race_fn fn[] = { do_submit, do_ctx, do_guess, do_guess };
	struct arena a = arena_of(&self->net);

	race(&a, 4, fn);
}

TEST_F_TIMEOUT(race, case06_submit_model_and_buffer_destroy, 60)
{
	const race_fn fn[] = { do_submit, do_submit, do_model, do_buffer };
	struct arena a = arena_of(&self->net);

	race(&a, 4, fn);
	EXPECT_GT(a.submitted, 0);
}

/* A new file has a net like the old one: made in that order, its handles are the same. */
static void do_reopen(struct arena *a)
{
	uint32_t model, ctx, in, out;
	int fd = dev_open();

	if (fd < 0)
		return;
	if (model_create(fd, a->net->blob, a->net->size, &model, NULL, 0) ||
	    ctx_create(fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx) ||
	    bo_create(fd, a->net->in_bytes, &in) || bo_create(fd, a->net->out_bytes, &out)) {
		close(fd);
		return;
	}
	a->ctx = ctx;
	a->model = model;
	a->bo = out;
	close(atomic_exchange(&a->fd, fd));
	usleep(2000);
}

/* close() against everything: most calls meet EBADF or ENOENT, none a freed client. */
TEST_F_TIMEOUT(race, case16_close, 60)
{
	const race_fn fn[] = { do_submit, do_ctx, do_model, do_reopen };
	struct arena a = arena_of(&self->net);

	a.fd = dup(self->fd);
	race(&a, 4, fn);
	EXPECT_GT(a.submitted, 0);
	close(a.fd);
}

static void do_export(struct arena *a)
{
	int fd = model_export(a->fd, a->model);
	uint32_t m;

	if (fd < 0)
		return;
	if (!model_import(a->fd, fd, &m))
		model_destroy(a->fd, m);
	close(fd);
}

static void do_sync(struct arena *a)
{
	bo_sync(a->fd, a->bo, DRM_PATCNN_BO_SYNC_READ, now_ns() + 1000000);
	bo_sync(a->fd, a->bo, DRM_PATCNN_BO_SYNC_READ | DRM_PATCNN_BO_SYNC_END, 0);
}

TEST_F_TIMEOUT(race, case16_export_import_sync, 60)
{
	const race_fn fn[] = { do_submit, do_export, do_sync, do_model, do_buffer };
	struct arena a = arena_of(&self->net);

	race(&a, 5, fn);
}

/* Several threads on one context: as many results as submits, none lost. */
TEST_F_TIMEOUT(race, many_threads_one_context, 60)
{
	const race_fn fn[] = { do_submit, do_submit, do_submit, do_submit };
	struct arena a = arena_of(&self->net);

	race(&a, 4, fn);
	EXPECT_GT(a.submitted, 0);
	while (net_run(&self->net) == EBUSY)
		usleep(1000);
	EXPECT_EQ(net_run(&self->net), 0);
}

/* ---- fences that never come ---- */

struct sw_sync_create { uint32_t value; char name[32]; int32_t fence; };
#define SW_SYNC_CREATE _IOWR('W', 0, struct sw_sync_create)

static int never(int *timeline)
{
	struct sw_sync_create c = { .value = 1, .name = "never" };

	*timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	if (*timeline < 0 || ioctl(*timeline, SW_SYNC_CREATE, &c))
		return -1;
	return c.fence;
}

static int wait_for_never(int fd, struct net *net, int fence)
{
	struct drm_syncobj_handle h = {
		.fd = fence, .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};
	struct job job;

	if (sync_create(fd, false, &h.handle) ||
	    dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h))
		return -1;
	net_job(net, &job);
	job_sync(&job, h.handle, 0, 0);
	return job_submit(fd, &job);
}

TEST_F_TIMEOUT(race, case12_fence_that_never_signals, 60)
{
	int timeline, fence = never(&timeline), status, fd;
	int64_t t;
	pid_t pid;

	if (fence < 0)
		SKIP(return, "no sw_sync in debugfs (CONFIG_SW_SYNC, a debug kernel has it)");
	pid = fork();
	if (!pid) {
		struct net net;

		fd = dev_open();
		if (net_open_small(&net, fd))
			_exit(1);
		for (int i = 0; i < 4; i++)
			if (wait_for_never(fd, &net, fence))
				_exit(2);
		kill(getpid(), SIGKILL);
	}
	t = now_ns();
	waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_LT(now_ns() - t, 5000000000ll * th_slow());
	/* Nobody else starves meanwhile, and a context with such a job can be destroyed. */
	EXPECT_EQ(wait_for_never(self->fd, &self->net, fence), 0);
	{
		uint32_t blocked = self->net.ctx;

		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &self->net.ctx));
		EXPECT_EQ(net_run(&self->net), 0);
		EXPECT_OK(ctx_destroy(self->fd, blocked));
	}
	close(fence);
	close(timeline);
}

/* ---- CPUs, power, memory, observers ---- */

TEST_F_TIMEOUT(race, case19_cpu_hotplug, 180)
{
	struct drm_patcnn_dev_info info;
	char path[80];
	int moved = 0;
	pid_t pid;

	if (!is_root())
		SKIP(return, "needs root");
	ASSERT_OK(dev_info(self->fd, &info));
	pid = fork();
	if (!pid) {
		int fd = dev_open();
		struct net net;

		if (net_open_small(&net, fd))
			_exit(1);
		for (;;)
			if (net_run(&net))
				_exit(2);
	}
	for (int round = 0; round < 2; round++)
		for (int cpu = 0; cpu < 256; cpu++) {
			if (!(info.cpu_mask[cpu / 64] >> cpu % 64 & 1))
				continue;
			snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
			if (write_file(path, "0"))
				continue;
			usleep(100000);
			EXPECT_EQ(net_run(&self->net), 0);
			EXPECT_OK(write_file(path, "1"));
			moved++;
		}
	EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!moved)
		SKIP(return, "no CPU of the pool can be taken offline here");
	TH_LOG("%d times off and on", moved);
}

/* Every CPU of the pool but those that cannot go, all at once. */
TEST_F_TIMEOUT(race, case19_pool_without_cpus, 120)
{
	struct drm_patcnn_dev_info info;
	char path[80];
	int gone = 0;

	if (!is_root())
		SKIP(return, "needs root");
	ASSERT_OK(dev_info(self->fd, &info));
	for (int cpu = 255; cpu >= 0; cpu--) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		gone += !write_file(path, "0");
	}
	if (!gone)
		SKIP(return, "no CPU can be taken offline here");
	EXPECT_EQ(net_run(&self->net), 0);
	for (int cpu = 0; cpu < 256; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
		write_file(path, "1");
	}
	EXPECT_EQ(net_run(&self->net), 0);
	TH_LOG("%d CPUs gone and back", gone);
}

TEST_F_TIMEOUT(race, case20_suspend, 120)
{
	struct net slow;
	struct job job;
	uint32_t done;

	if (!is_root())
		SKIP(return, "needs root");
	if (write_file("/sys/power/pm_test", "devices"))
		SKIP(return, "no /sys/power/pm_test (CONFIG_PM_DEBUG, a debug kernel has it)");
	ASSERT_OK(net_open_slow(&slow, self->fd, 300));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(job_submit(self->fd, &job));
		ASSERT_OK(job_submit(self->fd, &job));
		usleep(10000);
		write_file("/sys/power/state", "freeze");
		EXPECT_EQ(sync_result(self->fd, done, 60000), 0);
	}
	write_file("/sys/power/pm_test", "none");
	net_close(&slow);
}

/* Jobs that end about when the watchdog comes: either result, once, and no harm. */
TEST_F_TIMEOUT(race, case21_watchdog_at_completion, 180)
{
	unsigned int ms, ended[2] = { 0, 0 };
	struct net slow;
	struct job job;
	uint32_t done;

	if (!is_root())
		SKIP(return, "needs root");
	ASSERT_OK(net_open_slow(&slow, self->fd, 100));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ms = net_ms(&slow);
	if (!ms)
		SKIP(return, "this machine is too busy to size a job by");
	for (int percent = 85; percent <= 115; percent += 3) {
		ASSERT_OK(dev_set_timeout(ms * percent / 100, self->usual_ms ? NULL :
					  &self->usual_ms));
		for (int i = 0; i < 3; i++) {
			int r;

			ASSERT_OK(job_submit(self->fd, &job));
			r = sync_result(self->fd, done, 60000);
			EXPECT_TRUE(r == 0 || r == -ETIME);
			ended[!r]++;
		}
	}
	ASSERT_OK(dev_set_timeout(self->usual_ms, NULL));
	TH_LOG("jobs of %u ms: %u cancelled, %u done", ms, ended[0], ended[1]);
	EXPECT_EQ(net_run_unchecked(&slow), 0);
	net_close(&slow);
}

/* A client in a memory cgroup that is too small meets its own limit, nobody else's. */
TEST_F_TIMEOUT(race, case26_memory_cgroup, 120)
{
	const char *group = "/sys/fs/cgroup/patcnn-selftest";
	char path[100], pid_text[20];
	int status = 0;
	pid_t pid;

	if (!is_root())
		SKIP(return, "needs root");
	/* A small root file system may not have it mounted; it stays so for the others. */
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(group, 0755) && errno != EEXIST)
		SKIP(return, "no cgroup v2 at /sys/fs/cgroup: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/memory.max", group);
	if (write_file(path, "16777216"))
		SKIP(rmdir(group); return, "no memory controller in /sys/fs/cgroup");
	snprintf(path, sizeof(path), "%s/memory.swap.max", group);
	write_file(path, "0");
	pid = fork();
	if (!pid) {
		int fd;

		snprintf(path, sizeof(path), "%s/cgroup.procs", group);
		snprintf(pid_text, sizeof(pid_text), "%d", getpid());
		if (write_file(path, pid_text))
			_exit(3);
		fd = dev_open();
		for (int i = 0; i < 64; i++) {
			uint32_t bo;
			char *p;

			if (bo_create(fd, 1 << 20, &bo))
				_exit(errno == ENOMEM ? 0 : 1);
			p = bo_map(fd, bo, 1 << 20);
			if (p == MAP_FAILED)
				_exit(0);
			memset(p, 1, 1 << 20);
		}
		_exit(2);	/* 64 MiB in a group of 16 */
	}
	waitpid(pid, &status, 0);
	/* ENOMEM, SIGBUS and the OOM killer are all limits; getting 64 MiB is none. */
	EXPECT_TRUE(WIFSIGNALED(status) || !WEXITSTATUS(status));
	rmdir(group);
}

static void read_tree(const char *path, int depth)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char name[512], buf[4096];
		struct stat st;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (lstat(name, &st))
			continue;
		if (S_ISDIR(st.st_mode) && depth)
			read_tree(name, depth - 1);
		if (!S_ISREG(st.st_mode))
			continue;
		fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0) {
			while (read(fd, buf, sizeof(buf)) > 0)
				;
			close(fd);
		}
	}
	if (d)
		closedir(d);
}

/* Readers of fdinfo, debugfs and sysfs while clients come and die. */
TEST_F_TIMEOUT(race, case28_observers, 60)
{
	pid_t churn, reader;

	churn = fork();
	if (!churn) {
		for (;;) {
			pid_t pid = fork();

			if (!pid) {
				int fd = dev_open();
				struct net net;
				struct job job;

				if (net_open_small(&net, fd))
					_exit(1);
				net_job(&net, &job);
				for (int i = 0; i < 5; i++)
					job_submit(fd, &job);
				kill(getpid(), SIGKILL);
			}
			waitpid(pid, NULL, 0);
		}
	}
	reader = fork();
	if (!reader) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/fdinfo", churn + 1);
		for (;;) {
			read_tree("/sys/kernel/debug/accel", 3);
			read_tree("/sys/kernel/debug/dri", 3);
			read_tree("/sys/module/patcnn", 2);
			read_tree("/sys/bus/platform/drivers/patcnn", 3);
			read_tree("/proc/self/fdinfo", 1);
			read_tree(path, 1);
		}
	}
	race_time(2);
	EXPECT_EQ(waitpid(churn, NULL, WNOHANG), 0);
	EXPECT_EQ(waitpid(reader, NULL, WNOHANG), 0);
	kill(churn, SIGKILL);
	kill(reader, SIGKILL);
	EXPECT_EQ(net_run(&self->net), 0);
}

/* fdinfo says what a client used, in the form that tools read. */
TEST_F(race, case28_fdinfo)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	EXPECT_EQ(net_run(&self->net), 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	ASSERT_GT(n, 0);
	text[n] = 0;
	EXPECT_TRUE(strstr(text, "drm-driver:\tpatcnn"));
	EXPECT_TRUE(strstr(text, "drm-client-id:"));
	EXPECT_TRUE(strstr(text, "drm-engine-"));
	EXPECT_TRUE(strstr(text, "drm-total-") || strstr(text, "drm-memory-"));
	/* No kernel address in it. */
	EXPECT_FALSE(strstr(text, "ffff8"));
	close(fd);
}

TEST_HARNESS_MAIN
