// SPDX-License-Identifier: MIT
/* Time, threads and memory of the benchmark. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

double seconds(u32 threads)
{
	struct timespec t;

	clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void wait_quiet(void)
{
	struct timespec t;
	double used;
	u32 i;

	for (i = 0; i < 100; i++) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
		used = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
		/* Longer than a tick, at which the time of running threads is added up. */
		usleep(9000);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
		if ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec - used < 1e-3)
			return;
	}
}

int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(double *v, u32 n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), by_value);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static struct {
	u32 threads;
	void (*fn)(void *arg, u32 index);
	void *arg;
	_Alignas(64) atomic_uint generation;
	_Alignas(64) atomic_uint done;
	_Alignas(64) atomic_uint arrived;
	_Alignas(64) atomic_uint passed;
} pool;

static void spin(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void *pool_thread(void *arg)
{
	u32 index = (u32)(uintptr_t)arg;
	unsigned int seen = 0;

	for (;;) {
		while (atomic_load(&pool.generation) == seen)
			syscall(SYS_futex, &pool.generation, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		seen++;
		pool.fn(pool.arg, index);
		atomic_fetch_add(&pool.done, 1);
	}
	return NULL;
}

void pool_start(u32 threads)
{
	pthread_t id;
	u32 i;

	pool.threads = threads;
	for (i = 1; i < threads; i++)
		if (pthread_create(&id, NULL, pool_thread, (void *)(uintptr_t)i))
			abort();
}

void pool_run(void (*fn)(void *arg, u32 index), void *arg)
{
	pool.fn = fn;
	pool.arg = arg;
	atomic_store(&pool.done, 0);
	atomic_fetch_add(&pool.generation, 1);
	if (pool.threads > 1)
		syscall(SYS_futex, &pool.generation, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	fn(arg, 0);
	while (atomic_load(&pool.done) < pool.threads - 1)
		spin();
}

void pool_barrier(void)
{
	unsigned int turn = atomic_load(&pool.passed);

	if (pool.threads == 1)
		return;
	if (atomic_fetch_add(&pool.arrived, 1) + 1 == pool.threads) {
		atomic_store(&pool.arrived, 0);
		atomic_fetch_add(&pool.passed, 1);
		return;
	}
	while (atomic_load(&pool.passed) == turn)
		spin();
}

void *memory(u64 bytes)
{
	/* Slack behind: XNNPACK reads a little beyond its buffers. */
	u64 size = (bytes + 256 + (2 << 20) - 1) & ~((2ULL << 20) - 1);
	void *p = aligned_alloc(2 << 20, size);

	if (!p)
		abort();
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0, size);
	return p;
}

void fill_floats(void *p, u64 count, u32 seed)
{
	float *f = p;
	u64 i;

	for (i = 0; i < count; i++) {
		seed = seed * 1664525 + 1013904223;
		f[i] = (float)(s32)seed / 2147483648.0f;
	}
}

u64 shape_weights(const struct shape *s)
{
	return (u64)s->oc * (s->ic / s->groups) * s->kh * s->kw;
}

void shape_name(const struct shape *s, char *text, size_t size)
{
	int n;

	if (s->linear) {
		snprintf(text, size, "fc %ux%u", s->ic, s->oc);
		return;
	}
	n = snprintf(text, size, "%ux%u %ux%u %ux%u", s->kh, s->kw, s->ic, s->oc, s->ih, s->iw);
	if (s->sh > 1)
		n += snprintf(text + n, size - (size_t)n, " s%u", s->sh);
	if (s->groups > 1)
		n += snprintf(text + n, size - (size_t)n, s->groups == s->ic ? " dw" : " g%u", s->groups);
	if (s->residual)
		snprintf(text + n, size - (size_t)n, " +res");
}
