/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_CMD_H
#define PATCNN_CMD_H

/* The sub-commands. argv[0] is the command's name; the result is the exit status. */

enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
};

int cmd_bench(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_prune(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
