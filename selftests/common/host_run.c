// SPDX-License-Identifier: MIT
/* The host runner: guarded memory, threads that claim tiles. See host_run.h. */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "host_run.h"

#define CANARY 0xa5
/* Far more than any tile needs; a tile that takes more never ends. */
#define MAX_CALLS 50000000u

static void die(const char *what)
{
	perror(what);
	exit(4);
}

static void block_alloc(struct hr_block *b, u64 size, enum hr_guard guard)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t aligned = (size + 63) / 64 * 64;
	size_t body = (aligned + page - 1) / page * page;

	memset(b, 0, sizeof(*b));
	b->size = size;
	/* A block of nothing lies somewhere, too: NULL plus an offset is undefined. */
	if (guard == HR_GUARD_EXACT) {
		/* Not aligned_alloc(): C11 wants a multiple of 64, and the end must be exact. */
		if (posix_memalign((void **)&b->p, PAT_ALIGN, size ? size : 1))
			die("host_run");
		return;
	}
	b->map_size = body + 2 * page;
	b->map = mmap(NULL, b->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->map == MAP_FAILED || mprotect(b->map + page, body, PROT_READ | PROT_WRITE))
		die("host_run");
	memset(b->map + page, CANARY, body);
	b->p = b->map + page + body - aligned;
}

static void block_free(struct hr_block *b)
{
	if (b->map)
		munmap(b->map, b->map_size);
	else
		free(b->p);
	memset(b, 0, sizeof(*b));
}

static bool block_intact(const struct hr_block *b)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (!b->map)
		return true;
	for (const u8 *q = b->map + page; q < b->p; q++)
		if (*q != CANARY)
			return false;
	for (const u8 *q = b->p + b->size; q < b->map + b->map_size - page; q++)
		if (*q != CANARY)
			return false;
	return true;
}

static void block_protect(struct hr_block *b, int prot)
{
	size_t page = sysconf(_SC_PAGESIZE);

	if (b->map && mprotect(b->map + page, b->map_size - 2 * page, prot))
		die("host_run");
}

static u64 total_bytes(const struct hr *h)
{
	u64 sum = h->plan->packed_bytes + h->plan->arena_bytes;

	sum += h->plan->scratch_bytes * (h->opts.threads + 2);
	for (u32 i = 0; i < h->prog.io_count; i++)
		sum += pat_tensor_bytes(&h->prog.tensors[h->prog.io[i]]);
	return sum;
}

/* Multiply-accumulates and elements touched, about. */
static u64 total_work(const struct pat_program *p)
{
	u64 sum = 0;

	for (u32 i = 0; i < p->operator_count; i++) {
		const struct patcnn_operator *op = &p->operators[i];
		const struct patcnn_tensor *t = &p->tensors[op->output];
		u64 each = 4;

		if (op->kind == PATCNN_OP_MAX_POOL || op->kind == PATCNN_OP_AVG_POOL)
			each += op->pool.window.kernel_h * op->pool.window.kernel_w;
		sum += pat_operator_macs(p, i, true) + each * t->c * t->h * t->w;
		for (u32 k = 0; k < op->operand_count; k++) {
			t = &p->tensors[p->operands[op->operand_first + k]];
			sum += (u64)t->c * t->h * t->w;
		}
	}
	return sum;
}

static unsigned int scratch_count(const struct hr *h)
{
	return h->opts.threads ? h->opts.threads : 2;
}

static int open_plan(struct hr *h)
{
	const struct pat_plan_opts po = {
		.isa = h->opts.isa,
		.workers = h->opts.threads ? h->opts.threads : 1,
		.flags = h->opts.flags,
		.l1_bytes = h->opts.l1_bytes,
		.l2_bytes = h->opts.l2_bytes,
	};
	struct pat_pack_cursor cur = { 0 };
	u64 bytes = pat_plan_bytes(&h->prog);
	u64 calls = 0;
	int err;

	block_alloc(&h->plan_mem, bytes, h->opts.guard);
	memset(h->plan_mem.p, 0, bytes);
	err = pat_plan_build(h->plan_mem.p, &h->prog, &po, &h->error);
	if (err)
		return err;
	h->plan = (struct pat_plan *)h->plan_mem.p;
	if ((h->opts.max_bytes && total_bytes(h) > h->opts.max_bytes) ||
	    (h->opts.max_work && total_work(&h->prog) > h->opts.max_work))
		return -EFBIG;
	block_alloc(&h->packed, h->plan->packed_bytes, h->opts.guard);
	if (h->packed.p)
		memset(h->packed.p, 0, h->packed.size);
	while (!pat_plan_pack(h->plan, h->packed.p, &cur))
		if (++calls > MAX_CALLS) {
			snprintf(h->error.text, sizeof(h->error.text), "packing does not end");
			return -ELOOP;
		}
	return 0;
}

int hr_open(struct hr *h, const void *blob, size_t size, const struct hr_opts *opts)
{
	void *work;
	int err;

	memset(h, 0, sizeof(*h));
	h->opts = *opts;
	block_alloc(&h->blob, size, opts->guard);
	if (size)
		memcpy(h->blob.p, blob, size);
	work = malloc(PAT_WORK_BYTES);
	/* The validator may not rely on what the memory held. */
	memset(work, 0xff, PAT_WORK_BYTES);
	err = pat_program_open(&h->prog, h->blob.p, size, work, &h->error);
	free(work);
	if (!err)
		err = open_plan(h);
	if (err)
		return err;
	block_alloc(&h->arena, h->plan->arena_bytes, opts->guard);
	for (unsigned int i = 0; i < scratch_count(h); i++)
		block_alloc(&h->scratch[i], h->plan->scratch_bytes, opts->guard);
	for (u32 i = 0; i < h->prog.io_count; i++) {
		block_alloc(&h->io[i], pat_tensor_bytes(&h->prog.tensors[h->prog.io[i]]),
			    opts->guard);
		h->io_ptr[i] = h->io[i].p;
	}
	return 0;
}

void hr_close(struct hr *h)
{
	block_free(&h->blob);
	block_free(&h->plan_mem);
	block_free(&h->packed);
	block_free(&h->arena);
	for (unsigned int i = 0; i < HR_MAX_THREADS; i++)
		block_free(&h->scratch[i]);
	for (u32 i = 0; i < PAT_MAX_IO; i++)
		block_free(&h->io[i]);
	memset(h, 0, sizeof(*h));
}

static u32 next(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 33;
}

void hr_random_inputs(struct hr *h, u64 seed)
{
	for (u32 i = 0; i < h->prog.io_count; i++) {
		const struct patcnn_tensor *t = &h->prog.tensors[h->prog.io[i]];
		u64 n = (u64)t->c * t->h * t->w;

		if (t->role != PATCNN_ROLE_INPUT)
			continue;
		for (u64 k = 0; k < n; k++) {
			if (t->dtype == PATCNN_DTYPE_U8)
				h->io[i].p[k] = next(&seed) >> 8;
			else
				((float *)h->io[i].p)[k] = (float)(next(&seed) >> 8) / (1 << 22) - 1;
		}
	}
}

void *hr_io(const struct hr *h, u32 t)
{
	for (u32 i = 0; i < h->prog.io_count; i++)
		if (h->prog.io[i] == t)
			return h->io[i].p;
	return NULL;
}

/* struct team - the threads of one run. */
struct team {
	struct hr *h;
	struct pat_run run;
	pthread_barrier_t barrier;
	u32 next_tile;
	bool endless;
};

struct member {
	struct team *team;
	unsigned int index;
	u64 calls;
	u64 longest;
};

static u64 thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static bool chunk(struct member *m, u32 step, u32 tile, struct pat_cursor *cur, void *scratch)
{
	u64 t = thread_ns();
	bool done = pat_exec(&m->team->run, step, tile, cur, scratch);

	t = thread_ns() - t;
	if (t > m->longest)
		m->longest = t;
	if (++m->calls > MAX_CALLS) {
		m->team->endless = true;
		return true;
	}
	return done;
}

static void *work(void *arg)
{
	struct member *m = arg;
	struct team *team = m->team;
	const struct pat_plan *plan = team->run.plan;

	for (u32 s = 0; s < plan->step_count; s++) {
		u32 t;

		while ((t = __atomic_fetch_add(&team->next_tile, 1, __ATOMIC_RELAXED)) <
		       plan->steps[s].tiles) {
			struct pat_cursor cur = { 0 };

			while (!chunk(m, s, t, &cur, team->h->scratch[m->index].p))
				;
		}
		pthread_barrier_wait(&team->barrier);
		if (!m->index)
			team->next_tile = 0;
		pthread_barrier_wait(&team->barrier);
	}
	return NULL;
}

/* Tiles of a step in random order, two of them in progress at a time. */
static void work_shuffled(struct member *m)
{
	struct hr *h = m->team->h;
	u64 seed = h->opts.seed;

	for (u32 s = 0; s < h->plan->step_count; s++) {
		u32 n = h->plan->steps[s].tiles, left = n;
		u32 *order = malloc(n * sizeof(*order));
		struct pat_cursor cur[2];
		u32 tile[2];
		bool busy[2] = { false, false };

		for (u32 i = 0; i < n; i++)
			order[i] = i;
		while (left || busy[0] || busy[1]) {
			u32 k = next(&seed) >> 4 & 1;

			if (!busy[k] && left) {
				u32 pick = next(&seed) % left;

				tile[k] = order[pick];
				order[pick] = order[--left];
				memset(&cur[k], 0, sizeof(cur[k]));
				memset(h->scratch[k].p ? h->scratch[k].p : (u8 *)&seed, h->opts.fill,
				       h->scratch[k].p ? h->scratch[k].size : 0);
				busy[k] = true;
			}
			if (busy[k] && chunk(m, s, tile[k], &cur[k], h->scratch[k].p))
				busy[k] = false;
		}
		free(order);
	}
}

static void run_team(struct team *team, struct member *m)
{
	unsigned int n = team->h->opts.threads;
	pthread_t thread[HR_MAX_THREADS];

	if (!n) {
		work_shuffled(m);
		return;
	}
	pthread_barrier_init(&team->barrier, NULL, n);
	for (unsigned int i = 1; i < n; i++)
		if (pthread_create(&thread[i], NULL, work, &m[i]))
			die("host_run");
	work(m);
	for (unsigned int i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&team->barrier);
}

static bool is_input(const struct hr *h, u32 i)
{
	return h->prog.tensors[h->prog.io[i]].role == PATCNN_ROLE_INPUT;
}

static void protect(struct hr *h, int prot)
{
	block_protect(&h->blob, prot);
	block_protect(&h->plan_mem, prot);
	block_protect(&h->packed, prot);
	for (u32 i = 0; i < h->prog.io_count; i++)
		if (is_input(h, i))
			block_protect(&h->io[i], prot);
}

static const char *check_blocks(const struct hr *h)
{
	if (!block_intact(&h->arena))
		return "wrote outside the arena";
	if (!block_intact(&h->plan_mem))
		return "wrote outside the plan";
	if (!block_intact(&h->packed))
		return "wrote outside the packed weights";
	for (unsigned int i = 0; i < scratch_count(h); i++)
		if (!block_intact(&h->scratch[i]))
			return "wrote outside the scratch";
	for (u32 i = 0; i < h->prog.io_count; i++)
		if (!block_intact(&h->io[i]))
			return "wrote outside an input or output";
	return NULL;
}

const char *hr_run(struct hr *h)
{
	struct team team = { .h = h, .run = { h->plan, h->arena.p, h->io_ptr } };
	struct member m[HR_MAX_THREADS];

	if (h->arena.p)
		memset(h->arena.p, h->opts.fill, h->arena.size);
	for (unsigned int i = 0; i < scratch_count(h); i++)
		if (h->scratch[i].p)
			memset(h->scratch[i].p, h->opts.fill, h->scratch[i].size);
	for (u32 i = 0; i < h->prog.io_count; i++)
		if (!is_input(h, i))
			memset(h->io[i].p, h->opts.fill, h->io[i].size);
	for (unsigned int i = 0; i < HR_MAX_THREADS; i++)
		m[i] = (struct member){ .team = &team, .index = i };
	protect(h, PROT_READ);
	run_team(&team, m);
	protect(h, PROT_READ | PROT_WRITE);
	h->calls = 0;
	h->longest_ns = 0;
	for (unsigned int i = 0; i < HR_MAX_THREADS; i++) {
		h->calls += m[i].calls;
		if (m[i].longest > h->longest_ns)
			h->longest_ns = m[i].longest;
	}
	return team.endless ? "a tile does not end" : check_blocks(h);
}

static bool cpu_runs(enum pat_isa_id id)
{
	switch (id) {
#if defined(__x86_64__)
	case PAT_ISA_AVX2:
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	case PAT_ISA_AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__)
	case PAT_ISA_NEON:
		return true;
#endif
	default:
		return id == PAT_ISA_GENERIC;
	}
}

const struct pat_isa *hr_isa(unsigned int n)
{
	for (int id = 0; id < PAT_ISA_COUNT; id++)
		if (pat_isa_get(id) && cpu_runs(id) && !n--)
			return pat_isa_get(id);
	return NULL;
}
