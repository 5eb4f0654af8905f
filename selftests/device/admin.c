// SPDX-License-Identifier: MIT
/*
 * What the administrator does while clients are at work: unbinds the device, changes
 * the CPUs of the pool, their niceness, the limits of time. Jobs end as they would, or
 * are cancelled, and the device is as before.
 */

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "device.h"
#include "harness.h"

#define DRIVER "/sys/bus/platform/drivers/patcnn"
#define CLIENTS 4

FIXTURE(admin) { char dir[128], name[64]; unsigned int usual_ms, slow; };
FIXTURE_SETUP(admin)
{
	glob_t g;

	if (!is_root())
		SKIP(longjmp(_metadata->env, 1), "needs root");
	if (glob(DRIVER "/*/driver", 0, NULL, &g) || !g.gl_pathc)
		SKIP(longjmp(_metadata->env, 1), "no device in " DRIVER);
	snprintf(self->dir, sizeof(self->dir), "%.*s",
		 (int)(strrchr(g.gl_pathv[0], '/') - g.gl_pathv[0]), g.gl_pathv[0]);
	snprintf(self->name, sizeof(self->name), "%s", strrchr(self->dir, '/') + 1);
	globfree(&g);
	self->slow = th_slow();
}

static int text_write(const char *dir, const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return write_file(path, text);
}

static int text_read(const char *dir, const char *name, char *text, size_t size)
{
	char path[200];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = 0;
	return 0;
}

FIXTURE_TEARDOWN(admin)
{
	struct net net;
	int fd = -1;

	if (!*self->name)
		return;
	if (self->usual_ms)
		EXPECT_OK(dev_set_timeout(self->usual_ms, NULL));
	/* devtmpfs may need a moment for the node of a device that was just bound. */
	for (int i = 0; i < 200 && fd < 0; i++) {
		fd = dev_open();
		if (fd < 0)
			usleep(10000);
	}
	ASSERT_GE(fd, 0);
	EXPECT_OK(net_open_small(&net, fd));
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	close(fd);
}

/* Jobs that have been done, of all clients. */
static atomic_ulong jobs;

/* struct client - a thread that opens the device, runs a net until it may not, and again. */
struct client {
	atomic_bool *stop;
	unsigned long cancelled, opened, wrong;
};

static void client_session(struct client *c, struct net *net)
{
	int err = 0;

	/* A reference is slow to compute: look at every 16th. */
	for (unsigned int i = 0; !*c->stop && !err; i++) {
		err = i % 16 ? net_run_unchecked(net) : net_run(net);
		jobs += !err;
	}
	if (err == ECANCELED || err == ENODEV)
		c->cancelled++;
	else
		c->wrong += err != 0;
}

static void *client_thread(void *arg)
{
	struct client *c = arg;

	while (!*c->stop) {
		int fd = dev_open();
		struct net net;

		if (fd < 0) {
			usleep(5000 * th_slow());
			continue;
		}
		c->opened++;
		if (!net_open_small(&net, fd)) {
			client_session(c, &net);
			net_close(&net);
		}
		close(fd);
	}
	return NULL;
}

/*
 * Clients at work while @act does its worst for some seconds, on slow machines until it
 * had its chance against some jobs; nothing they get is wrong.
 */
static void under_load(struct __test_metadata *_metadata, FIXTURE_DATA(admin) *self,
		       void (*act)(FIXTURE_DATA(admin) *self, unsigned int round))
{
	int64_t end = now_ns() + (th_race_s() ? th_race_s() * 1000000000ll :
				  3000000000ll * (1 + th_slow() / 4));
	int64_t latest = end + 30000000000ll * th_slow();
	struct client client[CLIENTS];
	pthread_t thread[CLIENTS];
	atomic_bool stop = false;
	unsigned long cancelled = 0, wrong = 0;
	unsigned int rounds = 0;

	jobs = 0;
	for (int i = 0; i < CLIENTS; i++) {
		client[i] = (struct client){ .stop = &stop };
		ASSERT_EQ(pthread_create(&thread[i], NULL, client_thread, &client[i]), 0);
	}
	while (now_ns() < end || ((rounds < 4 || jobs < 4) && now_ns() < latest))
		act(self, rounds++);
	stop = true;
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(thread[i], NULL);
		cancelled += client[i].cancelled;
		wrong += client[i].wrong;
	}
	TH_LOG("%u rounds, %lu jobs, %lu clients stopped", rounds, jobs, cancelled);
	EXPECT_EQ(wrong, 0);
	EXPECT_GT(jobs, 0);
}

static void act_unbind(FIXTURE_DATA(admin) *self, unsigned int round)
{
	unsigned long before;

	usleep(round * 7919 % 50000);
	text_write(DRIVER, "unbind", self->name);
	usleep(round % 3 * 1000);
	text_write(DRIVER, "bind", self->name);
	/* Time to open it and to get something done, now and then. */
	before = jobs;
	for (unsigned int i = 0; jobs == before && i < 20 * th_slow(); i++)
		usleep(1000);
}

/* unbind against submit, open and close. */
TEST_F_TIMEOUT(admin, unbind_under_load, 60)
{
	under_load(_metadata, self, act_unbind);
}

static void act_mask(FIXTURE_DATA(admin) *self, unsigned int round)
{
	const char *masks[] = { "0", "0-1", "1", "0-255" };

	text_write(self->dir, "cpus", masks[round % 4]);
	usleep(round % 7 * 300);
}

/* The CPUs of the pool change under jobs that run on them. */
TEST_F_TIMEOUT(admin, cpus_change_under_load, 60)
{
	char before[128], after[128];

	ASSERT_OK(text_read(self->dir, "cpus", before, sizeof(before)));
	under_load(_metadata, self, act_mask);
	EXPECT_OK(text_write(self->dir, "cpus", before));
	EXPECT_OK(text_read(self->dir, "cpus", after, sizeof(after)));
	EXPECT_EQ(strcmp(before, after), 0);
}

static void act_nice(FIXTURE_DATA(admin) *self, unsigned int round)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)(round * 7 % 40) - 20);
	text_write(self->dir, "nice", text);
	snprintf(text, sizeof(text), "%u", 1 + round * 13 % 400);
	text_write(self->dir, "slice_us", text);
	usleep(500);
}

TEST_F_TIMEOUT(admin, niceness_and_slices_change_under_load, 60)
{
	char nice[32], slice[32];

	ASSERT_OK(text_read(self->dir, "nice", nice, sizeof(nice)));
	ASSERT_OK(text_read(self->dir, "slice_us", slice, sizeof(slice)));
	under_load(_metadata, self, act_nice);
	EXPECT_OK(text_write(self->dir, "nice", nice));
	EXPECT_OK(text_write(self->dir, "slice_us", slice));
}

static int cpu_online(unsigned int cpu, bool online)
{
	char dir[60];

	snprintf(dir, sizeof(dir), "/sys/devices/system/cpu/cpu%u", cpu);
	return text_write(dir, "online", online ? "1" : "0");
}

/* One CPU after the other, and now and then all but the one that cannot go. */
static void act_hotplug(FIXTURE_DATA(admin) *self, unsigned int round)
{
	const unsigned int cpus = sysconf(_SC_NPROCESSORS_CONF);

	if (round % 4 == 3) {
		for (unsigned int cpu = 0; cpu < cpus; cpu++)
			cpu_online(cpu, false);
	} else {
		cpu_online(round % cpus, false);
	}
	usleep(5000 * self->slow);
	for (unsigned int cpu = 0; cpu < cpus; cpu++)
		cpu_online(cpu, true);
	usleep(round % 7 * 1000);
}

TEST_F_TIMEOUT(admin, hotplug_under_load, 60)
{
	if (access("/sys/devices/system/cpu/cpu1/online", F_OK))
		SKIP(return, "no CPU can be taken offline here");
	under_load(_metadata, self, act_hotplug);
	EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_NPROCESSORS_CONF));
}

/* A client that waits for its job in the kernel when the device goes gets an answer. */
TEST_F_TIMEOUT(admin, unbind_while_waiting, 60)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		int fd = dev_open();
		struct net slow;
		struct job job;

		if (net_open_slow(&slow, fd, 500))
			_exit(1);
		net_job(&slow, &job);
		for (int i = 0; i < 8; i++)
			if (job_submit(fd, &job))
				_exit(2);
		text_write("/proc/self", "comm", "waiting");
		/* The jobs are cancelled, which is an end like any other. */
		_exit(bo_sync(fd, slow.out_bo, DRM_PATCNN_BO_SYNC_READ, INT64_MAX) ? 3 : 0);
	}
	for (char dir[40], comm[20] = ""; strncmp(comm, "waiting", 7); usleep(10000)) {
		snprintf(dir, sizeof(dir), "/proc/%d", pid);
		if (text_read(dir, "comm", comm, sizeof(comm)) || waitpid(pid, NULL, WNOHANG))
			break;
	}
	usleep(50000);
	ASSERT_OK(text_write(DRIVER, "unbind", self->name));
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	TH_LOG("the client ended with status 0x%x", status);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
	ASSERT_OK(text_write(DRIVER, "bind", self->name));
}

/*
 * A queue full of jobs that take as long as they may, of several contexts: each ends when
 * its time is up, another client gets its turns between them, and closing ends them all.
 */
TEST_F_TIMEOUT(admin, deep_queue_of_endless_jobs, 120)
{
	const unsigned int ms = 250, most = 5000;
	unsigned int submitted = 0;
	struct net endless, net;
	int64_t start = now_ns();
	int fd, other;

	ASSERT_OK(dev_set_timeout(most, &self->usual_ms));
	fd = dev_open();
	other = dev_open();
	ASSERT_OK(net_open_slow(&endless, fd, most - 1000));
	ASSERT_OK(net_open_small(&net, other));
	ASSERT_OK(dev_set_timeout(ms, NULL));
	for (int i = 0; i < 4; i++) {
		struct job job;

		net_job(&endless, &job);
		ASSERT_OK(ctx_create(fd, i % 2 ? DRM_PATCNN_PRIORITY_LOW :
				     DRM_PATCNN_PRIORITY_NORMAL, NULL, &job.args.ctx));
		while (!job_submit(fd, &job))
			submitted++;
		EXPECT_EQ(errno, EBUSY);
	}
	start = now_ns();
	for (int i = 0; i < 5; i++)
		EXPECT_EQ(net_run(&net), 0);
	TH_LOG("%u jobs queued; five of another client took %lld ms", submitted,
	       (long long)(now_ns() - start) / 1000000);
	/* Behind at most one at a time, and the one that ran: not behind the queue. */
	EXPECT_LT(now_ns() - start, (int64_t)submitted * ms * 1000000);
	net_close(&endless);
	start = now_ns();
	close(fd);
	TH_LOG("close() took %lld ms", (long long)(now_ns() - start) / 1000000);
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	close(other);
}

/* What an attribute does not take changes nothing. */
TEST_F(admin, attributes_refuse)
{
	const char *const bad[][2] = {
		{ "cpus", "" }, { "cpus", "x" }, { "cpus", "99999" }, { "cpus", "3-1" },
		{ "nice", "20" }, { "nice", "-21" }, { "nice", "no" }, { "timeout_ms", "0" },
		{ "timeout_ms", "4294967295" }, { "slice_us", "0" }, { "slice_us", "4294967295" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char before[128], after[128];

		ASSERT_OK(text_read(self->dir, bad[i][0], before, sizeof(before)));
		if (*bad[i][1] && !text_write(self->dir, bad[i][0], bad[i][1]))
			TH_LOG("%s takes \"%s\"", bad[i][0], bad[i][1]);
		ASSERT_OK(text_read(self->dir, bad[i][0], after, sizeof(after)));
		EXPECT_EQ(strcmp(before, after), 0);
	}
}

/* ---- a fence that never signals, and the device goes ---- */

struct sw_sync_create { uint32_t value; char name[32]; int32_t fence; };
#define SW_SYNC_CREATE _IOWR('W', 0, struct sw_sync_create)

TEST_F_TIMEOUT(admin, unbind_with_fence_that_never_signals, 60)
{
	int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	struct sw_sync_create c = { .value = 1, .name = "never" };
	uint32_t done[3];
	struct net net;
	int fd, file;

	if (timeline < 0 || ioctl(timeline, SW_SYNC_CREATE, &c))
		SKIP(return, "no sw_sync in debugfs (CONFIG_SW_SYNC, a debug kernel has it)");
	fd = dev_open();
	ASSERT_OK(net_open_small(&net, fd));
	for (int i = 0; i < 3; i++) {
		struct drm_syncobj_handle h = {
			.fd = c.fence, .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
		};
		struct job job;

		ASSERT_OK(sync_create(fd, false, &h.handle));
		ASSERT_OK(dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h));
		ASSERT_OK(sync_create(fd, false, &done[i]));
		net_job(&net, &job);
		job_sync(&job, h.handle, 0, 0);
		job_sync(&job, done[i], DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(fd, &job));
	}
	file = sync_export_file(fd, done[2]);
	EXPECT_EQ(sync_file_status(file), 0);
	ASSERT_OK(text_write(DRIVER, "unbind", self->name));
	for (int i = 0; i < 3; i++) {
		int r = sync_result(fd, done[i], 5000);

		EXPECT_TRUE(r == -ECANCELED || r == -ENODEV);
	}
	EXPECT_EQ(sync_file_status(file), -ECANCELED);
	ASSERT_OK(text_write(DRIVER, "bind", self->name));
	/* The device that is gone has jobs still; they must not need the new one. */
	munmap(net.in_map, net.in_bytes);
	munmap(net.out_map, net.out_bytes);
	close(fd);
	close(file);
	close(c.fence);
	close(timeline);
}

TEST_HARNESS_MAIN
