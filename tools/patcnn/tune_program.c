// SPDX-License-Identifier: MIT
/* The TUNING section of a program. See tune.h. */

#include <stdlib.h>
#include <string.h>

#include "tune.h"
#include "util.h"

static uint64_t up(uint64_t x, uint64_t unit)
{
	return (x + unit - 1) / unit * unit;
}

void *tune_store(const void *blob, size_t size, const struct patcnn_tuning *entries,
		 uint32_t count, size_t *stored)
{
	const struct patcnn_program_header *old = blob;
	const struct patcnn_section *from = (const struct patcnn_section *)(old + 1);
	struct patcnn_program_header *h;
	struct patcnn_section *to;
	uint64_t first = size, start, end;
	uint32_t i, n = 0;
	char *copy;

	for (i = 0; i < old->section_count; i++)
		if (from[i].offset < first)
			first = from[i].offset;
	/* What lies at multiples of 64 stays there. */
	first &= ~(uint64_t)63;
	start = up(sizeof(*h) + (old->section_count + 1) * sizeof(*to), 64);
	end = up(start + size - first, 64);
	*stored = end + count * sizeof(*entries);
	copy = aligned_alloc(64, up(*stored, 64));
	if (!copy) {
		complain("no memory for %s", show_bytes(*stored));
		exit(1);
	}
	memset(copy, 0, start);
	memcpy(copy + start, (const char *)blob + first, size - first);
	memset(copy + start + size - first, 0, end - start - (size - first));
	if (count)
		memcpy(copy + end, entries, count * sizeof(*entries));
	h = (struct patcnn_program_header *)copy;
	to = (struct patcnn_section *)(h + 1);
	*h = *old;
	for (i = 0; i < old->section_count; i++) {
		if (from[i].type == PATCNN_SECTION_TUNING)
			continue;
		to[n] = from[i];
		to[n++].offset += start - first;
	}
	if (count)
		to[n++] = (struct patcnn_section){ PATCNN_SECTION_TUNING, sizeof(*entries), end,
						   count };
	h->section_count = n;
	h->size = *stored;
	return copy;
}
