/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_IMAGE_H
#define PATCNN_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/* Pixels of 8 bits, rows without gaps, channels fastest; 1 (grey) or 3 (RGB) channels. */
struct image {
	uint32_t width;
	uint32_t height;
	uint32_t channels;
	uint8_t *data;
};

enum image_fit {
	FIT_STRETCH,	/* both axes by their own factor */
	FIT_CROP,	/* fill the target, cut what stands out */
	FIT_PAD,	/* all of the picture, black around it */
};

/*
 * Decode PNG, JPEG or PNM by its content. Returns 1; 0: none of these formats;
 * -1: broken, complained about with @name.
 */
int image_decode(const char *name, const void *file, size_t size, struct image *img);

/* @src scaled to a @width x @height image with @channels channels. */
void image_fit(const struct image *src, uint32_t width, uint32_t height, uint32_t channels,
	       enum image_fit fit, struct image *dst);

void image_free(struct image *img);

#endif
