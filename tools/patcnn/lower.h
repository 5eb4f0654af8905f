/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_LOWER_H
#define PATCNN_LOWER_H

/*
 * From the graph to a program. Every value gets one tensor, with the split into planes
 * that its shape suggests; an operator that needs another shape or split of it gets a
 * RESHAPE, which the plan makes a view where it can.
 */

#include "graph.h"
#include "program_write.h"

struct lower_options {
	/** @input_u8, @input_hwc, @input_bgr: what the submitter's buffer holds. */
	bool input_u8;
	bool input_hwc;
	bool input_bgr;
	/** @mean, @scale: of every input channel; NULL: 0 and 1. One entry stands for all. */
	const float *mean;
	const float *scale;
	unsigned int n_mean;
	unsigned int n_scale;
	/** @no_sparse: all weights dense. */
	bool no_sparse;
};

/* Another shape or split of a value's elements. */
struct view {
	struct view *next;
	struct tensor_shape shape;
	uint32_t tensor;
};

struct lower {
	struct graph *g;
	struct program_writer *w;
	const struct lower_options *opts;
	/** @n: node being lowered. */
	struct node *n;
};

/* The whole graph; problems become issues. */
void lower_graph(struct lower *l);

/* ---- what the lower_*.c files share ---- */

/* Planes of a shape by its rank; rank 0 counts as 1. False (reported) above rank 6. */
bool plane_shape(struct lower *l, const struct shape *s, struct tensor_shape *t);
/* As above, for operators that slide over one spatial axis: axes 0 and 1 are channels. */
bool window_shape(struct lower *l, const struct shape *s, struct tensor_shape *t);

/* The tensor of @v in its own shape. */
uint32_t tensor_of(struct lower *l, struct value *v);
/* Under another shape of as many elements. */
uint32_t tensor_as(struct lower *l, struct value *v, const struct tensor_shape *t);
/* The tensor @n's operator writes; finish_output() follows if that is not the value's shape. */
uint32_t output_as(struct lower *l, struct node *n, const struct tensor_shape *t);
void finish_output(struct lower *l, struct node *n, uint32_t written);
/* An unnamed intermediate. */
uint32_t temp_tensor(struct lower *l, const struct tensor_shape *t);

/* An operator with @n's name and, if @last, its activation. */
struct patcnn_operator *emit(struct lower *l, unsigned int kind, const uint32_t *operands,
			     unsigned int count, uint32_t output, bool last);
void set_act(struct patcnn_operator *op, const struct act *act);
uint32_t float_bits(float f);

/* Weights and bias of a convolution or linear layer into @p, whose geometry is set. */
void lower_weights(struct lower *l, struct patcnn_conv_params *p, const float *values,
		   unsigned int out, unsigned int in, const struct value *bias);

/* ---- one function per family, see ops.h ---- */

void lower_unary(struct lower *l, struct node *n);
void lower_binary(struct lower *l, struct node *n);
void lower_prelu(struct lower *l, struct node *n);
void lower_concat(struct lower *l, struct node *n);
void lower_conv(struct lower *l, struct node *n);
void lower_conv_transpose(struct lower *l, struct node *n);
void lower_gemm(struct lower *l, struct node *n);
void lower_matmul(struct lower *l, struct node *n);
void lower_instance_norm(struct lower *l, struct node *n);
void lower_layer_norm(struct lower *l, struct node *n);
void lower_pad(struct lower *l, struct node *n);
void lower_pool(struct lower *l, struct node *n);
void lower_reduce(struct lower *l, struct node *n);
void lower_reshape(struct lower *l, struct node *n);
void lower_resize(struct lower *l, struct node *n);
void lower_slice(struct lower *l, struct node *n);
void lower_softmax(struct lower *l, struct node *n);
void lower_transpose(struct lower *l, struct node *n);

#endif
