// SPDX-License-Identifier: MIT
/*
 * What was measured before: ${XDG_CACHE_HOME:-~/.cache}/patcnn/tune, a line for each
 * operator or chain of operators that has its shape, on a CPU of its kind:
 *
 *	KEY RATIO ALGORITHM ROWS VECTORS BLOCK BAND
 *
 * The key covers CPU, instruction set, workers, where it ran, the operator's geometry, and
 * what kernels there were. A file that cannot be read or written is not an error.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tune.h"
#include "util.h"

struct line {
	uint64_t key;
	double ratio;
	struct patcnn_tuning t;
};

static bool cache_path(char *path, size_t size, bool make)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (base && *base)
		n = snprintf(path, size, "%s/patcnn", base);
	else if (home && *home)
		n = snprintf(path, size, "%s/.cache/patcnn", home);
	else
		return false;
	if (n < 0 || (size_t)n + 6 > size)
		return false;
	if (make) {
		char *end;

		for (end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
			*end = '\0';
			mkdir(path, 0755);
			*end = '/';
		}
		mkdir(path, 0755);
	}
	memcpy(path + n, "/tune", 6);
	return true;
}

static bool parse(const char *s, struct line *l)
{
	unsigned int a, r, v, block, band;

	if (sscanf(s, "%" SCNx64 " %lf %u %u %u %u %u", &l->key, &l->ratio, &a, &r, &v, &block,
		   &band) != 7 || a > 255 || r > 255 || v > 255 || block > 65535 || band > 65535)
		return false;
	l->t = (struct patcnn_tuning){ .algorithm = (uint8_t)a, .tile_rows = (uint8_t)r,
				       .tile_vectors = (uint8_t)v, .block = (uint16_t)block,
				       .band_rows = (uint16_t)band };
	return true;
}

static uint64_t chain_key(const struct tuner *t, uint32_t op, uint32_t length)
{
	uint64_t key = 0x9e3779b97f4a7c15ULL + length;

	while (length-- && op != TUNE_NONE) {
		key = (key ^ t->layers[op].key) * 0x100000001b3ULL;
		key ^= key >> 31;
		op = t->layers[op].prev;
	}
	return key;
}

static void take(struct tuner *t, uint32_t op, const struct line *l)
{
	struct tune_layer *layer = &t->layers[op];
	uint32_t length;

	if (l->key == layer->key) {
		layer->best.algorithm = l->t.algorithm;
		layer->best.tile_rows = l->t.tile_rows;
		layer->best.tile_vectors = l->t.tile_vectors;
		layer->best.block = l->t.block;
		layer->best.band_rows = l->t.band_rows;
		layer->ratio = l->ratio;
		layer->cached = true;
	}
	for (length = 2; length <= TUNE_CHAIN && length <= layer->depth + 1; length++)
		if (l->key == chain_key(t, op, length))
			layer->chain[length] = l->ratio;
}

void tune_cache_read(struct tuner *t)
{
	char path[512], text[200];
	struct line l;
	uint32_t i;
	FILE *f;

	if (t->opts->no_cache || !cache_path(path, sizeof(path), false))
		return;
	f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(text, sizeof(text), f))
		if (parse(text, &l) && l.ratio > 0 && l.ratio < 1000)
			for (i = 0; i < t->count; i++)
				take(t, i, &l);
	fclose(f);
}

bool tune_cached(const struct tuner *t)
{
	uint32_t i, n;

	for (i = 0; i < t->count; i++) {
		if (t->layers[i].cached)
			return true;
		for (n = 2; n <= TUNE_CHAIN; n++)
			if (t->layers[i].chain[n] > 0)
				return true;
	}
	return false;
}

static void write_line(FILE *f, uint64_t key, double ratio, const struct patcnn_tuning *b)
{
	fprintf(f, "%016" PRIx64 " %.3f %u %u %u %u %u\n", key, ratio, b->algorithm, b->tile_rows,
		b->tile_vectors, b->block, b->band_rows);
}

/* The last line of a key counts: new ones are added behind the old. */
void tune_cache_write(const struct tuner *t)
{
	const struct patcnn_tuning none = { 0 };
	char path[512];
	uint32_t i, n;
	FILE *f;

	if (t->opts->no_cache || !cache_path(path, sizeof(path), true))
		return;
	f = fopen(path, "a");
	if (!f) {
		complain("%s: %s; measured choices are not kept", path, strerror(errno));
		return;
	}
	for (i = 0; i < t->count; i++) {
		const struct tune_layer *l = &t->layers[i];

		if (l->tried && !l->cached && !l->incomplete)
			write_line(f, l->key, l->ratio, &l->best);
		for (n = 2; n <= TUNE_CHAIN; n++)
			if (l->chain[n] > 0)
				write_line(f, chain_key(t, i, n), l->chain[n], &none);
	}
	fclose(f);
}
