// SPDX-License-Identifier: MIT
/*
 * What a hostile or broken client does, first part: arguments. Each test is one
 * of the thirty cases that drivers of this kind have fallen over; its number is
 * in its name. The races are in misuse_races.c, the rest has names of its own:
 *
 * 1 bo.*, limits here   2, 3 model.every_validator_error   16 races
 * 6 lifetime.*          10, 13 lifetime.*                  18 bo.mmap_*
 * 23 *.limit_per_file, here                                29 share.no_information_*
 */

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "device.h"
#include "harness.h"

FIXTURE(misuse) { int fd; struct net net; struct job job; };
FIXTURE_SETUP(misuse)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
	net_job(&self->net, &self->job);
}

FIXTURE_TEARDOWN(misuse)
{
	/* Whatever was done to it: the device still works for the next one. */
	int fd = dev_open();
	struct net net;

	close(self->fd);
	EXPECT_OK(net_open_small(&net, fd));
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
	close(fd);
}

/* Buffers without end: a clear error at some point, and all of it comes back. */
TEST_F_TIMEOUT(misuse, case01_many_buffers, 120)
{
	const uint32_t most = th_slow() > 6 ? 4000 : 20000;
	uint32_t h, n = 0;

	while (n < most && !bo_create(self->fd, 4096, &h))
		n++;
	if (n < most)
		EXPECT_TRUE(errno == ENOMEM || errno == ENOSPC || errno == EDQUOT);
	TH_LOG("%u buffers", n);
	EXPECT_GE(n, 1000);
}

/* Address space that is only promised: the largest buffers, never touched. */
TEST_F(misuse, case01_largest_buffers)
{
	struct drm_patcnn_dev_info i;
	uint32_t h;

	ASSERT_OK(dev_info(self->fd, &i));
	for (int n = 0; n < 8; n++)
		if (bo_create(self->fd, i.max_bo_size, &h)) {
			EXPECT_TRUE(errno == ENOMEM || errno == ENOSPC || errno == EDQUOT);
			break;
		}
}

/* The program lies in a file that shrinks: the copy meets a page that is gone. */
TEST_F(misuse, case04_program_in_shrinking_file)
{
	int memfd = memfd_create("program", MFD_CLOEXEC);
	size_t size = self->net.size + 65536;
	uint32_t m;
	char *p;

	ASSERT_OK(ftruncate(memfd, size));
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(p, MAP_FAILED);
	memcpy(p, self->net.blob, self->net.size);
	ASSERT_OK(ftruncate(memfd, sysconf(_SC_PAGESIZE)));
	EXPECT_ERRNO(model_create(self->fd, p, size, &m, NULL, 0), EFAULT);
	close(memfd);
}

/* The buffer of a running job rewritten, moved, unmapped and closed. */
TEST_F(misuse, case05_buffer_under_the_worker)
{
	struct net slow;
	uint32_t done;

	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&slow, &self->job);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	for (int i = 0; i < 50; i++) {
		memset(slow.in_map, 0xff - i, slow.in_bytes);
		usleep(1000);
	}
	slow.in_map = mremap(slow.in_map, slow.in_bytes, slow.in_bytes, MREMAP_MAYMOVE);
	munmap(slow.in_map, slow.in_bytes);
	munmap(slow.out_map, slow.out_bytes);
	bo_close(self->fd, slow.in_bo);
	bo_close(self->fd, slow.out_bo);
	EXPECT_EQ(sync_result(self->fd, done, 60000), 0);
}

/* Ids are of their kind: a model is no context, a context no model, a buffer neither. */
TEST_F(misuse, case08_handles_of_other_kinds)
{
	struct job good = self->job;
	int other = dev_open();
	struct net foreign;

	for (uint32_t h = 0; h < 64; h++) {
		self->job = good;
		self->job.args.bindings.array = 0;
		self->job.args.model = h;
		if (h != self->net.model)
			EXPECT_ERRNO(job_submit(self->fd, &self->job), ENOENT);
		self->job = good;
		self->job.args.bindings.array = 0;
		self->job.args.ctx = h;
		if (h != self->net.ctx)
			EXPECT_ERRNO(job_submit(self->fd, &self->job), ENOENT);
	}
	/* Of another open file, even if the numbers exist there. */
	ASSERT_OK(net_open_small(&foreign, other));
	model_destroy(other, foreign.model);
	self->job = good;
	EXPECT_ERRNO(job_submit(other, &self->job), ENOENT);
	close(other);
}

TEST_F(misuse, case08_stale_handles)
{
	bo_close(self->fd, self->net.out_bo);
	EXPECT_ERRNO(job_submit(self->fd, &self->job), ENOENT);
	EXPECT_ERRNO(bo_sync(self->fd, self->net.out_bo, DRM_PATCNN_BO_SYNC_READ, 0), ENOENT);
	EXPECT_ERRNO(bo_close(self->fd, self->net.out_bo), EINVAL);
}

/* A dma-buf whose file loses its pages, and one of a single page. */
TEST_F(misuse, case09_small_dmabuf)
{
	long page = sysconf(_SC_PAGESIZE);
	int memfd, dmabuf = udmabuf_create(page, &memfd);
	uint32_t h;

	if (dmabuf < 0)
		SKIP(return, "udmabuf: %s (CONFIG_UDMABUF makes dma-bufs of ordinary memory)",
		     strerror(errno));
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	self->job.binding[0].handle = h;
	EXPECT_OK(job_submit(self->fd, &self->job));
	self->job.binding[0].offset = page;
	EXPECT_ERRNO(job_submit(self->fd, &self->job), EINVAL);
	close(dmabuf);
	close(memfd);
}

/* A -> B -> A: exported, imported elsewhere, exported there, imported back. */
TEST_F(misuse, case09_import_loop)
{
	int other = dev_open(), d1 = bo_export(self->fd, self->net.in_bo), d2;
	uint32_t there, back;

	ASSERT_GE(d1, 0);
	ASSERT_OK(bo_import(other, d1, &there));
	d2 = bo_export(other, there);
	ASSERT_GE(d2, 0);
	ASSERT_OK(bo_import(self->fd, d2, &back));
	EXPECT_EQ(back, self->net.in_bo);
	close(d1);
	close(d2);
	close(other);
}

/* Strange points and states of in-fences never make a job that cannot end. */
TEST_F(misuse, case11_timeline_points)
{
	const uint64_t points[] = { 1ull << 63, UINT64_MAX, 1ull << 32, 5 };
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	ASSERT_OK(sync_signal_point(self->fd, s, 3));
	job_sync(&self->job, s, DRM_PATCNN_SYNC_TIMELINE, 0);
	for (int i = 0; i < 4; i++) {
		self->job.sync[0].point = points[i];
		EXPECT_EQ(job_submit(self->fd, &self->job), -1);
		EXPECT_TRUE(errno == EINVAL || errno == ENOENT);
	}
	/* Below and at the signalled point: fine. */
	for (uint64_t p = 1; p <= 3; p++) {
		self->job.sync[0].point = p;
		EXPECT_OK(job_submit(self->fd, &self->job));
	}
}

/* A syncobj reset after SUBMIT: the job keeps the fence it took. */
TEST_F(misuse, case11_reset_after_submit)
{
	struct drm_syncobj_array reset = { .count_handles = 1 };
	uint32_t s, done;

	ASSERT_OK(sync_create(self->fd, true, &s));
	ASSERT_OK(sync_create(self->fd, false, &done));
	reset.handles = (uintptr_t)&s;
	job_sync(&self->job, s, 0, 0);
	job_sync(&self->job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &self->job));
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_RESET, &reset));
	EXPECT_EQ(sync_result(self->fd, done, 20000), 0);
}

/* Two jobs that wait for each other are impossible: a fence exists only after SUBMIT. */
TEST_F(misuse, case14_cycle)
{
	uint32_t a, b;

	ASSERT_OK(sync_create(self->fd, false, &a));
	ASSERT_OK(sync_create(self->fd, false, &b));
	job_sync(&self->job, b, 0, 0);
	job_sync(&self->job, a, DRM_PATCNN_SYNC_SIGNAL, 0);
	EXPECT_EQ(job_submit(self->fd, &self->job), -1);
	EXPECT_TRUE(errno == EINVAL || errno == ENOENT);
	EXPECT_ERRNO(sync_wait(self->fd, a, 0, 1), ETIME);
}

/* The file in another process by fork, by dup and by SCM_RIGHTS is one client, and over exec(). */
TEST_F(misuse, case17_dup)
{
	int again = dup(self->fd);

	ASSERT_OK(job_submit(again, &self->job));
	close(again);
	EXPECT_EQ(net_run(&self->net), 0);
}

/* Sent to another process; who opened it closes it with jobs queued, the other goes on. */
TEST_F(misuse, case17_passed_on)
{
	int pair[2], fd, status;
	struct net net;
	pid_t pid;

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	if (!pid) {
		close(pair[0]);
		net = self->net;
		net.fd = receive_fd(pair[1]);
		close(self->fd);
		for (int i = 0; i < 5; i++)
			if (net_run(&net))
				_exit(1);
		/* And on, still open, into another program. */
		fcntl(net.fd, F_SETFD, 0);
		job_submit(net.fd, &self->job);
		dup2(open("/dev/null", O_WRONLY), 1);
		execl("/proc/self/exe", "misuse", "-l", NULL);
		_exit(2);
	}
	fd = fcntl(self->fd, F_DUPFD_CLOEXEC, 0);
	ASSERT_OK(send_fd(pair[0], fd));
	close(fd);
	for (int i = 0; i < 5; i++)
		ASSERT_OK(job_submit(self->fd, &self->job));
	close(self->fd);
	self->fd = -1;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

/* Thousands of open files, then all closed at once. */
TEST_F_TIMEOUT(misuse, case23_many_files, 120)
{
	struct rlimit r = { 20000, 20000 };
	const int most = th_slow() > 6 ? 600 : 4000 / th_slow();
	int n = 0, fds[4000];

	setrlimit(RLIMIT_NOFILE, &r);
	while (n < most) {
		uint32_t ctx, bo;

		fds[n] = dev_open();
		if (fds[n] < 0)
			break;
		ctx_create(fds[n], DRM_PATCNN_PRIORITY_NORMAL, NULL, &ctx);
		bo_create(fds[n], 4096, &bo);
		n++;
	}
	TH_LOG("%d files", n);
	EXPECT_GE(n, 500);
	while (n)
		close(fds[--n]);
}

/* Descriptors used up: export fails with EMFILE and leaks nothing. */
TEST_F(misuse, case23_no_descriptors_left)
{
	struct rlimit r, low;
	uint32_t s;

	ASSERT_OK(sync_create(self->fd, false, &s));
	getrlimit(RLIMIT_NOFILE, &r);
	low = r;
	low.rlim_cur = self->fd + 1;
	setrlimit(RLIMIT_NOFILE, &low);
	for (int i = 0; i < 100; i++) {
		EXPECT_ERRNO(bo_export(self->fd, self->net.in_bo), EMFILE);
		EXPECT_ERRNO(model_export(self->fd, self->net.model), EMFILE);
	}
	setrlimit(RLIMIT_NOFILE, &r);
	{
		int fd = model_export(self->fd, self->net.model);

		EXPECT_GE(fd, 0);
		close(fd);
	}
}

/* The number of an ioctl carries a size: any size gives an answer and no overrun. */
TEST_F_TIMEOUT(misuse, case24_ioctl_sizes, 120)
{
	static uint8_t arg[16384];

	for (unsigned int nr = 0; nr <= DRM_PATCNN_SUBMIT; nr++)
		for (unsigned int size = 0; size < 4096; size += size < 260 ? 1 + th_slow() / 8 : 97)
			for (unsigned int dir = 0; dir < 4; dir++) {
				unsigned long request = _IOC(dir, DRM_IOCTL_BASE,
							     DRM_COMMAND_BASE + nr, size);

				memset(arg, 0, sizeof(arg));
				memset(arg + size, 0x5a, 256);
				/* A created object would count against limits: close it again. */
				if (nr == DRM_PATCNN_CTX_CREATE || nr == DRM_PATCNN_MODEL_CREATE)
					memset(arg, 0xff, size);
				dev_ioctl(self->fd, request, arg);
				for (int i = 0; i < 256; i++)
					ASSERT_EQ(arg[size + i], 0x5a);
			}
}

/* All ones, and kernel addresses, in every member of every ioctl. */
TEST_F(misuse, case24_garbage)
{
	const uint64_t words[] = { ~0ull, 0xffff888000000000ull, 0xffffffff80000000ull, 1ull << 63,
				   0x7fffffffffffffffull, 0x8000000080000000ull };
	uint64_t arg[32];
	struct pb rnd;

	pb_init(&rnd, 5);
	for (int round = 0; round < 20000; round++) {
		unsigned int nr = pb_random(&rnd, DRM_PATCNN_SUBMIT + 1);
		unsigned int size = 8 + pb_random(&rnd, 12) * 8;

		for (int i = 0; i < 32; i++)
			arg[i] = pb_random(&rnd, 3) ? pb_random(&rnd, 8) :
				 words[pb_random(&rnd, 6)];
		dev_ioctl(self->fd, DRM_IOWR(DRM_COMMAND_BASE + nr, char[1]) +
			  ((size - 1ul) << _IOC_SIZESHIFT), arg);
	}
	pb_fini(&rnd);
}

/* count * stride must not wrap: a few elements claimed to be millions. */
TEST_F(misuse, case24_array_wraps)
{
	const uint32_t strides[] = { 0x80000000, 0xffffffff, 0x10000000, 1 << 20 };

	for (int i = 0; i < 4; i++) {
		self->job.args.bindings.array = (uintptr_t)self->job.binding;
		self->job.args.bindings.stride = strides[i];
		EXPECT_EQ(job_submit(self->fd, &self->job), -1);
		self->job.args.bindings.count = 0x40000000;
		EXPECT_EQ(job_submit(self->fd, &self->job), -1);
		self->job.args.bindings.count = 2;
	}
}

/* Times of BO_SYNC at the ends of their range. */
TEST_F(misuse, case27_timeouts)
{
	const int64_t times[] = { 0, -1, INT64_MIN, INT64_MIN + 1, 1, INT64_MAX, INT64_MAX - 1 };

	for (int i = 0; i < 7; i++) {
		EXPECT_OK(bo_sync(self->fd, self->net.in_bo, DRM_PATCNN_BO_SYNC_WRITE, times[i]));
		EXPECT_OK(bo_sync(self->fd, self->net.in_bo, DRM_PATCNN_BO_SYNC_WRITE |
				  DRM_PATCNN_BO_SYNC_END, times[i]));
	}
	for (int i = 0; i < 3; i++) {
		struct net slow;

		ASSERT_OK(net_open_slow(&slow, self->fd, 50));
		net_job(&slow, &self->job);
		ASSERT_OK(job_submit(self->fd, &self->job));
		/* In the past: do not wait. Never: do. */
		EXPECT_ERRNO(bo_sync(self->fd, slow.in_bo, DRM_PATCNN_BO_SYNC_WRITE, times[i]),
			     ETIMEDOUT);
		EXPECT_OK(bo_sync(self->fd, slow.in_bo, DRM_PATCNN_BO_SYNC_WRITE, INT64_MAX));
		net_close(&slow);
	}
}

/* NaN, infinities and denormals as inputs of all kinds of operators: no trap, an end. */
TEST_F_TIMEOUT(misuse, case22_odd_numbers, 120)
{
	const uint32_t odd[] = { 0x3f000000, 0x00000001, 0x007fffff, 0x7fc00000, 0x7f800000,
				 0x80000001 };

	for (int i = 0; i < 6; i++) {
		for (size_t k = 0; k < self->net.in_bytes / 4; k++)
			((uint32_t *)self->net.in_map)[k] = odd[i];
		ASSERT_OK(net_run_unchecked(&self->net));
	}
}

/*
 * Denormals are taken for zero, and made none: x86 needs over a hundred cycles for each,
 * so that a client's numbers would decide how long a slice takes.
 */
TEST_F(misuse, case22_denormals_are_zero)
{
	static const struct { float in, factor, out; } c[] = {
		{ 1e-39f, 1e30f, 0 }, { -1e-39f, 1e30f, 0 }, { 1e-20f, 1e-25f, 0 },
		{ 1e-20f, 1e-10f, 1e-20f * 1e-10f }, { 2e-38f, 1e30f, 2e-38f * 1e30f },
	};
	const uint32_t shape[] = { 1, 1, 1, 1 };

	for (unsigned int i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		uint32_t in, out, factor;
		struct net net;
		struct pb pb;

		pb_init(&pb, 1);
		in = pb_input(&pb, 1, 4, 40);
		factor = pb_constant(&pb, 4, 2, 3, shape);
		*pb_constant_data(&pb, factor) = c[i].factor;
		out = pb_output(&pb, pb_binary(&pb, PATCNN_OP_MUL, in, factor));
		ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
		for (int k = 0; k < 160; k++)
			((float *)net.in_map)[k] = c[i].in;
		ASSERT_OK(net_run_unchecked(&net));
		for (int k = 0; k < 160; k++)
			ASSERT_TRUE(((float *)net.out_map)[k] == c[i].out);
		net_close(&net);
	}
}

#if defined(__x86_64__)
static void odd_mode(void)
{
	uint32_t mxcsr = 0x1f80 | 0x6000 | 0x8040;	/* towards zero, FTZ, DAZ */

	__asm__ volatile("ldmxcsr %0" : : "m" (mxcsr));
}
#elif defined(__aarch64__)
static void odd_mode(void)
{
	uint64_t fpcr = 3ull << 22 | 1ull << 24;	/* towards zero, FZ */

	__asm__ volatile("msr fpcr, %0" : : "r" (fpcr));
}
#endif

/* The caller's rounding mode and flush flags must not reach the workers. */
TEST_F(misuse, case22_callers_float_mode)
{
	float before[16];

	ASSERT_EQ(net_run(&self->net), 0);
	memcpy(before, self->net.out_map, self->net.out_bytes);
	odd_mode();
	for (int i = 0; i < 10; i++) {
		ASSERT_OK(net_run_unchecked(&self->net));
		EXPECT_EQ(memcmp(before, self->net.out_map, self->net.out_bytes), 0);
	}
}

/* A model packed while the caller is in an odd mode is the same model. */
TEST_F(misuse, case22_packed_in_odd_mode)
{
	uint32_t m, keep = self->net.model;
	float before[16];

	ASSERT_EQ(net_run(&self->net), 0);
	memcpy(before, self->net.out_map, self->net.out_bytes);
	odd_mode();
	ASSERT_OK(model_create(self->fd, self->net.blob, self->net.size, &m, NULL, 0));
	self->net.model = m;
	ASSERT_OK(net_run_unchecked(&self->net));
	EXPECT_EQ(memcmp(before, self->net.out_map, self->net.out_bytes), 0);
	self->net.model = keep;
}

TEST_HARNESS_MAIN
