// SPDX-License-Identifier: MIT
/*
 * Every allocation and every copy from or to user space of every ioctl failed in
 * turn: /proc/self/fail-nth lets the kernel fail the nth of them that this task
 * makes. Each call either succeeds or says ENOMEM, EFAULT or the like, leaves the
 * objects of its file as they were, and the device works afterwards. What is only
 * lost, kmemleak finds.
 *
 * Needs a kernel with FAULT_INJECTION, FAILSLAB, FAIL_PAGE_ALLOC and
 * FAULT_INJECTION_USERCOPY, and root.
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "device.h"
#include "harness.h"

#define MAX_POINTS 4000

/* struct counts - objects of an open file, as its fdinfo tells them. */
struct counts { long buffers, models, contexts; };

FIXTURE(fail_nth) {
	int fd, inject;
	char path[64];
	struct net net;
	struct job job;
	uint32_t in_sync, out_sync, pending, profile;
	int dmabuf, model_fd, memfd;
	void *spoilt;
	bool fresh;
};

FIXTURE_SETUP(fail_nth)
{
	const char *kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[80];

	self->fd = -1;
	self->dmabuf = -1;
	if (!is_root())
		SKIP(return, "needs root");
	self->inject = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (self->inject < 0)
		SKIP(return, "no /proc/self/fail-nth (CONFIG_FAULT_INJECTION, a debug kernel has it)");
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", kinds[i]);
		if (write_file(path, "0"))
			SKIP(return, "the kernel has no %s", kinds[i]);
	}
	write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	write_file("/sys/kernel/debug/fail_page_alloc/min-order", "0");

	snprintf(self->path, sizeof(self->path), "%s", dev_path());
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
	ASSERT_OK(sync_create(self->fd, true, &self->in_sync));
	ASSERT_OK(sync_create(self->fd, false, &self->out_sync));
	ASSERT_OK(bo_create(self->fd, 1 << 16, &self->profile));
	self->model_fd = model_export(self->fd, self->net.model);
	ASSERT_GE(self->model_fd, 0);
	self->spoilt = malloc(self->net.size);
	memcpy(self->spoilt, self->net.blob, self->net.size);
	((struct patcnn_program_header *)self->spoilt)->magic = 1;
}

FIXTURE_TEARDOWN(fail_nth)
{
	struct net net;
	int fd;

	if (self->fd < 0)
		return;
	EXPECT_EQ(net_run(&self->net), 0);
	close(self->fd);
	fd = dev_open();
	EXPECT_OK(net_open_small(&net, fd));
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	close(fd);
}

static bool arm(int inject, unsigned int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(inject, text, n, 0) == n;
}

/* Ends the injection. Return: true if the call had fewer points than were asked for. */
static bool disarm(int inject)
{
	char text[16] = "";
	unsigned long left;

	/* The reading itself may meet the last of them: it copies to user space. */
	if (pread(inject, text, sizeof(text) - 1, 0) <= 0)
		text[0] = '1';
	left = strtoul(text, NULL, 10);
	while (!arm(inject, 0))
		;
	return left;
}

static long number(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtol(p + strlen(key), NULL, 10) : -1;
}

static struct counts count(int fd)
{
	struct counts c = { -1, -1, -1 };
	char path[64], text[4096];
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = read(info, text, sizeof(text) - 1);
	close(info);
	if (n > 0) {
		text[n] = 0;
		c.buffers = number(text, "patcnn-buffers:");
		c.models = number(text, "patcnn-models:");
		c.contexts = number(text, "patcnn-contexts:");
	}
	return c;
}

typedef int (*call_fn)(struct __test_metadata *_metadata, FIXTURE_DATA(fail_nth) *self);

/*
 * Calls @fn, which returns 0 after it has undone what it did, or -1, with each of
 * its points failing in turn.
 */
static void sweep(struct __test_metadata *_metadata, FIXTURE_DATA(fail_nth) *self, call_fn fn)
{
	unsigned int nth, failed = 0;

	for (nth = 1; nth < MAX_POINTS; nth++) {
		struct counts before = count(self->fd), after;
		long made;
		bool past;
		int ret, err;

		ASSERT_GE(before.buffers, 0);
		ASSERT_TRUE(arm(self->inject, nth));
		errno = 0;
		ret = fn(_metadata, self);
		err = errno;
		past = disarm(self->inject);
		after = count(self->fd);
		if (past) {
			ASSERT_EQ(ret, 0);
			break;
		}
		failed += !!ret;
		if (ret && err != ENOMEM && err != EFAULT && err != ENOSPC && err != EMFILE &&
		    err != EAGAIN && err != EINTR && err != ENFILE) {
			TH_LOG("point %u: %s", nth, strerror(err));
			_metadata->failed = true;
		}
		made = after.buffers - before.buffers + after.models - before.models +
		       after.contexts - before.contexts;
		/* Only the copy of the result to the caller fails after the object was made. */
		if (made && !(made == 1 && err == EFAULT)) {
			TH_LOG("point %u: %s, but %ld objects more", nth, strerror(err), made);
			_metadata->failed = true;
		}
	}
	TH_LOG("%u points, %u of them errors", nth - 1, failed);
	EXPECT_LT(nth, MAX_POINTS);
	EXPECT_GT(failed, 0);
}

#define SWEEP_TEST(name) \
	static int call_##name(struct __test_metadata *_metadata __attribute__((unused)), \
			       FIXTURE_DATA(fail_nth) *self); \
	TEST_F_TIMEOUT(fail_nth, name, 240) \
	{ \
		sweep(_metadata, self, call_##name); \
	} \
	static int call_##name(struct __test_metadata *_metadata __attribute__((unused)), \
			       FIXTURE_DATA(fail_nth) *self)

SWEEP_TEST(open)
{
	int fd = open(self->path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

SWEEP_TEST(dev_query)
{
	struct drm_patcnn_dev_info info;

	return dev_info(self->fd, &info);
}

SWEEP_TEST(bo_create)
{
	uint32_t h;

	if (bo_create(self->fd, 1 << 16, &h))
		return -1;
	return bo_close(self->fd, h);
}

SWEEP_TEST(bo_map)
{
	uint32_t h;
	void *p;

	if (bo_create(self->fd, 1 << 16, &h))
		return -1;
	p = bo_map(self->fd, h, 1 << 16);
	if (p == MAP_FAILED) {
		int err = errno;

		while (bo_close(self->fd, h))
			;
		errno = err;
		return -1;
	}
	munmap(p, 1 << 16);
	return bo_close(self->fd, h);
}

SWEEP_TEST(bo_export)
{
	int fd = bo_export(self->fd, self->net.in_bo);

	return fd < 0 ? -1 : close(fd);
}

SWEEP_TEST(bo_import)
{
	uint32_t h;

	if (self->dmabuf < 0) {
		disarm(self->inject);
		self->dmabuf = udmabuf_create(1 << 16, &self->memfd);
		if (self->dmabuf < 0)
			SKIP(longjmp(_metadata->env, 1), "udmabuf: %s", strerror(errno));
		arm(self->inject, 1);
	}
	if (bo_import(self->fd, self->dmabuf, &h))
		return -1;
	return bo_close(self->fd, h);
}

SWEEP_TEST(bo_sync)
{
	return bo_sync(self->fd, self->net.in_bo, DRM_PATCNN_BO_SYNC_READ, 0) ||
	       bo_sync(self->fd, self->net.in_bo,
		       DRM_PATCNN_BO_SYNC_READ | DRM_PATCNN_BO_SYNC_END, 0) ? -1 : 0;
}

SWEEP_TEST(model_create)
{
	char error[100];
	uint32_t h;

	if (model_create(self->fd, self->net.blob, self->net.size, &h, error, sizeof(error)))
		return -1;
	return model_destroy(self->fd, h);
}

/* With a program that is refused, and the text that says so. */
SWEEP_TEST(model_refused)
{
	char error[100];
	uint32_t h;

	if (!model_create(self->fd, self->spoilt, self->net.size, &h, error, sizeof(error)))
		return model_destroy(self->fd, h);
	return errno == EINVAL ? 0 : -1;
}

SWEEP_TEST(model_query)
{
	struct drm_patcnn_tensor_info t[4];
	struct drm_patcnn_model_query q = {
		.handle = self->net.model, .type = DRM_PATCNN_MODEL_QUERY_TENSORS,
		.array = { sizeof(t[0]), 4, (uintptr_t)t },
	};

	return dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q);
}

/* All that can be asked of a model. */
SWEEP_TEST(model_query_all)
{
	static struct drm_patcnn_step_info steps[64];
	struct drm_patcnn_model_info info;
	struct drm_patcnn_model_query q = {
		.handle = self->net.model, .type = DRM_PATCNN_MODEL_QUERY_STEPS,
		.array = { sizeof(steps[0]), 64, (uintptr_t)steps },
	};

	if (model_info(self->fd, self->net.model, &info))
		return -1;
	return dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q);
}

SWEEP_TEST(model_export)
{
	int fd = model_export(self->fd, self->net.model);

	return fd < 0 ? -1 : close(fd);
}

SWEEP_TEST(model_import)
{
	uint32_t h;

	if (model_import(self->fd, self->model_fd, &h))
		return -1;
	return model_destroy(self->fd, h);
}

SWEEP_TEST(ctx_create)
{
	uint32_t h;

	if (ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &h))
		return -1;
	return ctx_destroy(self->fd, h);
}

static int submit(FIXTURE_DATA(fail_nth) *self, uint32_t wait_for)
{
	static uint64_t point;
	struct job job;

	net_job(&self->net, &job);
	job.args.profile_handle = self->profile;
	job_sync(&job, wait_for, 0, 0);
	job_sync(&job, self->out_sync, DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE, ++point);
	return job_submit(self->fd, &job);
}

/* Jobs of a context that has run before: its arena and the buffers' mappings are there. */
SWEEP_TEST(submit)
{
	return submit(self, self->in_sync);
}

/* A context of its own, which has not run before, with buffers nobody has touched. */
static int submit_fresh(FIXTURE_DATA(fail_nth) *self, uint32_t wait_for)
{
	uint32_t ctx = self->net.ctx, in = self->net.in_bo, out = self->net.out_bo;
	int ret = -1, err;

	if (ctx_create(self->fd, DRM_PATCNN_PRIORITY_NORMAL, NULL, &self->net.ctx))
		goto restore_ctx;
	if (bo_create(self->fd, self->net.in_bytes, &self->net.in_bo))
		goto restore_in;
	if (bo_create(self->fd, self->net.out_bytes, &self->net.out_bo))
		goto restore_out;
	ret = submit(self, wait_for);
	err = errno;
	while (bo_close(self->fd, self->net.out_bo))
		;
	errno = err;
restore_out:
	err = errno;
	self->net.out_bo = out;
	while (bo_close(self->fd, self->net.in_bo))
		;
	errno = err;
restore_in:
	err = errno;
	self->net.in_bo = in;
	while (ctx_destroy(self->fd, self->net.ctx))
		;
	errno = err;
restore_ctx:
	self->net.ctx = ctx;
	return ret;
}

SWEEP_TEST(submit_first)
{
	return submit_fresh(self, self->in_sync);
}

struct sw_sync_create { uint32_t value; char name[32]; int32_t fence; };
#define SW_SYNC_CREATE _IOWR('W', 0, struct sw_sync_create)

/* A syncobj of a fence that does not signal: jobs take the way through the scheduler. */
static int pending_sync(int fd, uint32_t *handle)
{
	int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	struct sw_sync_create c = { .value = 1, .name = "pending" };
	struct drm_syncobj_handle h = {
		.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};

	if (timeline < 0 || ioctl(timeline, SW_SYNC_CREATE, &c) ||
	    sync_create(fd, false, &h.handle))
		return -1;
	/* The timeline stays open: closing it would signal. */
	h.fd = c.fence;
	*handle = h.handle;
	return dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h);
}

SWEEP_TEST(submit_dependent)
{
	if (!self->pending) {
		disarm(self->inject);
		if (pending_sync(self->fd, &self->pending))
			SKIP(longjmp(_metadata->env, 1), "no sw_sync: %s", strerror(errno));
		arm(self->inject, 1);
	}
	return submit_fresh(self, self->pending);
}

TEST_HARNESS_MAIN
