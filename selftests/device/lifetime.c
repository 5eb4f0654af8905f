// SPDX-License-Identifier: MIT
/*
 * Who lives how long: handles closed between SUBMIT and the end of the job,
 * sync_files and dma-bufs over close(), unbinding, module unload and reload.
 */

#include <fcntl.h>
#include <glob.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "device.h"
#include "harness.h"

FIXTURE(lifetime) { int fd; struct net slow; struct job job; uint32_t done; };
FIXTURE_SETUP(lifetime)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_slow(&self->slow, self->fd, 100));
	ASSERT_OK(sync_create(self->fd, false, &self->done));
	net_job(&self->slow, &self->job);
	job_sync(&self->job, self->done, DRM_PATCNN_SYNC_SIGNAL, 0);
}

FIXTURE_TEARDOWN(lifetime)
{
	if (self->fd >= 0)
		close(self->fd);
}

TEST_F(lifetime, buffers_closed_after_submit)
{
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_OK(bo_close(self->fd, self->slow.in_bo));
	ASSERT_OK(bo_close(self->fd, self->slow.out_bo));
	EXPECT_EQ(sync_result(self->fd, self->done, 60000), 0);
}

TEST_F(lifetime, buffers_unmapped_and_reused)
{
	ASSERT_OK(job_submit(self->fd, &self->job));
	munmap(self->slow.in_map, self->slow.in_bytes);
	munmap(self->slow.out_map, self->slow.out_bytes);
	ASSERT_OK(bo_close(self->fd, self->slow.in_bo));
	ASSERT_OK(bo_close(self->fd, self->slow.out_bo));
	/* Handles are given out again at once: the job must not see the new buffers. */
	for (int i = 0; i < 8; i++) {
		uint32_t h;
		char *p;

		ASSERT_OK(bo_create(self->fd, 4096, &h));
		p = bo_map(self->fd, h, 4096);
		ASSERT_NE(p, MAP_FAILED);
		memset(p, 0x11, 4096);
	}
	EXPECT_EQ(sync_result(self->fd, self->done, 60000), 0);
}

TEST_F(lifetime, model_destroyed_after_submit)
{
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_OK(model_destroy(self->fd, self->slow.model));
	EXPECT_ERRNO(job_submit(self->fd, &self->job), ENOENT);
	EXPECT_EQ(sync_result(self->fd, self->done, 60000), 0);
}

TEST_F(lifetime, syncobj_destroyed_after_submit)
{
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_OK(sync_destroy(self->fd, s));
	EXPECT_EQ(sync_result(self->fd, self->done, 60000), 0);
}

TEST_F(lifetime, ctx_id_not_confused_when_reused)
{
	uint32_t ctx;

	for (int i = 0; i < 20; i++) {
		ASSERT_OK(job_submit(self->fd, &self->job));
		ASSERT_OK(ctx_destroy(self->fd, self->slow.ctx));
		ASSERT_OK(ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx));
		self->slow.ctx = ctx;
		self->job.args.ctx = ctx;
	}
	ASSERT_OK(job_submit(self->fd, &self->job));
	EXPECT_EQ(sync_result(self->fd, self->done, 60000), 0);
}

/* The job of a closed file is cancelled, and whoever holds its fence is told. */
TEST_F(lifetime, sync_file_over_close)
{
	int file, status = 0;

	for (int i = 0; i < 4; i++)
		ASSERT_OK(job_submit(self->fd, &self->job));
	file = sync_export_file(self->fd, self->done);
	ASSERT_GE(file, 0);
	close(self->fd);
	self->fd = -1;
	for (int i = 0; i < 5000 && !status; i++) {
		status = sync_file_status(file);
		usleep(1000);
	}
	EXPECT_TRUE(status == 1 || status == -ECANCELED);
	close(file);
}

TEST_F(lifetime, mapping_over_close)
{
	ASSERT_OK(job_submit(self->fd, &self->job));
	close(self->fd);
	self->fd = -1;
	for (size_t i = 0; i < self->slow.out_bytes / 4; i++)
		self->slow.out_map[i] = i;
	EXPECT_TRUE(self->slow.out_map[5] == 5);
}

TEST_F(lifetime, model_fd_over_close)
{
	int model, other = dev_open();
	struct net net;

	ASSERT_OK(net_open_small(&net, self->fd));
	model = model_export(self->fd, net.model);
	ASSERT_GE(model, 0);
	close(self->fd);
	self->fd = -1;
	ASSERT_OK(net_open_small(&net, other));
	ASSERT_OK(model_destroy(other, net.model));
	ASSERT_OK(model_import(other, model, &net.model));
	close(model);
	EXPECT_EQ(net_run(&net), 0);
	close(other);
}

/* ---- what needs root: unbinding and the module itself ---- */

static bool module_loaded(void)
{
	return !access("/sys/module/patcnn", F_OK);
}

static int load(const char *path)
{
	const char *args = getenv("PATCNN_MODULE_ARGS");
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, args ? args : "", 0);
	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "patcnn", O_NONBLOCK);
}

/* NULL, or why the module cannot be unloaded and loaded here. */
static const char *module_path(const char **why)
{
	const char *path = getenv("PATCNN_MODULE");

	*why = NULL;
	if (!is_root())
		*why = "needs root";
	else if (!path || access(path, R_OK))
		*why = "PATCNN_MODULE names no patcnn.ko to load again";
	return *why ? NULL : path;
}

static void close_all(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool works(void)
{
	int fd = -1;
	struct net net;
	bool ok;

	/* udev or devtmpfs may need a moment. */
	for (int i = 0; i < 200 && fd < 0; i++) {
		fd = dev_open();
		if (fd < 0)
			usleep(10000);
	}
	ok = fd >= 0 && !net_open_small(&net, fd) && !net_run(&net);
	if (ok)
		net_close(&net);
	if (fd >= 0)
		close(fd);
	return ok;
}

TEST_F_TIMEOUT(lifetime, module_in_use, 60)
{
	const char *why;

	if (!module_path(&why))
		SKIP(return, "%s", why);
	EXPECT_ERRNO(unload(), EWOULDBLOCK);
	EXPECT_TRUE(module_loaded());
	EXPECT_TRUE(works());
}

TEST_F_TIMEOUT(lifetime, module_unload_and_reload, 120)
{
	const char *why, *path = module_path(&why), *rounds = getenv("PATCNN_RELOADS");

	if (!path)
		SKIP(return, "%s", why);
	munmap(self->slow.in_map, self->slow.in_bytes);
	munmap(self->slow.out_map, self->slow.out_bytes);
	close_all(&self->fd);
	for (int i = 0; i < (rounds ? atoi(rounds) : 10); i++) {
		int tries = 200;

		/* The last references go from a work queue. */
		while (unload() && tries--)
			usleep(10000);
		ASSERT_FALSE(module_loaded());
		ASSERT_OK(load(path));
		ASSERT_TRUE(works());
	}
}

/* A sync_file and a dma-buf survive their file; the module may not go from under them. */
TEST_F_TIMEOUT(lifetime, module_unload_with_fence_held, 120)
{
	const char *why, *path = module_path(&why);
	int file, dmabuf;

	if (!path)
		SKIP(return, "%s", why);
	ASSERT_OK(job_submit(self->fd, &self->job));
	file = sync_export_file(self->fd, self->done);
	dmabuf = bo_export(self->fd, self->slow.in_bo);
	ASSERT_GE(file, 0);
	ASSERT_GE(dmabuf, 0);
	munmap(self->slow.in_map, self->slow.in_bytes);
	munmap(self->slow.out_map, self->slow.out_bytes);
	close_all(&self->fd);
	usleep(500000);
	/* Either it refuses, or it goes and what is left stays safe to use. */
	if (!unload())
		TH_LOG("unloaded with a sync_file and a dma-buf open");
	EXPECT_NE(sync_file_status(file), 0);
	close(file);
	close(dmabuf);
	if (!module_loaded())
		ASSERT_OK(load(path));
	EXPECT_TRUE(works());
}

#define SYSFS_DRIVER "/sys/bus/platform/drivers/patcnn"

/* The name of the device that the driver is bound to. */
static bool bound_device(char *name, size_t size)
{
	bool found = false;
	glob_t g;

	if (glob(SYSFS_DRIVER "/*/driver", 0, NULL, &g))
		return false;
	if (g.gl_pathc) {
		char *end = strrchr(g.gl_pathv[0], '/');

		*end = 0;
		snprintf(name, size, "%s", strrchr(g.gl_pathv[0], '/') + 1);
		found = true;
	}
	globfree(&g);
	return found;
}

/* Hot-unplug with jobs running and the file open: errors, no hang; then it comes back. */
TEST_F_TIMEOUT(lifetime, unbind_with_jobs, 120)
{
	struct drm_patcnn_dev_info info;
	char name[64];
	int64_t t;
	int r;

	if (!is_root())
		SKIP(return, "needs root");
	if (!bound_device(name, sizeof(name)))
		SKIP(return, "no device in " SYSFS_DRIVER);
	for (int round = 0; round < 3; round++) {
		uint32_t m;

		if (self->fd < 0) {
			self->fd = dev_open();
			ASSERT_GE(self->fd, 0);
			ASSERT_OK(net_open_slow(&self->slow, self->fd, 100));
			ASSERT_OK(sync_create(self->fd, false, &self->done));
			net_job(&self->slow, &self->job);
			job_sync(&self->job, self->done, DRM_PATCNN_SYNC_SIGNAL, 0);
		}
		for (int i = 0; i < 6; i++)
			ASSERT_OK(job_submit(self->fd, &self->job));
		t = now_ns();
		ASSERT_OK(write_file(SYSFS_DRIVER "/unbind", name));
		TH_LOG("unbind took %lld ms", (long long)(now_ns() - t) / 1000000);
		EXPECT_ERRNO(job_submit(self->fd, &self->job), ENODEV);
		EXPECT_ERRNO(dev_info(self->fd, &info), ENODEV);
		EXPECT_ERRNO(model_create(self->fd, self->slow.blob, self->slow.size, &m, NULL, 0),
			     ENODEV);
		r = sync_result(self->fd, self->done, 5000);
		EXPECT_TRUE(r == 0 || r == -ECANCELED || r == -ENODEV);
		/* A store to a mapping may end in SIGBUS, but not here: the pages are still ours. */
		munmap(self->slow.in_map, self->slow.in_bytes);
		munmap(self->slow.out_map, self->slow.out_bytes);
		if (round & 1)
			close_all(&self->fd);
		ASSERT_OK(write_file(SYSFS_DRIVER "/bind", name));
		EXPECT_TRUE(works());
		close_all(&self->fd);
	}
}

/*
 * Who closes the last file waits a moment for fences to go, so that the module can be
 * removed. A process that dies with many files, whose fences others hold, must not
 * wait so for each.
 */
TEST_F_TIMEOUT(lifetime, many_files_with_fences_held, 60)
{
	enum { FILES = 40 };
	int fd[FILES], file[FILES];
	int64_t t;

	for (int i = 0; i < FILES; i++) {
		struct net net;
		uint32_t done;
		struct job job;

		fd[i] = dev_open();
		ASSERT_GE(fd[i], 0);
		ASSERT_OK(net_open_small(&net, fd[i]));
		ASSERT_OK(sync_create(fd[i], false, &done));
		net_job(&net, &job);
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(fd[i], &job));
		file[i] = sync_export_file(fd[i], done);
		ASSERT_GE(file[i], 0);
		ASSERT_EQ(sync_result(fd[i], done, 20000), 0);
		net_close(&net);
	}
	t = now_ns();
	for (int i = 0; i < FILES; i++)
		close(fd[i]);
	t = (now_ns() - t) / 1000000;
	TH_LOG("%d files closed in %lld ms", FILES, (long long)t);
	/* A tenth of a second each would be four. */
	EXPECT_LT(t, 2000);
	for (int i = 0; i < FILES; i++)
		close(file[i]);
}

struct creator { int fd; void *program; size_t size; uint32_t model; int err; };

static void *create_model(void *arg)
{
	struct creator *c = arg;

	c->err = model_create(c->fd, c->program, c->size, &c->model, NULL, 0) ? errno : 0;
	return NULL;
}

/* MODEL_CREATE is stopped in the middle of its copy, and the device goes away meanwhile. */
TEST_F_TIMEOUT(lifetime, unbind_while_model_is_copied, 120)
{
	size_t page = sysconf(_SC_PAGESIZE), size = self->slow.size;
	size_t bytes = (size + 2 * page - 1) / page * page;
	struct creator c = { .fd = self->fd, .size = size };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_copy copy = { .len = page };
	struct uffdio_api api = { .api = UFFD_API };
	struct pollfd fault = { .events = POLLIN };
	pthread_t thread;
	char name[64];
	char *map, *last;

	if (!is_root())
		SKIP(return, "needs root");
	if (!bound_device(name, sizeof(name)))
		SKIP(return, "no device in " SYSFS_DRIVER);
	ASSERT_GT(size, page);
	fault.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fault.fd < 0)
		SKIP(return, "userfaultfd: %s (CONFIG_USERFAULTFD holds a copy up)", strerror(errno));
	ASSERT_OK(ioctl(fault.fd, UFFDIO_API, &api));
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	last = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(map, MAP_FAILED);
	ASSERT_NE(last, MAP_FAILED);
	/* The program ends with the last page, which is not there yet. */
	c.program = map + bytes - size;
	memcpy(c.program, self->slow.blob, size - page);
	memcpy(last, (char *)self->slow.blob + size - page, page);
	range.range.start = (uintptr_t)map + bytes - page;
	range.range.len = page;
	ASSERT_OK(ioctl(fault.fd, UFFDIO_REGISTER, &range));

	ASSERT_EQ(pthread_create(&thread, NULL, create_model, &c), 0);
	ASSERT_EQ(poll(&fault, 1, 20000), 1);
	ASSERT_OK(write_file(SYSFS_DRIVER "/unbind", name));
	copy.dst = range.range.start;
	copy.src = (uintptr_t)last;
	ASSERT_OK(ioctl(fault.fd, UFFDIO_COPY, &copy));
	pthread_join(thread, NULL);
	EXPECT_EQ(c.err, ENODEV);

	munmap(map, bytes);
	munmap(last, page);
	close(fault.fd);
	ASSERT_OK(write_file(SYSFS_DRIVER "/bind", name));
	EXPECT_TRUE(works());
}

/* The size of the pool's scratch, from debugfs; 0 if that is not there. */
static size_t pool_scratch(void)
{
	size_t bytes = 0;
	char line[80];
	glob_t g;

	if (!glob("/sys/kernel/debug/accel/*/state", 0, NULL, &g) ||
	    !glob("/sys/kernel/debug/dri/*/state", GLOB_APPEND, NULL, &g)) {
		for (size_t i = 0; i < g.gl_pathc && !bytes; i++) {
			FILE *f = fopen(g.gl_pathv[i], "r");

			while (f && fgets(line, sizeof(line), f))
				sscanf(line, "scratch: %zu", &bytes);
			if (f)
				fclose(f);
		}
		globfree(&g);
	}
	return bytes;
}

/* Scratch grows for a model that needs more, and shrinks when that is gone. */
TEST_F_TIMEOUT(lifetime, scratch_follows_models, 120)
{
	size_t before = pool_scratch(), need = 0;
	struct drm_patcnn_model_info info;
	struct net net = { 0 };

	if (!before)
		SKIP(return, "no state of the pool in debugfs");
	for (uint32_t c = 64; c <= 1024 && need <= before; c *= 2) {
		uint32_t in, out;
		struct pb pb;

		if (net.blob)
			net_close(&net);
		pb_init(&pb, 3);
		in = pb_input(&pb, c, 32, 32);
		out = pb_conv(&pb, &(struct pb_conv){ .in = in, .out = 8, .kh = 3, .kw = 3,
						      .pt = 1, .pl = 1, .pb = 1, .pr = 1 });
		ASSERT_OK(net_open(&net, self->fd, &pb, in, pb_output(&pb, out)));
		ASSERT_OK(model_info(self->fd, net.model, &info));
		need = info.scratch_bytes;
	}
	TH_LOG("%zu bytes; a model that needs %zu", before, need);
	ASSERT_GT(need, before);
	EXPECT_GE(pool_scratch(), need);
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	for (int i = 0; i < 1000 && pool_scratch() != before; i++)
		usleep(20000);
	EXPECT_EQ(pool_scratch(), before);
	EXPECT_TRUE(works());
}

TEST_HARNESS_MAIN
