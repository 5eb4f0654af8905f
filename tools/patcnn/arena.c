// SPDX-License-Identifier: MIT
/* Memory of one compile: chained blocks, released together. See arena.h. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define BLOCK_BYTES	(256U << 10)
#define LARGE_BYTES	4096U

struct arena_block {
	struct arena_block *next;
	void *mem;
	size_t size;
	size_t used;
};

void arena_init(struct arena *a, size_t limit)
{
	a->blocks = NULL;
	a->used = 0;
	a->limit = limit;
	a->message[0] = '\0';
}

void arena_release(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b->mem);
		free(b);
	}
	a->used = 0;
}

void arena_fail(struct arena *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(a->message, sizeof(a->message), fmt, args);
	va_end(args);
	longjmp(a->fail, 1);
}

static struct arena_block *add_block(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size > a->limit || a->used > a->limit - size)
		arena_fail(a, "the model needs more than %zu MiB of memory to compile",
			   a->limit >> 20);
	b = calloc(1, sizeof(*b));
	/* calloc() gets large blocks as untouched pages: zeroing costs nothing. */
	if (b)
		b->mem = calloc(1, size + 63);
	if (!b || !b->mem) {
		free(b);
		arena_fail(a, "out of memory");
	}
	b->size = size;
	b->next = a->blocks;
	a->blocks = b;
	a->used += size;
	return b;
}

static unsigned char *block_base(const struct arena_block *b)
{
	unsigned char *mem = b->mem;

	return mem + (-(uintptr_t)mem & 63);
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->blocks;
	unsigned char *p;

	if (size >= LARGE_BYTES) {
		struct arena_block *head = a->blocks;

		b = add_block(a, size);
		b->used = size;
		/* Keep the block that small allocations are taken from in front. */
		if (head) {
			a->blocks = head;
			b->next = head->next;
			head->next = b;
		}
		return block_base(b);
	}
	size = (size + 15) & ~(size_t)15;
	if (!size)
		size = 16;
	if (!b || b->size - b->used < size)
		b = add_block(a, BLOCK_BYTES);
	p = block_base(b) + b->used;
	b->used += size;
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		arena_fail(a, "a size of the model overflows");
	return arena_alloc(a, count * size);
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(arena_alloc(a, n), s, n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *s;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	s = arena_alloc(a, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, args);
	va_end(args);
	return s;
}
