/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_SELFTEST_HARNESS_H
#define PATCNN_SELFTEST_HARNESS_H

/*
 * A test harness with the macros of the kernel's kselftest_harness.h (TEST,
 * FIXTURE, FIXTURE_VARIANT, TEST_F, ASSERT_*, EXPECT_*, SKIP) and output in TAP
 * 13. Every test runs in a process group of its own, so that a crash, a leak of
 * handles or a hang of one test cannot reach the next; a test that SIGKILL does
 * not end is reported as hung in the kernel.
 *
 * Arguments of a test program: -l lists the tests, anything else is a substring
 * of the names to run. PATCNN_TEST_SLOW multiplies time limits (emulation).
 */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TH_TIMEOUT 30	/* seconds */

struct __test_metadata {
	jmp_buf env;
	bool failed;
	bool skipped;
	/* In shared memory: the parent reads it after the child's end. */
	char reason[256];
};

struct th_variant {
	const char *name;
	const void *data;
	struct th_variant *next;
};

struct th_fixture {
	const char *name;
	struct th_variant *variants;
	struct th_variant **tail;
};

struct th_test {
	const char *name;
	struct th_fixture *fixture;
	void (*run)(struct __test_metadata *md, const void *variant);
	unsigned int timeout;
	struct th_test *next;
};

static struct th_test *th_tests;
static struct th_test **th_tail = &th_tests;

static inline void th_register(struct th_test *t)
{
	*th_tail = t;
	th_tail = &t->next;
}

static inline void th_register_variant(struct th_fixture *f, struct th_variant *v)
{
	if (!f->tail)
		f->tail = &f->variants;
	*f->tail = v;
	f->tail = &v->next;
}

#define TH_LOG(fmt, ...) do { \
	printf("# %s:%d: " fmt "\n", __FILE__, __LINE__, ##__VA_ARGS__); \
	fflush(stdout); \
} while (0)

#define SKIP(statement, fmt, ...) do { \
	snprintf(_metadata->reason, sizeof(_metadata->reason), fmt, ##__VA_ARGS__); \
	_metadata->skipped = true; \
	statement; \
} while (0)

#define TEST(nm) TEST_TIMEOUT(nm, TH_TIMEOUT)
#define TEST_TIMEOUT(nm, secs) \
	static void nm(struct __test_metadata *_metadata); \
	static void th_run_##nm(struct __test_metadata *_metadata, const void *v) \
	{ \
		(void)v; \
		if (!setjmp(_metadata->env)) \
			nm(_metadata); \
	} \
	static struct th_test th_test_##nm = { \
		.name = #nm, .run = th_run_##nm, .timeout = secs, \
	}; \
	static __attribute__((constructor)) void th_reg_##nm(void) \
	{ \
		th_register(&th_test_##nm); \
	} \
	static void nm(struct __test_metadata *_metadata __attribute__((unused)))

#define FIXTURE_DATA(f) struct _test_data_##f
#define FIXTURE(f) \
	struct _fixture_variant_##f; \
	static struct th_fixture th_fixture_##f = { .name = #f }; \
	FIXTURE_DATA(f)

#define FIXTURE_VARIANT(f) struct _fixture_variant_##f
#define FIXTURE_VARIANT_ADD(f, v) \
	extern const struct _fixture_variant_##f th_data_##f##_##v; \
	static struct th_variant th_variant_##f##_##v = { \
		.name = #v, .data = &th_data_##f##_##v, \
	}; \
	static __attribute__((constructor)) void th_regv_##f##_##v(void) \
	{ \
		th_register_variant(&th_fixture_##f, &th_variant_##f##_##v); \
	} \
	const struct _fixture_variant_##f th_data_##f##_##v =

#define TH_FIXTURE_FN(f, fn) \
	static void f##_##fn(struct __test_metadata *_metadata __attribute__((unused)), \
			     FIXTURE_DATA(f) *self __attribute__((unused)), \
			     const struct _fixture_variant_##f *variant __attribute__((unused)))
#define FIXTURE_SETUP(f) TH_FIXTURE_FN(f, setup)
#define FIXTURE_TEARDOWN(f) TH_FIXTURE_FN(f, teardown)

#define TEST_F(f, nm) TEST_F_TIMEOUT(f, nm, TH_TIMEOUT)
#define TEST_F_TIMEOUT(f, nm, secs) \
	TH_FIXTURE_FN(f, nm); \
	static void th_run_##f##_##nm(struct __test_metadata *_metadata, const void *v) \
	{ \
		static FIXTURE_DATA(f) self; \
		if (!setjmp(_metadata->env)) { \
			f##_setup(_metadata, &self, v); \
			if (!_metadata->failed && !_metadata->skipped) \
				f##_##nm(_metadata, &self, v); \
		} \
		if (!setjmp(_metadata->env)) \
			f##_teardown(_metadata, &self, v); \
	} \
	static struct th_test th_test_##f##_##nm = { \
		.name = #nm, .fixture = &th_fixture_##f, \
		.run = th_run_##f##_##nm, .timeout = secs, \
	}; \
	static __attribute__((constructor)) void th_reg_##f##_##nm(void) \
	{ \
		th_register(&th_test_##f##_##nm); \
	} \
	TH_FIXTURE_FN(f, nm)

static inline void th_fail(struct __test_metadata *md, bool fatal)
{
	md->failed = true;
	fflush(stdout);
	if (fatal)
		longjmp(md->env, 1);
}

/* Integers and pointers; compared as signed 64-bit numbers. */
#define TH_CMP(a, op, b, fatal) do { \
	long long th_a = (long long)(a); \
	long long th_b = (long long)(b); \
	if (!(th_a op th_b)) { \
		printf("# %s:%d: %s %s %s: %lld (0x%llx) against %lld (0x%llx)\n", __FILE__, \
		       __LINE__, #a, #op, #b, th_a, th_a, th_b, th_b); \
		th_fail(_metadata, fatal); \
	} \
} while (0)

#define ASSERT_EQ(a, b) TH_CMP(a, ==, b, true)
#define ASSERT_NE(a, b) TH_CMP(a, !=, b, true)
#define ASSERT_LT(a, b) TH_CMP(a, <, b, true)
#define ASSERT_LE(a, b) TH_CMP(a, <=, b, true)
#define ASSERT_GT(a, b) TH_CMP(a, >, b, true)
#define ASSERT_GE(a, b) TH_CMP(a, >=, b, true)
#define EXPECT_EQ(a, b) TH_CMP(a, ==, b, false)
#define EXPECT_NE(a, b) TH_CMP(a, !=, b, false)
#define EXPECT_LT(a, b) TH_CMP(a, <, b, false)
#define EXPECT_LE(a, b) TH_CMP(a, <=, b, false)
#define EXPECT_GT(a, b) TH_CMP(a, >, b, false)
#define EXPECT_GE(a, b) TH_CMP(a, >=, b, false)

#define TH_TRUE(c, fatal) do { \
	if (!(c)) { \
		printf("# %s:%d: %s is false\n", __FILE__, __LINE__, #c); \
		th_fail(_metadata, fatal); \
	} \
} while (0)
#define ASSERT_TRUE(c) TH_TRUE(c, true)
#define EXPECT_TRUE(c) TH_TRUE(c, false)
#define ASSERT_FALSE(c) TH_TRUE(!(c), true)
#define EXPECT_FALSE(c) TH_TRUE(!(c), false)

#define TH_STREQ(a, b, fatal) do { \
	const char *th_s = (a), *th_t = (b); \
	if (strcmp(th_s, th_t)) { \
		printf("# %s:%d: %s: \"%s\" against \"%s\"\n", __FILE__, __LINE__, #a, th_s, \
		       th_t); \
		th_fail(_metadata, fatal); \
	} \
} while (0)
#define ASSERT_STREQ(a, b) TH_STREQ(a, b, true)
#define EXPECT_STREQ(a, b) TH_STREQ(a, b, false)

/* The call must fail with the errno @e. */
#define TH_ERRNO(call, e, fatal) do { \
	errno = 0; \
	long long th_r = (long long)(call); \
	int th_e = errno; \
	if (th_r != -1 || th_e != (e)) { \
		printf("# %s:%d: %s: returned %lld, errno %d (%s), expected %s\n", __FILE__, \
		       __LINE__, #call, th_r, th_e, strerror(th_e), #e); \
		th_fail(_metadata, fatal); \
	} \
} while (0)
#define ASSERT_ERRNO(call, e) TH_ERRNO(call, e, true)
#define EXPECT_ERRNO(call, e) TH_ERRNO(call, e, false)

/* The call must return 0. */
#define TH_OK(call, fatal) do { \
	errno = 0; \
	long long th_r = (long long)(call); \
	int th_e = errno; \
	if (th_r) { \
		printf("# %s:%d: %s: returned %lld, errno %d (%s)\n", __FILE__, __LINE__, #call, \
		       th_r, th_e, strerror(th_e)); \
		th_fail(_metadata, fatal); \
	} \
} while (0)
#define ASSERT_OK(call) TH_OK(call, true)
#define EXPECT_OK(call) TH_OK(call, false)

static inline unsigned int th_slow(void)
{
	const char *s = getenv("PATCNN_TEST_SLOW");
	int n = s ? atoi(s) : 1;

	return n > 0 ? (unsigned int)n : 1;
}

/* Seconds that each race is to last, if somebody asks for more than the usual. */
static inline unsigned int th_race_s(void)
{
	const char *s = getenv("PATCNN_RACE_S");
	int n = s ? atoi(s) : 0;

	return n > 0 ? (unsigned int)n : 0;
}

static inline double th_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Wait for @pid at most @seconds. Return: true if it ended. */
static inline bool th_wait(pid_t pid, unsigned int seconds, int *status)
{
	struct timespec step = { .tv_sec = 0, .tv_nsec = 200000000 };
	struct timespec now, end;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > end.tv_sec)
			return false;
		sigtimedwait(&set, NULL, &step);
	}
}

/* There when built with --coverage; _exit() would lose what was counted. */
extern void __gcov_dump(void) __attribute__((weak));

static inline void th_child(struct th_test *t, struct __test_metadata *md, const void *variant)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	t->run(md, variant);
	fflush(NULL);
	if (__gcov_dump)
		__gcov_dump();
	_exit(md->failed ? 1 : 0);
}

/* Return: 0 passed, 1 failed, 2 skipped. */
static inline int th_run_one(struct th_test *t, const struct th_variant *v, int number)
{
	struct __test_metadata *md;
	unsigned int limit = t->timeout * th_slow() + th_race_s();
	double start = th_now();
	char why[320] = "";
	int status = 0;
	int ret = 0;
	pid_t pid;

	md = mmap(NULL, sizeof(*md), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (md == MAP_FAILED)
		exit(4);
	fflush(NULL);
	pid = fork();
	if (!pid)
		th_child(t, md, v ? v->data : NULL);
	if (!th_wait(pid, limit, &status)) {
		bool dead;

		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		dead = th_wait(pid, 10 * th_slow(), &status);
		snprintf(why, sizeof(why), "timeout after %u s%s", limit,
			 dead ? "" : ", and SIGKILL does not end it: hung in the kernel");
		ret = 1;
	} else if (WIFSIGNALED(status)) {
		snprintf(why, sizeof(why), "killed by signal %d", WTERMSIG(status));
		ret = 1;
	} else if (WEXITSTATUS(status)) {
		ret = 1;
		if (!md->failed)
			snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	} else if (md->skipped) {
		snprintf(why, sizeof(why), "SKIP %s", md->reason);
		ret = 2;
	}
	/* Whatever the test left running must not disturb the next one. */
	kill(-pid, SIGKILL);
	if (th_now() - start >= 5)
		printf("# the next took %.0f s\n", th_now() - start);
	printf("%s %d %s%s%s%s%s%s%s\n", ret == 1 ? "not ok" : "ok", number,
	       t->fixture ? t->fixture->name : "", v ? "." : "", v ? v->name : "",
	       t->fixture ? "." : "", t->name, why[0] ? " # " : "", why);
	fflush(stdout);
	munmap(md, sizeof(*md));
	return ret;
}

static inline bool th_wanted(const struct th_test *t, const struct th_variant *v, int argc,
			     char **argv)
{
	char name[256];

	snprintf(name, sizeof(name), "%s%s%s%s%s", t->fixture ? t->fixture->name : "",
		 v ? "." : "", v ? v->name : "", t->fixture ? "." : "", t->name);
	if (argc == 2 && !strcmp(argv[1], "-l")) {
		puts(name);
		return false;
	}
	if (argc < 2)
		return true;
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

/* Every test once, or once for each variant of its fixture. */
#define TH_FOREACH(t, v) \
	for (struct th_test *t = th_tests; t; t = t->next) \
		for (struct th_variant *v = t->fixture ? t->fixture->variants : NULL, \
		     *th_once = (struct th_variant *)t; \
		     v || th_once; th_once = NULL, v = v ? v->next : NULL)

static inline int th_main(int argc, char **argv)
{
	int count[3] = { 0, 0, 0 };
	int total = 0;
	int number = 0;
	sigset_t set;

	/* sigtimedwait() needs it blocked; th_child() unblocks it. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);

	TH_FOREACH(t, v)
		total += th_wanted(t, v, argc, argv);
	if (argc == 2 && !strcmp(argv[1], "-l"))
		return 0;
	printf("TAP version 13\n1..%d\n", total);
	TH_FOREACH(t, v) {
		if (th_wanted(t, v, argc, argv))
			count[th_run_one(t, v, ++number)]++;
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n", count[0], count[1],
	       count[2]);
	return count[1] ? 1 : count[2] == total && total ? 4 : 0;
}

#define TEST_HARNESS_MAIN \
	int main(int argc, char **argv) \
	{ \
		return th_main(argc, argv); \
	}

#endif
