// SPDX-License-Identifier: MIT
/*
 * fuzz_ioctl SECONDS [SEED]: random sequences of calls on the device. Where the
 * kernel has KCOV, sequences that reached code no other did are kept and mutated.
 * Not one of the tests: it has no result but that the kernel survives, without a
 * word in its log (make fuzz-ioctl).
 *
 * A sequence is a list of calls, each a few random numbers; what they mean (which of
 * the handles made so far, an odd value, garbage) is decided when it is run, hence
 * every sequence is valid and mutation needs no knowledge.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"

#define CALLS 24
#define ARGS 6
#define KEPT 1024
#define POOL 16
#define BATCH_MS 5000

#define KCOV_INIT_TRACE _IOR('c', 1, unsigned long)
#define KCOV_ENABLE _IO('c', 100)
#define KCOV_DISABLE _IO('c', 101)
#define COVER_WORDS (1u << 16)
#define SEEN_BITS (1u << 20)

struct call { uint32_t kind, arg[ARGS]; };
struct sequence { uint32_t count; struct call call[CALLS]; };

/* struct shared - survives the processes that do the calls. */
struct shared {
	uint64_t sequences, calls, succeeded;
	uint32_t points, kept;
	uint8_t seen[SEEN_BITS / 8];
	struct sequence corpus[KEPT];
};

/* struct pool - handles of one kind that were made; old ones are overwritten. */
struct pool { uint32_t handle[POOL], count; };

enum { BO, MODEL, CTX, SYNC, POOLS };

/* struct state - what a sequence has made. */
struct state {
	int fd[2], dmabuf, model_fd;
	struct pool pool[2][POOLS];
	void *map;
	const void *blob;
	size_t size;
	uint32_t in, out;
};

static uint64_t rng;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng >> 16;
}

/* Mostly small, sometimes the ends of the range. */
static uint64_t odd(uint32_t v)
{
	const uint64_t ends[] = { 0, 1, 63, 64, 4096, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
				  1ull << 32, ~63ull, ~0ull, 1ull << 63, 0xffff888000000000ull };

	return v % 3 ? v >> 8 & 0xfff : ends[v / 3 % (sizeof(ends) / sizeof(ends[0]))];
}

static uint32_t pick(const struct pool *p, uint32_t v)
{
	return p->count && v % 8 ? p->handle[v / 8 % (p->count < POOL ? p->count : POOL)] : odd(v);
}

static void put(struct pool *p, uint32_t handle)
{
	p->handle[p->count++ % POOL] = handle;
}

static int do_submit(struct state *s, int fd, struct pool *p, const uint32_t *a)
{
	struct job job;

	job_init(&job, pick(&p[CTX], a[0]), pick(&p[MODEL], a[1]));
	job_bind(&job, s->in, pick(&p[BO], a[2]), a[3] % 5 ? 0 : odd(a[3]));
	job_bind(&job, a[3] % 7 ? s->out : a[3], pick(&p[BO], a[4]), a[3] % 3 ? 0 : 64 * (a[3] % 99));
	for (uint32_t i = 0; i < a[5] % 4; i++)
		job_sync(&job, pick(&p[SYNC], a[5] >> i * 4), a[5] >> (8 + i * 2) & 3,
			 a[5] >> (9 + i * 2) & 1 ? 1 + (a[4] >> i) % 5 : 0);
	if (!(a[0] % 11))
		job.args.profile_handle = pick(&p[BO], a[2] ^ a[4]);
	if (!(a[1] % 17))
		job.args.bindings.stride = odd(a[1] / 17);
	if (!(a[2] % 17))
		job.args.bindings.count = odd(a[2] / 17);
	if (!(a[4] % 31))
		job.args.flags = odd(a[4] / 31);
	return job_submit(fd, &job);
}

static int do_model(struct state *s, int fd, struct pool *p, const uint32_t *a)
{
	char error[64];
	uint32_t h;
	int ret;

	if (a[0] % 4) {
		ret = model_create(fd, s->blob, s->size, &h, error, sizeof(error));
	} else {
		uint8_t *copy = malloc(s->size);

		memcpy(copy, s->blob, s->size);
		for (uint32_t i = 0; i <= a[1] % 4; i++)
			copy[(a[2] + i * a[3]) % s->size] ^= a[4] >> i * 8;
		ret = model_create(fd, copy, a[1] % 9 ? s->size : odd(a[5]), &h, error, a[5] % 65);
		free(copy);
	}
	if (!ret)
		put(&p[MODEL], h);
	return ret;
}

static int do_raw(int fd, const uint32_t *a)
{
	uint64_t arg[32];

	for (int i = 0; i < 32; i++)
		arg[i] = odd(a[i % ARGS] >> i / ARGS);
	return dev_ioctl(fd, _IOC(a[0] % 4, 'd', DRM_COMMAND_BASE + a[1] % 13, a[2] % 200), arg);
}

static int do_query(int fd, struct pool *p, const uint32_t *a)
{
	static uint8_t out[65536];
	struct drm_patcnn_model_query q = {
		.handle = pick(&p[MODEL], a[0]), .type = a[1] % 4,
		.array = { a[2] % 5 ? 128 : odd(a[2]), a[3] % 5 ? 8 : odd(a[3]),
			   a[4] % 5 ? (uintptr_t)out : odd(a[4]) },
	};

	if ((uint64_t)q.array.stride * q.array.count > sizeof(out) && q.array.array)
		q.array.array = 8;
	return dev_ioctl(fd, DRM_IOCTL_PATCNN_MODEL_QUERY, &q);
}

static int do_ctx(int fd, struct pool *p, const uint32_t *a)
{
	uint64_t mask[4] = { odd(a[1]), 0, 0, odd(a[2]) };
	uint32_t h;
	int ret = ctx_create(fd, a[0] % 4, a[3] % 2 ? mask : NULL, &h);

	if (!ret)
		put(&p[CTX], h);
	return ret;
}

static int do_observe(int fd)
{
	char path[64], text[2048];
	int info, ret;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	ret = read(info, text, sizeof(text)) > 0 ? 0 : -1;
	close(info);
	return ret;
}

static int do_reopen(struct state *s, uint32_t which)
{
	close(s->fd[which]);
	memset(s->pool[which], 0, sizeof(s->pool[which]));
	s->fd[which] = open(dev_path(), O_RDWR | O_CLOEXEC);
	return s->fd[which] < 0 ? -1 : 0;
}

static int do_dmabuf(struct state *s, int fd, struct pool *p, const uint32_t *a)
{
	uint32_t h;

	if (a[0] % 2) {
		close(s->dmabuf);
		s->dmabuf = a[0] % 16 == 1 ? udmabuf_create(65536, &(int){ 0 }) :
			    bo_export(fd, pick(&p[BO], a[1]));
		return s->dmabuf < 0 ? -1 : 0;
	}
	if (bo_import(fd, s->dmabuf, &h))
		return -1;
	put(&p[BO], h);
	return 0;
}

static int do_model_fd(struct state *s, int fd, struct pool *p, const uint32_t *a)
{
	uint32_t h;

	if (a[0] % 2) {
		close(s->model_fd);
		s->model_fd = model_export(fd, pick(&p[MODEL], a[1]));
		return s->model_fd < 0 ? -1 : 0;
	}
	if (model_import(fd, a[2] % 8 ? s->model_fd : s->dmabuf, &h))
		return -1;
	put(&p[MODEL], h);
	return 0;
}

static int do_map(struct state *s, int fd, struct pool *p, const uint32_t *a)
{
	if (s->map != MAP_FAILED)
		munmap(s->map, 4096);
	s->map = bo_map(fd, pick(&p[BO], a[0]), 4096);
	if (s->map == MAP_FAILED)
		return -1;
	memset(s->map, a[1], 4096);
	return 0;
}

static int do_call(struct state *s, const struct call *c)
{
	const uint32_t *a = c->arg;
	uint32_t which = c->kind >> 16 & 1, h;
	int fd = s->fd[which], ret;
	struct pool *p = s->pool[which];

	switch (c->kind % 20) {
	case 0:
		ret = bo_create(fd, a[0] % 4 ? 4096 * (1 + a[0] % 16) : odd(a[1]), &h);
		if (!ret)
			put(&p[BO], h);
		return ret;
	case 1: return bo_close(fd, pick(&p[BO], a[0]));
	case 2: return do_map(s, fd, p, a);
	case 3: return bo_sync(fd, pick(&p[BO], a[0]), a[1] % 9, a[2] % 2 ? 0 : now_ns() + a[3] % 1000000);
	case 4: return do_dmabuf(s, fd, p, a);
	case 5:
	case 6: return do_model(s, fd, p, a);
	case 7: return model_destroy(fd, pick(&p[MODEL], a[0]));
	case 8: return do_query(fd, p, a);
	case 9: return do_model_fd(s, fd, p, a);
	case 10:
	case 11: return do_ctx(fd, p, a);
	case 12: return ctx_destroy(fd, pick(&p[CTX], a[0]));
	case 13:
		ret = sync_create(fd, a[0] % 2, &h);
		if (!ret)
			put(&p[SYNC], h);
		return ret;
	case 14: return a[0] % 2 ? sync_destroy(fd, pick(&p[SYNC], a[1])) :
				   sync_signal_point(fd, pick(&p[SYNC], a[1]), 1 + a[2] % 6);
	case 15: return do_raw(fd, a);
	case 16: return a[0] % 8 ? do_observe(fd) : do_reopen(s, which);
	default: return do_submit(s, fd, p, a);
	}
}

static void run(struct shared *sh, const struct sequence *q, struct state *s)
{
	for (int i = 0; i < 2; i++) {
		s->fd[i] = -1;
		do_reopen(s, i);
	}
	s->dmabuf = s->model_fd = -1;
	s->map = MAP_FAILED;
	for (uint32_t i = 0; i < q->count; i++)
		sh->succeeded += !do_call(s, &q->call[i]);
	sh->calls += q->count;
	sh->sequences++;
	if (s->map != MAP_FAILED)
		munmap(s->map, 4096);
	close(s->dmabuf);
	close(s->model_fd);
	close(s->fd[0]);
	close(s->fd[1]);
}

static void invent(struct call *c)
{
	c->kind = rnd();
	for (int i = 0; i < ARGS; i++)
		c->arg[i] = rnd();
}

static void make(struct shared *sh, struct sequence *q)
{
	if (!sh->kept || rnd() % 4 == 0) {
		q->count = 1 + rnd() % CALLS;
		for (uint32_t i = 0; i < q->count; i++)
			invent(&q->call[i]);
		return;
	}
	*q = sh->corpus[rnd() % sh->kept];
	for (uint32_t n = 1 + rnd() % 4; n; n--) {
		uint32_t at = rnd() % q->count;

		if (rnd() % 3 == 0 && q->count < CALLS) {
			memmove(&q->call[at + 1], &q->call[at], (q->count - at) * sizeof(struct call));
			q->count++;
			invent(&q->call[at]);
		} else if (rnd() % 2) {
			q->call[at].arg[rnd() % ARGS] = rnd();
		} else {
			q->call[at] = sh->corpus[rnd() % sh->kept].call[0];
		}
	}
}

static unsigned long *cover_open(int *fd)
{
	unsigned long *cover;

	*fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (*fd < 0 || ioctl(*fd, KCOV_INIT_TRACE, (unsigned long)COVER_WORDS))
		return NULL;
	cover = mmap(NULL, COVER_WORDS * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (cover == MAP_FAILED || ioctl(*fd, KCOV_ENABLE, 0))
		return NULL;
	return cover;
}

static void learn(struct shared *sh, const struct sequence *q, unsigned long *cover)
{
	unsigned long n = __atomic_load_n(&cover[0], __ATOMIC_RELAXED);
	uint32_t fresh = 0;

	for (unsigned long i = 1; i <= n && i < COVER_WORDS; i++) {
		uint32_t bit = (cover[i] * 0x9e3779b97f4a7c15ull >> 40) % SEEN_BITS;

		if (sh->seen[bit / 8] >> bit % 8 & 1)
			continue;
		sh->seen[bit / 8] |= 1 << bit % 8;
		fresh++;
	}
	if (!fresh)
		return;
	sh->points += fresh;
	sh->corpus[sh->kept < KEPT ? sh->kept++ : rnd() % KEPT] = *q;
}

/* A process of its own, so that what a sequence does to it ends with it. */
static void batch(struct shared *sh, struct state *s, int64_t end)
{
	unsigned long *cover;
	struct sequence q;
	int kcov;

	cover = cover_open(&kcov);
	while (now_ns() < end) {
		make(sh, &q);
		if (cover)
			__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
		memset(s->pool, 0, sizeof(s->pool));
		run(sh, &q, s);
		if (cover)
			learn(sh, &q, cover);
	}
	_exit(cover ? 0 : 1);
}

int main(int argc, char **argv)
{
	int64_t end = now_ns() + (argc > 1 ? atoi(argv[1]) : 10) * 1000000000ll;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)now_ns();
	int covered = 0, status, crashed = 0;
	struct state state = { 0 };
	struct shared *sh;
	struct pb pb;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || !*dev_path())
		return 1;
	build_small(&pb, &state.in, &state.out);
	state.blob = pb_finish(&pb, &state.size);
	printf("seed %llu\n", (unsigned long long)seed);
	for (uint32_t n = 0; now_ns() < end; n++) {
		int64_t stop = now_ns() + BATCH_MS * 1000000ll;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (!pid) {
			rng = (seed + n) * 0x9e3779b97f4a7c15ull | 1;
			batch(sh, &state, stop < end ? stop : end);
		}
		waitpid(pid, &status, 0);
		covered = WIFEXITED(status) && !WEXITSTATUS(status);
		crashed += WIFSIGNALED(status);
	}
	printf("%llu sequences, %llu calls, %llu succeeded, %u points of the driver%s, %u kept, %d processes died\n",
	       (unsigned long long)sh->sequences, (unsigned long long)sh->calls,
	       (unsigned long long)sh->succeeded, sh->points, covered ? "" : " (no KCOV)", sh->kept,
	       crashed);
	return sh->sequences ? 0 : 1;
}
