/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_RUN_H
#define PATCNN_RUN_H

#include "draw.h"
#include "engine.h"
#include "feed.h"

/* The options of `patcnn run`. */
struct run_opts {
	struct engine_opts engine;
	struct feed_opts feed;
	const char *labels;
	const char *raw;
	uint32_t top_k;
	uint32_t repeat;
	uint32_t warmup;
	bool json;
	/* the data set mode */
	const char *dataset;
	const char *labels_idx;
	const char *expect;
	const char *compare;
	const char *compare_expect;
	uint32_t show;
	enum draw_colour colour;
};

/* The data set mode; returns the exit status. */
int run_dataset(const char *model, const struct run_opts *opts);

#endif
