/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_BENCH_H
#define PATCNN_BENCH_H

#include "engine.h"

/* Values without denormals into the inputs of all slots; what they are does not change the time. */
void bench_fill_inputs(struct engine *e);

/* Times of the program at @path and of that at @against in turn. Complains on failure. */
bool bench_pair(const char *path, const char *against, struct engine_opts *opts, double seconds,
		bool json);

#endif
