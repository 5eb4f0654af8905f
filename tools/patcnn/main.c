// SPDX-License-Identifier: MIT
/* The patcnn command: finds the sub-command and hands over. */

#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "util.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "compile", cmd_compile, "ONNX model to program" },
	{ "prune", cmd_prune, "one-shot pruning of an ONNX model" },
	{ "verify", cmd_verify, "every layer of a program against onnxruntime" },
	{ "run", cmd_run, "run a program on images, raw tensors or a data set" },
	{ "info", cmd_info, "what is in a program, or what a device is" },
	{ "bench", cmd_bench, "latency and throughput, one or many clients" },
	{ "top", cmd_top, "who uses the device, live" },
};

static void usage(FILE *out)
{
	size_t i;

	fputs("usage: patcnn COMMAND [ARGUMENTS]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\npatcnn COMMAND --help explains a command. patcnn --version.\n", out);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		usage(stderr);
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return STATUS_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("patcnn " PATCNN_VERSION);
		return STATUS_OK;
	}
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	complain("no command '%s'; patcnn --help lists them", argv[1]);
	return STATUS_USAGE;
}
