// SPDX-License-Identifier: MIT
/*
 * Models that came from Keras take images with the channels last and transpose them
 * first thing. The input becomes one in the layout HWC of the format, which the input
 * step reads as it is.
 */

#include "passes.h"

static bool to_channels_first(const struct node *n)
{
	static const int64_t want[] = { 0, 3, 1, 2 };
	const int64_t *perm = NULL;
	unsigned int i;

	if (n->op != OP_Transpose || n->reported || attr_ints(n, "perm", &perm) != 4)
		return false;
	for (i = 0; i < 4; i++)
		if (perm[i] != want[i])
			return false;
	return true;
}

void pass_input_layout(struct graph *g)
{
	struct node *n, *next;

	for_each_node_safe(n, next, g) {
		struct value *v = node_in(n, 0);

		if (!to_channels_first(n) || !v || !v->is_input || v->uses != 1 ||
		    v->shape.dim[0] != 1)
			continue;
		v->shape = n->out[0]->shape;
		v->channels_last = true;
		replace_node(n, v);
	}
}
