/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_PASSES_H
#define PATCNN_PASSES_H

#include "../graph.h"

/* The passes, in the order compile.c runs them. Each walks the graph once. */

/* Remove nodes whose outputs nobody reads. */
void pass_dead(struct graph *g);
/* Shapes and constants forward; nodes that change nothing disappear. */
void pass_propagate(struct graph *g);
/* Inputs that are transposed from channels last to channels first say so themselves. */
void pass_input_layout(struct graph *g);
/* Gelu, SiLU, HardSwish, Mish, HardSigmoid and LayerNormalization from their formulas. */
void pass_recognise(struct graph *g);
/* Operators the program format has no word for become several it has. */
void pass_expand(struct graph *g);
/* Zero padding becomes that of the convolution or pooling behind it. */
void pass_pad(struct graph *g);
/* Batch norm, and per-channel arithmetic with constants, into the weights before it. */
void pass_affine(struct graph *g);
/* Convolutions and transposed ones of a batch: one for each image. */
void pass_batch(struct graph *g);
/* An addition becomes part of the convolution that makes one of its operands. */
void pass_residual(struct graph *g);
/* An activation becomes part of the operator that makes its operand. */
void pass_activation(struct graph *g);

/* Linear layers of one row read through the reshape before them. */
void pass_flatten(struct graph *g);

/* The activation that @n alone is; false if it is none, or (reported) not a supported one. */
bool act_of(struct graph *g, struct node *n, struct act *act);

/*
 * BatchNormalization as x * scale + shift, one of each per channel; false if (reported)
 * its statistics are not constant.
 */
bool norm_constants(struct graph *g, struct node *n, float **scale, float **shift);

/* Helpers of rewriting passes: nodes put before @at. */
struct value *build_slice(struct graph *g, struct node *at, struct value *v, int axis,
			  int64_t start, int64_t count, int64_t step);
struct value *build_concat(struct graph *g, struct node *at, struct value **list,
			   unsigned int count, int axis);
struct value *build_transpose(struct graph *g, struct node *at, struct value *v,
			      const int64_t *perm);
struct value *build_unary(struct graph *g, struct node *at, enum op op, struct value *v);
/* Elementwise with operands that broadcast to @a's shape. */
struct value *build_binary(struct graph *g, struct node *at, enum op op, struct value *a,
			   struct value *b);
struct value *build_scalar(struct graph *g, const char *name, float x);
/* Readers of @n's output read @v instead; @n goes. */
void replace_node(struct node *n, struct value *v);

/* Nodes of expand.c's table that only move elements; true if @n was rewritten. */
bool expand_layout(struct graph *g, struct node *n);
/* Comparisons of floats, casts and logic of their results, choices by these. */
bool expand_compare(struct graph *g, struct node *n);

#endif
