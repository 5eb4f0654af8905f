// SPDX-License-Identifier: MIT
/*
 * Where a model that cannot be compiled as a whole can be cut: the values that nodes which
 * are not supported read from nodes that are, and the outputs that do not need such nodes.
 */

#include <stdlib.h>
#include <string.h>

#include "compile.h"

#define MAX_CUTS	64

struct cuts {
	const char *name[MAX_CUTS];
	unsigned int count;
	bool too_many;
};

/* The names of nodes that cannot run are those whose values cannot be had. */
static bool spoilt(const struct value *v)
{
	return v->producer && v->producer->reported;
}

static void add(struct cuts *c, const struct value *v)
{
	unsigned int i;

	if (!v || v->constant || v->is_input || spoilt(v) || !is_float_type(v->dtype))
		return;
	for (i = 0; i < c->count; i++)
		if (!strcmp(c->name[i], v->name))
			return;
	if (c->count == MAX_CUTS || strpbrk(v->name, ",'"))
		c->too_many = true;
	else
		c->name[c->count++] = v->name;
}

static void find(struct graph *g, struct cuts *c)
{
	const struct node *n;
	struct node *at;
	unsigned int i;

	/* Lowering reports a node alone: what reads from it cannot run either. */
	for_each_node(at, g)
		for (i = 0; i < at->n_in && !at->reported; i++)
			at->reported = node_in(at, i) && spoilt(node_in(at, i));
	for_each_node(n, g)
		for (i = 0; i < n->n_in && n->reported; i++)
			add(c, node_in(n, i));
	for (i = 0; i < g->n_outputs; i++)
		add(c, value_resolve(g->outputs[i]));
}

/* "a,b" */
static char *join(const struct cuts *c)
{
	size_t room = 1, used = 0;
	unsigned int i;
	char *text;

	for (i = 0; i < c->count; i++)
		room += strlen(c->name[i]) + 1;
	text = calloc(room, 1);
	for (i = 0; text && i < c->count; i++)
		used += (size_t)snprintf(text + used, room - used, "%s%s", i ? "," : "",
					 c->name[i]);
	return text;
}

char *compile_cut(struct compile_result *failed, const void *bytes, size_t size,
		  const struct compile_options *opts)
{
	struct compile_options cut_opts = *opts;
	struct compile_result r;
	struct cuts c = { .count = 0 };
	bool ok;

	find(&failed->graph, &c);
	if (!c.count || c.too_many)
		return c.count ? NULL : join(&c);
	cut_opts.read.outputs = c.name;
	cut_opts.read.n_outputs = c.count;
	ok = compile_model(&r, bytes, size, &cut_opts);
	compile_release(&r);
	return ok ? join(&c) : NULL;
}
