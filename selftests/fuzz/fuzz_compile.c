// SPDX-License-Identifier: MIT
/*
 * Hostile ONNX through the compiler, under the sanitizers: it may refuse, it may
 * not crash, leak, or take memory or time without bound. What it compiles must be a
 * program that the validator takes: the compiler checks that itself and calls anything
 * else an error, which is a finding here when no limit of the format is the reason.
 *
 * FUZZ_BYTES in the environment: ends when so many bytes went through the compiler.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compile.h"
#include "mutate_onnx.h"
#include "prune_onnx.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	unsigned long models;
	unsigned long read;
	unsigned long compiled;
	unsigned long bytes;
	unsigned long limit;
	time_t start, shown;
} count;

static void show(void)
{
	count.shown = time(NULL);
	printf("fuzz: %lu ONNX models, %lu bytes, %lu with a graph, %lu compiled, %ld s\n",
	       count.models, count.bytes, count.read, count.compiled,
	       (long)(count.shown - count.start));
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *limit = getenv("FUZZ_BYTES");

	(void)argc;
	(void)argv;
	count.limit = limit ? strtoul(limit, NULL, 0) : 0;
	count.start = time(NULL);
	count.shown = count.start;
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return mutate_onnx(data, size, max, seed);
}

/* The fuzzer leaves after this input when it gets this signal, and calls it success. */
static void account(size_t size)
{
	bool before = count.bytes < count.limit;

	count.bytes += size;
	if (time(NULL) - count.shown >= 10)
		show();
	if (before && count.bytes >= count.limit) {
		show();
		raise(SIGUSR1);
	}
}

/* Pruning reads the same bytes by a road of its own. */
static void prune(const uint8_t *data, size_t size)
{
	const struct prune_rule rule = { .pattern = true, .connectivity = 2, .group = 2,
					 .n = 1, .m = 4 };
	const struct prune_patterns set = { 2, { 0x1b, 0xb4 } };
	struct prune_model m;
	const char *why;
	unsigned int i;
	size_t written;

	if (!prune_model_read(&m, data, size, &why))
		return;
	for (i = 0; i < m.count; i++)
		if ((uint64_t)m.targets[i].layer.out * m.targets[i].layer.in < 4096)
			prune_apply(&m.targets[i].layer, &rule, &set);
	prune_model_update(&m);
	free(prune_model_write(&m, &written));
	prune_model_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct compile_options opts = { .memory_limit = (size_t)256 << 20 };
	struct compile_result r;

	/* The last byte chooses options, so that the model is found from the start of the file. */
	if (size) {
		opts.lower.input_u8 = data[size - 1] & 1;
		opts.lower.input_hwc = data[size - 1] & 2;
		opts.lower.no_sparse = data[size - 1] & 4;
	}
	count.models++;
	if (compile_model(&r, data, size, &opts)) {
		count.compiled++;
	} else if (strstr(r.error, "what a program can hold") && !strstr(r.error, "above") &&
		   !strstr(r.error, "shape[")) {
		fprintf(stderr, "the compiler made what the validator refuses: %s\n", r.error);
		abort();
	} else if (!*r.error && r.graph.n_issues) {
		free(compile_cut(&r, data, size, &opts));
	}
	count.read += r.graph.n_values > 0;
	compile_release(&r);
	prune(data, size);
	account(size);
	return 0;
}
