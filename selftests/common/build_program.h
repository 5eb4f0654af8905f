/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_BUILD_PROGRAM_H
#define PATCNN_BUILD_PROGRAM_H

/*
 * Builds programs (drm/patcnn_program.h) in memory, for tests: every operator,
 * every weight storage, weights from a seeded generator. The tables stay
 * accessible until pb_finish() lays them out, so that a test can spoil one
 * member of an otherwise correct program. Out of memory ends the process.
 *
 * Functions that add an operator create its output as an intermediate tensor of
 * the right shape and return the tensor's index; pb_output() makes a tensor an
 * output. pb_last() is the operator added last.
 */

#include <stddef.h>
#include <stdbool.h>
#include <drm/patcnn_program.h>

struct pb {
	struct patcnn_tensor *tensors;
	struct patcnn_operator *operators;
	__u32 *operands;
	struct patcnn_pattern *patterns;
	struct patcnn_tap *taps;
	struct patcnn_tuning *tuning;
	__u8 *data;
	char *strings;
	__u32 tensor_count;
	__u32 operator_count;
	__u32 operand_count;
	__u32 pattern_count;
	__u32 tap_count;
	__u32 tuning_count;
	__u64 data_size;
	__u32 string_size;
	/* of the generator of weights */
	__u64 seed;
	/* added behind the known sections unless zero, to test unknown ones */
	__u32 extra_section;
};

void pb_init(struct pb *pb, __u64 seed);
void pb_fini(struct pb *pb);

/* Lay the program out; malloc'ed, aligned to 64. */
void *pb_finish(const struct pb *pb, size_t *size);

/* The section table entry of @type in a finished program, or NULL. */
struct patcnn_section *pb_section(void *blob, __u32 type);
/* Element @index of section @type of a finished program. */
void *pb_element(void *blob, __u32 type, __u32 index);

/* A number in [0, n), and a float in [-1, 1) with a few special values mixed in never. */
__u32 pb_random(struct pb *pb, __u32 n);
float pb_random_float(struct pb *pb);
__u32 pb_bits(float value);
float pb_float(__u32 bits);

__u32 pb_name(struct pb *pb, const char *name);
struct patcnn_array pb_floats(struct pb *pb, const float *values, __u64 count);
struct patcnn_array pb_u32s(struct pb *pb, const __u32 *values, __u64 count);
/* Random weights in [-scale, scale). */
struct patcnn_array pb_random_floats(struct pb *pb, __u64 count, float scale);

/* A measured choice, behind those that are there. */
void pb_tune(struct pb *pb, const struct patcnn_tuning *choice);

/* Tensor of any shape; c, h and w follow from it. */
__u32 pb_tensor(struct pb *pb, __u8 role, __u8 rank, __u8 axis_h, __u8 axis_w,
		const __u32 *shape);
/* [1, c, h, w] */
__u32 pb_tensor4(struct pb *pb, __u8 role, __u32 c, __u32 h, __u32 w);
__u32 pb_input(struct pb *pb, __u32 c, __u32 h, __u32 w);
__u32 pb_input_as(struct pb *pb, __u8 dtype, __u8 layout, __u32 c, __u32 h, __u32 w);
__u32 pb_output(struct pb *pb, __u32 tensor);
/* Random values in [-1, 1) */
__u32 pb_constant(struct pb *pb, __u8 rank, __u8 axis_h, __u8 axis_w, const __u32 *shape);
/* Values of a constant, to change. */
float *pb_constant_data(struct pb *pb, __u32 tensor);

struct patcnn_operator *pb_last(struct pb *pb);
struct patcnn_operator *pb_op(struct pb *pb, const char *name, __u16 kind, __u32 output,
			      __u16 count, const __u32 *operands);
/* Activation of the last operator. */
void pb_act(struct pb *pb, __u32 kind, float a, float b);

/* struct pb_conv - a convolution; zero members mean: kernel, stride, dilation, groups 1. */
struct pb_conv {
	__u32 in;
	__u32 out;		/* output channels */
	__u16 kh, kw;
	__u16 sh, sw;
	__u16 dh, dw;
	__u16 pt, pl, pb, pr;
	__u32 groups;
	__u16 storage;
	/* FKW: patterns of so many taps, so many of them; default 4 and 6 */
	__u16 taps;
	__u16 patterns;
	/* FKW: percent of kernels kept; CSR: of weights; BLOCK: of positions. Default 60 */
	__u16 keep;
#define PB_KEEP_NOTHING	0xffff
	/* BLOCK: default 4 by 4 */
	__u16 block_out, block_in;
	bool no_bias;
	/* tensor added before the activation; 0: none (tensor 0 is never a residual) */
	__u32 residual;
	__u32 act;
	float a, b;
};

__u32 pb_conv(struct pb *pb, const struct pb_conv *spec);
__u32 pb_conv_transpose(struct pb *pb, const struct pb_conv *spec, __u32 extra_h, __u32 extra_w);
/* A vector of channels becomes [1, features]; elsewhere the last axis is replaced. */
__u32 pb_linear(struct pb *pb, __u32 in, __u32 features, __u16 storage);
/* All of @in, whatever its shape, is one row of features. */
__u32 pb_linear_row(struct pb *pb, __u32 in, __u32 features, __u16 storage);
/* MAX_POOL or AVG_POOL; kernel, stride, dilation and padding of @spec. */
__u32 pb_pool(struct pb *pb, __u16 kind, const struct pb_conv *spec, bool count_pad);
/* ADD, SUB, MUL, DIV, PRELU with broadcasting. */
__u32 pb_binary(struct pb *pb, __u16 kind, __u32 a, __u32 b);
__u32 pb_activation(struct pb *pb, __u32 in, __u32 act, float a, float b);
__u32 pb_convert(struct pb *pb, __u32 in, const float *mean, const float *scale, bool swap);
__u32 pb_concat(struct pb *pb, __u32 axis, __u32 count, const __u32 *in);
__u32 pb_slice(struct pb *pb, __u32 in, const __u32 *start, const __u32 *step, const __u32 *size);
__u32 pb_permute(struct pb *pb, __u32 in, const __u32 *perm, __u8 axis_h, __u8 axis_w);
__u32 pb_reshape(struct pb *pb, __u32 in, __u8 rank, __u8 axis_h, __u8 axis_w, const __u32 *shape);
__u32 pb_pad(struct pb *pb, __u32 in, __u32 mode, float value, const __u32 *before,
	     const __u32 *after);
__u32 pb_resize(struct pb *pb, __u32 in, __u32 h, __u32 w, __u32 mode, __u32 coord, __u32 round);
__u32 pb_softmax(struct pb *pb, __u32 in, __u32 axis);
__u32 pb_reduce(struct pb *pb, __u32 in, __u32 kind, __u32 axes);
__u32 pb_matmul(struct pb *pb, __u32 a, __u32 b);
__u32 pb_layer_norm(struct pb *pb, __u32 in, __u32 axis);
__u32 pb_instance_norm(struct pb *pb, __u32 in);

/* Weights of [out][in / groups][kh][kw] in the storage that @spec asks for. */
void pb_weights(struct pb *pb, const struct pb_conv *spec, __u32 in, struct patcnn_weights *w);

#endif
