// SPDX-License-Identifier: MIT
/* Buffers: life, sizes, mapping, dma-buf in and out, BO_SYNC. */

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>

#include "device.h"
#include "harness.h"

FIXTURE(bo) { int fd; };
FIXTURE_SETUP(bo)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(bo)
{
	close(self->fd);
}

TEST_F(bo, create_rounds_to_pages)
{
	long page = sysconf(_SC_PAGESIZE);
	struct drm_patcnn_bo_create a = { .size = 1 };

	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_BO_CREATE, &a));
	EXPECT_EQ(a.size, page);
	EXPECT_NE(a.handle, 0);
	a = (struct drm_patcnn_bo_create){ .size = page + 1 };
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_BO_CREATE, &a));
	EXPECT_EQ(a.size, 2 * page);
}

TEST_F(bo, size_zero)
{
	uint32_t h;

	EXPECT_ERRNO(bo_create(self->fd, 0, &h), EINVAL);
}

/* PAGE_ALIGN() of these wraps to 0, or to a negative loff_t. */
TEST_F(bo, size_wraps)
{
	const uint64_t sizes[] = { UINT64_MAX, UINT64_MAX - 4094, UINT64_MAX - 4095,
				   UINT64_MAX - 65535, 1ull << 63, (1ull << 63) - 1,
				   (1ull << 63) + 1 };
	uint32_t h;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		EXPECT_ERRNO(bo_create(self->fd, sizes[i], &h), E2BIG);
}

TEST_F(bo, size_above_limit)
{
	struct drm_patcnn_dev_info i;
	uint32_t h;

	ASSERT_OK(dev_info(self->fd, &i));
	EXPECT_ERRNO(bo_create(self->fd, i.max_bo_size + 1, &h), E2BIG);
}

TEST_F(bo, unknown_flags)
{
	for (int b = 0; b < 32; b++) {
		struct drm_patcnn_bo_create a = { .size = 4096, .flags = 1u << b };

		EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_BO_CREATE, &a), EINVAL);
	}
}

TEST_F(bo, memory_is_zero)
{
	const size_t size = 1 << 20;

	/* Dirty it, free it, and look whether the next one shows it. */
	for (int round = 0; round < 8; round++) {
		uint32_t h;
		uint8_t *p;

		ASSERT_OK(bo_create(self->fd, size, &h));
		p = bo_map(self->fd, h, size);
		ASSERT_NE(p, MAP_FAILED);
		for (size_t i = 0; i < size; i++)
			ASSERT_EQ(p[i], 0);
		memset(p, 0x77, size);
		munmap(p, size);
		ASSERT_OK(bo_close(self->fd, h));
	}
}

TEST_F(bo, mapping_outlives_handle)
{
	uint32_t h;
	char *p;

	ASSERT_OK(bo_create(self->fd, 8192, &h));
	p = bo_map(self->fd, h, 8192);
	ASSERT_NE(p, MAP_FAILED);
	strcpy(p, "still here");
	ASSERT_OK(bo_close(self->fd, h));
	EXPECT_STREQ(p, "still here");
	p[8191] = 1;
	munmap(p, 8192);
}

TEST_F(bo, handle_errors)
{
	uint32_t bad[] = { 0, 1, 77, 0x7fffffff, 0x80000000, 0xffffffff };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct drm_patcnn_bo_mmap_offset m = { .handle = bad[i] };

		EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_BO_MMAP_OFFSET, &m), ENOENT);
		EXPECT_ERRNO(bo_sync(self->fd, bad[i], DRM_PATCNN_BO_SYNC_READ, 0), ENOENT);
		EXPECT_ERRNO(bo_export(self->fd, bad[i]), ENOENT);
	}
}

TEST_F(bo, mmap_offset_pad)
{
	struct drm_patcnn_bo_mmap_offset m = { .pad = 1 };

	ASSERT_OK(bo_create(self->fd, 4096, &m.handle));
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_BO_MMAP_OFFSET, &m), EINVAL);
}

static uint64_t offset_of(int fd, uint32_t h)
{
	struct drm_patcnn_bo_mmap_offset m = { .handle = h };

	return dev_ioctl(fd, DRM_IOCTL_PATCNN_BO_MMAP_OFFSET, &m) ? 0 : m.offset;
}

TEST_F(bo, mmap_foreign_offset)
{
	int other = dev_open();
	uint64_t off;
	uint32_t h;

	ASSERT_GE(other, 0);
	ASSERT_OK(bo_create(other, 4096, &h));
	off = offset_of(other, h);
	ASSERT_NE(off, 0);
	EXPECT_EQ(mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd, off), MAP_FAILED);
	EXPECT_EQ(errno, EACCES);
	close(other);
}

TEST_F(bo, mmap_bad_ranges)
{
	long page = sysconf(_SC_PAGESIZE);
	uint64_t off;
	uint32_t h;

	ASSERT_OK(bo_create(self->fd, 2 * page, &h));
	off = offset_of(self->fd, h);
	ASSERT_NE(off, 0);
	/* beyond its end, from its middle, where nothing is, at offset 0 */
	EXPECT_EQ(mmap(NULL, 3 * page, PROT_READ, MAP_SHARED, self->fd, off), MAP_FAILED);
	EXPECT_EQ(mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, self->fd, off + page), MAP_FAILED);
	EXPECT_EQ(mmap(NULL, page, PROT_READ, MAP_SHARED, self->fd, off + (1ull << 40)),
		  MAP_FAILED);
	EXPECT_EQ(mmap(NULL, page, PROT_READ, MAP_SHARED, self->fd, 0), MAP_FAILED);
}

TEST_F(bo, mmap_private_write)
{
	uint64_t off;
	uint32_t h;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	off = offset_of(self->fd, h);
	EXPECT_EQ(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, off),
		  MAP_FAILED);
	EXPECT_EQ(errno, EINVAL);
}

TEST_F(bo, mmap_exec_refused)
{
	uint64_t off;
	uint32_t h;
	void *p;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	off = offset_of(self->fd, h);
	EXPECT_EQ(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, self->fd, off), MAP_FAILED);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, off);
	ASSERT_NE(p, MAP_FAILED);
	EXPECT_ERRNO(mprotect(p, 4096, PROT_READ | PROT_EXEC), EACCES);
	munmap(p, 4096);
}

TEST_F(bo, mremap_cannot_grow)
{
	uint32_t h;
	void *p;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	p = bo_map(self->fd, h, 4096);
	ASSERT_NE(p, MAP_FAILED);
	EXPECT_EQ(mremap(p, 4096, 65536 * 2, MREMAP_MAYMOVE), MAP_FAILED);
	munmap(p, 4096);
}

TEST_F(bo, fork_shares)
{
	uint32_t h;
	int status;
	pid_t pid;
	int *p;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	p = bo_map(self->fd, h, 4096);
	ASSERT_NE(p, MAP_FAILED);
	pid = fork();
	if (!pid) {
		*p = 4711;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(*p, 4711);
}

TEST_F(bo, export_map_import)
{
	uint32_t h, again;
	int dmabuf;
	char *p, *q;

	ASSERT_OK(bo_create(self->fd, 8192, &h));
	dmabuf = bo_export(self->fd, h);
	ASSERT_GE(dmabuf, 0);
	EXPECT_EQ(lseek(dmabuf, 0, SEEK_END), sysconf(_SC_PAGESIZE) > 8192 ?
		  sysconf(_SC_PAGESIZE) : 8192);
	p = bo_map(self->fd, h, 8192);
	q = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(p, MAP_FAILED);
	ASSERT_NE(q, MAP_FAILED);
	strcpy(p, "one memory");
	EXPECT_STREQ(q, "one memory");
	/* Into the file it came from: the same object, so the same handle. */
	ASSERT_OK(bo_import(self->fd, dmabuf, &again));
	EXPECT_EQ(again, h);
	close(dmabuf);
}

TEST_F(bo, import_into_second_file)
{
	int other = dev_open();
	uint32_t h, there;
	int dmabuf;
	char *p, *q;

	ASSERT_GE(other, 0);
	ASSERT_OK(bo_create(self->fd, 4096, &h));
	dmabuf = bo_export(self->fd, h);
	ASSERT_GE(dmabuf, 0);
	ASSERT_OK(bo_import(other, dmabuf, &there));
	close(dmabuf);
	p = bo_map(self->fd, h, 4096);
	q = bo_map(other, there, 4096);
	ASSERT_NE(p, MAP_FAILED);
	ASSERT_NE(q, MAP_FAILED);
	strcpy(p, "shared");
	EXPECT_STREQ(q, "shared");
	ASSERT_OK(bo_close(self->fd, h));
	EXPECT_STREQ(q, "shared");
	close(other);
}

TEST_F(bo, dmabuf_outlives_file)
{
	int other = dev_open();
	uint32_t h;
	int dmabuf;
	char *p;

	ASSERT_GE(other, 0);
	ASSERT_OK(bo_create(other, 4096, &h));
	dmabuf = bo_export(other, h);
	ASSERT_GE(dmabuf, 0);
	close(other);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
	ASSERT_NE(p, MAP_FAILED);
	strcpy(p, "alone");
	EXPECT_STREQ(p, "alone");
	close(dmabuf);
	munmap(p, 4096);
}

TEST_F(bo, dmabuf_cpu_access)
{
	struct dma_buf_sync begin = { DMA_BUF_SYNC_RW | DMA_BUF_SYNC_START };
	struct dma_buf_sync end = { DMA_BUF_SYNC_RW | DMA_BUF_SYNC_END };
	uint32_t h;
	int dmabuf;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	dmabuf = bo_export(self->fd, h);
	ASSERT_GE(dmabuf, 0);
	EXPECT_OK(ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &begin));
	EXPECT_OK(ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &end));
	close(dmabuf);
}

TEST_F(bo, import_not_a_dmabuf)
{
	int fds[2], null = open("/dev/null", O_RDWR);
	uint32_t h;

	ASSERT_OK(pipe(fds));
	EXPECT_ERRNO(bo_import(self->fd, null, &h), EINVAL);
	EXPECT_ERRNO(bo_import(self->fd, fds[0], &h), EINVAL);
	EXPECT_ERRNO(bo_import(self->fd, self->fd, &h), EINVAL);
	EXPECT_ERRNO(bo_import(self->fd, -1, &h), EBADF);
	EXPECT_ERRNO(bo_import(self->fd, 9999, &h), EBADF);
}

TEST_F(bo, udmabuf_import)
{
	long page = sysconf(_SC_PAGESIZE);
	uint32_t h, twice;
	int memfd, dmabuf = udmabuf_create(4 * page, &memfd);
	char *p;

	if (dmabuf < 0)
		SKIP(return, "udmabuf: %s (CONFIG_UDMABUF makes dma-bufs of ordinary memory)",
		     strerror(errno));
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	ASSERT_OK(bo_import(self->fd, dmabuf, &twice));
	EXPECT_EQ(h, twice);
	p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(p, MAP_FAILED);
	p[0] = 1;
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, now_ns() + 1000000000));
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ | DRM_PATCNN_BO_SYNC_END, 0));
	close(dmabuf);
	close(memfd);
	EXPECT_OK(bo_close(self->fd, h));
}

TEST_F(bo, sync_arguments)
{
	uint32_t h;

	ASSERT_OK(bo_create(self->fd, 4096, &h));
	EXPECT_ERRNO(bo_sync(self->fd, h, 0, 0), EINVAL);
	EXPECT_ERRNO(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_END, 0), EINVAL);
	for (int b = 3; b < 32; b++)
		EXPECT_ERRNO(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ | 1u << b, 0), EINVAL);
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, 0));
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ | DRM_PATCNN_BO_SYNC_END, 0));
	/* An idle buffer is never worth a timeout, whatever the time says. */
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_WRITE, -1));
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_WRITE, INT64_MIN));
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_WRITE, INT64_MAX));
}

/* Begin waits for the job that uses the buffer, and says so when it may not. */
TEST_F(bo, sync_waits_for_job)
{
	struct net net;
	struct job job;
	int64_t t;

	ASSERT_OK(net_open_slow(&net, self->fd, 300));
	net_job(&net, &job);
	ASSERT_OK(job_submit(self->fd, &job));
	EXPECT_ERRNO(bo_sync(self->fd, net.out_bo, DRM_PATCNN_BO_SYNC_READ, 0), ETIMEDOUT);
	EXPECT_ERRNO(bo_sync(self->fd, net.in_bo, DRM_PATCNN_BO_SYNC_WRITE, 0), ETIMEDOUT);
	t = now_ns();
	EXPECT_ERRNO(bo_sync(self->fd, net.out_bo, DRM_PATCNN_BO_SYNC_READ, t + 20000000),
		     ETIMEDOUT);
	EXPECT_GE(now_ns() - t, 20000000);
	EXPECT_OK(bo_sync(self->fd, net.out_bo, DRM_PATCNN_BO_SYNC_READ,
			  now_ns() + 60000000000ll));
	EXPECT_OK(bo_sync(self->fd, net.out_bo, DRM_PATCNN_BO_SYNC_READ |
			  DRM_PATCNN_BO_SYNC_END, 0));
	net_close(&net);
}

TEST_HARNESS_MAIN
