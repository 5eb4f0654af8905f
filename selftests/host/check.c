// SPDX-License-Identifier: MIT
/* One program, every ISA, several ways to run it. See check.h. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "reference.h"

#define MAX_FAILURES_SHOWN 5

double check_worst;

/* struct way - one way to run. */
struct way {
	unsigned int threads;
	u8 fill;
	u32 flags;
	u32 l1, l2;
	bool thorough;
};

static const struct way ways[] = {
	/* 0xff: arena and scratch full of NaN. */
	{ 0, 0xff, 0, 0, 0, false },
	{ 0, 0x00, 0, 0, 0, false },
	{ 2, 0x7f, PAT_PLAN_NO_FUSE, 0, 0, false },
	{ 1, 0xff, 0, 4096, 32768, true },
	{ 2, 0xff, 0, 65536, 1 << 21, true },
	{ 4, 0xff, 0, 0, 0, true },
	{ 4, 0x00, 0, 0, 0, true },
};

struct check {
	const char *label;
	const void *blob;
	size_t size;
	u64 seed;
	struct ref ref;
	bool have_ref;
	/* outputs of the first way of an ISA */
	u8 *first[PAT_MAX_IO];
	unsigned int failures;
};

static void fail(struct check *c, const struct pat_isa *isa, const struct way *w,
		 const char *what)
{
	if (c->failures++ < MAX_FAILURES_SHOWN)
		printf("# %s: isa %s, %u threads, fill %02x, flags %u: %s\n", c->label,
		       pat_isa_name(isa), w->threads, w->fill, w->flags, what);
}

static void run_reference(struct check *c, const struct hr *h)
{
	const void **io = calloc(h->prog.tensor_count, sizeof(*io));

	for (u32 i = 0; i < h->prog.io_count; i++)
		io[h->prog.io[i]] = h->io[i].p;
	ref_run(&c->ref, io);
	c->have_ref = true;
	free(io);
}

static void compare(struct check *c, const struct hr *h, const struct pat_isa *isa,
		    const struct way *w)
{
	for (u32 i = 0; i < h->prog.io_count; i++) {
		u32 t = h->prog.io[i];
		struct ref_diff d;
		char text[200];

		if (h->prog.tensors[t].role != PATCNN_ROLE_OUTPUT)
			continue;
		if (!ref_compare(&c->ref, t, (const float *)h->io[i].p, &d)) {
			snprintf(text, sizeof(text),
				 "tensor %u: %llu of %llu wrong; [%llu] is %.9g, should be %.9g +- %.3g",
				 t, (unsigned long long)d.bad,
				 (unsigned long long)c->ref.values[t].count,
				 (unsigned long long)d.first, d.got, d.want, d.bound);
			fail(c, isa, w, text);
		}
		if (d.worst > check_worst)
			check_worst = d.worst;
		/* Same plan, other garbage in memory: the same bits must come out. */
		if (w == &ways[0]) {
			free(c->first[i]);
			c->first[i] = malloc(h->io[i].size);
			memcpy(c->first[i], h->io[i].p, h->io[i].size);
		} else if (w == &ways[1] && memcmp(c->first[i], h->io[i].p, h->io[i].size)) {
			snprintf(text, sizeof(text), "tensor %u depends on uninitialised memory",
				 t);
			fail(c, isa, w, text);
		}
	}
}

static void run_way(struct check *c, const struct pat_isa *isa, const struct way *w)
{
	const struct hr_opts opts = {
		.isa = isa, .guard = CHECK_GUARD, .threads = w->threads, .flags = w->flags,
		.l1_bytes = w->l1, .l2_bytes = w->l2, .fill = w->fill, .seed = c->seed,
	};
	const char *broke;
	struct hr h;

	if (hr_open(&h, c->blob, c->size, &opts)) {
		fail(c, isa, w, h.error.text);
	} else {
		hr_random_inputs(&h, c->seed);
		if (!c->have_ref)
			run_reference(c, &h);
		broke = hr_run(&h);
		if (broke)
			fail(c, isa, w, broke);
		compare(c, &h, isa, w);
	}
	hr_close(&h);
}

static unsigned int check(struct pb *pb, u64 seed, const char *label, bool thorough)
{
	struct check c = { .label = label, .seed = seed };
	const struct pat_isa *isa;

	c.blob = pb_finish(pb, &c.size);
	pb_fini(pb);
	ref_open(&c.ref, c.blob);
	for (unsigned int i = 0; (isa = hr_isa(i)); i++)
		for (unsigned int k = 0; k < sizeof(ways) / sizeof(ways[0]); k++)
			if (thorough || !ways[k].thorough)
				run_way(&c, isa, &ways[k]);
	for (u32 i = 0; i < PAT_MAX_IO; i++)
		free(c.first[i]);
	ref_close(&c.ref);
	free((void *)c.blob);
	return c.failures;
}

unsigned int check_program(struct pb *pb, u64 seed, const char *label)
{
	return check(pb, seed, label, false);
}

unsigned int check_program_thoroughly(struct pb *pb, u64 seed, const char *label)
{
	return check(pb, seed, label, true);
}

unsigned int check_cases(unsigned int n)
{
	const char *s = getenv("PATCNN_TEST_CASES");

	n = s ? n * (unsigned int)atoi(s) / 100 : n;
	return n ? n : 1;
}
