// SPDX-License-Identifier: MIT
/*
 * Memory that runs out: a client in a memory cgroup that is too small for what it
 * asks, on every path that allocates, and reclaim that writes to swap while jobs run.
 * The client meets its own limit; nobody else does, and all of it comes back.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "device.h"
#include "harness.h"

#define ROOT "/sys/fs/cgroup"
#define GROUP ROOT "/patcnn-pressure"
#define LIMIT (24 << 20)

static long file_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

FIXTURE(pressure) { int fd; struct net net; bool group; };

FIXTURE_SETUP(pressure)
{
	char text[20];

	if (!is_root())
		SKIP(longjmp(_metadata->env, 1), "needs root");
	/* A small root file system may not have it mounted; it stays so for the others. */
	if (access(ROOT "/cgroup.controllers", F_OK))
		mount("none", ROOT, "cgroup2", 0, NULL);
	write_file(ROOT "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		SKIP(longjmp(_metadata->env, 1), "no cgroup v2 at " ROOT ": %s", strerror(errno));
	snprintf(text, sizeof(text), "%d", LIMIT);
	if (write_file(GROUP "/memory.max", text)) {
		rmdir(GROUP);
		SKIP(longjmp(_metadata->env, 1), "no memory controller in " ROOT);
	}
	write_file(GROUP "/memory.swap.max", "0");
	self->group = true;
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(pressure)
{
	if (!self->group)
		return;
	EXPECT_EQ(net_run(&self->net), 0);
	net_close(&self->net);
	close(self->fd);
	/* What was charged comes back with the client, if not at once. */
	for (int i = 0; i < 500 && file_number(GROUP "/memory.current") > 1 << 20; i++) {
		write_file(GROUP "/memory.reclaim", "64M");
		usleep(10000);
	}
	TH_LOG("%ld KiB are left in the group", file_number(GROUP "/memory.current") >> 10);
	EXPECT_LT(file_number(GROUP "/memory.current"), 4 << 20);
	EXPECT_OK(rmdir(GROUP));
}

/*
 * A child in the group does @eat until it is refused or killed; the net of this process
 * is right meanwhile. Return: how often the child succeeded, or -1 if nothing stopped it.
 */
static int eat_until_refused(struct net *net, int (*eat)(int fd, unsigned int i),
			     unsigned int enough)
{
	unsigned int *eaten = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0, made;
	pid_t pid = fork();

	if (!pid) {
		char text[20];
		int fd;

		snprintf(text, sizeof(text), "%d", getpid());
		if (write_file(GROUP "/cgroup.procs", text))
			_exit(3);
		fd = dev_open();
		for (; *eaten < enough; ++*eaten)
			if (eat(fd, *eaten))
				_exit(errno == ENOMEM || errno == EMFILE || errno == EBUSY ? 0 : 1);
		_exit(2);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		if (net_run(net)) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -2;
		}
		usleep(2000);
	}
	made = *eaten;
	munmap(eaten, 4096);
	/* The OOM killer is a limit too. */
	if (WIFSIGNALED(status) || !WEXITSTATUS(status))
		return made;
	printf("# the client ended with status %d after %d\n", WEXITSTATUS(status), made);
	return -1;
}

static struct net eater;

static int eat_buffers(int fd, unsigned int i)
{
	uint32_t bo;
	char *p;

	(void)i;
	if (bo_create(fd, 1 << 20, &bo))
		return -1;
	p = bo_map(fd, bo, 1 << 20);
	if (p == MAP_FAILED)
		return -1;
	memset(p, 1, 1 << 20);
	munmap(p, 1 << 20);
	return 0;
}

TEST_F_TIMEOUT(pressure, buffers, 120)
{
	EXPECT_GE(eat_until_refused(&self->net, eat_buffers, 256), 1);
}

/* Pages that nobody touched are there when a job is to write them. */
static int eat_buffers_by_jobs(int fd, unsigned int i)
{
	uint32_t bo;
	struct job job;

	if (!i && net_open_small(&eater, fd))
		return -1;
	if (bo_create(fd, 1 << 20, &bo))
		return -1;
	net_job(&eater, &job);
	job.binding[1].handle = bo;
	return job_submit(fd, &job) && errno != EBUSY ? -1 : 0;
}

TEST_F_TIMEOUT(pressure, buffers_bound_to_jobs, 120)
{
	EXPECT_GE(eat_until_refused(&self->net, eat_buffers_by_jobs, 1024), 1);
}

static int eat_models(int fd, unsigned int i)
{
	static struct pb pb;
	static void *blob;
	static size_t size;
	uint32_t in, out, h;

	if (!i) {
		build_slow(&pb, 8, 16, &in, &out);
		blob = pb_finish(&pb, &size);
	}
	return model_create(fd, blob, size, &h, NULL, 0);
}

TEST_F_TIMEOUT(pressure, models, 120)
{
	struct drm_patcnn_dev_info info;

	ASSERT_OK(dev_info(self->fd, &info));
	/* At the latest the limit of models of a file stops it. */
	EXPECT_GE(eat_until_refused(&self->net, eat_models, info.max_models + 1), 1);
}

/* Each context has an arena from its first job on. */
static int eat_contexts(int fd, unsigned int i)
{
	struct job job;
	uint32_t ctx;

	if (!i && net_open_slow(&eater, fd, 1))
		return -1;
	if (ctx_create(fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx))
		return -1;
	net_job(&eater, &job);
	job.args.ctx = ctx;
	return job_submit(fd, &job);
}

TEST_F_TIMEOUT(pressure, contexts, 120)
{
	struct drm_patcnn_dev_info info;

	ASSERT_OK(dev_info(self->fd, &info));
	EXPECT_GE(eat_until_refused(&self->net, eat_contexts, info.max_contexts + 1), 1);
}

/* Jobs that wait for what never comes keep what they use, up to the queues' ends. */
static int eat_jobs(int fd, unsigned int i)
{
	static uint32_t never;
	struct job job;

	if (!i && (net_open_small(&eater, fd) || sync_create(fd, false, &never)))
		return -1;
	if (i % 64 == 63 && ctx_create(fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &eater.ctx))
		return -1;
	net_job(&eater, &job);
	job_sync(&job, never, DRM_PATCNN_SYNC_SIGNAL, 0);
	return job_submit(fd, &job);
}

TEST_F_TIMEOUT(pressure, jobs, 120)
{
	EXPECT_GE(eat_until_refused(&self->net, eat_jobs, 1 << 20), 1);
}

/* A program larger than the whole group is refused when it is copied. */
static int eat_program(int fd, unsigned int i)
{
	const size_t size = 2 * LIMIT;
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t h;
	int ret;

	(void)i;
	ret = model_create(fd, p, size, &h, NULL, 0);
	munmap(p, size);
	return ret && errno == EINVAL ? 0 : ret;
}

TEST_F_TIMEOUT(pressure, large_program, 120)
{
	/* Pages of zeros cost nothing, the copy does. */
	EXPECT_EQ(eat_until_refused(&self->net, eat_program, 1), 0);
}

/* ---- swap ---- */

#define ZRAM "/sys/block/zram0"

/* mkswap, as far as the kernel looks. */
static int swap_on(void)
{
	const size_t page = sysconf(_SC_PAGESIZE), bytes = 64 << 20;
	uint32_t *head = calloc(1, page), *info = head + 256;
	char text[20];
	int fd, ret;

	snprintf(text, sizeof(text), "%zu", bytes);
	if (write_file(ZRAM "/disksize", text))
		return -1;
	fd = open("/dev/zram0", O_RDWR | O_CLOEXEC);
	info[0] = 1;
	info[1] = bytes / page - 1;
	memcpy((char *)head + page - 10, "SWAPSPACE2", 10);
	ret = write(fd, head, page) == (ssize_t)page ? 0 : -1;
	close(fd);
	free(head);
	return ret || swapon("/dev/zram0", 0) ? -1 : 0;
}

/* A client whose buffers are written to swap again and again gets right results. */
static int run_in_storm(unsigned int rounds)
{
	const size_t bytes = LIMIT;
	int fd = dev_open();
	struct net net;
	char *hog;

	if (net_open_small(&net, fd))
		return 4;
	hog = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < rounds; i++) {
		uint32_t bo;
		struct job job;

		for (size_t k = 0; k < bytes; k += 512)
			hog[k] = (char)(i + k);
		/* New ones too, that are made and freed in the storm. */
		if (bo_create(fd, 1 << 20, &bo))
			return 5;
		net_job(&net, &job);
		job.binding[1].handle = bo;
		if (job_submit(fd, &job))
			return 6;
		if (net_run(&net))
			return 7;
		bo_close(fd, bo);
	}
	return 0;
}

TEST_F_TIMEOUT(pressure, swap_storm, 180)
{
	int status = 0;
	pid_t pid;

	if (access(ZRAM, F_OK))
		SKIP(return, "no zram (CONFIG_ZRAM, a debug kernel has it)");
	if (swap_on())
		SKIP(return, "zram0 is in use: %s", strerror(errno));
	write_file(GROUP "/memory.swap.max", "max");
	pid = fork();
	if (!pid) {
		char text[20];

		snprintf(text, sizeof(text), "%d", getpid());
		if (write_file(GROUP "/cgroup.procs", text))
			_exit(3);
		_exit(run_in_storm(30));
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		EXPECT_EQ(net_run(&self->net), 0);
		usleep(5000);
	}
	TH_LOG("status 0x%x", status);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	EXPECT_OK(swapoff("/dev/zram0"));
	write_file(ZRAM "/reset", "1");
}

TEST_HARNESS_MAIN
