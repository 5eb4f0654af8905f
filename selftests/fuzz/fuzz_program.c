// SPDX-License-Identifier: MIT
/*
 * Mutated programs through the validator, the planner and the executor, under
 * AddressSanitizer and UndefinedBehaviorSanitizer. Blocks of memory have exactly
 * the sizes that the plan asks for. What a run leaves in the outputs may not
 * depend on what the memory held before: some programs run twice to see it.
 *
 * The counts are printed at the end, and every 10 s.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host_run.h"
#include "mutate.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES (4u << 20)
#define MAX_WORK 3000000u

static struct {
	unsigned long programs, valid, planned, executed, twice;
	time_t start, shown;
} count;

static void show(void)
{
	printf("fuzz: %lu programs, %lu passed the validator (%lu%%), %lu executed (%lu twice), %ld s\n",
	       count.programs, count.valid, count.programs ? count.valid * 100 / count.programs : 0,
	       count.executed, count.twice, (long)(time(NULL) - count.start));
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	count.start = time(NULL);
	count.shown = count.start;
	atexit(show);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return mutate_program(data, size, max, seed);
}

static u32 hash(const uint8_t *data, size_t size)
{
	u32 h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ data[i]) * 16777619u;
	return h ^ h >> 15;
}

static void broken(const char *what)
{
	fprintf(stderr, "fuzz_program: %s\n", what);
	abort();
}

/* Outputs of a run, one behind the other; free() them. */
static u8 *run(struct hr *h, u64 seed, size_t *size)
{
	const char *broke;
	size_t at = 0;
	u8 *all;

	hr_random_inputs(h, seed);
	broke = hr_run(h);
	if (broke)
		broken(broke);
	count.executed++;
	*size = 0;
	for (u32 i = 0; i < h->prog.io_count; i++)
		*size += h->io[i].size;
	all = malloc(*size);
	for (u32 i = 0; i < h->prog.io_count; i++) {
		memcpy(all + at, h->io[i].p, h->io[i].size);
		at += h->io[i].size;
	}
	return all;
}

static int open_with(struct hr *h, const uint8_t *data, size_t size, struct hr_opts *opts)
{
	int err = hr_open(h, data, size, opts);

	if (err && !memchr(h->error.text, 0, sizeof(h->error.text)))
		broken("an error text without end");
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 x = hash(data, size), isas = 0;
	struct hr_opts opts = {
		.guard = HR_GUARD_EXACT, .fill = 0xff, .max_bytes = MAX_BYTES,
		.max_work = MAX_WORK, .seed = x,
	};
	size_t n, m;
	u8 *first, *second;
	struct hr h;

	while (hr_isa(isas))
		isas++;
	opts.isa = hr_isa(x % isas);
	opts.flags = x >> 4 & 1 ? PAT_PLAN_NO_FUSE : 0;
	opts.l1_bytes = x >> 5 & 1 ? 4096 : 0;
	opts.l2_bytes = x >> 6 & 1 ? 16384 : 0;
	count.programs++;
	if (time(NULL) - count.shown >= 10) {
		count.shown = time(NULL);
		show();
	}
	if (open_with(&h, data, size, &opts)) {
		/* A plan that is too large for here was made all the same. */
		count.valid += h.prog.macs_dense || h.plan;
		hr_close(&h);
		return 0;
	}
	count.valid++;
	first = run(&h, x, &n);
	hr_close(&h);
	if (x >> 8 & 1) {
		opts.fill = 0x11;
		if (open_with(&h, data, size, &opts))
			broken("the same program is refused the second time");
		second = run(&h, x, &m);
		if (m != n || memcmp(first, second, n))
			broken("an output depends on uninitialised memory");
		hr_close(&h);
		free(second);
		count.twice++;
	}
	free(first);
	return 0;
}
