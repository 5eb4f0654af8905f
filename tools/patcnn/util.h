/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_UTIL_H
#define PATCNN_UTIL_H

/* Small things that several commands need. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* "patcnn: ..." on stderr. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Memory or the end of the process; zeroed. */
void *xcalloc(size_t count, size_t size);
char *xstrdup(const char *s);

uint64_t now_ns(void);

/* A whole file, 64-byte aligned, with a NUL behind it; complains and returns NULL on failure. */
void *read_file(const char *path, size_t *size);

/* Whole-string numbers; complain with @what and return false if malformed or out of range. */
bool parse_u32(const char *what, const char *s, uint32_t min, uint32_t max, uint32_t *v);
bool parse_seconds(const char *what, const char *s, double *v);
/* "0.5" or "0.485,0.456,0.406": returns how many, 0 if malformed. */
unsigned int parse_floats(const char *what, const char *s, float *v, unsigned int max);
/* "0-3,6" to a mask of CPUs 0 to 255. */
bool parse_cpus(const char *s, uint64_t mask[4]);
/* The reverse, e.g. "0-3,6". */
void print_cpus(const uint64_t mask[4], char *s, size_t size);

/* "1.2 M", "512", "3.4 G" and "1.5 KiB"; the text is valid until the fourth next call. */
const char *show_count(uint64_t n);
const char *show_bytes(uint64_t n);

/* Columns that UTF-8 text takes, one a character. */
int text_columns(const char *s);

/* ---- latencies ---- */

struct samples {
	uint64_t *ns;
	size_t count;
	size_t room;
};

struct percentiles {
	double min, avg, p50, p90, p99, max;	/* microseconds */
};

void samples_add(struct samples *s, uint64_t ns);
/* Sorts @s. */
struct percentiles samples_percentiles(struct samples *s);
void samples_free(struct samples *s);

#endif
