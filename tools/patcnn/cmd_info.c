// SPDX-License-Identifier: MIT
/*
 * patcnn info: a program (tensors, layers, what storage and plan make of them), or
 * a device.
 */

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <patcnn.h>

#include "cmd.h"
#include "info.h"
#include "util.h"

static const char help[] =
	"usage: patcnn info [FILE|DEVICE]... [OPTIONS]\n"
	"\n"
	"What is in a program file, or what a device is. Without an argument: every device.\n"
	"\n"
	"  -j, --json            JSON instead of text\n"
	"      --isa NAME        plan for generic, avx2, avx512 or neon (default: this CPU)\n"
	"      --threads N       plan for so many workers (default: one for each CPU)\n"
	"      --no-fuse         plan with one operator a step\n";

static cJSON *json_device(const char *path, const struct patcnn_device_info *info,
			  const char *cpus)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "device", path);
	cJSON_AddStringToObject(o, "isa", info->isa);
	cJSON_AddNumberToObject(o, "driver_major", info->driver_major);
	cJSON_AddNumberToObject(o, "driver_minor", info->driver_minor);
	cJSON_AddNumberToObject(o, "program_version_major", info->program_version >> 16);
	cJSON_AddNumberToObject(o, "program_version_minor", info->program_version & 0xffff);
	cJSON_AddNumberToObject(o, "cpus", info->cpus);
	cJSON_AddStringToObject(o, "cpu_list", cpus);
	cJSON_AddNumberToObject(o, "max_buffer_bytes", (double)info->max_buffer_size);
	cJSON_AddNumberToObject(o, "max_program_bytes", (double)info->max_model_size);
	cJSON_AddNumberToObject(o, "max_models", info->max_models);
	cJSON_AddNumberToObject(o, "max_contexts", info->max_contexts);
	cJSON_AddNumberToObject(o, "max_queued", info->max_queued);
	cJSON_AddNumberToObject(o, "slice_us", info->slice_us);
	cJSON_AddNumberToObject(o, "timeout_ms", info->timeout_ms);
	return o;
}

static int info_device(const char *path, const struct info_opts *opts)
{
	struct patcnn_device_info info;
	struct patcnn_device *dev;
	char cpus[256];
	int ret;

	ret = patcnn_device_open(path, &dev);
	if (!ret) {
		ret = patcnn_device_get_info(dev, &info);
		patcnn_device_close(dev);
	}
	if (ret) {
		complain("%s: %s", path, strerror(-ret));
		return STATUS_FAILED;
	}
	print_cpus(info.cpu_mask, cpus, sizeof(cpus));
	if (opts->json) {
		print_json(json_device(path, &info, cpus));
		return STATUS_OK;
	}
	printf("%s: patcnn driver %u.%u, programs up to version %u.%u\n", path, info.driver_major,
	       info.driver_minor, info.program_version >> 16, info.program_version & 0xffff);
	printf("  kernels            %s\n", info.isa);
	printf("  CPUs in the pool   %u (%s)\n", info.cpus, cpus);
	printf("  slice, watchdog    %u µs, %u ms\n", info.slice_us, info.timeout_ms);
	printf("  largest buffer     %s\n", show_bytes(info.max_buffer_size));
	printf("  largest program    %s\n", show_bytes(info.max_model_size));
	printf("  for each client    %u models, %u contexts of %u queued jobs\n", info.max_models,
	       info.max_contexts, info.max_queued);
	return STATUS_OK;
}

static int info_all_devices(const struct info_opts *opts)
{
	int status = STATUS_OK, found = 0;
	char path[64];

	while (!patcnn_device_path((unsigned int)found, path, sizeof(path))) {
		if (info_device(path, opts) != STATUS_OK)
			status = STATUS_FAILED;
		found++;
	}
	if (found)
		return status;
	complain("no patcnn device: is the module loaded (modprobe patcnn)?");
	return STATUS_FAILED;
}

int cmd_info(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "isa", required_argument, NULL, 'i' },
		{ "threads", required_argument, NULL, 't' },
		{ "no-fuse", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct info_opts opts = { 0 };
	int opt, status = STATUS_OK;
	struct stat st;

	while ((opt = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
		switch (opt) {
		case 'h':
			fputs(help, stdout);
			return STATUS_OK;
		case 'j':
			opts.json = true;
			break;
		case 'i':
			opts.isa = optarg;
			break;
		case 'f':
			opts.no_fuse = true;
			break;
		case 't':
			if (parse_u32("--threads", optarg, 1, 256, &opts.threads))
				break;
			return STATUS_USAGE;
		default:
			return STATUS_USAGE;
		}
	}
	if (optind == argc)
		return info_all_devices(&opts);
	for (; optind < argc; optind++) {
		const char *path = argv[optind];
		int ret = !stat(path, &st) && S_ISCHR(st.st_mode) ? info_device(path, &opts) :
			  info_program(path, &opts);

		status = ret != STATUS_OK ? ret : status;
	}
	return status;
}
