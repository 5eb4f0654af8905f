/* SPDX-License-Identifier: MIT */
#ifndef BENCH_NETBENCH_H
#define BENCH_NETBENCH_H

#include "net.h"
#include "util.h"

#define MAX_ROUNDS	101
#define MAX_ENTRIES	32
#define MAX_VARIANTS	16

struct options {
	u32 threads;
	u32 rounds;
	double sample_ms;
	const char *peers;
	const char *only;
	const struct pat_isa *isa;
};

bool wants(const struct options *o, const char *peer);

/* One thing that is timed. */
struct entry {
	void (*run)(void *entry, u32 reps);
	const struct peer *peer;
	void *layer;
	struct net *net;
	const struct net_layer *own;
	const char *variant;
	u64 macs;
	u32 reps;
	double t[MAX_ROUNDS];
};

/* Run it until it is warm, and choose @reps so that a sample is long enough. */
void entry_warm(struct entry *e, const struct options *o);
/* Seconds of one run. */
double entry_sample(struct entry *e, const struct options *o);

/* Throughput of processes with ONNX Runtime, for sample_ms each. */
bool ort_clients(const char *name, const char *path, const struct options *o);
bool net_traffic(const char *name, const char *variant, const char *path, const struct options *o);
bool whole_net(const char *name, char *const *arg, u32 count, const struct options *o);

#endif
