/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_IDX_H
#define PATCNN_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

/* A data set: images of one size, the class of each, and what is expected to be predicted. */
struct dataset {
	uint32_t count;
	uint32_t width;
	uint32_t height;
	uint32_t channels;
	const uint8_t *pixels;		/* [count][height][width][channels] */
	const uint8_t *labels;		/* [count] or NULL */
	void *image_file;
	void *label_file;
};

/* IDX files of bytes: images [n][h][w] or [n][h][w][3], labels [n]; @labels may be NULL. */
bool dataset_load(struct dataset *set, const char *images, const char *labels);
void dataset_free(struct dataset *set);

/* The @i-th image; points into the data set. */
struct image dataset_image(const struct dataset *set, uint32_t i);

/*
 * Predicted classes, an IDX file of bytes or text with one number a line (# starts a
 * comment line): exactly @count, or complain and return NULL.
 */
uint32_t *predictions_load(const char *path, uint32_t count);

#endif
