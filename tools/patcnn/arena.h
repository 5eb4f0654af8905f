/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_ARENA_H
#define PATCNN_ARENA_H

/*
 * One arena holds everything a compile allocates. There is no free(): hostile
 * input cannot make the compiler leak or use memory after it was given back.
 * Allocation never returns NULL; when the limit is reached, or anything calls
 * arena_fail(), control returns to the setjmp() that the owner of the arena made.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used;
	/** @limit: bytes; the compile fails when it needs more. */
	size_t limit;
	/** @fail: where arena_fail() returns to; set by the owner before first use. */
	jmp_buf fail;
	/** @message: why, valid after a failure. */
	char message[512];
};

void arena_init(struct arena *a, size_t limit);
void arena_release(struct arena *a);

/* Zeroed memory, 64-byte aligned if of 4 KiB or more, else 16-byte aligned. */
void *arena_alloc(struct arena *a, size_t size);
/* The same for @count elements; the product is checked. */
void *arena_array(struct arena *a, size_t count, size_t size);

char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((nonnull(2), format(printf, 2, 3)));

_Noreturn void arena_fail(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
