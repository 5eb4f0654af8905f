// SPDX-License-Identifier: MIT
/*
 * seeds DIRECTORY COUNT: a corpus of random correct programs, and of all the
 * mutations that the validator's test knows.
 */

#include <stdio.h>
#include <stdlib.h>

#include "mutate.h"
#include "spoil.h"

#define MAX_SEED (256u << 10)

static void save(const char *dir, const char *name, const void *data, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	unsigned int n = argc == 3 ? (unsigned int)atoi(argv[2]) : 0;
	uint8_t *buf = aligned_alloc(64, MAX_SEED);
	size_t size;

	if (!n || !buf) {
		fprintf(stderr, "usage: seeds DIRECTORY COUNT\n");
		return 2;
	}
	for (struct spoil *s = spoil_list; s; s = s->next) {
		void *blob = spoil_build(s, &size);

		if (size <= MAX_SEED)
			save(argv[1], s->name, blob, size);
		free(blob);
	}
	for (unsigned int i = 0; i < n; i++) {
		char name[32];

		size = mutate_generate(buf, MAX_SEED, i);
		snprintf(name, sizeof(name), "net%u", i);
		if (size)
			save(argv[1], name, buf, size);
	}
	free(buf);
	return 0;
}
