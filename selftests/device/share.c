// SPDX-License-Identifier: MIT
/* Sharing: zero-copy, two processes at once, buffers and jobs between processes, dma-bufs of others. */

#include <sys/mman.h>
#include <sys/socket.h>

#include "device.h"
#include "harness.h"

FIXTURE(share) { int fd; };
FIXTURE_SETUP(share)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(share)
{
	close(self->fd);
}

/* out = in, on @n floats. */
static void build_copy(struct pb *pb, uint32_t n, uint32_t *in, uint32_t *out)
{
	pb_init(pb, 1);
	*in = pb_input(pb, 1, 1, n);
	*out = pb_output(pb, pb_activation(pb, *in, PATCNN_ACT_NEG, 0, 0));
}

/*
 * What the CPU writes through the mapping the next job sees, and what a job
 * writes is in the mapping, with no ioctl between store and SUBMIT and none
 * between the fence and the load: there is one memory, and nothing is copied.
 */
TEST_F(share, zero_copy)
{
	uint32_t in, out, done;
	struct net net;
	struct job job;
	struct pb pb;

	build_copy(&pb, 1024, &in, &out);
	ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
	ASSERT_OK(sync_create(self->fd, false, &done));
	net_job(&net, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	for (int i = 0; i < (th_slow() > 6 ? 40 : 200); i++) {
		volatile float *p = net.in_map;

		p[i * 5 % 1024] = i + 0.5f;
		ASSERT_OK(job_submit(self->fd, &job));
		ASSERT_OK(sync_wait(self->fd, done, 0, 20000));
		ASSERT_TRUE(((volatile float *)net.out_map)[i * 5 % 1024] == -(i + 0.5f));
	}
	net_close(&net);
}

/* A store while the job waits for its fence is seen, too: inputs are read when the job runs. */
TEST_F(share, store_while_queued)
{
	uint32_t in, out, done, gate;
	struct net net, slow;
	struct job job;
	struct pb pb;

	build_copy(&pb, 64, &in, &out);
	ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
	ASSERT_OK(net_open_slow(&slow, self->fd, 200));
	ASSERT_OK(sync_create(self->fd, false, &done));
	ASSERT_OK(sync_create(self->fd, false, &gate));
	net_job(&slow, &job);
	job_sync(&job, gate, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	net_job(&net, &job);
	job_sync(&job, gate, 0, 0);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	((volatile float *)net.in_map)[3] = 77;
	ASSERT_EQ(sync_result(self->fd, done, 60000), 0);
	EXPECT_TRUE(net.out_map[3] == -77);
	net_close(&slow);
	net_close(&net);
}

/* Several processes at once, each with its own device file; all results right. */
TEST_F_TIMEOUT(share, processes_at_once, 120)
{
	pid_t pid[4];

	for (int i = 0; i < 4; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			int fd = dev_open();
			struct net net;

			if (fd < 0 || net_open_small(&net, fd))
				_exit(1);
			for (int k = 0; k < (th_slow() > 6 ? 10 : 40); k++) {
				net_fill(&net, i * 1000 + k);
				if (net_run(&net))
					_exit(2);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status = -1;

		waitpid(pid[i], &status, 0);
		EXPECT_EQ(status, 0);
	}
}

/* A child that inherited file and mapping uses them; the parent's handles stay good. */
TEST_F(share, after_fork)
{
	struct net net;
	int status;
	pid_t pid;

	ASSERT_OK(net_open_small(&net, self->fd));
	pid = fork();
	if (!pid)
		_exit(net_run(&net) ? 1 : 0);
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
}

/* Output of one file is input of another, by dma-buf, ordered by a syncobj passed as a file. */
TEST_F(share, pipeline_between_files)
{
	int other = dev_open(), dmabuf, file;
	struct drm_syncobj_handle h = { 0 };
	uint32_t in, out, done, gate, imported;
	struct net a, b;
	struct job job;
	struct pb pb;

	ASSERT_GE(other, 0);
	build_copy(&pb, 256, &in, &out);
	ASSERT_OK(net_open(&a, self->fd, &pb, in, out));
	build_copy(&pb, 256, &in, &out);
	ASSERT_OK(net_open(&b, other, &pb, in, out));
	dmabuf = bo_export(self->fd, a.out_bo);
	ASSERT_GE(dmabuf, 0);
	ASSERT_OK(bo_import(other, dmabuf, &imported));
	ASSERT_OK(sync_create(self->fd, false, &gate));
	net_job(&a, &job);
	job_sync(&job, gate, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	file = sync_export_file(self->fd, gate);
	ASSERT_GE(file, 0);
	ASSERT_OK(sync_create(other, false, &h.handle));
	h.fd = file;
	h.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE;
	ASSERT_OK(dev_ioctl(other, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &h));
	ASSERT_OK(sync_create(other, false, &done));
	net_job(&b, &job);
	job.binding[0].handle = imported;
	job_sync(&job, h.handle, 0, 0);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(other, &job));
	ASSERT_EQ(sync_result(other, done, 20000), 0);
	/* Negated twice. */
	EXPECT_EQ(memcmp(b.out_map, a.in_map, 1024), 0);
	close(file);
	close(dmabuf);
	net_close(&b);
	net_close(&a);
	close(other);
}

/* Memory of another device (udmabuf) as input and as output. */
TEST_F(share, udmabuf_in_and_out)
{
	long page = sysconf(_SC_PAGESIZE);
	uint32_t in, out, done, bo;
	int memfd, dmabuf = udmabuf_create(2 * page, &memfd);
	struct net net;
	struct job job;
	struct pb pb;
	float *p;

	if (dmabuf < 0)
		SKIP(return, "udmabuf: %s (CONFIG_UDMABUF makes dma-bufs of ordinary memory)",
		     strerror(errno));
	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ASSERT_NE(p, MAP_FAILED);
	build_copy(&pb, 512, &in, &out);
	ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
	ASSERT_OK(bo_import(self->fd, dmabuf, &bo));
	ASSERT_OK(sync_create(self->fd, false, &done));
	for (int i = 0; i < 512; i++)
		p[i] = i;
	job_init(&job, net.ctx, net.model);
	job_bind(&job, in, bo, 0);
	job_bind(&job, out, bo, page);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	ASSERT_OK(job_submit(self->fd, &job));
	ASSERT_EQ(sync_result(self->fd, done, 20000), 0);
	for (int i = 0; i < 512; i++)
		ASSERT_TRUE(p[page / 4 + i] == -i);
	/* One byte beyond its end is refused. */
	job.binding[1].offset = 2 * page - 1024;
	EXPECT_ERRNO(job_submit(self->fd, &job), EINVAL);
	close(dmabuf);
	net_close(&net);
}

/* One buffer under two handles (imported into its own file gives one; into two files, two). */
TEST_F(share, alias_overlap_is_seen)
{
	uint32_t in, out, again;
	struct net net;
	struct job job;
	struct pb pb;
	int dmabuf;

	build_copy(&pb, 256, &in, &out);
	ASSERT_OK(net_open(&net, self->fd, &pb, in, out));
	dmabuf = bo_export(self->fd, net.in_bo);
	ASSERT_GE(dmabuf, 0);
	ASSERT_OK(bo_import(self->fd, dmabuf, &again));
	net_job(&net, &job);
	job.binding[1].handle = again;
	EXPECT_ERRNO(job_submit(self->fd, &job), EINVAL);
	close(dmabuf);
	net_close(&net);
}

/*
 * What one client's job left in arena and scratch never reaches another's output,
 * padding of the output's page or freed buffers.
 */
TEST_F(share, no_information_between_clients)
{
	const uint32_t pattern = 0x4b1d4b1d;
	int other = dev_open();
	uint32_t in, out;
	struct net spy;
	struct pb pb;

	ASSERT_GE(other, 0);
	for (int round = 0; round < 5; round++) {
		struct net victim;

		build_copy(&pb, 65536, &in, &out);
		ASSERT_OK(net_open(&victim, self->fd, &pb, in, out));
		for (int i = 0; i < 65536; i++)
			((uint32_t *)victim.in_map)[i] = pattern;
		ASSERT_EQ(net_run(&victim), 0);
		net_close(&victim);
		/* A larger net than its results need, on zeros. */
		ASSERT_OK(net_open_small(&spy, other));
		memset(spy.in_map, 0, spy.in_bytes);
		EXPECT_EQ(net_run(&spy), 0);
		for (size_t i = 0; i < (size_t)sysconf(_SC_PAGESIZE) / 4; i++) {
			uint32_t word = ((uint32_t *)spy.out_map)[i] & 0x7fffffff;

			ASSERT_NE(word, pattern);
			if (i >= spy.out_bytes / 4)
				ASSERT_EQ(word, 0);
		}
		net_close(&spy);
	}
	close(other);
}

/* One client that keeps the device full does not stop another from getting its turn. */
TEST_F_TIMEOUT(share, fair_between_clients, 120)
{
	struct net slow, quick;
	uint32_t done;
	int64_t t, worst = 0;
	int other = dev_open();

	ASSERT_GE(other, 0);
	ASSERT_OK(net_open_slow(&slow, self->fd, 50));
	ASSERT_OK(net_open_small(&quick, other));
	ASSERT_OK(sync_create(other, false, &done));
	for (int round = 0; round < 10; round++) {
		struct job job;

		net_job(&slow, &job);
		while (!job_submit(self->fd, &job))
			;
		EXPECT_EQ(errno, EBUSY);
		net_job(&quick, &job);
		job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
		t = now_ns();
		ASSERT_OK(job_submit(other, &job));
		ASSERT_EQ(sync_result(other, done, 60000), 0);
		t = (now_ns() - t) / 1000000;
		if (t > worst)
			worst = t;
	}
	TH_LOG("a job of another client waited %lld ms at most behind a full queue of 50 ms jobs",
	       (long long)worst);
	/* Two in flight and one that was next: far less than the queue. */
	EXPECT_LT(worst, 50 * 16 * (int64_t)th_slow());
	net_close(&slow);
	net_close(&quick);
	close(other);
}

/*
 * A client that waits for each job before it submits the next has every other turn beside
 * a deep queue; so has a context beside another of its client.
 */
static void take_turns(struct __test_metadata *_metadata, int fd, struct net *deep, int other,
		       struct net *polite)
{
	const int rounds = 10, depth = 40;
	struct drm_syncobj_timeline_array query = { 0 };
	uint64_t before = 0, after = 0;
	uint32_t line, done;
	struct job job;

	ASSERT_OK(sync_create(fd, false, &line));
	ASSERT_OK(sync_create(other, false, &done));
	query.handles = (uintptr_t)&line;
	query.count_handles = 1;
	net_job(deep, &job);
	job_sync(&job, line, DRM_PATCNN_SYNC_SIGNAL | DRM_PATCNN_SYNC_TIMELINE, 1);
	for (int i = 1; i <= depth; i++) {
		job.sync[0].point = i;
		ASSERT_OK(job_submit(fd, &job));
	}
	net_job(polite, &job);
	job_sync(&job, done, DRM_PATCNN_SYNC_SIGNAL, 0);
	for (int i = 0; i <= rounds; i++) {
		ASSERT_OK(job_submit(other, &job));
		ASSERT_EQ(sync_result(other, done, 60000), 0);
		query.points = (uintptr_t)(i ? &after : &before);
		ASSERT_OK(dev_ioctl(fd, DRM_IOCTL_SYNCOBJ_QUERY, &query));
	}
	TH_LOG("%d jobs one at a time between %d of a deep queue", rounds, (int)(after - before));
	/* One each; half as many again where this process was kept from its CPU for a job's time. */
	EXPECT_LE(after - before, (uint64_t)rounds * 3 / 2);
	/* Otherwise there was nobody to take turns with. */
	EXPECT_GE(after - before, (uint64_t)rounds / 2);
	ASSERT_EQ(sync_wait(fd, line, depth, 60000), 0);
	sync_destroy(fd, line);
	sync_destroy(other, done);
}

TEST_F_TIMEOUT(share, clients_take_turns, 120)
{
	int other = dev_open();
	struct net deep, polite;

	ASSERT_GE(other, 0);
	ASSERT_OK(net_open_slow(&deep, self->fd, 30));
	ASSERT_OK(net_open_small(&polite, other));
	take_turns(_metadata, self->fd, &deep, other, &polite);
	net_close(&deep);
	net_close(&polite);
	close(other);
}

TEST_F_TIMEOUT(share, contexts_take_turns, 120)
{
	struct net deep, polite;

	ASSERT_OK(net_open_slow(&deep, self->fd, 30));
	ASSERT_OK(net_open_small(&polite, self->fd));
	take_turns(_metadata, self->fd, &deep, self->fd, &polite);
	net_close(&deep);
	net_close(&polite);
}

TEST_HARNESS_MAIN
