// SPDX-License-Identifier: MIT
/*
 * The format's convolutions and instance norms have a batch of one. A larger batch is
 * cut into images that go through one by one, with the same weights, and are put
 * together again.
 */

#include "passes.h"

#define MAX_BATCH	256

static void per_image(struct graph *g, struct node *n)
{
	struct value *v = node_in(n, 0), *out = n->out[0], **part;
	int64_t batch = v->shape.dim[0], i;

	if (batch > MAX_BATCH) {
		issue(g, n, "", "a batch of %lld is not supported", (long long)batch);
		return;
	}
	part = arena_array(g->arena, (size_t)batch, sizeof(struct value *));
	for (i = 0; i < batch; i++) {
		struct value *image = build_slice(g, n, v, 0, i, 1, 1);
		struct shape s = out->shape;
		struct node *one;
		unsigned int k;

		s.dim[0] = 1;
		one = node_build(g, n, n->op, arena_printf(g->arena, "/%lld", (long long)i), &s,
				 image, NULL);
		part[i] = one->out[0];
		one->in = arena_array(g->arena, n->n_in + 1, sizeof(*one->in));
		one->in[0] = image;
		one->n_in = n->n_in;
		for (k = 1; k < n->n_in; k++)
			if (node_in(n, k))
				node_set_in(one, k, node_in(n, k));
		one->attr = n->attr;
		one->n_attr = n->n_attr;
	}
	replace_node(n, build_concat(g, n, part, (unsigned int)batch, 0));
}

void pass_batch(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g)
		if ((n->op == OP_Conv || n->op == OP_ConvTranspose ||
		     n->op == OP_InstanceNormalization) && !n->reported &&
		    node_in(n, 0) && node_in(n, 0)->shape.rank > 2 &&
		    node_in(n, 0)->shape.dim[0] > 1 && n->out[0]->shape.rank > 2)
			per_image(g, n);
}
