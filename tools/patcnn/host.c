// SPDX-License-Identifier: MIT
/*
 * The compute core in this process.
 *
 * The caller of host_run() is thread 0; the others sleep until a job comes. All
 * go through the steps together: tiles are claimed from a counter per step, and who
 * finishes a step's last tile moves @progress on. Threads spin a little for that, then
 * sleep on a futex, so that they may be more than the CPUs.
 */

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "util.h"

#define SPINS	4000

struct thread {
	struct host *host;
	pthread_t id;
	uint32_t index;
	void *scratch;
};

struct step_state {
	_Alignas(64) atomic_uint next;	/* tile to claim */
	_Alignas(64) atomic_uint done;	/* tiles done */
};

/* A number that threads wait for to change. */
struct event {
	_Alignas(64) atomic_uint value;
	atomic_uint sleepers;
};

struct host {
	struct pat_plan *plan;
	void *packed;
	void *arena;
	uint32_t thread_count;
	uint32_t started;	/* helpers that exist */
	struct thread *threads;
	struct step_state *steps;
	/* The job; written by thread 0 while no helper is active. */
	struct pat_run run;
	struct host_times *times;
	bool quit;
	bool cpu_time;
	struct event jobs;	/* counts up: a job is there */
	struct event progress;	/* counts up: a step is done */
	struct event left;	/* counts up: a helper has left the job */
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Until @e's value is no longer @old. */
static void wait_change(struct event *e, unsigned int old)
{
	int i;

	for (i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&e->value, memory_order_acquire) != old)
			return;
		pause_cpu();
	}
	/* Sequentially consistent against set(): it sees the sleeper or we see the value. */
	atomic_fetch_add(&e->sleepers, 1);
	while (atomic_load(&e->value) == old)
		syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
	atomic_fetch_sub(&e->sleepers, 1);
}

/* Add @n to @e's value and wake who waits for a change. */
static unsigned int advance(struct event *e, unsigned int n)
{
	unsigned int old = atomic_fetch_add(&e->value, n);

	if (atomic_load(&e->sleepers))
		syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	return old;
}

const struct pat_isa *host_isa(const char *name)
{
	const struct pat_isa *isa;
	bool runs = true;

	if (!name) {
#if defined(__x86_64__)
		__builtin_cpu_init();
		name = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ?
		       "avx512" :
		       __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? "avx2" :
		       "generic";
#elif defined(__aarch64__)
		name = "neon";
#else
		name = "generic";
#endif
		isa = pat_isa_by_name(name);
		return isa ? isa : pat_isa_get(PAT_ISA_GENERIC);
	}
	isa = pat_isa_by_name(name);
	if (!isa) {
		complain("--isa: no kernels '%s' in this build", name);
		return NULL;
	}
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (!strcmp(name, "avx2"))
		runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	else if (!strcmp(name, "avx512"))
		runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
	if (!runs)
		complain("--isa: this CPU has no %s", name);
	return runs ? isa : NULL;
}

uint32_t host_threads(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (uint32_t)CPU_COUNT(&set);
}

static void *alloc_aligned(uint64_t bytes)
{
	uint64_t size = (bytes + PAT_ALIGN) & ~(uint64_t)(PAT_ALIGN - 1);
	void *p = aligned_alloc(PAT_ALIGN, size);

	if (!p) {
		complain("no memory for %s", show_bytes(bytes));
		exit(1);
	}
	memset(p, 0, size);
	return p;
}

static u32 cache_bytes(int name)
{
	long bytes = sysconf(name);

	return bytes > 0 && bytes < INT32_MAX ? (u32)bytes : 0;
}

struct pat_plan *host_plan(const char *name, const struct pat_program *prog,
			   const struct host_opts *opts)
{
	struct pat_plan_opts plan_opts = {
		.isa = opts->isa,
		.workers = opts->threads,
		.flags = opts->plan_flags,
		.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE),
		.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE),
	};
	struct pat_plan *plan = alloc_aligned(pat_plan_bytes(prog));
	struct pat_error err = { "" };
	int ret;

	ret = pat_plan_build(plan, prog, &plan_opts, &err);
	if (!ret)
		return plan;
	complain("%s: no plan: %s", name, err.text[0] ? err.text : strerror(-ret));
	free(plan);
	return NULL;
}

static uint64_t host_now(const struct host *h)
{
	struct timespec t;

	if (!h->cpu_time)
		return now_ns();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void finish_step(struct host *h, uint32_t step)
{
	if (h->times && h->times->wall_ns)
		h->times->wall_ns[step] = host_now(h) - h->times->wall_ns[step];
	advance(&h->progress, 1);
}

/* Tiles of @step until none is left to claim. */
static void work_on(struct host *h, const struct thread *t, uint32_t step)
{
	struct step_state *s = &h->steps[step];
	u32 tiles = h->plan->steps[step].tiles, tile;
	uint64_t start = h->times ? host_now(h) : 0;

	while ((tile = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < tiles) {
		struct pat_cursor cursor = { 0 };

		if (!tile && h->times && h->times->wall_ns)
			h->times->wall_ns[step] = start;
		while (!pat_exec(&h->run, step, tile, &cursor, t->scratch))
			;
		if (h->times && h->times->busy_ns)
			h->times->busy_ns[(size_t)step * h->thread_count + t->index] =
				host_now(h) - start;
		if (atomic_fetch_add_explicit(&s->done, 1, memory_order_acq_rel) + 1 == tiles)
			finish_step(h, step);
	}
}

/* All steps; @first is what progress was when the job began. */
static void run_steps(struct host *h, const struct thread *t, unsigned int first)
{
	uint32_t step;

	for (step = 0; step < h->plan->step_count; step++) {
		work_on(h, t, step);
		wait_change(&h->progress, first + step);
	}
}

static void *helper_main(void *arg)
{
	struct thread *t = arg;
	struct host *h = t->host;
	unsigned int seen = 0;

	for (;;) {
		wait_change(&h->jobs, seen);
		seen++;
		if (h->quit)
			return NULL;
		/* Thread 0 starts no further job before all helpers have left this one. */
		run_steps(h, t, (seen - 1) * h->plan->step_count);
		advance(&h->left, 1);
	}
}

void host_run(struct host *h, void *const *io, struct host_times *times)
{
	unsigned int first = atomic_load(&h->progress.value), left = atomic_load(&h->left.value);
	uint32_t i;

	for (i = 0; i < h->plan->step_count; i++) {
		atomic_store_explicit(&h->steps[i].next, 0, memory_order_relaxed);
		atomic_store_explicit(&h->steps[i].done, 0, memory_order_relaxed);
	}
	h->run = (struct pat_run){ .plan = h->plan, .arena = h->arena, .io = io };
	h->times = times;
	if (times && times->busy_ns)
		memset(times->busy_ns, 0,
		       (size_t)h->plan->step_count * h->thread_count * sizeof(*times->busy_ns));
	if (times)
		times->start_ns = host_now(h);
	if (h->thread_count > 1)
		advance(&h->jobs, 1);
	run_steps(h, &h->threads[0], first);
	if (times)
		times->end_ns = host_now(h);
	for (i = 1; i < h->thread_count; i++)
		wait_change(&h->left, left + i - 1);
}

static void bind_thread(pthread_t id, const struct host_opts *opts, uint32_t index)
{
	uint32_t cpu, n = 0;
	cpu_set_t set;

	for (cpu = 0; cpu < 256; cpu++)
		n += opts->cpus[cpu / 64] >> cpu % 64 & 1;
	if (!n)
		return;
	index %= n;
	for (cpu = 0; cpu < 256; cpu++)
		if (opts->cpus[cpu / 64] >> cpu % 64 & 1 && !index--)
			break;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(id, sizeof(set), &set))
		complain("--cpus: cannot use CPU %u", cpu);
}

struct host *host_open(const char *name, const struct pat_program *prog,
		       const struct host_opts *opts)
{
	struct pat_pack_cursor cursor = { 0 };
	struct host *h;
	uint32_t i;

	h = aligned_alloc(64, sizeof(*h));
	if (!h)
		return NULL;
	memset(h, 0, sizeof(*h));
	h->thread_count = opts->threads;
	h->cpu_time = opts->cpu_time && opts->threads == 1;
	h->plan = host_plan(name, prog, opts);
	if (!h->plan) {
		free(h);
		return NULL;
	}
	h->packed = alloc_aligned(h->plan->packed_bytes);
	h->arena = alloc_aligned(h->plan->arena_bytes);
	while (!pat_plan_pack(h->plan, h->packed, &cursor))
		;
	h->steps = alloc_aligned((uint64_t)h->plan->step_count * sizeof(*h->steps));
	h->threads = xcalloc(h->thread_count, sizeof(*h->threads));
	for (i = 0; i < h->thread_count; i++) {
		struct thread *t = &h->threads[i];

		*t = (struct thread){ .host = h, .index = i };
		t->scratch = alloc_aligned(h->plan->scratch_bytes);
		if (!i) {
			t->id = pthread_self();
		} else if (pthread_create(&t->id, NULL, helper_main, t)) {
			complain("cannot create thread %u", i);
			host_close(h);
			return NULL;
		} else {
			h->started++;
		}
		if (opts->have_cpus)
			bind_thread(t->id, opts, i);
	}
	return h;
}

const struct pat_plan *host_get_plan(const struct host *h)
{
	return h->plan;
}

void host_close(struct host *h)
{
	uint32_t i;

	if (!h)
		return;
	h->quit = true;
	advance(&h->jobs, 1);
	for (i = 1; i <= h->started; i++)
		pthread_join(h->threads[i].id, NULL);
	for (i = 0; i < h->thread_count; i++)
		free(h->threads[i].scratch);
	free(h->threads);
	free(h->steps);
	free(h->arena);
	free(h->packed);
	free(h->plan);
	free(h);
}
