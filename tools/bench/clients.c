// SPDX-License-Identifier: MIT
/*
 * Several processes that each run ONNX Runtime with as many threads as there are CPUs: what
 * shares a machine where no driver does.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netbench.h"
#include "util.h"

#define MAX_CLIENTS	8

struct shared {
	atomic_uint ready;
	atomic_uint go;
	double rate[MAX_CLIENTS];
};

static void client(struct shared *s, const char *path, u32 index, double time, const struct options *o)
{
	struct ort_model *m;
	char version[32];
	double start, now;
	u32 jobs = 0, i;

	/* Its threads would not survive a fork: loaded here. */
	if (!ort_load(version, sizeof(version)))
		_exit(1);
	m = ort_open(path, o->threads);
	for (i = 0; i < 3; i++)
		ort_run(m);
	atomic_fetch_add(&s->ready, 1);
	while (!atomic_load(&s->go))
		usleep(1000);
	start = seconds(2);
	do {
		ort_run(m);
		jobs++;
		now = seconds(2);
	} while (now - start < time);
	s->rate[index] = jobs / (now - start);
	_exit(0);
}

static bool round_of(const char *name, const char *path, u32 count, double time, const struct options *o)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double sum = 0, low = 1e30, high = 0;
	bool ok = true;
	int status;
	u32 i;

	for (i = 0; i < count; i++)
		if (!fork())
			client(s, path, i, time, o);
	for (i = 0; i < 60000 && atomic_load(&s->ready) < count; i++)
		usleep(1000);
	atomic_store(&s->go, 1);
	for (i = 0; i < count; i++)
		ok = wait(&status) > 0 && !status && ok;
	for (i = 0; i < count; i++) {
		sum += s->rate[i];
		low = s->rate[i] < low ? s->rate[i] : low;
		high = s->rate[i] > high ? s->rate[i] : high;
	}
	printf("{\"kind\":\"clients\",\"net\":\"%s\",\"variant\":\"dense\",\"peer\":\"onnxruntime\",\"threads\":%u,"
	       "\"clients\":%u,\"jobs_per_second\":%.5g,\"max_by_min\":%.4g}\n", name, o->threads, count, sum,
	       low > 0 ? high / low : 0);
	fflush(stdout);
	munmap(s, sizeof(*s));
	return ok;
}

bool ort_clients(const char *name, const char *path, const struct options *o)
{
	static const u32 counts[] = { 1, 2, 4, 8 };
	bool ok = true;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(counts); i++)
		ok = round_of(name, path, counts[i], o->sample_ms * 1e-3, o) && ok;
	return ok;
}
