// SPDX-License-Identifier: MIT
/* DEV_QUERY: sizes are negotiated, the numbers make sense, the device says who it is. */

#include <sys/ioctl.h>

#include "device.h"
#include "harness.h"

FIXTURE(query) { int fd; };
FIXTURE_SETUP(query)
{
	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(query)
{
	close(self->fd);
}

TEST_F(query, driver_name_and_version)
{
	char name[32] = "", date[32] = "", desc[128] = "";
	struct drm_version v = {
		.name = name, .name_len = 31, .date = date, .date_len = 31,
		.desc = desc, .desc_len = 127,
	};

	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_VERSION, &v));
	EXPECT_STREQ(name, "patcnn");
	EXPECT_GE(v.version_major, 0);
	EXPECT_TRUE(desc[0]);
}

TEST_F(query, size_only)
{
	struct drm_patcnn_dev_query q = { .type = DRM_PATCNN_DEV_QUERY_INFO };

	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q));
	EXPECT_GE(q.size, sizeof(struct drm_patcnn_dev_info));
}

TEST_F(query, numbers)
{
	struct drm_patcnn_dev_info i;
	unsigned int bits = 0;

	ASSERT_OK(dev_info(self->fd, &i));
	for (int k = 0; k < 4; k++)
		bits += __builtin_popcountll(i.cpu_mask[k]);
	EXPECT_GE(i.cpus, 1);
	EXPECT_EQ(bits, i.cpus);
	EXPECT_EQ(i.program_version >> 16, PATCNN_PROGRAM_VERSION_MAJOR);
	EXPECT_TRUE(!strcmp(i.isa, "generic") || !strcmp(i.isa, "avx2") ||
		    !strcmp(i.isa, "avx512") || !strcmp(i.isa, "neon"));
	EXPECT_GT(i.max_bo_size, 1 << 20);
	EXPECT_GT(i.max_model_size, 1 << 20);
	EXPECT_GT(i.max_models, 0);
	EXPECT_GT(i.max_contexts, 0);
	EXPECT_GE(i.max_syncs, 2);
	EXPECT_GE(i.max_queued, 2);
	EXPECT_GT(i.timeout_ms, 0);
	EXPECT_EQ(i.features & ~(DRM_PATCNN_FEATURE_MODEL_FD | DRM_PATCNN_FEATURE_TIMELINE |
				 DRM_PATCNN_FEATURE_PROFILE), 0);
	TH_LOG("isa %s, %u CPUs, slice %u us, timeout %u ms", i.isa, i.cpus, i.slice_us,
	       i.timeout_ms);
}

/* An older caller knows a shorter structure: nothing behind it may be touched. */
TEST_F(query, short_structure)
{
	unsigned char buf[sizeof(struct drm_patcnn_dev_info)];
	struct drm_patcnn_dev_query q = {
		.size = 12, .pointer = (uintptr_t)buf,
	};

	memset(buf, 0x5a, sizeof(buf));
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q));
	EXPECT_EQ(q.size, 12);
	for (size_t k = 12; k < sizeof(buf); k++)
		ASSERT_EQ(buf[k], 0x5a);
}

/* A newer caller has room for more: the driver says how much it wrote. */
TEST_F(query, long_structure)
{
	unsigned char buf[4096];
	struct drm_patcnn_dev_query q = {
		.size = sizeof(buf), .pointer = (uintptr_t)buf,
	};

	memset(buf, 0x5a, sizeof(buf));
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q));
	ASSERT_GE(q.size, sizeof(struct drm_patcnn_dev_info));
	ASSERT_LT(q.size, sizeof(buf));
	for (size_t k = q.size; k < sizeof(buf); k++)
		ASSERT_EQ(buf[k], 0x5a);
}

TEST_F(query, bad_type)
{
	struct drm_patcnn_dev_query q = { .type = 77 };

	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q), EINVAL);
	q.type = 0xffffffff;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q), EINVAL);
}

TEST_F(query, bad_pointer)
{
	struct drm_patcnn_dev_query q = { .size = 64, .pointer = 0xffff888000000000ull };

	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q), EFAULT);
	q.pointer = 1;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_DEV_QUERY, &q), EFAULT);
}

TEST_F(query, unknown_ioctl)
{
	char arg[64] = { 0 };

	for (unsigned int nr = DRM_PATCNN_SUBMIT + 1; nr < DRM_COMMAND_END - DRM_COMMAND_BASE; nr++)
		ASSERT_ERRNO(dev_ioctl(self->fd, DRM_IOWR(DRM_COMMAND_BASE + nr, char[64]), arg),
			     EINVAL);
}

/*
 * The core's ioctls for displays expect a master behind the file, which accel nodes have
 * not: a client that asked for the bus id would take the kernel down. They are refused
 * before that, as on a render node; what a client needs is let through.
 */
TEST_F(query, core_ioctls)
{
	static const unsigned int refused[] = {
		DRM_IOCTL_GET_UNIQUE, DRM_IOCTL_GET_MAGIC, DRM_IOCTL_GET_CLIENT,
		DRM_IOCTL_SET_CLIENT_CAP, DRM_IOCTL_SET_MASTER, DRM_IOCTL_GEM_FLINK,
		DRM_IOCTL_WAIT_VBLANK, DRM_IOCTL_MODE_GETRESOURCES,
	};
	struct drm_get_cap cap = { .capability = DRM_CAP_PRIME };
	char arg[256];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		memset(arg, 0, sizeof(arg));
		EXPECT_ERRNO(dev_ioctl(self->fd, refused[i], arg), EACCES);
	}
	/* Any size, any number: an error or not, but an answer. */
	for (unsigned int nr = 0; nr < 256; nr++) {
		if (nr >= DRM_COMMAND_BASE && nr < DRM_COMMAND_END)
			continue;
		for (unsigned int size = 0; size <= sizeof(arg); size += 64) {
			memset(arg, 0, sizeof(arg));
			dev_ioctl(self->fd, _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE, nr, size), arg);
		}
	}
	EXPECT_OK(dev_ioctl(self->fd, DRM_IOCTL_GET_CAP, &cap));
	EXPECT_TRUE(cap.value & DRM_PRIME_CAP_IMPORT);
}

/* Many opens of one process, as a service does that opens a node for each client. */
TEST_F(query, open_often)
{
	struct drm_patcnn_dev_info i;

	for (int k = 0; k < 300; k++) {
		int fd = dev_open();

		ASSERT_GE(fd, 0);
		ASSERT_OK(dev_info(fd, &i));
		close(fd);
	}
}

/* An unprivileged user who may open the node may use it: no DRM master, no authentication. */
TEST_F(query, without_privilege)
{
	struct drm_patcnn_dev_info i;
	uint32_t bo;

	if (!is_root())
		SKIP(return, "runs as root only: it gives up root");
	ASSERT_OK(setuid(65534));
	EXPECT_OK(dev_info(self->fd, &i));
	EXPECT_OK(bo_create(self->fd, 4096, &bo));
}

TEST_HARNESS_MAIN
