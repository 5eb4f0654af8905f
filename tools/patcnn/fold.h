/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_FOLD_H
#define PATCNN_FOLD_H

#include "graph.h"

/*
 * Constant folding. One function per family of operators, see ops.h; each is called
 * when all inputs are constants and the output's shape is known, and gives the output
 * its constant. Floats are computed in double precision, integers in 64 bits.
 */

int fold_unary(struct graph *g, struct node *n);
int fold_binary(struct graph *g, struct node *n);
int fold_cast(struct graph *g, struct node *n);
int fold_clip(struct graph *g, struct node *n);
int fold_concat(struct graph *g, struct node *n);
int fold_expand(struct graph *g, struct node *n);
int fold_gather(struct graph *g, struct node *n);
int fold_identity(struct graph *g, struct node *n);
int fold_range(struct graph *g, struct node *n);
int fold_reduce(struct graph *g, struct node *n);
int fold_reshape(struct graph *g, struct node *n);
int fold_slice(struct graph *g, struct node *n);
int fold_split(struct graph *g, struct node *n);
int fold_tile(struct graph *g, struct node *n);
int fold_transpose(struct graph *g, struct node *n);
int fold_where(struct graph *g, struct node *n);

/* Elements of a constant being made; exactly one of the arrays is there. */
struct folded {
	struct constant *c;
	float *f;
	int64_t *i;
};

/* A constant for @out, of its shape and type; all folding together is bounded. */
struct folded fold_output(struct graph *g, struct value *out);

/* Row-major strides of @from as seen from the axes of @to, 0 where it is broadcast. */
void broadcast_strides(const struct shape *from, const struct shape *to, int64_t *stride);

/* Step @index to the next position of @shape, last axis fastest. */
void next_index(const struct shape *shape, int64_t *index);

#endif
