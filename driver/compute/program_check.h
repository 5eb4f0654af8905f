/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef _PAT_PROGRAM_CHECK_H_
#define _PAT_PROGRAM_CHECK_H_

/* Shared by the files of the validator only; see the DOC comment of program.c. */

#include <linux/errno.h>
#include "patcnn_compute.h"

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* Work is counted in u64 with saturation: a product that does not fit is "too much". */
#define PAT_SATURATED	(~0ULL)

/* Operands of all operators together; each is visited once by the plan for every operator. */
#define PAT_MAX_OPERANDS	65536

/** struct pat_check - a validation in progress. */
struct pat_check {
	struct pat_program *prog;
	struct pat_error *err;
	/** @work: PAT_WORK_BYTES, used as bit sets. */
	u8 *work;
	/**
	 * @budget: array elements that may still be visited. Arrays may be shared by
	 * operators, so the size of the program alone does not bound the time.
	 */
	u64 budget;
	/** @op: operator under check, named by errors; NULL outside of operators. */
	const struct patcnn_operator *op;
	/** @op_index: its number. */
	u32 op_index;
};

static inline u64 pat_mul(u64 a, u64 b)
{
	u64 r;

	return __builtin_mul_overflow(a, b, &r) ? PAT_SATURATED : r;
}

static inline u64 pat_add(u64 a, u64 b)
{
	u64 r;

	return __builtin_add_overflow(a, b, &r) ? PAT_SATURATED : r;
}

/* The exponent tells, so no float arithmetic is needed. */
static inline bool pat_float_finite(u32 bits)
{
	return (bits & 0x7f800000) != 0x7f800000;
}

static inline bool pat_float_positive(u32 bits)
{
	return pat_float_finite(bits) && !(bits >> 31) && (bits & 0x7f800000);
}

static inline const struct patcnn_tensor *
pat_operand(const struct pat_program *prog, const struct patcnn_operator *op, u32 i)
{
	return &prog->tensors[prog->operands[op->operand_first + i]];
}

static inline const struct patcnn_tensor *
pat_output(const struct pat_program *prog, const struct patcnn_operator *op)
{
	return &prog->tensors[op->output];
}

static inline u64 pat_elements(const struct patcnn_tensor *t)
{
	return (u64)t->c * t->h * t->w;
}

/**
 * pat_fail - write an error text
 * @ck: the check; its operator, if any, is named first
 * @code: what is returned
 * @fmt: %u is u32, %U is u64, %s a string of this source, %n a name: u32 offset in STRINGS
 */
int pat_fail(struct pat_check *ck, int code, const char *fmt, ...);

/* The name of an operator kind, for errors. */
const char *pat_kind_name(u32 kind);

int pat_check_array(struct pat_check *ck, const char *name,
		    const struct patcnn_array *array, u64 count);
int pat_check_weights(struct pat_check *ck, const struct patcnn_conv_params *p,
		      u32 out, u64 in);
int pat_check_operator(struct pat_check *ck);
int pat_check_conv(struct pat_check *ck);
int pat_check_conv_transpose(struct pat_check *ck);
int pat_check_linear(struct pat_check *ck);
int pat_check_pool(struct pat_check *ck);

/* Everything an operator does, in multiply-accumulates: what PAT_MAX_MACS bounds. */
u64 pat_operator_work(const struct pat_program *prog, u32 op);

#endif
