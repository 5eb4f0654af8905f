/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_FEED_H
#define PATCNN_FEED_H

#include "file.h"
#include "image.h"

/* How pixels become the elements of an input tensor. */
struct feed_opts {
	enum image_fit fit;
	bool bgr;		/* the net's first channel is blue */
	/* Float inputs take (value - mean[c]) * scale[c]; one number stands for all channels. */
	unsigned int mean_count;
	unsigned int scale_count;
	float mean[4];
	float scale[4];
};

/* Write @img, scaled to the tensor's size, to @dst. Complains with @name and returns false if it cannot. */
bool feed_image(const char *name, const struct patcnn_tensor *t, const struct feed_opts *opts,
		const struct image *img, void *dst);

/* Write the file @path to @dst: an image, or the raw bytes of the tensor. */
bool feed_file(const char *path, const struct patcnn_tensor *t, const struct feed_opts *opts,
	       void *dst);

#endif
