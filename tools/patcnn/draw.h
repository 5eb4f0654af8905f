/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_DRAW_H
#define PATCNN_DRAW_H

#include "image.h"

struct picture {
	struct image image;
	const char *caption;	/* UTF-8, one line */
	const char *mark;	/* SGR colour of the caption, e.g. "31", or NULL */
};

enum draw_colour {
	COLOUR_AUTO,	/* if stdout is a terminal that has colours */
	COLOUR_ALWAYS,
	COLOUR_NEVER,
};

/* Draw @count pictures of one size on stdout, as many in a row as fit. */
void draw_pictures(const struct picture *pictures, unsigned int count, enum draw_colour when);

#endif
