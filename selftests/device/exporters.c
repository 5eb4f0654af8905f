// SPDX-License-Identifier: MIT
/*
 * Buffers that no good driver would export, by the module of selftests/exporter: device
 * memory, what cannot be attached to or mapped, sizes of any number.
 */

#include <sys/mman.h>

#include "../exporter/patcnn_exporter.h"
#include "device.h"
#include "harness.h"

#define BYTES 65536

FIXTURE(exporters) { int fd; struct net net; };
FIXTURE_SETUP(exporters)
{
	self->fd = -1;
	if (access("/dev/patcnn_exporter", F_OK))
		SKIP(longjmp(_metadata->env, 1), "no patcnn_exporter.ko of selftests/exporter");
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	ASSERT_OK(net_open_small(&self->net, self->fd));
}

FIXTURE_TEARDOWN(exporters)
{
	if (self->fd < 0)
		return;
	EXPECT_EQ(net_run(&self->net), 0);
	net_close(&self->net);
	close(self->fd);
}

/* Refused when it is imported or when it is used, each time, with an error. */
static void unusable(struct __test_metadata *_metadata, FIXTURE_DATA(exporters) *self, uint32_t kind)
{
	int dmabuf = exporter_make(kind, BYTES);
	uint32_t h;

	ASSERT_GE(dmabuf, 0);
	for (int i = 0; i < 3; i++) {
		if (bo_import(self->fd, dmabuf, &h)) {
			EXPECT_TRUE(errno == EINVAL || errno == ENXIO);
			continue;
		}
		EXPECT_EQ(net_run_with(&self->net, self->net.in_bo, 0, h), EINVAL);
		EXPECT_EQ(net_run_with(&self->net, h, 0, self->net.out_bo), EINVAL);
		bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ, 0);
		EXPECT_OK(bo_close(self->fd, h));
	}
	close(dmabuf);
}

TEST_F(exporters, device_memory) { unusable(_metadata, self, PATCNN_EXPORTER_IOMEM); }
TEST_F(exporters, not_mappable) { unusable(_metadata, self, PATCNN_EXPORTER_NO_VMAP); }
TEST_F(exporters, not_attachable) { unusable(_metadata, self, PATCNN_EXPORTER_NO_ATTACH); }

/* What counts is the size of the buffer, not the pages that it takes. */
TEST_F(exporters, sizes)
{
	const size_t page = sysconf(_SC_PAGESIZE), bytes = self->net.out_bytes;
	const size_t sizes[] = { 1, bytes - 1, bytes, bytes + 1, page - 1, page + 1,
				 page + bytes - 1, page + bytes, 3 * page + 63 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int dmabuf = exporter_make(PATCNN_EXPORTER_PLAIN, sizes[i]);
		uint64_t last;
		uint32_t h;

		ASSERT_GE(dmabuf, 0);
		ASSERT_OK(bo_import(self->fd, dmabuf, &h));
		last = sizes[i] < bytes ? 0 : (sizes[i] - bytes) & ~63ull;
		for (int k = 0; k < 6; k++) {
			const uint64_t offsets[] = { 0, last, last + 64, sizes[i] & ~63ull,
						     page, page + 64 };
			const uint64_t at = offsets[k];
			struct job job;
			bool fits = at + bytes <= sizes[i];

			net_job(&self->net, &job);
			job.binding[1].handle = h;
			job.binding[1].offset = at;
			if (fits)
				EXPECT_OK(job_submit(self->fd, &job));
			else
				EXPECT_ERRNO(job_submit(self->fd, &job), EINVAL);
			if (fits)
				EXPECT_OK(bo_sync(self->fd, h, DRM_PATCNN_BO_SYNC_READ,
						  INT64_MAX));
		}
		EXPECT_OK(bo_close(self->fd, h));
		close(dmabuf);
	}
}

TEST_HARNESS_MAIN
