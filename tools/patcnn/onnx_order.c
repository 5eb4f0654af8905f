// SPDX-License-Identifier: MIT
/*
 * Nodes in the order in which they can run. A file should have them so, but converters to
 * half precision leave their casts at the end, and runtimes take that. Depth first from the
 * nodes as they come: a file in order stays as it is.
 */

#include <string.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"

#define NONE	SIZE_MAX

struct writers {
	const Onnx__GraphProto *graph;
	size_t *slot;		/* node that writes a name; open addressing */
	const char **name;
	size_t mask;
};

struct visit {
	size_t node;
	size_t input;		/* next to look at */
};

size_t onnx_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3ULL;
	return (size_t)(h ^ h >> 29);
}

static size_t find(const struct writers *w, const char *name)
{
	size_t at = onnx_hash(name) & w->mask;

	while (w->name[at] && strcmp(w->name[at], name))
		at = (at + 1) & w->mask;
	return at;
}

static void find_writers(struct writers *w, struct arena *arena)
{
	const Onnx__GraphProto *p = w->graph;
	size_t names = 0, i, k, at;

	for (i = 0; i < p->n_node; i++)
		names += p->node[i]->n_output;
	w->mask = 63;
	while (w->mask < 2 * names)
		w->mask = w->mask * 2 + 1;
	w->slot = arena_array(arena, w->mask + 1, sizeof(*w->slot));
	w->name = arena_array(arena, w->mask + 1, sizeof(*w->name));
	for (i = 0; i < p->n_node; i++)
		for (k = 0; k < p->node[i]->n_output; k++) {
			const char *name = p->node[i]->output[k];

			if (!name || !*name)
				continue;
			at = find(w, name);
			if (w->name[at])
				continue;
			w->name[at] = name;
			w->slot[at] = i;
		}
}

static size_t writer_of(const struct writers *w, const char *name)
{
	size_t at = name && *name ? find(w, name) : NONE;

	return at == NONE || !w->name[at] ? NONE : w->slot[at];
}

const size_t *onnx_order(struct arena *arena, const Onnx__GraphProto *p)
{
	struct writers w = { .graph = p };
	size_t *order = arena_array(arena, p->n_node + 1, sizeof(*order)), n = 0, i;
	struct visit *stack = arena_array(arena, p->n_node + 1, sizeof(*stack));
	bool *seen = arena_array(arena, p->n_node + 1, sizeof(*seen));

	find_writers(&w, arena);
	for (i = 0; i < p->n_node; i++) {
		size_t depth = 0;

		if (seen[i])
			continue;
		seen[i] = true;
		stack[depth++] = (struct visit){ i, 0 };
		while (depth) {
			struct visit *v = &stack[depth - 1];
			const Onnx__NodeProto *node = p->node[v->node];
			size_t from;

			if (v->input == node->n_input) {
				order[n++] = v->node;
				depth--;
				continue;
			}
			/* A circle ends here: reading its first node reports it. */
			from = writer_of(&w, node->input[v->input++]);
			if (from == NONE || seen[from])
				continue;
			seen[from] = true;
			stack[depth++] = (struct visit){ from, 0 };
		}
	}
	return order;
}
