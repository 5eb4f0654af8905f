// SPDX-License-Identifier: MIT
/*
 * Small pictures in the terminal. With colours an upper half block shows two
 * pixels, one in its foreground, one in its background; without, a pixel is
 * two characters of one of five shades.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "draw.h"
#include "util.h"

#define MAX_WIDTH	32

enum colours { NONE, PALETTE_256, TRUE_COLOUR };

static enum colours terminal_colours(enum draw_colour when)
{
	const char *term = getenv("TERM"), *deep = getenv("COLORTERM");

	if (when == COLOUR_NEVER)
		return NONE;
	if (when == COLOUR_AUTO && (getenv("NO_COLOR") || !isatty(STDOUT_FILENO) || !term ||
				    !strcmp(term, "dumb")))
		return NONE;
	if (deep && (!strcmp(deep, "truecolor") || !strcmp(deep, "24bit")))
		return TRUE_COLOUR;
	return PALETTE_256;
}

static unsigned int terminal_width(void)
{
	struct winsize ws;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col;
	return 80;
}

static void pixel(const struct image *img, uint32_t x, uint32_t y, unsigned int rgb[3])
{
	const uint8_t *p = img->data + ((size_t)y * img->width + x) * img->channels;
	int i;

	for (i = 0; i < 3; i++)
		rgb[i] = y < img->height ? p[img->channels == 3 ? i : 0] : 0;
}

static void set_colour(enum colours colours, int sgr, const unsigned int rgb[3])
{
	unsigned int n;

	if (colours == TRUE_COLOUR) {
		printf("\033[%d;2;%u;%u;%um", sgr, rgb[0], rgb[1], rgb[2]);
		return;
	}
	if (rgb[0] == rgb[1] && rgb[1] == rgb[2]) {
		/* 24 greys from 8 to 238 between the cube's black and white */
		n = rgb[0] < 4 ? 16 : rgb[0] > 246 ? 231 : 232 + (rgb[0] - 3) * 23 / 243;
	} else {
		n = 16 + 36 * ((rgb[0] * 5 + 127) / 255) + 6 * ((rgb[1] * 5 + 127) / 255) +
		    (rgb[2] * 5 + 127) / 255;
	}
	printf("\033[%d;5;%um", sgr, n);
}

static void draw_line(const struct image *img, uint32_t y, enum colours colours)
{
	static const char *const shades[] = { " ", "░", "▒", "▓", "█" };
	unsigned int rgb[3], grey;
	uint32_t x;

	for (x = 0; x < img->width; x++) {
		pixel(img, x, y, rgb);
		if (colours == NONE) {
			grey = (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]) / 1000;
			grey = (grey * 4 + 127) / 255;
			printf("%s%s", shades[grey], shades[grey]);
			continue;
		}
		set_colour(colours, 38, rgb);
		if (y + 1 < img->height)
			pixel(img, x, y + 1, rgb);
		else
			rgb[0] = rgb[1] = rgb[2] = 0;
		set_colour(colours, 48, rgb);
		fputs("▀", stdout);
	}
	if (colours != NONE)
		fputs("\033[0m", stdout);
}

static void draw_caption(const struct picture *pic, unsigned int columns, enum colours colours)
{
	const char *s = pic->caption;
	unsigned int n = 0;

	if (colours != NONE && pic->mark)
		printf("\033[%sm", pic->mark);
	for (; *s; s++) {
		if ((*s & 0xc0) != 0x80 && n++ == columns)
			break;
		putchar(*s);
	}
	if (colours != NONE && pic->mark)
		fputs("\033[0m", stdout);
	for (; n < columns; n++)
		putchar(' ');
}

static void draw_row(const struct picture *pictures, unsigned int count, unsigned int columns,
		     enum colours colours)
{
	uint32_t y, step = colours == NONE ? 1 : 2;
	unsigned int i;

	for (y = 0; y < pictures[0].image.height; y += step) {
		for (i = 0; i < count; i++) {
			draw_line(&pictures[i].image, y, colours);
			fputs(i + 1 < count ? "  " : "\n", stdout);
		}
	}
	for (i = 0; i < count; i++) {
		draw_caption(&pictures[i], columns, colours);
		fputs(i + 1 < count ? "  " : "\n", stdout);
	}
}

void draw_pictures(const struct picture *pictures, unsigned int count, enum draw_colour when)
{
	enum colours colours = terminal_colours(when);
	struct picture *small;
	unsigned int columns, per_row, i, n;

	if (!count)
		return;
	small = xcalloc(count, sizeof(*small));
	for (i = 0; i < count; i++) {
		const struct image *img = &pictures[i].image;
		uint32_t w = img->width < MAX_WIDTH ? img->width : MAX_WIDTH;
		uint32_t h = (uint32_t)((uint64_t)img->height * w / img->width);

		small[i] = pictures[i];
		image_fit(img, w, h ? h : 1, img->channels, FIT_STRETCH, &small[i].image);
	}
	columns = small[0].image.width * (colours == NONE ? 2 : 1);
	per_row = (terminal_width() + 2) / (columns + 2);
	per_row = per_row ? per_row : 1;
	for (i = 0; i < count; i += n) {
		n = count - i < per_row ? count - i : per_row;
		draw_row(small + i, n, columns, colours);
		if (i + n < count)
			putchar('\n');
	}
	for (i = 0; i < count; i++)
		image_free(&small[i].image);
	free(small);
}
