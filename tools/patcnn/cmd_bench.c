// SPDX-License-Identifier: MIT
/*
 * patcnn bench: latency and throughput of one program, with one client process or
 * many at once. Clients are processes because that is what shares a device; they
 * report through shared memory and start together.
 */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "cmd.h"
#include "report.h"

static const char help[] =
	"usage: patcnn bench MODEL [OPTIONS]\n"
	"\n"
	"Run a program again and again, on made-up input, and print how long it takes.\n"
	"\n"
	"  -c, --clients LIST    numbers of client processes, e.g. 1,2,4,8 (default: 1)\n"
	"  -q, --queue N         jobs each client keeps in flight, 1 to 16 (default: 1)\n"
	"  -s, --share           clients share one copy of the model, passed on as a file\n"
	"                        descriptor (default: each loads its own)\n"
	"  -a, --against MODEL2  run both in turn and print the ratio of their times\n"
	"  -t, --time SECONDS    to measure (default: 3)\n"
	"  -w, --warmup SECONDS  before that (default: 0.5)\n"
	"  -p, --profile         table of steps (of the first client)\n"
	"  -j, --json            JSON instead of text\n"
	"\n"
	"What runs it:\n"
	ENGINE_HELP;

#define MAX_CLIENTS	64
#define MAX_ROUNDS	16
#define MAX_SAMPLES	(1u << 20)	/* of a client; memory is only touched as far as used */

struct bench_opts {
	struct engine_opts engine;
	uint32_t rounds[MAX_ROUNDS];
	unsigned int round_count;
	double seconds;
	double warmup;
	const char *against;
	bool share;
	bool table;
	bool json;
};

/* A client's results, in memory shared with the parent. */
struct client {
	uint64_t jobs;
	uint64_t elapsed_ns;
	uint32_t samples;
	uint64_t latency_ns[MAX_SAMPLES];
	uint64_t kernel_ns[MAX_SAMPLES];	/* in steps, see kernel_time() */
	uint64_t driver_ns[MAX_SAMPLES];	/* queued to finished, in the driver */
};

/* What one round comes to. */
struct result {
	uint32_t clients;
	double jobs_per_second;
	double fairness;	/* largest client's share by the smallest's */
	struct percentiles latency;
	struct percentiles kernel;
	struct percentiles overhead;
	struct percentiles driver;	/* the driver's part of the overhead */
	size_t runs;
};

void bench_fill_inputs(struct engine *e)
{
	uint32_t slot, i, seed = 1;
	uint64_t k, bytes;

	for (slot = 0; slot < e->depth; slot++) {
		for (i = 0; i < e->file->input_count; i++) {
			const struct patcnn_tensor *t = model_file_io(e->file, e->file->inputs[i]);
			uint8_t *p = e->ops->slot_io(e, slot, e->file->inputs[i]);

			bytes = pat_tensor_bytes(t);
			for (k = 0; k < bytes; k++) {
				seed = seed * 1664525 + 1013904223;
				if (t->dtype == PATCNN_DTYPE_U8)
					p[k] = (uint8_t)(seed >> 24);
				else if (k % sizeof(float) == 0)
					*(float *)(void *)(p + k) = (float)(int32_t)seed / 2147483648.0f;
			}
		}
	}
}

/* Of each step from its first tile claimed to its last one done: waking up is not in it. */
static uint64_t kernel_time(const struct engine *e)
{
	uint64_t ns = 0;
	uint32_t i;

	for (i = 0; i < e->step_count; i++)
		ns += e->profile.wall_ns[i];
	return ns;
}

/* Jobs for @seconds; results into @client unless NULL. */
static bool client_loop(struct engine *e, double seconds, struct client *client,
			struct step_times *times)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), ns, jobs = 0;
	uint32_t slot;

	for (slot = 0; slot < e->depth; slot++)
		if (!engine_submit(e, slot))
			return false;
	for (slot = 0;; slot = (slot + 1) % e->depth) {
		if (!engine_wait(e, slot, &ns))
			return false;
		jobs++;
		if (client && client->samples < MAX_SAMPLES) {
			client->latency_ns[client->samples] = ns;
			client->kernel_ns[client->samples] = kernel_time(e);
			client->driver_ns[client->samples] =
				e->profile.end_ns - e->profile.queued_ns;
			client->samples++;
		}
		if (times)
			step_times_add(times, e);
		if (now_ns() >= end)
			break;
		if (!engine_submit(e, slot))
			return false;
	}
	if (client) {
		client->jobs = jobs;
		client->elapsed_ns = now_ns() - start;
	}
	for (jobs = 1; jobs < e->depth; jobs++)
		if (!engine_wait(e, (uint32_t)(slot + jobs) % e->depth, &ns))
			return false;
	return true;
}

/* The life of a client; writes a byte to @ready, starts when @go is closed. */
static int client_main(const struct model_file *file, const struct bench_opts *opts,
		       struct client *client, bool print_table, int ready, int go)
{
	struct step_times times = { 0 };
	struct engine *e;
	char byte = 'r';
	bool ok;

	e = engine_open(file, &opts->engine);
	if (e)
		bench_fill_inputs(e);
	ok = e && client_loop(e, opts->warmup, NULL, NULL);
	if (!ok)
		byte = 'f';
	if (write(ready, &byte, 1) != 1 || !ok)
		return STATUS_FAILED;
	if (read(go, &byte, 1) != 0)
		return STATUS_FAILED;
	ok = client_loop(e, opts->seconds, client, print_table ? &times : NULL);
	if (ok && print_table && opts->json) {
		print_json(json_step_times(e, &times));
	} else if (ok && print_table) {
		print_engine(e);
		print_step_times(e, &times);
		putchar('\n');
	}
	step_times_free(&times);
	engine_close(e);
	return ok ? STATUS_OK : STATUS_FAILED;
}

/* All clients ready? A client that died without a word shows as the timeout. */
static bool wait_ready(int fd, uint32_t count)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;

	while (count--)
		if (poll(&pfd, 1, 120000) != 1 || read(fd, &byte, 1) != 1 || byte != 'r')
			return false;
	return true;
}

static bool run_clients(const struct model_file *file, const struct bench_opts *opts,
			struct client *clients, uint32_t count, bool print_table)
{
	pid_t pids[MAX_CLIENTS];
	uint32_t i, started = 0;
	int ready[2], go[2], status;
	bool ok = true;

	if (pipe(ready) || pipe(go)) {
		complain("pipe: %s", strerror(errno));
		return false;
	}
	fflush(stdout);
	for (; started < count; started++) {
		pids[started] = fork();
		if (pids[started] < 0) {
			complain("fork: %s", strerror(errno));
			ok = false;
			break;
		}
		if (!pids[started]) {
			close(ready[0]);
			close(go[1]);
			status = client_main(file, opts, &clients[started],
					     print_table && !started, ready[1], go[0]);
			fflush(stdout);
			_exit(status);
		}
	}
	close(ready[1]);
	close(go[0]);
	ok = ok && wait_ready(ready[0], count);
	for (i = 0; !ok && i < started; i++)
		kill(pids[i], SIGTERM);
	close(go[1]);
	close(ready[0]);
	for (i = 0; i < started; i++)
		ok = waitpid(pids[i], &status, 0) == pids[i] && !status && ok;
	return ok;
}

static struct result summarise(const struct client *clients, uint32_t count)
{
	struct samples latency = { 0 }, kernel = { 0 }, overhead = { 0 }, driver = { 0 };
	double rate, min = 0, max = 0;
	struct result r = { .clients = count };
	uint32_t i, k;

	for (i = 0; i < count; i++) {
		rate = (double)clients[i].jobs * 1e9 / (double)clients[i].elapsed_ns;
		r.jobs_per_second += rate;
		min = !i || rate < min ? rate : min;
		max = rate > max ? rate : max;
		for (k = 0; k < clients[i].samples; k++) {
			uint64_t l = clients[i].latency_ns[k], t = clients[i].kernel_ns[k];
			uint64_t d = clients[i].driver_ns[k];

			samples_add(&latency, l);
			samples_add(&kernel, t);
			samples_add(&overhead, l > t ? l - t : 0);
			samples_add(&driver, d > t ? d - t : 0);
		}
	}
	r.fairness = min > 0 ? max / min : 0;
	r.runs = latency.count;
	r.latency = samples_percentiles(&latency);
	r.kernel = samples_percentiles(&kernel);
	r.overhead = samples_percentiles(&overhead);
	r.driver = samples_percentiles(&driver);
	samples_free(&latency);
	samples_free(&kernel);
	samples_free(&overhead);
	samples_free(&driver);
	return r;
}

static void print_governor(cJSON *json)
{
	char text[64] = "";
	FILE *f = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "re");

	if (f && fgets(text, sizeof(text), f))
		text[strcspn(text, "\n")] = '\0';
	if (f)
		fclose(f);
	if (json)
		cJSON_AddStringToObject(json, "governor", text);
	else if (text[0])
		printf("frequency governor: %s\n", text);
}

static void print_results(const struct result *r, unsigned int count)
{
	unsigned int i;

	printf("%7s %10s %9s %9s %9s %9s %9s %10s %10s %8s\n", "clients", "jobs/s", "min", "p50",
	       "p90", "p99", "max", "kernel", "overhead", "max/min");
	for (i = 0; i < count; i++, r++)
		printf("%7u %10.1f %9.1f %9.1f %9.1f %9.1f %9.1f %10.1f %10.1f %8.2f\n", r->clients,
		       r->jobs_per_second, r->latency.min, r->latency.p50, r->latency.p90,
		       r->latency.p99, r->latency.max, r->kernel.p50, r->overhead.p50, r->fairness);
	puts("µs from submit to done; kernel: in steps, from the first tile claimed to the last one done, overhead:\n"
	     "the rest, both at the median; max/min: the largest client's throughput by the smallest's");
}

static void print_results_json(const struct model_file *file, const struct bench_opts *opts,
			       const struct result *r, unsigned int count)
{
	cJSON *top = cJSON_CreateObject(), *list, *o;
	unsigned int i;

	cJSON_AddStringToObject(top, "model", file->path);
	cJSON_AddBoolToObject(top, "host", opts->engine.host);
	cJSON_AddNumberToObject(top, "macs_dense", (double)file->prog.macs_dense);
	cJSON_AddNumberToObject(top, "macs_kept", (double)file->prog.macs_kept);
	cJSON_AddNumberToObject(top, "queue", opts->engine.depth);
	print_governor(top);
	list = cJSON_AddArrayToObject(top, "rounds");
	for (i = 0; i < count; i++, r++) {
		o = cJSON_CreateObject();
		cJSON_AddNumberToObject(o, "clients", r->clients);
		cJSON_AddNumberToObject(o, "jobs_per_second", r->jobs_per_second);
		cJSON_AddNumberToObject(o, "max_by_min_share", r->fairness);
		cJSON_AddItemToObject(o, "latency_us", json_latency(&r->latency, r->runs));
		cJSON_AddItemToObject(o, "kernel_us", json_latency(&r->kernel, r->runs));
		cJSON_AddItemToObject(o, "overhead_us", json_latency(&r->overhead, r->runs));
		cJSON_AddItemToObject(o, "driver_overhead_us", json_latency(&r->driver, r->runs));
		cJSON_AddItemToArray(list, o);
	}
	print_json(top);
}

static int bench(const char *path, struct bench_opts *opts)
{
	struct engine *owner = NULL;
	struct result results[MAX_ROUNDS];
	size_t bytes = MAX_CLIENTS * sizeof(struct client);
	int status = STATUS_FAILED;
	struct model_file file;
	struct client *clients;
	unsigned int i;

	if (!model_file_open(&file, path))
		return STATUS_FAILED;
	if (opts->share) {
		owner = engine_open(&file, &opts->engine);
		if (!owner)
			goto out;
		opts->engine.model_fd = engine_export(owner);
		if (opts->engine.model_fd < 0) {
			complain("%s: export: %s", path, strerror(-opts->engine.model_fd));
			goto out;
		}
	}
	for (i = 0; i < opts->round_count; i++) {
		/* Fresh for each round: pages that were used are given back. */
		clients = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (clients == MAP_FAILED) {
			complain("shared memory: %s", strerror(errno));
			goto out;
		}
		if (!run_clients(&file, opts, clients, opts->rounds[i], opts->table && !i)) {
			munmap(clients, bytes);
			goto out;
		}
		results[i] = summarise(clients, opts->rounds[i]);
		munmap(clients, bytes);
	}
	if (opts->json) {
		print_results_json(&file, opts, results, opts->round_count);
	} else {
		print_governor(NULL);
		print_results(results, opts->round_count);
	}
	status = STATUS_OK;
out:
	if (opts->engine.model_fd > 0)
		close(opts->engine.model_fd);
	engine_close(owner);
	model_file_close(&file);
	return status;
}

static bool parse_rounds(const char *arg, struct bench_opts *opts)
{
	float v[MAX_ROUNDS];
	unsigned int n = parse_floats("--clients", arg, v, MAX_ROUNDS), i;

	for (i = 0; i < n; i++) {
		if (v[i] < 1 || v[i] > MAX_CLIENTS || v[i] != (float)(uint32_t)v[i]) {
			complain("--clients: numbers from 1 to %d", MAX_CLIENTS);
			return false;
		}
		opts->rounds[i] = (uint32_t)v[i];
	}
	opts->round_count = n;
	return n;
}

int cmd_bench(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "clients", required_argument, NULL, 'c' },
		{ "queue", required_argument, NULL, 'q' },
		{ "share", no_argument, NULL, 's' },
		{ "against", required_argument, NULL, 'a' },
		{ "time", required_argument, NULL, 't' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "profile", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		ENGINE_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct bench_opts opts = {
		.engine = { .priority = 1, .timeout_ms = 60000, .depth = 1, .profile = true },
		.rounds = { 1 },
		.round_count = 1,
		.seconds = 3,
		.warmup = 0.5,
	};
	bool ok = true;
	int opt;

	while (ok && (opt = getopt_long(argc, argv, "hc:q:sa:t:w:pj", options, NULL)) != -1) {
		switch (opt) {
		case 'h':
			fputs(help, stdout);
			return STATUS_OK;
		case 'c':
			ok = parse_rounds(optarg, &opts);
			break;
		case 'q':
			ok = parse_u32("--queue", optarg, 1, ENGINE_MAX_DEPTH, &opts.engine.depth);
			break;
		case 's':
			opts.share = true;
			break;
		case 'a':
			opts.against = optarg;
			break;
		case 't':
			ok = parse_seconds("--time", optarg, &opts.seconds);
			break;
		case 'w':
			ok = parse_seconds("--warmup", optarg, &opts.warmup);
			break;
		case 'p':
			opts.table = true;
			break;
		case 'j':
			opts.json = true;
			break;
		default:
			ok = engine_option(opt, optarg, &opts.engine) == 1;
		}
	}
	if (!ok)
		return STATUS_USAGE;
	if (argc - optind != 1) {
		complain("bench: needs one MODEL; patcnn bench --help");
		return STATUS_USAGE;
	}
	if (opts.share && opts.engine.host) {
		complain("--share: the host has no models to share");
		return STATUS_USAGE;
	}
	if (opts.against && (opts.share || opts.table || opts.round_count > 1 ||
			     opts.rounds[0] > 1 || opts.engine.depth > 1)) {
		complain("--against: one client with one job at a time, without a table");
		return STATUS_USAGE;
	}
	if (opts.against)
		return bench_pair(argv[optind], opts.against, &opts.engine, opts.seconds,
				  opts.json) ? STATUS_OK : STATUS_FAILED;
	return bench(argv[optind], &opts);
}
