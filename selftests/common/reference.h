/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_REFERENCE_H
#define PATCNN_REFERENCE_H

/*
 * A naive interpreter of valid programs in double precision: one loop nest for
 * each operator, straight from the text of drm/patcnn_program.h, nothing shared
 * with the code under test. It also carries, for every value, how far a correct
 * single-precision computation may be off: rounding of a sum in any order, and
 * what errors of operands become behind each operator. Where that is unbounded
 * (a pole, an overflow of float) the bound is infinite and anything is right.
 */

#include <stdbool.h>
#include <stddef.h>
#include <drm/patcnn_program.h>

/* struct ref_value - a tensor, row-major in the order of its shape. */
struct ref_value {
	double *v;
	double *err;
	__u64 count;
};

struct ref {
	const __u8 *blob;
	const struct patcnn_tensor *tensors;
	const struct patcnn_operator *operators;
	const __u32 *operands;
	const struct patcnn_pattern *patterns;
	const struct patcnn_tap *taps;
	const __u8 *data;
	__u32 tensor_count;
	__u32 operator_count;
	struct ref_value *values;	/* [tensor_count] */
};

/* @blob must be a valid program and outlive @ref. */
void ref_open(struct ref *ref, const void *blob);
void ref_close(struct ref *ref);

/* Run; @io[i] is the memory of tensor i if that is an input, as bound to a job. */
void ref_run(struct ref *ref, const void *const *io);

/* struct ref_diff - how @got compares. */
struct ref_diff {
	__u64 bad;	/* elements outside their bound */
	__u64 unbounded;	/* elements for which anything is right */
	__u64 first;	/* index of the first bad one */
	double worst;	/* greatest error in units of its bound */
	double got, want, bound;	/* of @first */
};

/* Compare with tensor @t. Return: true if every element is within its bound. */
bool ref_compare(const struct ref *ref, __u32 t, const float *got, struct ref_diff *diff);

/* ---- between the files of the reference ---- */

#define REF_EPS		5.9604645e-8	/* half a unit in the last place of 1.0f */
#define REF_FUNCTION	4e-6		/* relative error allowed to exp, tanh, erf and their like */

static inline const float *ref_f32(const struct ref *r, struct patcnn_array a)
{
	return (const float *)(r->data + a.offset);
}

static inline const __u32 *ref_u32(const struct ref *r, struct patcnn_array a)
{
	return (const __u32 *)(r->data + a.offset);
}

/* Error of a sum of @n products whose absolute values add up to @mag. */
double ref_sum_error(double n, double mag);
void ref_activate(const struct patcnn_activation *act, double *v, double *err);
void ref_conv(const struct ref *r, const struct patcnn_operator *op);
void ref_conv_transpose(const struct ref *r, const struct patcnn_operator *op);
void ref_linear(const struct ref *r, const struct patcnn_operator *op);
void ref_matmul(const struct ref *r, const struct patcnn_operator *op);
void ref_pool(const struct ref *r, const struct patcnn_operator *op);
void ref_resize(const struct ref *r, const struct patcnn_operator *op);
void ref_other(const struct ref *r, const struct patcnn_operator *op);
void ref_norm(const struct ref *r, const struct patcnn_operator *op);

static inline struct ref_value *ref_in(const struct ref *r, const struct patcnn_operator *op,
				       __u32 i)
{
	return &r->values[r->operands[op->operand_first + i]];
}

static inline const struct patcnn_tensor *ref_tensor(const struct ref *r,
						     const struct patcnn_operator *op, __u32 i)
{
	return &r->tensors[r->operands[op->operand_first + i]];
}

#endif
