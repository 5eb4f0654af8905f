// SPDX-License-Identifier: MIT
/*
 * patcnn top: who uses the device. The driver tells in /proc/PID/fdinfo, in DRM's
 * usual keys, how long workers computed for a client and how much memory it has;
 * two readings give its share. Sees the processes that the user may look into.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "util.h"

static const char help[] =
	"usage: patcnn top [OPTIONS]\n"
	"\n"
	"Show who uses the device: CPUs kept busy for each client, and its memory.\n"
	"\n"
	"  -i, --interval S      seconds between two readings (default: 1)\n"
	"  -n, --count N         stop after N tables (default: run until interrupted)\n";

struct client {
	uint64_t id;
	unsigned long pid;
	char command[32];
	uint64_t engine_ns;
	uint64_t memory;
	uint64_t jobs;
	/* since the last reading: */
	double cpus;	/* workers busy for it on average */
	double rate;	/* jobs a second */
};

struct reading {
	struct client *clients;
	size_t count;
	uint64_t time_ns;
};

/* One fdinfo file; false if it is not a client of the driver. */
static bool read_fdinfo(int dir, const char *name, struct client *c)
{
	char line[256], key[128], unit[16];
	unsigned long long v;
	uint64_t total = 0;
	bool ours = false;
	FILE *f;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "re");
	if (!f) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "drm-driver:", 11))
			ours = strstr(line + 11, "patcnn");
		unit[0] = '\0';
		if (sscanf(line, "%127[^:]: %llu %15s", key, &v, unit) < 2)
			continue;
		if (!strcmp(unit, "KiB"))
			v <<= 10;
		else if (!strcmp(unit, "MiB"))
			v <<= 20;
		if (!strcmp(key, "drm-client-id"))
			c->id = v;
		else if (!strcmp(key, "patcnn-jobs"))
			c->jobs = v;
		else if (!strncmp(key, "drm-engine-", 11) && strncmp(key, "drm-engine-capacity-", 20) != 0)
			c->engine_ns += v;
		else if (!strncmp(key, "drm-total-", 10))
			total += v;
		else if (!strncmp(key, "drm-memory-", 11))
			c->memory += v;
	}
	/* Both are there for the tools of two generations, and say the same. */
	if (total)
		c->memory = total;
	fclose(f);
	return ours;
}

static void add_client(struct reading *r, const struct client *c)
{
	size_t i;

	/* Duplicates of a descriptor are one client. */
	for (i = 0; i < r->count; i++)
		if (r->clients[i].id == c->id)
			return;
	r->clients = reallocarray(r->clients, r->count + 1, sizeof(*r->clients));
	if (!r->clients) {
		complain("out of memory");
		exit(STATUS_FAILED);
	}
	r->clients[r->count++] = *c;
}

static void read_command(const char *pid, char *command, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(command, (int)size, f))
		snprintf(command, size, "?");
	command[strcspn(command, "\n")] = '\0';
	if (f)
		fclose(f);
}

static void read_process(const char *pid, struct reading *r)
{
	const struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		struct client c = { .pid = strtoul(pid, NULL, 10) };

		if (entry->d_name[0] == '.' || !read_fdinfo(dirfd(dir), entry->d_name, &c))
			continue;
		read_command(pid, c.command, sizeof(c.command));
		add_client(r, &c);
	}
	closedir(dir);
}

static bool take_reading(struct reading *r)
{
	const struct dirent *entry;
	DIR *proc;

	*r = (struct reading){ .time_ns = now_ns() };
	proc = opendir("/proc");
	if (!proc) {
		complain("/proc: %s", strerror(errno));
		return false;
	}
	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			read_process(entry->d_name, r);
	closedir(proc);
	return true;
}

static void compute_shares(struct reading *now, const struct reading *last)
{
	double elapsed = (double)(now->time_ns - last->time_ns);
	size_t i, j;

	for (i = 0; i < now->count; i++) {
		struct client *c = &now->clients[i];

		for (j = 0; j < last->count; j++) {
			const struct client *then = &last->clients[j];

			if (then->id != c->id || c->engine_ns < then->engine_ns)
				continue;
			c->cpus = (double)(c->engine_ns - then->engine_ns) / elapsed;
			c->rate = (double)(c->jobs - then->jobs) * 1e9 / elapsed;
		}
	}
}

static int busiest_first(const void *a, const void *b)
{
	const struct client *x = a, *y = b;

	if (x->cpus != y->cpus)
		return x->cpus < y->cpus ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

static void print_reading(struct reading *r)
{
	double cpus = 0;
	size_t i;

	if (r->count)
		qsort(r->clients, r->count, sizeof(*r->clients), busiest_first);
	for (i = 0; i < r->count; i++)
		cpus += r->clients[i].cpus;
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	printf("%zu client%s, %.2f CPUs busy\n", r->count, r->count == 1 ? "" : "s", cpus);
	printf("%8s %8s %6s %12s %9s %12s  %s\n", "PID", "client", "CPUs", "CPU time", "jobs/s",
	       "memory", "command");
	for (i = 0; i < r->count; i++) {
		const struct client *c = &r->clients[i];

		printf("%8lu %8llu %6.2f %10.2f s %9.1f %12s  %s\n", c->pid,
		       (unsigned long long)c->id, c->cpus, (double)c->engine_ns / 1e9, c->rate,
		       show_bytes(c->memory), c->command);
	}
	fflush(stdout);
}

static int top(double interval, uint32_t count)
{
	struct timespec pause = {
		.tv_sec = (time_t)interval,
		.tv_nsec = (long)((interval - (double)(time_t)interval) * 1e9),
	};
	struct reading last, now;
	bool forever = !count;

	if (!take_reading(&last))
		return STATUS_FAILED;
	while (forever || count--) {
		nanosleep(&pause, NULL);
		if (!take_reading(&now)) {
			free(last.clients);
			return STATUS_FAILED;
		}
		compute_shares(&now, &last);
		print_reading(&now);
		free(last.clients);
		last = now;
	}
	free(last.clients);
	return STATUS_OK;
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	double interval = 1;
	uint32_t count = 0;
	bool ok = true;
	int opt;

	while (ok && (opt = getopt_long(argc, argv, "hi:n:", options, NULL)) != -1) {
		switch (opt) {
		case 'h':
			fputs(help, stdout);
			return STATUS_OK;
		case 'i':
			ok = parse_seconds("--interval", optarg, &interval);
			break;
		case 'n':
			ok = parse_u32("--count", optarg, 1, 1000000, &count);
			break;
		default:
			ok = false;
		}
	}
	if (!ok)
		return STATUS_USAGE;
	if (optind != argc) {
		complain("top: takes no argument; patcnn top --help");
		return STATUS_USAGE;
	}
	return top(interval, count);
}
