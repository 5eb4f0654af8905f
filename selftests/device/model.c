// SPDX-License-Identifier: MIT
/*
 * Models: life, every error of the validator through the ioctl, sizes and
 * pointers, queries, passing to another process, limits, a program that changes
 * while it is copied.
 */

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "device.h"
#include "harness.h"
#include "spoil.h"

FIXTURE(model) {
	int fd;
	void *blob;
	size_t size;
	uint32_t in, out;
};

FIXTURE_SETUP(model)
{
	struct pb pb;

	self->fd = dev_open();
	ASSERT_GE(self->fd, 0);
	build_small(&pb, &self->in, &self->out);
	self->blob = pb_finish(&pb, &self->size);
	pb_fini(&pb);
}

FIXTURE_TEARDOWN(model)
{
	free(self->blob);
	close(self->fd);
}

TEST_F(model, life)
{
	struct drm_patcnn_model_info info;
	uint32_t m;

	ASSERT_OK(model_create(self->fd, self->blob, self->size, &m, NULL, 0));
	EXPECT_NE(m, 0);
	ASSERT_OK(model_info(self->fd, m, &info));
	EXPECT_EQ(info.program_bytes, self->size);
	EXPECT_GT(info.prepared_bytes, 0);
	EXPECT_GT(info.arena_bytes, 0);
	EXPECT_EQ(info.tensors, 2);
	EXPECT_GE(info.steps, 1);
	EXPECT_EQ(info.operators, 6);
	EXPECT_GE(info.workers, 1);
	EXPECT_GT(info.macs_kept, 0);
	EXPECT_LT(info.macs_kept, info.macs_dense);
	ASSERT_OK(model_destroy(self->fd, m));
	EXPECT_ERRNO(model_destroy(self->fd, m), ENOENT);
	EXPECT_ERRNO(model_info(self->fd, m, &info), ENOENT);
}

TEST_F(model, results)
{
	struct net net;

	ASSERT_OK(net_open_small(&net, self->fd));
	for (int i = 0; i < 5; i++) {
		net_fill(&net, i);
		EXPECT_EQ(net_run(&net), 0);
	}
	net_close(&net);
}

TEST_F(model, results_without_fusion)
{
	struct net net;
	struct drm_patcnn_model_create a = { .flags = DRM_PATCNN_MODEL_NO_FUSE };

	ASSERT_OK(net_open_small(&net, self->fd));
	a.program = (uintptr_t)net.blob;
	a.size = net.size;
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_CREATE, &a));
	model_destroy(self->fd, net.model);
	net.model = a.handle;
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
}

/* The same text must come out of the ioctl as out of the validator on the host. */
TEST_F_TIMEOUT(model, every_validator_error, 120)
{
	unsigned int n = 0;

	for (struct spoil *s = spoil_list; s; s = s->next, n++) {
		char error[256];
		uint32_t m = 0;
		size_t size;
		void *blob = spoil_build(s, &size);
		int ret;

		memset(error, 'x', sizeof(error));
		errno = 0;
		ret = model_create(self->fd, blob, size, &m, error, sizeof(error));
		error[255] = 0;
		if (ret != -1 || errno != s->err || !strstr(error, s->text) || m) {
			TH_LOG("%s: returned %d, errno %d, handle %u, \"%s\"; expected errno %d and \"%s\"",
			       s->name, ret, errno, m, error, s->err, s->text);
			_metadata->failed = true;
		}
		free(blob);
	}
	EXPECT_GT(n, 250);
}

/* The text never exceeds the caller's buffer and always ends. */
TEST_F(model, error_buffer)
{
	struct patcnn_program_header *h = self->blob;
	char error[64];
	uint32_t m;

	h->magic = 1;
	for (unsigned int n = 0; n < 32; n++) {
		memset(error, 'x', sizeof(error));
		EXPECT_ERRNO(model_create(self->fd, h, self->size, &m, error, n), EINVAL);
		for (unsigned int i = n; i < sizeof(error); i++)
			ASSERT_EQ(error[i], 'x');
		if (n)
			ASSERT_LT(strnlen(error, n), n);
	}
	/* A wrong pointer for the text is an error of its own, and no oops. */
	EXPECT_EQ(model_create(self->fd, h, self->size, &m, (char *)8, 64), -1);
	EXPECT_TRUE(errno == EFAULT || errno == EINVAL);
}

TEST_F(model, sizes)
{
	const uint64_t sizes[] = { 1ull << 31, (1ull << 31) + 1, 1ull << 32, 1ull << 63,
				   UINT64_MAX, UINT64_MAX - 4095 };
	uint32_t m;

	EXPECT_ERRNO(model_create(self->fd, self->blob, 0, &m, NULL, 0), EINVAL);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		EXPECT_EQ(model_create(self->fd, self->blob, sizes[i], &m, NULL, 0), -1);
		EXPECT_TRUE(errno == E2BIG || errno == EFAULT || errno == EINVAL);
	}
}

TEST_F(model, pointers)
{
	uint32_t m;
	long page = sysconf(_SC_PAGESIZE);
	char *p;

	EXPECT_ERRNO(model_create(self->fd, NULL, self->size, &m, NULL, 0), EFAULT);
	EXPECT_ERRNO(model_create(self->fd, (void *)0xffff888000000000ull, self->size, &m, NULL,
				  0), EFAULT);
	/* The second half is not there. */
	p = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(p, MAP_FAILED);
	munmap(p + page, 63 * page);
	memcpy(p, self->blob, self->size < (size_t)page ? self->size : (size_t)page);
	EXPECT_ERRNO(model_create(self->fd, p, self->size + page, &m, NULL, 0), EFAULT);
}

TEST_F(model, unknown_flags_and_pad)
{
	for (int b = 1; b < 32; b++) {
		struct drm_patcnn_model_create a = {
			.program = (uintptr_t)self->blob, .size = self->size, .flags = 1u << b,
		};

		EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_CREATE, &a), EINVAL);
	}
	{
		struct drm_patcnn_model_create a = {
			.program = (uintptr_t)self->blob, .size = self->size, .pad = 1,
		};
		struct drm_patcnn_model_destroy d = { .handle = 1, .pad = 1 };

		EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_CREATE, &a), EINVAL);
		EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_DESTROY, &d), EINVAL);
	}
}

TEST_F(model, query_tensors)
{
	struct drm_patcnn_tensor_info t[4];
	struct drm_patcnn_model_query q = { .type = DRM_PATCNN_MODEL_QUERY_TENSORS };

	ASSERT_OK(model_create(self->fd, self->blob, self->size, &q.handle, NULL, 0));
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	EXPECT_EQ(q.array.count, 2);
	EXPECT_GE(q.array.stride, sizeof(t[0]));
	memset(t, 0x5a, sizeof(t));
	q.array = (struct drm_patcnn_obj_array){ sizeof(t[0]), 4, (uintptr_t)t };
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	ASSERT_EQ(q.array.count, 2);
	EXPECT_EQ(t[0].index, self->in);
	EXPECT_EQ(t[0].role, PATCNN_ROLE_INPUT);
	EXPECT_EQ(t[0].dtype, PATCNN_DTYPE_F32);
	EXPECT_EQ(t[0].rank, 4);
	EXPECT_EQ(t[0].shape[1], 3);
	EXPECT_EQ(t[0].shape[2], 9);
	EXPECT_EQ(t[0].shape[3], 11);
	EXPECT_EQ(t[0].bytes, 3 * 9 * 11 * 4);
	EXPECT_STREQ(t[0].name, "t0");
	EXPECT_EQ(t[1].index, self->out);
	EXPECT_EQ(t[1].role, PATCNN_ROLE_OUTPUT);
	EXPECT_EQ(t[1].bytes, 40);
	EXPECT_EQ(((uint8_t *)&t[2])[0], 0x5a);
	/* Room for one only; elements shorter and longer than the driver's. */
	q.array = (struct drm_patcnn_obj_array){ sizeof(t[0]), 1, (uintptr_t)t };
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	EXPECT_EQ(q.array.count, 1);
	memset(t, 0x5a, sizeof(t));
	q.array = (struct drm_patcnn_obj_array){ 8, 2, (uintptr_t)t };
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	EXPECT_EQ(((uint32_t *)t)[0], self->in);
	EXPECT_EQ(((uint32_t *)t)[2], self->out);
	EXPECT_EQ(((uint8_t *)t)[16], 0x5a);
}

TEST_F(model, query_steps)
{
	struct drm_patcnn_step_info s[64];
	struct drm_patcnn_model_query q = { .type = DRM_PATCNN_MODEL_QUERY_STEPS };
	uint32_t ops = 0;

	ASSERT_OK(model_create(self->fd, self->blob, self->size, &q.handle, NULL, 0));
	q.array = (struct drm_patcnn_obj_array){ sizeof(s[0]), 64, (uintptr_t)s };
	ASSERT_OK(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q));
	ASSERT_GE(q.array.count, 1);
	for (uint32_t i = 0; i < q.array.count; i++) {
		EXPECT_GE(s[i].tiles, 1);
		EXPECT_LT(strnlen(s[i].algorithm, sizeof(s[i].algorithm)), sizeof(s[i].algorithm));
		EXPECT_LT(strnlen(s[i].name, sizeof(s[i].name)), sizeof(s[i].name));
		ops += s[i].op_count;
	}
	EXPECT_EQ(ops, 6);
}

TEST_F(model, query_errors)
{
	struct drm_patcnn_model_query q = { .type = 3 }, good;
	uint32_t m;

	ASSERT_OK(model_create(self->fd, self->blob, self->size, &m, NULL, 0));
	q.handle = m;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), EINVAL);
	q.type = ~0u;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), EINVAL);
	good = (struct drm_patcnn_model_query){
		.handle = m, .type = DRM_PATCNN_MODEL_QUERY_STEPS,
		.array = { sizeof(struct drm_patcnn_step_info), 64, 4096 },
	};
	q = good;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), EFAULT);
	q = good;
	q.array.array = ~0ull - 100;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), EFAULT);
	q = good;
	q.array.stride = 0;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), EINVAL);
	q = good;
	q.handle = m + 1;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q), ENOENT);
}

/* The other process gets the model after its maker is gone, and computes with it. */
TEST_F(model, to_another_process)
{
	int sock[2], status = -1;
	pid_t pid;

	ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = fork();
	if (!pid) {
		int fd = dev_open(), model = receive_fd(sock[1]);
		struct net net;
		int bad;

		if (fd < 0 || model < 0 || net_open_small(&net, fd))
			_exit(1);
		model_destroy(fd, net.model);
		bad = model_import(fd, model, &net.model);
		close(model);
		if (bad)
			_exit(2);
		_exit(net_run(&net) ? 3 : 0);
	}
	{
		uint32_t m;
		int fd;

		ASSERT_OK(model_create(self->fd, self->blob, self->size, &m, NULL, 0));
		fd = model_export(self->fd, m);
		ASSERT_GE(fd, 0);
		ASSERT_OK(send_fd(sock[0], fd));
		close(fd);
		model_destroy(self->fd, m);
		close(self->fd);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}

TEST_F(model, fd_errors)
{
	struct drm_patcnn_model_fd a = { .flags = 1 };
	int pipes[2], model_fd;
	uint32_t m, n;

	ASSERT_OK(model_create(self->fd, self->blob, self->size, &m, NULL, 0));
	a.handle = m;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_EXPORT, &a), EINVAL);
	a.flags = 0;
	a.pad = 1;
	EXPECT_ERRNO(dev_ioctl(self->fd, DRM_IOCTL_PATCNN_MODEL_EXPORT, &a), EINVAL);
	EXPECT_ERRNO(model_export(self->fd, m + 1), ENOENT);
	EXPECT_ERRNO(model_export(self->fd, 0), ENOENT);
	ASSERT_OK(pipe(pipes));
	EXPECT_ERRNO(model_import(self->fd, pipes[0], &n), EINVAL);
	EXPECT_ERRNO(model_import(self->fd, self->fd, &n), EINVAL);
	EXPECT_ERRNO(model_import(self->fd, -1, &n), EBADF);
	EXPECT_ERRNO(model_import(self->fd, 12345, &n), EBADF);
	model_fd = model_export(self->fd, m);
	ASSERT_GE(model_fd, 0);
	EXPECT_EQ(fcntl(model_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ASSERT_OK(model_import(self->fd, model_fd, &n));
	EXPECT_NE(n, 0);
	/* Nothing of a model can be reached by reading its descriptor. */
	{
		char c[8];

		EXPECT_EQ(read(model_fd, c, sizeof(c)), -1);
		EXPECT_EQ(mmap(NULL, 4096, PROT_READ, MAP_SHARED, model_fd, 0), MAP_FAILED);
	}
}

TEST_F_TIMEOUT(model, limit_per_file, 120)
{
	struct drm_patcnn_dev_info info;
	struct pb pb;
	uint32_t m, in, n = 0;
	size_t size;
	void *blob;

	ASSERT_OK(dev_info(self->fd, &info));
	pb_init(&pb, 1);
	in = pb_input(&pb, 1, 1, 1);
	pb_output(&pb, pb_activation(&pb, in, PATCNN_ACT_RELU, 0, 0));
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	while (!model_create(self->fd, blob, size, &m, NULL, 0) && n <= info.max_models)
		n++;
	EXPECT_EQ(n, info.max_models);
	EXPECT_TRUE(errno == ENOSPC || errno == EMFILE || errno == EBUSY || errno == EDQUOT);
	/* Other clients do not notice. */
	{
		int other = dev_open();

		EXPECT_OK(model_create(other, blob, size, &m, NULL, 0));
		close(other);
	}
	free(blob);
}

struct racer {
	struct patcnn_tensor *t;
	volatile bool stop;
};

static void *flip(void *arg)
{
	struct racer *r = arg;

	while (!r->stop) {
		r->t->w ^= 0x10000;
		__asm__ volatile("" ::: "memory");
	}
	return NULL;
}

/*
 * A second fetch would see the other value: either the program is refused, or
 * the model that was made is the one that was checked, and computes the truth.
 */
TEST_F_TIMEOUT(model, changes_while_copied, 60)
{
	struct racer r = { .stop = false };
	unsigned int made = 0, refused = 0;
	struct net net;
	pthread_t thread;

	ASSERT_OK(net_open_small(&net, self->fd));
	r.t = pb_element(self->blob, PATCNN_SECTION_TENSORS, 1);
	ASSERT_EQ(pthread_create(&thread, NULL, flip, &r), 0);
	for (unsigned int i = 0; i < 2000 / th_slow(); i++) {
		uint32_t m;

		if (model_create(self->fd, self->blob, self->size, &m, NULL, 0)) {
			EXPECT_EQ(errno, EINVAL);
			refused++;
			continue;
		}
		made++;
		if (made % 64 == 1) {
			uint32_t keep = net.model;

			net.model = m;
			EXPECT_EQ(net_run(&net), 0);
			net.model = keep;
		}
		model_destroy(self->fd, m);
	}
	r.stop = true;
	pthread_join(thread, NULL);
	TH_LOG("%u made, %u refused", made, refused);
	net_close(&net);
}

/* What is destroyed while the program's memory goes away is only the copy. */
TEST_F(model, program_memory_may_go)
{
	struct net net;

	ASSERT_OK(net_open_small(&net, self->fd));
	memset(self->blob, 0xff, self->size);
	EXPECT_EQ(net_run(&net), 0);
	net_close(&net);
}

TEST_HARNESS_MAIN
