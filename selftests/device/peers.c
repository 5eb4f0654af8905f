// SPDX-License-Identifier: MIT
/*
 * Buffers of other drivers, and ours in their hands: udmabuf, the system heap, vgem,
 * and a camera (vivid) where the kernel has them. Import, export, twice, of odd sizes,
 * with the other side's fences, after one side has gone.
 */

#include <fcntl.h>
#include <glob.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../exporter/patcnn_exporter.h"
#include "device.h"
#include "harness.h"

#define PEER_BYTES 65536

struct vgem_fence_attach { uint32_t handle, flags, out_fence, pad; };
struct vgem_fence_signal { uint32_t fence, flags; };
#define VGEM_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_fence_attach)
#define VGEM_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_fence_signal)
#define VGEM_FENCE_WRITE 1

FIXTURE(peers) { int fd; struct net net; };
FIXTURE_SETUP(peers)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(peers)
{
	EXPECT_EQ(net_run(&self->net), 0);
	net_close(&self->net);
	close(self->fd);
}

FIXTURE_VARIANT(peers) { int (*make)(size_t bytes); const char *missing; };

static int make_udmabuf(size_t bytes)
{
	int memfd, dmabuf = udmabuf_create(bytes, &memfd);

	if (dmabuf >= 0)
		close(memfd);
	return dmabuf;
}

static int make_heap(size_t bytes)
{
	struct dma_heap_allocation_data a = { .len = bytes, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC), ret;

	if (heap < 0)
		return -1;
	ret = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &a);
	close(heap);
	return ret ? -1 : (int)a.fd;
}

static int vgem_open(void)
{
	int found = -1;
	glob_t g;

	if (glob("/dev/dri/card*", 0, NULL, &g))
		return -1;
	for (size_t i = 0; i < g.gl_pathc && found < 0; i++) {
		char name[16] = "";
		struct drm_version v = { .name_len = sizeof(name) - 1, .name = name };

		found = open(g.gl_pathv[i], O_RDWR | O_CLOEXEC);
		if (found >= 0 && (ioctl(found, DRM_IOCTL_VERSION, &v) || strcmp(name, "vgem"))) {
			close(found);
			found = -1;
		}
	}
	globfree(&g);
	return found;
}

static int vgem_create(int vgem, size_t bytes, uint32_t *handle)
{
	struct drm_mode_create_dumb d = { .width = bytes / 4, .height = 1, .bpp = 32 };

	if (ioctl(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &d))
		return -1;
	*handle = d.handle;
	return 0;
}

static int make_vgem(size_t bytes)
{
	struct drm_prime_handle p = { .flags = O_RDWR | O_CLOEXEC };
	int vgem = vgem_open(), fd = -1;

	if (vgem >= 0 && !vgem_create(vgem, bytes, &p.handle) &&
	    !ioctl(vgem, DRM_IOCTL_PRIME_HANDLE_TO_FD, &p))
		fd = p.fd;
	close(vgem);
	return fd;
}

/* A buffer of a camera that is no camera. */
static int make_vivid(size_t bytes)
{
	struct v4l2_requestbuffers req = {
		.count = 1, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
	};
	struct v4l2_exportbuffer e = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .flags = O_RDWR | O_CLOEXEC,
	};
	struct v4l2_capability cap;
	char path[32];
	int dmabuf = -1;

	(void)bytes;	/* the picture's: more than is asked for here */
	for (int i = 0; i < 8 && dmabuf < 0; i++) {
		int fd;

		snprintf(path, sizeof(path), "/dev/video%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!ioctl(fd, VIDIOC_QUERYCAP, &cap) && !strcmp((char *)cap.driver, "vivid") &&
		    !ioctl(fd, VIDIOC_REQBUFS, &req) && !ioctl(fd, VIDIOC_EXPBUF, &e))
			dmabuf = e.fd;
		close(fd);
	}
	return dmabuf;
}

static int make_plain(size_t bytes)
{
	return exporter_make(PATCNN_EXPORTER_PLAIN, bytes);
}

FIXTURE_VARIANT_ADD(peers, exporter) { make_plain, "patcnn_exporter.ko of selftests/exporter" };
FIXTURE_VARIANT_ADD(peers, udmabuf) { make_udmabuf, "/dev/udmabuf (CONFIG_UDMABUF)" };
FIXTURE_VARIANT_ADD(peers, heap) { make_heap, "/dev/dma_heap/system (CONFIG_DMABUF_HEAPS_SYSTEM)" };
FIXTURE_VARIANT_ADD(peers, vgem) { make_vgem, "vgem (CONFIG_DRM_VGEM)" };
FIXTURE_VARIANT_ADD(peers, vivid) { make_vivid, "vivid (CONFIG_VIDEO_VIVID)" };

/* For the CPU, as its exporter wants it done. */
static void *peer_map(int dmabuf, int prot)
{
	struct dma_buf_sync s = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
	void *p = mmap(NULL, PEER_BYTES, prot, MAP_SHARED, dmabuf, 0);

	if (p != MAP_FAILED)
		ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &s);
	return p;
}

static void peer_unmap(int dmabuf, void *p)
{
	struct dma_buf_sync s = { DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW };

	ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &s);
	munmap(p, PEER_BYTES);
}

#define PEER(dmabuf) \
	int dmabuf = variant->make(PEER_BYTES); \
	if (dmabuf < 0) \
		SKIP(return, "no %s here", variant->missing)

/* Input at its end, output at its start; the exporter's own mapping shows the result. */
TEST_F(peers, in_and_out)
{
	const uint64_t offset = PEER_BYTES / 2;
	uint32_t h;
	char *p;

	PEER(dmabuf);
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	p = peer_map(dmabuf, PROT_READ | PROT_WRITE);
	ASSERT_NE(p, MAP_FAILED);
	memcpy(p + offset, self->net.in_map, self->net.in_bytes);
	memset(p, 0xff, self->net.out_bytes);
	peer_unmap(dmabuf, p);
	EXPECT_EQ(net_run_with(&self->net, h, offset, h), 0);
	p = peer_map(dmabuf, PROT_READ);
	ASSERT_NE(p, MAP_FAILED);
	memcpy(self->net.out_map, p, self->net.out_bytes);
	peer_unmap(dmabuf, p);
	EXPECT_TRUE(net_right(&self->net));
	EXPECT_OK(bo_close(self->fd, h));
	close(dmabuf);
}

/* The same buffer again is the same handle; in another file it is another. */
TEST_F(peers, imported_twice)
{
	int other = dev_open();
	uint32_t a, b, c;

	PEER(dmabuf);
	ASSERT_OK(bo_import(self->fd, dmabuf, &a));
	ASSERT_OK(bo_import(self->fd, dmabuf, &b));
	EXPECT_EQ(a, b);
	ASSERT_OK(bo_import(other, dmabuf, &c));
	EXPECT_OK(bo_close(other, c));
	/* Aliases are seen: input and output overlap, whatever they are called. */
	EXPECT_EQ(net_run_with(&self->net, a, 0, b), EINVAL);
	EXPECT_OK(bo_close(self->fd, a));
	close(other);
	close(dmabuf);
}

/* Descriptor and exporter's device are closed, the handle in the middle of a job. */
TEST_F(peers, exporter_gone)
{
	struct net slow;
	struct job job;
	uint32_t h, done;

	PEER(dmabuf);
	ASSERT_OK(net_open_slow(&slow, self->fd, 60));
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	close(dmabuf);
	if (slow.out_bytes <= PEER_BYTES) {
		ASSERT_OK(sync_create(self->fd, false, &done));
		net_job(&slow, &job);
		job.binding[1].handle = h;
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		ASSERT_OK(job_submit(self->fd, &job));
		EXPECT_OK(bo_close(self->fd, h));
		EXPECT_EQ(sync_result(self->fd, done, 60000), 0);
	}
	net_close(&slow);
}

/* Behind its end there is nothing to bind. */
TEST_F(peers, bounds)
{
	int small = variant->make(sysconf(_SC_PAGESIZE));
	off_t size;
	uint32_t h;

	if (small < 0)
		SKIP(return, "no %s here", variant->missing);
	size = lseek(small, 0, SEEK_END);
	ASSERT_GT(size, 0);
	ASSERT_OK(bo_import(self->fd, small, &h));
	EXPECT_EQ(net_run_with(&self->net, h, (uint64_t)size & ~63ull, self->net.out_bo), EINVAL);
	EXPECT_EQ(net_run_with(&self->net, h, (size - self->net.in_bytes + 64) & ~63ull,
			   self->net.out_bo), EINVAL);
	EXPECT_EQ(net_run_with(&self->net, h, ~0ull << 6, self->net.out_bo), EINVAL);
	EXPECT_OK(bo_close(self->fd, h));
	close(small);
}

/* A client that is killed while it works on the buffer; others have it still. */
TEST_F(peers, killed)
{
	uint32_t h;
	pid_t pid;

	PEER(dmabuf);
	pid = fork();
	if (!pid) {
		int fd = dev_open();
		struct net net;

		if (net_open_slow(&net, fd, 60) || bo_import(fd, dmabuf, &h))
			_exit(1);
		for (int i = 0; i < 4; i++)
			net_run_with(&net, net.in_bo, 0, net.out_bytes <= PEER_BYTES ? h : net.out_bo);
		kill(getpid(), SIGKILL);
	}
	usleep(100000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	EXPECT_EQ(net_run_with(&self->net, self->net.in_bo, 0, h), 0);
	close(dmabuf);
	EXPECT_OK(bo_close(self->fd, h));
}

static int sync_import_file(int fd, int file, uint32_t *handle)
{
	struct drm_syncobj_handle h = {
		.fd = file, .flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};

	if (sync_create(fd, false, &h.handle))
		return -1;
	*handle = h.handle;
	return dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h);
}

/*
 * A job that waits for all that is pending on the buffer it writes, and whose own fence is
 * made one of those: the nearest to a cycle of fences that there is.
 */
static int chain_link(struct net *net, int dmabuf, uint32_t handle, uint32_t *done)
{
	struct dma_buf_export_sync_file e = { .flags = DMA_BUF_SYNC_RW, .fd = -1 };
	struct dma_buf_import_sync_file i = { .flags = DMA_BUF_SYNC_RW };
	uint32_t before;
	struct job job;
	int ret;

	if (ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &e))
		return -1;
	ret = sync_import_file(net->fd, e.fd, &before);
	close(e.fd);
	if (ret || sync_create(net->fd, false, done))
		return -1;
	net_job(net, &job);
	job.binding[1].handle = handle;
	job_sync(&job, before, 0, 0);
	job_sync(&job, *done, DRM_PATCNN_SYNC_SIGNAL, 0);
	if (job_submit(net->fd, &job))
		return -1;
	sync_destroy(net->fd, before);
	i.fd = sync_export_file(net->fd, *done);
	ret = ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &i);
	close(i.fd);
	return ret;
}

/* Nothing is pending on the buffer any more, at the latest in half a minute. */
static bool buffer_idle(int dmabuf)
{
	struct pollfd p = { .fd = dmabuf, .events = POLLOUT };

	return poll(&p, 1, 30000) == 1;
}

TEST_F_TIMEOUT(peers, fences_through_it, 60)
{
	uint32_t h, done;

	PEER(dmabuf);
	ASSERT_OK(bo_import(self->fd, dmabuf, &h));
	for (int i = 0; i < 16; i++)
		ASSERT_OK(chain_link(&self->net, dmabuf, h, &done));
	EXPECT_EQ(sync_result(self->fd, done, 60000), 0);
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_WRITE, now_ns() + 60000000000ll));
	EXPECT_TRUE(buffer_idle(dmabuf));
	close(dmabuf);
}

/* Who made the chain dies in the middle of it: all of it signals. */
TEST_F_TIMEOUT(peers, fences_of_the_dead, 60)
{
	int ready[2];
	pid_t pid;
	char c;

	PEER(dmabuf);
	ASSERT_OK(pipe(ready));
	pid = fork();
	if (!pid) {
		uint32_t h, done;
		struct net slow;
		int fd = dev_open();

		if (net_open_slow(&slow, fd, 100) || bo_import(fd, dmabuf, &h))
			_exit(1);
		/* It has room for a result of this net: one mean a channel. */
		for (int i = 0; i < 8; i++)
			if (chain_link(&slow, dmabuf, h, &done))
				_exit(2);
		if (write(ready[1], "x", 1) == 1)
			kill(getpid(), SIGKILL);
		_exit(3);
	}
	close(ready[1]);
	EXPECT_EQ(read(ready[0], &c, 1), 1);
	waitpid(pid, NULL, 0);
	EXPECT_TRUE(buffer_idle(dmabuf));
	close(ready[0]);
	close(dmabuf);
}

/* ---- with vgem alone ---- */

FIXTURE(vgem) { int fd, vgem; struct net net; };
FIXTURE_SETUP(vgem)
{
	self->vgem = vgem_open();
	if (self->vgem < 0)
		SKIP(longjmp(_metadata->env, 1), "no vgem (CONFIG_DRM_VGEM) here");
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(vgem)
{
	if (self->vgem < 0)
		return;
	net_close(&self->net);
	close(self->fd);
	close(self->vgem);
}

/* Ours, imported there: it lives until they have closed it too. */
TEST_F(vgem, ours_there)
{
	struct drm_prime_handle p = { .fd = bo_export(self->fd, self->net.out_bo) };
	struct drm_gem_close c = { 0 };
	uint32_t h;

	ASSERT_GE(p.fd, 0);
	ASSERT_OK(ioctl(self->vgem, DRM_IOCTL_PRIME_FD_TO_HANDLE, &p));
	EXPECT_EQ(net_run(&self->net), 0);
	close(p.fd);
	net_close(&self->net);
	close(self->fd);
	/* From there back into another file of ours: the same buffer. */
	p.flags = O_RDWR | O_CLOEXEC;
	ASSERT_OK(ioctl(self->vgem, DRM_IOCTL_PRIME_HANDLE_TO_FD, &p));
	c.handle = p.handle;
	EXPECT_OK(ioctl(self->vgem, DRM_IOCTL_GEM_CLOSE, &c));
	self->fd = dev_open();
	ASSERT_OK(net_open_small(&self->net, self->fd));
	ASSERT_OK(bo_import(self->fd, p.fd, &h));
	EXPECT_EQ(net_run_with(&self->net, self->net.in_bo, 0, h), 0);
	EXPECT_OK(bo_close(self->fd, h));
	close(p.fd);
}

/*
 * Their fence on the buffer: BO_SYNC waits for it. Jobs are ordered by the fences they
 * are given, so one that uses the buffer does not, nor can it be held up for good.
 */
TEST_F(vgem, their_fence)
{
	struct vgem_fence_attach a = { .flags = VGEM_FENCE_WRITE };
	struct drm_prime_handle p = { .flags = O_RDWR | O_CLOEXEC };
	uint32_t h;

	ASSERT_OK(vgem_create(self->vgem, PEER_BYTES, &p.handle));
	a.handle = p.handle;
	ASSERT_OK(ioctl(self->vgem, DRM_IOCTL_PRIME_HANDLE_TO_FD, &p));
	ASSERT_OK(bo_import(self->fd, p.fd, &h));
	if (ioctl(self->vgem, VGEM_ATTACH, &a))
		SKIP(return, "vgem has no fences: %s", strerror(errno));
	EXPECT_ERRNO(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, 0), ETIMEDOUT);
	EXPECT_EQ(net_run_with(&self->net, self->net.in_bo, 0, h), 0);
	EXPECT_ERRNO(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, now_ns() + 1000000), ETIMEDOUT);
	ASSERT_OK(ioctl(self->vgem, VGEM_SIGNAL,
			&(struct vgem_fence_signal){ .fence = a.out_fence }));
	EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, now_ns() + 5000000000ll));
	close(p.fd);
}

/* Our own buffer, exported: its fences are those of jobs. */
TEST(own_fences_through_own_export)
{
	int fd = dev_open(), dmabuf;
	struct net net;
	uint32_t done;

	ASSERT_GE(fd, 0);
	ASSERT_OK(net_open_small(&net, fd));
	dmabuf = bo_export(fd, net.out_bo);
	ASSERT_GE(dmabuf, 0);
	for (int i = 0; i < 16; i++)
		ASSERT_OK(chain_link(&net, dmabuf, net.out_bo, &done));
	EXPECT_EQ(sync_result(fd, done, 60000), 0);
	EXPECT_TRUE(net_right(&net));
	EXPECT_TRUE(buffer_idle(dmabuf));
	close(dmabuf);
	net_close(&net);
	close(fd);
}

/* ---- what is no buffer for us ---- */

TEST_F(vgem, too_large)
{
	struct drm_patcnn_dev_info info;
	struct drm_prime_handle p = { .flags = O_RDWR | O_CLOEXEC };
	uint32_t h;

	ASSERT_OK(dev_info(self->fd, &info));
	/* Pages come when they are touched: this costs nothing. */
	if (vgem_create(self->vgem, (info.max_bo_size >> 1) + 4096, &p.handle) ||
	    ioctl(self->vgem, DRM_IOCTL_PRIME_HANDLE_TO_FD, &p))
		SKIP(return, "vgem makes no buffer of that size: %s", strerror(errno));
	/* Half of the limit is too much for this machine or not: no matter, but no harm. */
	if (bo_import(self->fd, p.fd, &h))
		EXPECT_TRUE(errno == E2BIG || errno == ENOMEM || errno == EINVAL);
	else
		EXPECT_OK(bo_close(self->fd, h));
	close(p.fd);
	EXPECT_EQ(net_run(&self->net), 0);
}

TEST_HARNESS_MAIN
