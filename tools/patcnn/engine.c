// SPDX-License-Identifier: MIT
/* The choice of what runs a model, and the options for it. */

#include <stdlib.h>
#include <string.h>

#include <patcnn.h>

#include "engine.h"
#include "util.h"

struct engine *engine_open(const struct model_file *file, const struct engine_opts *opts)
{
	return opts->host ? engine_host_open(file, opts) : engine_device_open(file, opts);
}

static bool check(const struct engine *e, int ret)
{
	if (ret)
		complain("%s: %s: job failed: %s", e->file->path, e->where, strerror(-ret));
	return !ret;
}

bool engine_submit(struct engine *e, uint32_t slot)
{
	return check(e, e->ops->submit(e, slot));
}

bool engine_wait(struct engine *e, uint32_t slot, uint64_t *ns)
{
	return check(e, e->ops->wait(e, slot, ns));
}

bool engine_run(struct engine *e, uint64_t *ns)
{
	return engine_submit(e, 0) && engine_wait(e, 0, ns);
}

void engine_close(struct engine *e)
{
	if (e)
		e->ops->close(e);
}

static bool parse_priority(const char *s, uint32_t *priority)
{
	static const char *const names[] = { "low", "normal", "high" };
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(s, names[i])) {
			*priority = i;
			return true;
		}
	}
	complain("--priority: '%s' is not low, normal or high", s);
	return false;
}

int engine_option(int opt, const char *arg, struct engine_opts *opts)
{
	double seconds;

	switch (opt) {
	case OPT_HOST:
		opts->host = true;
		return 1;
	case OPT_NO_FUSE:
		opts->no_fuse = true;
		return 1;
	case OPT_ISA:
		opts->isa = arg;
		return 1;
	case OPT_THREADS:
		return parse_u32("--threads", arg, 1, 256, &opts->threads) ? 1 : -1;
	case OPT_DEVICE:
		opts->device = arg;
		return 1;
	case OPT_PRIORITY:
		return parse_priority(arg, &opts->priority) ? 1 : -1;
	case OPT_CPUS:
		opts->have_cpus = true;
		return parse_cpus(arg, opts->cpus) ? 1 : -1;
	case OPT_TIMEOUT:
		if (!parse_seconds("--timeout", arg, &seconds))
			return -1;
		opts->timeout_ms = (int)(seconds * 1000);
		return 1;
	default:
		return 0;
	}
}
