/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_ENGINE_H
#define PATCNN_ENGINE_H

/*
 * What runs a model for a command: the device, through libpatcnn, or the
 * compute core in this process (--host). Commands see the memory of inputs and
 * outputs and a function that runs the model once.
 */

#include "file.h"

#define ENGINE_MAX_DEPTH	16

struct engine_opts {
	bool host;
	bool no_fuse;
	bool profile;
	bool cpu_time;		/* host: of one thread, profiles have processor time */
	uint32_t depth;		/* jobs in flight, 1 to ENGINE_MAX_DEPTH; 0 is 1 */
	const char *isa;	/* host: NULL is the best */
	uint32_t threads;	/* host: 0 is one for each CPU */
	const char *device;	/* device: path, or NULL: the first */
	uint32_t priority;	/* device: enum patcnn_priority */
	bool have_cpus;
	uint64_t cpus[4];
	int timeout_ms;
	int model_fd;		/* device: a model exported by another process; 0: load the file */
};

struct engine_step {
	char name[64];
	char algorithm[32];
	const char *kind;
	uint32_t op_first;
	uint32_t op_count;
	uint32_t tiles;
	uint64_t macs_dense;
	uint64_t macs_kept;
};

/* Times of the last job waited for; valid if opened with profile. */
struct engine_profile {
	uint64_t queued_ns;
	uint64_t start_ns;
	uint64_t end_ns;
	const uint64_t *wall_ns;	/* [steps] */
	const uint64_t *busy_ns;	/* [steps][workers] */
};

struct engine {
	const struct model_file *file;
	const struct engine_ops *ops;
	void *io[PAT_MAX_IO];		/* memory of prog.io, of slot 0 */
	uint32_t depth;
	struct engine_step *steps;
	uint32_t step_count;
	uint32_t workers;
	char isa[16];
	char where[64];			/* "/dev/accel/accel0", "host" */
	uint64_t prepared_bytes;
	uint64_t arena_bytes;
	uint64_t scratch_bytes;
	struct engine_profile profile;
};

struct engine_ops {
	/*
	 * A job in slot @slot, less than depth; each slot has buffers of its own.
	 * @ns receives submit to done. 0 or a negative errno.
	 */
	int (*submit)(struct engine *e, uint32_t slot);
	int (*wait)(struct engine *e, uint32_t slot, uint64_t *ns);
	void *(*slot_io)(struct engine *e, uint32_t slot, uint32_t io);
	void (*close)(struct engine *e);
};

/* Complain and return NULL on failure. @file must outlive the engine. */
struct engine *engine_open(const struct model_file *file, const struct engine_opts *opts);

/* Complain and return false on failure. */
bool engine_submit(struct engine *e, uint32_t slot);
bool engine_wait(struct engine *e, uint32_t slot, uint64_t *ns);
bool engine_run(struct engine *e, uint64_t *ns);	/* both, in slot 0 */
void engine_close(struct engine *e);

/* Of a device: a file descriptor for engine_opts.model_fd, or a negative errno. */
int engine_export(struct engine *e);

struct engine *engine_device_open(const struct model_file *file, const struct engine_opts *opts);
struct engine *engine_host_open(const struct model_file *file, const struct engine_opts *opts);

/*
 * The options that choose an engine, for getopt_long(): put ENGINE_OPTIONS into the
 * table and hand what getopt_long() returns to engine_option(). It returns 1 if the
 * option was one of them, 0 if not, -1 if its argument is wrong.
 */
enum {
	OPT_HOST = 0x1000, OPT_ISA, OPT_THREADS, OPT_DEVICE, OPT_PRIORITY, OPT_CPUS, OPT_NO_FUSE,
	OPT_TIMEOUT,
};

#define ENGINE_OPTIONS \
	{ "host", no_argument, NULL, OPT_HOST }, \
	{ "isa", required_argument, NULL, OPT_ISA }, \
	{ "threads", required_argument, NULL, OPT_THREADS }, \
	{ "device", required_argument, NULL, OPT_DEVICE }, \
	{ "priority", required_argument, NULL, OPT_PRIORITY }, \
	{ "cpus", required_argument, NULL, OPT_CPUS }, \
	{ "no-fuse", no_argument, NULL, OPT_NO_FUSE }, \
	{ "timeout", required_argument, NULL, OPT_TIMEOUT }

#define ENGINE_HELP \
	"      --device PATH     node to use (default: the first patcnn device)\n" \
	"      --priority P      low, normal or high (high needs CAP_SYS_NICE)\n" \
	"      --cpus LIST       only these CPUs of the pool, e.g. 0-3,6\n" \
	"      --timeout SECONDS of one job (default: 60)\n" \
	"      --no-fuse         one operator a step\n" \
	"      --host            in this process, without the device\n" \
	"      --isa NAME        with --host: generic, avx2, avx512 or neon\n" \
	"      --threads N       with --host: number of threads\n"

int engine_option(int opt, const char *arg, struct engine_opts *opts);

#endif
