// SPDX-License-Identifier: MIT
/* Small things that several commands need. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

void complain(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("patcnn: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p) {
		complain("out of memory");
		exit(1);
	}
	return p;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xcalloc(n, 1), s, n);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void *read_file(const char *path, size_t *size)
{
	char *data = NULL;
	size_t done = 0;
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		complain("%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		complain("%s: not a regular file", path);
		goto out;
	}
	data = aligned_alloc(64, ((size_t)st.st_size + 64) & ~(size_t)63);
	if (!data) {
		complain("%s: no memory for %jd bytes", path, (intmax_t)st.st_size);
		goto out;
	}
	while (done < (size_t)st.st_size) {
		ssize_t n = read(fd, data + done, (size_t)st.st_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain("%s: %s", path, n ? strerror(errno) : "became shorter while read");
			free(data);
			data = NULL;
			goto out;
		}
		done += (size_t)n;
	}
	data[done] = '\0';
	*size = done;
out:
	if (fd >= 0)
		close(fd);
	return data;
}

bool parse_u32(const char *what, const char *s, uint32_t min, uint32_t max, uint32_t *v)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(s, &end, 0);
	if (errno || end == s || *end || *s == '-' || n < min || n > max) {
		complain("%s: '%s' is not a number from %u to %u", what, s, min, max);
		return false;
	}
	*v = (uint32_t)n;
	return true;
}

bool parse_seconds(const char *what, const char *s, double *v)
{
	char *end;

	*v = strtod(s, &end);
	if (end == s || (*end && strcmp(end, "s") != 0) || !(*v >= 0) || *v > 1e6) {
		complain("%s: '%s' is not a time in seconds", what, s);
		return false;
	}
	return true;
}

unsigned int parse_floats(const char *what, const char *s, float *v, unsigned int max)
{
	const char *p = s;
	unsigned int n = 0;
	char *end;

	do {
		if (n == max)
			goto bad;
		v[n] = strtof(p, &end);
		if (end == p || !isfinite(v[n]))
			goto bad;
		n++;
		p = end + 1;
	} while (*end == ',');
	if (!*end)
		return n;
bad:
	complain("%s: '%s' is not a list of at most %u numbers", what, s, max);
	return 0;
}

bool parse_cpus(const char *s, uint64_t mask[4])
{
	const char *p = s;
	char *end;

	memset(mask, 0, 4 * sizeof(*mask));
	do {
		unsigned long first, last;

		first = last = strtoul(p, &end, 10);
		if (end == p || *p == '-')
			goto bad;
		if (*end == '-') {
			p = end + 1;
			last = strtoul(p, &end, 10);
			if (end == p)
				goto bad;
		}
		if (last < first || last > 255)
			goto bad;
		for (; first <= last; first++)
			mask[first / 64] |= UINT64_C(1) << first % 64;
		p = end + 1;
	} while (*end == ',');
	if (!*end)
		return true;
bad:
	complain("'%s' is not a list of CPUs like 0-3,6 (0 to 255)", s);
	return false;
}

void print_cpus(const uint64_t mask[4], char *s, size_t size)
{
	size_t used = 0;
	int i, first;

	*s = '\0';
	for (i = 0; i < 256; i++) {
		if (!(mask[i / 64] >> i % 64 & 1))
			continue;
		for (first = i; i < 255 && mask[(i + 1) / 64] >> (i + 1) % 64 & 1; i++)
			;
		used += (size_t)snprintf(s + used, size - used, first == i ? "%s%d" : "%s%d-%d",
					 used ? "," : "", first, i);
		if (used >= size)
			return;
	}
}

static const char *show(double n, double step, const char *const *units)
{
	static char text[4][24];
	static unsigned int next;
	char *s = text[next++ % 4];

	while (n >= step * 0.9995 && units[1]) {
		n /= step;
		units++;
	}
	snprintf(s, sizeof(text[0]), n < 10 && n != floor(n) ? "%.2f%s" : n < 100 && n != floor(n) ?
		 "%.1f%s" : "%.0f%s", n, *units);
	return s;
}

const char *show_count(uint64_t n)
{
	static const char *const units[] = { "", " k", " M", " G", " T", NULL };

	return show((double)n, 1000, units);
}

const char *show_bytes(uint64_t n)
{
	static const char *const units[] = { " B", " KiB", " MiB", " GiB", " TiB", NULL };

	return show((double)n, 1024, units);
}

int text_columns(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->ns = reallocarray(s->ns, s->room, sizeof(*s->ns));
		if (!s->ns) {
			complain("out of memory");
			exit(1);
		}
	}
	s->ns[s->count++] = ns;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest sample that at least @q of all do not exceed. */
static double quantile_us(const struct samples *s, double q)
{
	size_t rank = (size_t)ceil(q * (double)s->count);

	return (double)s->ns[rank ? rank - 1 : 0] / 1e3;
}

struct percentiles samples_percentiles(struct samples *s)
{
	struct percentiles p = { 0 };
	double sum = 0;
	size_t i;

	if (!s->count)
		return p;
	qsort(s->ns, s->count, sizeof(*s->ns), compare_u64);
	for (i = 0; i < s->count; i++)
		sum += (double)s->ns[i];
	p.min = (double)s->ns[0] / 1e3;
	p.avg = sum / (double)s->count / 1e3;
	p.p50 = quantile_us(s, 0.50);
	p.p90 = quantile_us(s, 0.90);
	p.p99 = quantile_us(s, 0.99);
	p.max = (double)s->ns[s->count - 1] / 1e3;
	return p;
}

void samples_free(struct samples *s)
{
	free(s->ns);
	*s = (struct samples){ 0 };
}
