/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_TUNE_H
#define PATCNN_TUNE_H

/*
 * Measuring what is fastest for each operator of a program, and storing it there (struct
 * patcnn_tuning). tune.c goes through the choices, tune_space.c knows which there are,
 * tune_finish.c compares whole nets,
 * tune_measure.c runs variants of the program beside each other, tune_cache.c keeps what
 * was found, tune_program.c puts it into the program.
 */

#include "engine.h"
#include "host.h"

#define TUNE_BUDGET	60	/* seconds */
#define TUNE_NONE	UINT32_MAX
#define TUNE_CHAIN	4	/* longest chain tried */
#define TUNE_TRIES	24	/* choices of one kind tried for one operator */
#define TUNE_ALGORITHMS	32	/* more than kernels have families */

struct tune_opts {
	struct engine_opts engine;
	double budget;		/* seconds */
	bool no_cache;
};

/*
 * The program at @blob, named @name, with what was found: *@tuned, to be freed. It is the
 * same program if nothing was found to be faster. Complains and returns false on failure.
 */
bool tune_model(const void *blob, size_t size, const char *name, const struct tune_opts *opts,
		void **tuned, size_t *tuned_size);

/* ---- between the files ---- */

/* An operator. */
struct tune_layer {
	/* Neighbours that it can run depth-first with, or TUNE_NONE. */
	uint32_t prev, next;
	uint32_t depth;			/* operators before it in its line */
	struct patcnn_tuning best;	/* alone */
	double ratio;			/* time of best to that of the planner's choice */
	double ns;			/* of best, alone */
	struct patcnn_tuning tries[TUNE_TRIES];
	uint32_t try_count;
	/* Least times by algorithm, to that of the best when it was tried; 0: unknown. */
	float algorithm[TUNE_ALGORITHMS];
	/* Chains that end here, by length: time to that of their operators alone; 0: unknown. */
	double chain[TUNE_CHAIN + 1];
	uint64_t key;			/* for the cache */
	bool tried;			/* there are choices */
	bool cached;
	bool incomplete;		/* not all of its choices were measured */
};

struct tuner {
	const struct tune_opts *opts;
	struct model_file file;		/* not tuned */
	struct host_opts host;		/* for plans like those of the engine */
	uint8_t isa;
	struct tune_layer *layers;
	uint32_t count;
	uint64_t deadline;		/* of the phase, now_ns() */
	uint64_t open_ns, run_ns;	/* setting a variant up, running it: lately, about */
	uint32_t measured, left_out;	/* choices */
	void *stored;			/* the tuned program, if there is one */
	size_t stored_size;
	bool late;			/* the last comparison had no time */
	uint32_t algorithms;		/* bits of those that some operator has a choice of */
};

/* tune_space.c: lines of operators and choices; plans only, nothing runs. */
bool tune_space_open(struct tuner *t);
enum tune_kind { TUNE_ALGORITHM, TUNE_TILE, TUNE_BLOCK, TUNE_ROWS, TUNE_KINDS };
/* Fill in the tries of every layer: other values of @kind than its best has. */
bool tune_space_tries(struct tuner *t, enum tune_kind kind);
/* The first of the @length operators in line that end with @op. */
uint32_t tune_chain_first(const struct tuner *t, uint32_t op, uint32_t length);

/* tune_measure.c */
struct tune_variant {
	struct tuner *tuner;
	struct patcnn_tuning *entries;	/* [operators], sorted; those of op TUNE_NONE are left out */
	uint32_t count;
	struct model_file file;
	void *stored;			/* the device's program; the host shares the file's */
	struct engine *engine;
	uint64_t *step_ns;		/* least of each step */
	uint64_t *run_ns;		/* [runs] of the whole net */
	uint32_t runs;
	uint32_t room;
};

/* The planner's choice, each operator alone, or as @t has found it to be best. */
enum tune_entries { TUNE_FREE, TUNE_ALONE, TUNE_BEST };
void tune_variant_init(struct tuner *t, struct tune_variant *v, enum tune_entries entries);
bool tune_variant_open(struct tuner *t, struct tune_variant *v);
void tune_variant_close(struct tune_variant *v);
/* Whether so many variants can be set up, and so many runs done, before the deadline. */
bool tune_time_for(const struct tuner *t, uint32_t opens, uint32_t runs);
/* Run @n of them in turn, @rounds times. */
bool tune_measure(struct tune_variant *const *v, uint32_t n, uint32_t rounds);
/* Least time of the @count operators in line from @first on; 0 if no step is just these. */
uint64_t tune_step_ns(const struct tune_variant *v, uint32_t first, uint32_t count);
/* Median over the rounds of @v's time to that of @to. */
double tune_whole(const struct tune_variant *v, const struct tune_variant *to);
/* Least time of a run, ns. */
uint64_t tune_least(const struct tune_variant *v);

/* tune_finish.c: the net with the best of all layers against the untuned one. */
bool tune_finish(struct tuner *t);
/* What that takes at least. */
#define TUNE_LAST_OPENS	6
#define TUNE_LAST_RUNS	25

/* tune_cache.c */
void tune_cache_read(struct tuner *t);
void tune_cache_write(const struct tuner *t);
/* Whether anything came from there. */
bool tune_cached(const struct tuner *t);

/* tune_program.c: a copy of a program with @count entries; 64-byte aligned. */
void *tune_store(const void *blob, size_t size, const struct patcnn_tuning *entries,
		 uint32_t count, size_t *stored);

/* tune_report.c */
/* For each operator the first of those that it shares a step with in one of @n variants. */
uint32_t *tune_sets(const struct tuner *t, struct tune_variant *const *v, uint32_t n);
/* Time of the steps of the set that starts with @op, and the algorithm of its longest. */
uint64_t tune_set_ns(const struct tune_variant *v, const uint32_t *set, uint32_t op,
		     const char **algorithm);
/* What was gained, set by set. */
void tune_report(const struct tuner *t, struct tune_variant *before, struct tune_variant *after);

#endif
