// SPDX-License-Identifier: MIT
/*
 * IDX, the format of the MNIST data set: two zero bytes, the element type (8:
 * unsigned byte), the number of dimensions, each dimension as a big-endian
 * 32-bit number, the elements.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "idx.h"
#include "util.h"

static const uint8_t *idx_parse(const char *path, const uint8_t *file, size_t size,
				uint32_t *dims, unsigned int rank_max, unsigned int *rank)
{
	uint64_t bytes = 1;
	unsigned int i;
	size_t head;

	if (size < 4 || file[0] || file[1]) {
		complain("%s: not an IDX file", path);
		return NULL;
	}
	*rank = file[3];
	head = 4 + 4 * (size_t)*rank;
	if (file[2] != 8 || !*rank || *rank > rank_max || size < head) {
		complain("%s: IDX: only bytes in at most %u dimensions are supported here", path,
			 rank_max);
		return NULL;
	}
	for (i = 0; i < *rank; i++) {
		const uint8_t *d = file + 4 + 4 * (size_t)i;

		dims[i] = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
		if (!dims[i] || __builtin_mul_overflow(bytes, dims[i], &bytes))
			bytes = UINT64_MAX;
	}
	if (bytes != size - head) {
		complain("%s: IDX: %zu bytes of data do not fit the dimensions", path, size - head);
		return NULL;
	}
	return file + head;
}

bool dataset_load(struct dataset *set, const char *images, const char *labels)
{
	uint32_t dims[4];
	unsigned int rank;
	size_t size;

	*set = (struct dataset){ 0 };
	set->image_file = read_file(images, &size);
	if (!set->image_file)
		return false;
	set->pixels = idx_parse(images, set->image_file, size, dims, 4, &rank);
	if (!set->pixels)
		goto fail;
	if (rank < 3 || (rank == 4 && dims[3] != 1 && dims[3] != 3)) {
		complain("%s: not images: needs the dimensions count, height, width (and 3)", images);
		goto fail;
	}
	set->count = dims[0];
	set->height = dims[1];
	set->width = dims[2];
	set->channels = rank == 4 ? dims[3] : 1;

	if (!labels)
		return true;
	set->label_file = read_file(labels, &size);
	if (!set->label_file)
		goto fail;
	set->labels = idx_parse(labels, set->label_file, size, dims, 1, &rank);
	if (!set->labels)
		goto fail;
	if (dims[0] != set->count) {
		complain("%s: %u labels for the %u images of %s", labels, dims[0], set->count, images);
		goto fail;
	}
	return true;
fail:
	dataset_free(set);
	return false;
}

void dataset_free(struct dataset *set)
{
	free(set->image_file);
	free(set->label_file);
	*set = (struct dataset){ 0 };
}

struct image dataset_image(const struct dataset *set, uint32_t i)
{
	size_t bytes = (size_t)set->width * set->height * set->channels;

	return (struct image){
		.width = set->width,
		.height = set->height,
		.channels = set->channels,
		.data = (uint8_t *)set->pixels + i * bytes,
	};
}

/* Numbers, and lines of comment, up to the end of the NUL-terminated @file. */
static uint32_t *parse_predictions(const char *path, char *file, size_t size, uint32_t count)
{
	uint32_t *list = xcalloc(count, sizeof(*list)), n = 0;
	unsigned long v;
	char *p;

	for (p = file;;) {
		while (isspace((unsigned char)*p))
			p++;
		if (*p == '#') {
			p += strcspn(p, "\n");
			continue;
		}
		if (!isdigit((unsigned char)*p))
			break;
		v = strtoul(p, &p, 10);
		if (v > UINT32_MAX)
			break;
		if (n < count)
			list[n] = (uint32_t)v;
		n++;
	}
	if (p == file + size && n == count)
		return list;
	if (p != file + size)
		complain("%s: not a list of numbers: '%.20s' behind the first %u", path, p, n);
	else
		complain("%s: %u predictions for %u images", path, n, count);
	free(list);
	return NULL;
}

static uint32_t *idx_predictions(const char *path, const uint8_t *file, size_t size, uint32_t count)
{
	const uint8_t *data;
	unsigned int rank;
	uint32_t n, i, *list;

	data = idx_parse(path, file, size, &n, 1, &rank);
	if (!data)
		return NULL;
	if (n != count) {
		complain("%s: %u predictions for %u images", path, n, count);
		return NULL;
	}
	list = xcalloc(count, sizeof(*list));
	for (i = 0; i < count; i++)
		list[i] = data[i];
	return list;
}

uint32_t *predictions_load(const char *path, uint32_t count)
{
	uint32_t *list;
	size_t size;
	char *file;

	file = read_file(path, &size);
	if (!file)
		return NULL;
	if (size >= 4 && !file[0] && !file[1])
		list = idx_predictions(path, (const uint8_t *)file, size, count);
	else
		list = parse_predictions(path, file, size, count);
	free(file);
	return list;
}
