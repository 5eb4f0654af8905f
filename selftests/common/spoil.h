/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_SPOIL_H
#define PATCNN_SPOIL_H

/*
 * A correct program with every operator and every storage, and a list of ways to
 * spoil it: one for each thing that the validator refuses. Host and device tests
 * share them: the same text must come out of the ioctl.
 */

#include "build_program.h"

/* struct spoil - one mutation. */
struct spoil {
	const char *name;
	int err;		/* EINVAL or E2BIG */
	const char *text;	/* must be part of the error text */
	void (*before)(struct pb *pb);
	void (*after)(void *blob, size_t *size);
	struct spoil *next;
};

/* All of them, linked in the order of the source. */
extern struct spoil *spoil_list;

/* The correct program. Inputs: tensors 0 (U8 HWC) and *@second; outputs are all that have the role. */
void build_every_operator(struct pb *pb);

/* The spoiled program; free() it. */
void *spoil_build(const struct spoil *s, size_t *size);

void spoil_register(struct spoil *s);

/* Number @nth operator of @kind, and its operands. */
struct patcnn_operator *op_of(struct pb *pb, __u16 kind, unsigned int nth);
struct patcnn_tensor *in_of(struct pb *pb, const struct patcnn_operator *op, __u32 i);
struct patcnn_tensor *out_of(struct pb *pb, const struct patcnn_operator *op);
struct patcnn_operator *conv_with(struct pb *pb, __u16 storage);
__u32 *words_of(struct pb *pb, struct patcnn_array a);

#define SPOIL_ENTRY(nm, e, t, b, a) \
	static struct spoil spoil_##nm = { \
		.name = #nm, .err = e, .text = t, .before = b, .after = a, \
	}; \
	static __attribute__((constructor)) void spoil_reg_##nm(void) \
	{ \
		spoil_register(&spoil_##nm); \
	}

/* Spoil the tables before the program is laid out, or the finished bytes. */
#define SPOIL(nm, e, t) \
	static void nm(struct pb *pb); \
	SPOIL_ENTRY(nm, e, t, nm, NULL) \
	static void nm(struct pb *pb)
#define SPOIL_BYTES(nm, e, t) \
	static void nm(void *blob, size_t *size); \
	SPOIL_ENTRY(nm, e, t, NULL, nm) \
	static void nm(void *blob __attribute__((unused)), size_t *size __attribute__((unused)))

#endif
