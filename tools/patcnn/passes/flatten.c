// SPDX-License-Identifier: MIT
/*
 * A linear layer of one row reads its features in their logical order, whatever shape
 * they have: the reshape before it is not needed.
 */

#include "passes.h"

void pass_flatten(struct graph *g)
{
	struct node *n;

	for_each_node(n, g) {
		struct value *v = node_in(n, 0);
		const struct value *w = node_in(n, 1);

		if (n->op != OP_Gemm || n->reported || !v || !w || w->shape.rank != 2 ||
		    shape_elements(&v->shape) != w->shape.dim[attr_int(n, "transB", 0) ? 1 : 0])
			continue;
		while (v->producer && !v->producer->reported && !v->producer->act.kind &&
		       node_in(v->producer, 0) && !v->is_output &&
		       (v->producer->op == OP_Reshape || v->producer->op == OP_Flatten ||
			v->producer->op == OP_Squeeze || v->producer->op == OP_Unsqueeze))
			v = node_in(v->producer, 0);
		node_set_in(n, 0, v);
	}
	pass_dead(g);
}
