/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_INFO_H
#define PATCNN_INFO_H

#include "report.h"

struct info_opts {
	bool json;
	bool no_fuse;
	const char *isa;
	uint32_t threads;
};

/* Print what is in the program file @path; the exit status. */
int info_program(const char *path, const struct info_opts *opts);

#endif
