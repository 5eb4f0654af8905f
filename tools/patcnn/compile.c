// SPDX-License-Identifier: MIT
/* The order of the compiler: read, passes, lowering, and the validator's word on the result. */

#include <patcnn_compute.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "passes/passes.h"

/* Weights are held as read, as rewritten by passes, as encoded and as written. */
#define MEMORY_FACTOR	8
#define MEMORY_BASE	((size_t)1 << 30)

static void run_passes(struct graph *g)
{
	pass_dead(g);
	pass_propagate(g);
	pass_dead(g);
	pass_input_layout(g);
	pass_recognise(g);
	pass_pad(g);
	pass_affine(g);
	pass_expand(g);
	pass_batch(g);
	pass_residual(g);
	pass_activation(g);
	pass_flatten(g);
}

static void validate(struct compile_result *r)
{
	struct pat_program *program = arena_alloc(&r->arena, sizeof(*program));
	void *work = arena_alloc(&r->arena, PAT_WORK_BYTES);
	struct pat_error err;

	if (pat_program_open(program, r->program, r->size, work, &err)) {
		r->program = NULL;
		arena_fail(&r->arena, "the model exceeds what a program can hold: %s", err.text);
	}
}

bool compile_model(struct compile_result *r, const void *bytes, size_t size,
		   const struct compile_options *opts)
{
	struct program_writer w;
	struct lower l = { .w = &w, .opts = &opts->lower };

	memset(&r->graph, 0, sizeof(r->graph));
	r->program = NULL;
	r->size = 0;
	r->error = "";
	arena_init(&r->arena, opts->memory_limit ? opts->memory_limit :
		   MEMORY_BASE + MEMORY_FACTOR * size);
	if (setjmp(r->arena.fail)) {
		r->program = NULL;
		r->error = r->arena.message;
		return false;
	}
	graph_init(&r->graph, &r->arena);
	onnx_read(&r->graph, bytes, size, &opts->read);
	run_passes(&r->graph);
	program_init(&w, &r->arena);
	l.g = &r->graph;
	lower_graph(&l);
	if (r->graph.n_issues)
		return false;
	program_meta(&w, compile_meta(&r->graph, opts->labels));
	r->program = program_finish(&w, &r->size);
	validate(r);
	return true;
}

void compile_release(struct compile_result *r)
{
	arena_release(&r->arena);
}

void compile_print_issues(const struct compile_result *r, FILE *out)
{
	const struct issue *i;

	for (i = r->graph.issues; i; i = i->next) {
		if (*i->node)
			fprintf(out, "  %s (%s): ", i->node, i->op);
		else
			fputs("  ", out);
		fprintf(out, "%s%s%s\n", i->attribute, *i->attribute ? " " : "", i->reason);
	}
}

/* ---- META ---- */

struct text {
	struct arena *arena;
	char *s;
	size_t used;
	size_t room;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->room - t->used < n + 1) {
		size_t room = t->room * 2 + n + 256;
		char *more = arena_alloc(t->arena, room);

		if (t->used)
			memcpy(more, t->s, t->used);
		t->s = more;
		t->room = room;
	}
	memcpy(t->s + t->used, s, n);
	t->used += n;
	t->s[t->used] = '\0';
}

static void put_string(struct text *t, const char *s, size_t n)
{
	char escape[8];
	size_t i;

	put(t, "\"", 1);
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			put(t, "\\", 1);
		if (c >= 0x20) {
			put(t, s + i, 1);
		} else {
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			put(t, escape, 6);
		}
	}
	put(t, "\"", 1);
}

const char *compile_meta(struct graph *g, const char *labels)
{
	struct text t = { .arena = g->arena };
	const char *origin = arena_printf(g->arena, "%s, ONNX operator set %d", g->producer,
					  g->opset);

	put(&t, "{\"name\": ", 9);
	put_string(&t, g->name, strlen(g->name));
	put(&t, ", \"origin\": ", 12);
	put_string(&t, origin, strlen(origin));
	if (labels) {
		const char *separator = "";

		put(&t, ", \"labels\": [", 13);
		while (*labels) {
			size_t n = strcspn(labels, "\r\n");

			put(&t, separator, strlen(separator));
			put_string(&t, labels, n);
			separator = ", ";
			labels += n;
			labels += strspn(labels, "\r");
			labels += *labels == '\n';
		}
		put(&t, "]", 1);
	}
	put(&t, "}\n", 2);
	program_utf8(t.s);
	return t.s;
}
