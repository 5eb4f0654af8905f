// SPDX-License-Identifier: MIT
/* libpatcnn on the device: what the library adds to the ioctls, and that it says what they say. */

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <patcnn.h>

#include "device.h"
#include "harness.h"

#define COUNT	256	/* floats of the small net's tensors */

FIXTURE(library) {
	struct patcnn_device *dev;
	struct patcnn_context *ctx;
	struct patcnn_model *model;	/* out = -in */
	struct patcnn_binding in, out;
	float *in_map, *out_map;
	struct patcnn_job_args args;
};

static int make_model(struct patcnn_device *dev, struct pb *pb, struct patcnn_model **model)
{
	char error[200] = "";
	size_t size;
	void *blob = pb_finish(pb, &size);
	int ret = patcnn_model_create(dev, blob, size, 0, model, error, sizeof(error));

	if (ret)
		printf("# model: %s: %s\n", strerror(-ret), error);
	free(blob);
	pb_fini(pb);
	return ret;
}

static int make_negation(struct patcnn_device *dev, struct patcnn_model **model)
{
	struct pb pb;

	pb_init(&pb, 1);
	pb_output(&pb, pb_activation(&pb, pb_input(&pb, 1, 1, COUNT), PATCNN_ACT_NEG, 0, 0));
	return make_model(dev, &pb, model);
}

static int make_buffer(struct patcnn_device *dev, uint64_t size, struct patcnn_binding *binding,
		       float **map)
{
	void *ptr;
	int ret = patcnn_buffer_create(dev, size, &binding->buffer);

	if (!ret)
		ret = patcnn_buffer_map(binding->buffer, &ptr);
	if (!ret)
		*map = ptr;
	return ret;
}

FIXTURE_SETUP(library)
{
	ASSERT_EQ(patcnn_device_open(NULL, &self->dev), 0);
	ASSERT_EQ(make_negation(self->dev, &self->model), 0);
	ASSERT_EQ(patcnn_context_create(self->dev, PATCNN_PRIORITY_NORMAL, NULL, &self->ctx), 0);
	ASSERT_EQ(make_buffer(self->dev, COUNT * 4, &self->in, &self->in_map), 0);
	ASSERT_EQ(make_buffer(self->dev, COUNT * 4, &self->out, &self->out_map), 0);
	self->args = (struct patcnn_job_args){
		.inputs = &self->in,
		.outputs = &self->out,
		.in_fence = -1,
	};
	for (int i = 0; i < COUNT; i++)
		self->in_map[i] = i;
}

FIXTURE_TEARDOWN(library)
{
	patcnn_context_destroy(self->ctx);
	patcnn_buffer_destroy(self->in.buffer);
	patcnn_buffer_destroy(self->out.buffer);
	patcnn_model_destroy(self->model);
	patcnn_device_close(self->dev);
}

/* A context, model and buffers whose job takes milliseconds on a fast machine: 450 M multiply-accumulates. */
struct slow {
	struct patcnn_context *ctx;
	struct patcnn_model *model;
	struct patcnn_binding in, out;
	struct patcnn_job_args args;
};

static int slow_open(struct patcnn_device *dev, struct slow *slow)
{
	struct patcnn_tensor_desc in, out;
	float *map;
	struct pb pb;
	uint32_t t;
	int ret;

	pb_init(&pb, 7);
	t = pb_input(&pb, 16, 128, 128);
	for (int i = 0; i < 12; i++)
		t = pb_conv(&pb, &(struct pb_conv){
			.in = t, .out = 16, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1,
			.act = PATCNN_ACT_CLIP, .a = -1, .b = 1 });
	pb_output(&pb, t);
	ret = make_model(dev, &pb, &slow->model);
	if (ret)
		return ret;
	patcnn_model_input(slow->model, 0, &in);
	patcnn_model_output(slow->model, 0, &out);
	slow->args = (struct patcnn_job_args){
		.inputs = &slow->in, .outputs = &slow->out, .in_fence = -1,
	};
	ret = make_buffer(dev, in.bytes, &slow->in, &map);
	if (!ret)
		ret = make_buffer(dev, out.bytes, &slow->out, &map);
	return ret ? ret : patcnn_context_create(dev, PATCNN_PRIORITY_NORMAL, NULL, &slow->ctx);
}

TEST(enumerate)
{
	struct patcnn_device_info info;
	struct patcnn_device *dev;
	char path[64], tiny[4];
	unsigned int n = 0;
	int fd;

	while (!patcnn_device_path(n, path, sizeof(path))) {
		ASSERT_EQ(patcnn_device_open(path, &dev), 0);
		ASSERT_EQ(patcnn_device_get_info(dev, &info), 0);
		EXPECT_GT(info.cpus, 0);
		EXPECT_NE(info.isa[0], 0);
		EXPECT_NE(info.cpu_mask[0] | info.cpu_mask[1] | info.cpu_mask[2] | info.cpu_mask[3], 0);
		EXPECT_GT(info.max_buffer_size, 0);
		EXPECT_EQ(info.program_version >> 16, PATCNN_PROGRAM_VERSION_MAJOR);
		patcnn_device_close(dev);
		n++;
	}
	EXPECT_GT(n, 0);
	EXPECT_EQ(patcnn_device_path(n, path, sizeof(path)), -ENODEV);
	EXPECT_EQ(patcnn_device_path(0, tiny, sizeof(tiny)), -ENAMETOOLONG);
	EXPECT_EQ(patcnn_device_open("/dev/null", &dev), -ENOTTY);
	EXPECT_EQ(patcnn_device_open("/nowhere", &dev), -ENOENT);

	fd = dev_open();
	ASSERT_GE(fd, 0);
	ASSERT_EQ(patcnn_device_open_fd(fd, &dev), 0);
	EXPECT_NE(patcnn_device_fd(dev), fd);
	close(fd);
	EXPECT_EQ(patcnn_device_get_info(dev, &info), 0);
	patcnn_device_close(dev);
	patcnn_device_close(NULL);
}

/* Two imports of one dma-buf share a GEM handle: the end of one must leave the other alone. */
TEST_F(library, import_twice)
{
	struct patcnn_buffer *a, *b;
	volatile float *p;
	void *map;
	int fd;

	fd = patcnn_buffer_export(self->in.buffer);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ASSERT_EQ(patcnn_buffer_import(self->dev, fd, &a), 0);
	ASSERT_EQ(patcnn_buffer_import(self->dev, fd, &b), 0);
	close(fd);
	EXPECT_EQ(patcnn_buffer_size(a), patcnn_buffer_size(self->in.buffer));
	patcnn_buffer_destroy(a);
	ASSERT_EQ(patcnn_buffer_map(b, &map), 0);
	p = map;
	p[7] = 99;
	EXPECT_TRUE(self->in_map[7] == 99);
	patcnn_buffer_destroy(b);
	ASSERT_EQ(patcnn_submit_wait(self->ctx, self->model, &self->args, 20000), 0);
	EXPECT_TRUE(self->out_map[7] == -99);
	EXPECT_EQ(patcnn_buffer_import(self->dev, 0, &a) < 0, true);
}

/* The same memory and the same model in another open file. */
TEST_F(library, other_client)
{
	struct patcnn_job_args args = self->args;
	struct patcnn_binding in = { 0 };
	struct patcnn_context *ctx;
	struct patcnn_model *model;
	struct patcnn_device *dev;
	struct patcnn_binding out = { 0 };
	float *out_map;
	int buffer_fd, model_fd;

	ASSERT_EQ(patcnn_device_open(NULL, &dev), 0);
	buffer_fd = patcnn_buffer_export(self->in.buffer);
	model_fd = patcnn_model_export(self->model);
	ASSERT_GE(buffer_fd, 0);
	ASSERT_GE(model_fd, 0);
	ASSERT_EQ(patcnn_buffer_import(dev, buffer_fd, &in.buffer), 0);
	ASSERT_EQ(patcnn_model_import(dev, model_fd, &model), 0);
	ASSERT_EQ(patcnn_context_create(dev, PATCNN_PRIORITY_LOW, NULL, &ctx), 0);
	ASSERT_EQ(make_buffer(dev, COUNT * 4, &out, &out_map), 0);
	close(buffer_fd);
	close(model_fd);
	args.inputs = &in;
	args.outputs = &out;
	ASSERT_EQ(patcnn_submit_wait(ctx, model, &args, 20000), 0);
	for (int i = 0; i < COUNT; i++)
		ASSERT_TRUE(out_map[i] == -self->in_map[i]);
	EXPECT_EQ(patcnn_model_import(dev, 0, &model) < 0, true);
	patcnn_context_destroy(ctx);
	patcnn_buffer_destroy(in.buffer);
	patcnn_buffer_destroy(out.buffer);
	patcnn_model_destroy(model);
	patcnn_device_close(dev);
}

TEST_F(library, describe)
{
	struct patcnn_model_info info;
	struct patcnn_tensor_desc t;
	struct patcnn_step_desc s;
	struct patcnn_model *model;
	char error[200];
	size_t size;
	struct pb pb;
	void *blob;

	ASSERT_EQ(patcnn_model_get_info(self->model, &info), 0);
	EXPECT_EQ(info.inputs, 1);
	EXPECT_EQ(info.outputs, 1);
	EXPECT_EQ(info.operators, 1);
	ASSERT_EQ(patcnn_model_input(self->model, 0, &t), 0);
	EXPECT_EQ(t.bytes, COUNT * 4);
	EXPECT_EQ(t.type, PATCNN_TYPE_F32);
	EXPECT_EQ(t.shape[t.rank - 1], COUNT);
	EXPECT_EQ(patcnn_model_input(self->model, 1, &t), -ERANGE);
	EXPECT_EQ(patcnn_model_output(self->model, 1, &t), -ERANGE);
	ASSERT_EQ(patcnn_model_step(self->model, 0, &s), 0);
	EXPECT_STREQ(s.kind, "activation");
	EXPECT_EQ(patcnn_model_step(self->model, info.steps, &s), -ERANGE);

	pb_init(&pb, 1);
	pb_output(&pb, pb_activation(&pb, pb_input(&pb, 1, 1, COUNT), PATCNN_ACT_NEG, 0, 0));
	pb_last(&pb)->activation.kind = 999;
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(patcnn_model_create(self->dev, blob, size, 0, &model, error, sizeof(error)), -EINVAL);
	EXPECT_NE(error[0], 0);
	TH_LOG("%s", error);
	EXPECT_EQ(patcnn_model_create(self->dev, blob, size, 0, &model, NULL, 0), -EINVAL);
	EXPECT_EQ(patcnn_model_create(self->dev, blob, size, 1u << 31, &model, NULL, 0), -EINVAL);
	EXPECT_EQ(patcnn_model_load(self->dev, "/nowhere", &model, error, sizeof(error)), -ENOENT);
	EXPECT_NE(error[0], 0);
	EXPECT_EQ(patcnn_model_load(self->dev, "/dev/null", &model, error, sizeof(error)), -EINVAL);
	free(blob);
	pb_fini(&pb);
}

/* A chain of jobs, each waiting for the fence of the one before, on one pair of buffers each. */
TEST_F(library, fences)
{
	enum { JOBS = 20 };
	struct patcnn_binding buffers[JOBS + 1] = { self->in };
	struct patcnn_context *other;
	int fence = -1, next;
	float *map;

	ASSERT_EQ(patcnn_context_create(self->dev, PATCNN_PRIORITY_NORMAL, NULL, &other), 0);
	for (int i = 0; i < JOBS; i++) {
		struct patcnn_job_args args = {
			.inputs = &buffers[i], .outputs = &buffers[i + 1], .in_fence = fence,
		};

		ASSERT_EQ(make_buffer(self->dev, COUNT * 4, &buffers[i + 1], &map), 0);
		ASSERT_EQ(patcnn_submit(i % 2 ? other : self->ctx, self->model, &args, &next), 0);
		if (fence >= 0)
			close(fence);
		fence = next;
	}
	struct pollfd pfd = { .fd = fence, .events = POLLIN };

	ASSERT_EQ(poll(&pfd, 1, 20000), 1);
	EXPECT_EQ(patcnn_fence_wait(fence, 0), 0);
	close(fence);
	for (int i = 0; i < COUNT; i++)
		ASSERT_TRUE(map[i] == (JOBS % 2 ? -self->in_map[i] : self->in_map[i]));
	for (int i = 1; i <= JOBS; i++)
		patcnn_buffer_destroy(buffers[i].buffer);
	patcnn_context_destroy(other);
	EXPECT_EQ(patcnn_fence_wait(-1, 0), -EINVAL);
	EXPECT_EQ(patcnn_fence_wait(STDOUT_FILENO, 0) < 0, true);
}

TEST_F(library, profile)
{
	uint64_t size = patcnn_profile_size(self->model);
	struct patcnn_profile profile;
	struct patcnn_model_info info;
	void *map;

	ASSERT_EQ(patcnn_buffer_create(self->dev, size + 64, &self->args.profile), 0);
	self->args.profile_offset = 64;
	ASSERT_EQ(patcnn_submit_wait(self->ctx, self->model, &self->args, 20000), 0);
	ASSERT_EQ(patcnn_buffer_map(self->args.profile, &map), 0);
	ASSERT_EQ(patcnn_profile_read((char *)map + 64, size, &profile), 0);
	patcnn_model_get_info(self->model, &info);
	EXPECT_EQ(profile.steps, info.steps);
	EXPECT_EQ(profile.workers, info.workers);
	EXPECT_LE(profile.queued_ns, profile.start_ns);
	EXPECT_LT(profile.start_ns, profile.end_ns);
	EXPECT_GT(profile.wall_ns[0], 0);
	EXPECT_EQ(patcnn_profile_read((char *)map + 64, size - 8, &profile), -EINVAL);
	EXPECT_EQ(patcnn_profile_read((char *)map + 64, 8, &profile), -EINVAL);
	patcnn_buffer_destroy(self->args.profile);
}

TEST_F(library, refuse)
{
	struct patcnn_binding bad = { .buffer = self->out.buffer, .offset = 4 };
	uint64_t none[4] = { 0, 0, 0, UINT64_C(1) << 63 };
	struct patcnn_context *ctx;
	int fence;

	self->args.outputs = &bad;
	EXPECT_EQ(patcnn_submit(self->ctx, self->model, &self->args, &fence), -EINVAL);
	bad = (struct patcnn_binding){ .buffer = NULL };
	EXPECT_EQ(patcnn_submit(self->ctx, self->model, &self->args, &fence), -EINVAL);
	self->args.outputs = NULL;
	EXPECT_EQ(patcnn_submit(self->ctx, self->model, &self->args, &fence), -EINVAL);
	self->args.outputs = &self->out;
	self->args.in_fence = STDOUT_FILENO;
	EXPECT_EQ(patcnn_submit(self->ctx, self->model, &self->args, &fence) < 0, true);
	EXPECT_EQ(patcnn_context_create(self->dev, PATCNN_PRIORITY_NORMAL, none, &ctx), -EINVAL);
	EXPECT_EQ(patcnn_context_create(self->dev, (enum patcnn_priority)9, NULL, &ctx), -EINVAL);
	/* Nothing of that spoils the context. */
	self->args.in_fence = -1;
	EXPECT_EQ(patcnn_submit_wait(self->ctx, self->model, &self->args, 20000), 0);
}

TEST_F_TIMEOUT(library, timeout_and_cancel, 120)
{
	/* More than are done before this process gets round to cancelling them. */
	enum { JOBS = 16 };
	struct slow slow = { 0 };
	int fence[JOBS], cancelled = 0;

	ASSERT_EQ(slow_open(self->dev, &slow), 0);
	for (int i = 0; i < JOBS; i++)
		ASSERT_EQ(patcnn_submit(slow.ctx, slow.model, &slow.args, &fence[i]), 0);
	EXPECT_EQ(patcnn_fence_wait(fence[JOBS - 1], 0), -ETIMEDOUT);
	EXPECT_EQ(patcnn_fence_wait(fence[JOBS - 1], 1), -ETIMEDOUT);
	EXPECT_EQ(patcnn_buffer_begin(slow.out.buffer, PATCNN_READ, 0), -ETIMEDOUT);
	EXPECT_EQ(patcnn_buffer_begin(self->out.buffer, PATCNN_READ, 0), 0);
	EXPECT_EQ(patcnn_buffer_end(self->out.buffer, PATCNN_READ), 0);
	patcnn_context_destroy(slow.ctx);
	for (int i = 0; i < JOBS; i++) {
		int ret = patcnn_fence_wait(fence[i], 20000);

		EXPECT_EQ(ret == 0 || ret == -ECANCELED, true);
		cancelled += ret == -ECANCELED;
		close(fence[i]);
	}
	EXPECT_GE(cancelled, 2);
	EXPECT_EQ(patcnn_buffer_begin(slow.out.buffer, PATCNN_READ | PATCNN_WRITE, 20000), 0);
	EXPECT_EQ(patcnn_buffer_end(slow.out.buffer, PATCNN_READ | PATCNN_WRITE), 0);
	patcnn_buffer_destroy(slow.in.buffer);
	patcnn_buffer_destroy(slow.out.buffer);
	patcnn_model_destroy(slow.model);
}

struct submitter {
	struct patcnn_device *dev;
	struct patcnn_context *ctx;
	struct patcnn_model *model;
	float base;
	int ret;
};

static void *submitter_main(void *arg)
{
	struct submitter *s = arg;
	struct patcnn_binding in, out;
	struct patcnn_job_args args = { .inputs = &in, .outputs = &out, .in_fence = -1 };
	float *in_map, *out_map;

	s->ret = make_buffer(s->dev, COUNT * 4, &in, &in_map);
	if (!s->ret)
		s->ret = make_buffer(s->dev, COUNT * 4, &out, &out_map);
	for (int i = 0; !s->ret && i < (th_slow() > 6 ? 12 : 50); i++) {
		in_map[i] = s->base + i;
		s->ret = patcnn_submit_wait(s->ctx, s->model, &args, 20000);
		if (!s->ret && out_map[i] != -(s->base + i))
			s->ret = -EBADMSG;
	}
	patcnn_buffer_destroy(in.buffer);
	patcnn_buffer_destroy(out.buffer);
	return NULL;
}

/* patcnn_submit_wait() from many threads on one context. */
TEST_F_TIMEOUT(library, threads, 120)
{
	struct submitter s[6];
	pthread_t thread[6];

	for (int i = 0; i < 6; i++) {
		s[i] = (struct submitter){ self->dev, self->ctx, self->model, i * 1000.0f, 0 };
		ASSERT_EQ(pthread_create(&thread[i], NULL, submitter_main, &s[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(thread[i], NULL);
		EXPECT_EQ(s[i].ret, 0);
	}
}

TEST_HARNESS_MAIN
