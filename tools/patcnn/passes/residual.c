// SPDX-License-Identifier: MIT
/*
 * An addition whose operand comes from a convolution that nobody else reads becomes
 * that convolution's residual operand. The convolution moves to the place of the
 * addition, where both operands have been computed.
 */

#include "passes.h"

static struct node *candidate(struct node *add, unsigned int i)
{
	struct value *v = node_in(add, i), *other = node_in(add, 1 - i);
	struct node *n = v->producer;

	if (!n || n->op != OP_Conv || n->out[0] != v || v->uses != 1 || n->act.kind ||
	    n->residual || n->reported || other->constant || !shape_equal(&v->shape, &other->shape))
		return NULL;
	return n;
}

/* Whether @a stands behind @b in the list; near neighbours are the rule. */
static bool is_later(const struct graph *g, const struct node *a, const struct node *b)
{
	unsigned int steps;

	for (steps = 0; a != &g->nodes && steps < 256; steps++, a = a->next)
		if (a == b)
			return false;
	return true;
}

void pass_residual(struct graph *g)
{
	struct node *add, *next, *conv, *other;
	struct value *residual;

	for_each_node_safe(add, next, g) {
		if (add->op != OP_Add || add->reported || add->n_in != 2 || !node_in(add, 0) ||
		    !node_in(add, 1) || node_in(add, 0) == node_in(add, 1))
			continue;
		conv = candidate(add, 0);
		other = candidate(add, 1);
		/* The later one: the other operand is then likely still in the cache. */
		if (other && (!conv || is_later(g, other, conv)))
			conv = other;
		if (!conv)
			continue;
		residual = conv == other ? node_in(add, 0) : node_in(add, 1);
		/* The addition's read of the residual becomes the convolution's. */
		residual->uses++;
		conv->residual = residual;
		conv->prev->next = conv->next;
		conv->next->prev = conv->prev;
		node_insert_before(add, conv);
		conv->out[0]->name = add->out[0]->name;
		replace_node(add, conv->out[0]);
	}
}
