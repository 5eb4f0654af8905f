// SPDX-License-Identifier: MIT
/*
 * Tables, random numbers and layout of a program. The operators are in
 * build_operators.c, the weights in build_weights.c.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_program.h"

#define DATA_ALIGN 64

/* Room for @count elements of @size behind @used; doubles, so that adding stays linear. */
static void *room(void *old, __u64 used, __u64 count, size_t size)
{
	__u64 need = (used + count) * size;
	__u64 have = 256;
	void *new;

	while (have < used * size)
		have *= 2;
	if (old && need <= have)
		return old;
	while (have < need)
		have *= 2;
	new = realloc(old, have);
	if (!new) {
		perror("build_program");
		exit(4);
	}
	return new;
}

#define ROOM(array, used, count) ((array) = room(array, used, count, sizeof(*(array))))

void pb_init(struct pb *pb, __u64 seed)
{
	memset(pb, 0, sizeof(*pb));
	pb->seed = seed * 2654435761u + 88172645463325252ull;
	/* Offset 0 of STRINGS is the empty name. */
	ROOM(pb->strings, 0, 1)[0] = 0;
	pb->string_size = 1;
}

void pb_fini(struct pb *pb)
{
	free(pb->tensors);
	free(pb->operators);
	free(pb->operands);
	free(pb->patterns);
	free(pb->taps);
	free(pb->tuning);
	free(pb->data);
	free(pb->strings);
	memset(pb, 0, sizeof(*pb));
}

/* xorshift64* */
__u32 pb_random(struct pb *pb, __u32 n)
{
	pb->seed ^= pb->seed >> 12;
	pb->seed ^= pb->seed << 25;
	pb->seed ^= pb->seed >> 27;
	return n ? (__u32)((pb->seed * 2685821657736338717ull) >> 33) % n : 0;
}

float pb_random_float(struct pb *pb)
{
	return (float)pb_random(pb, 1u << 20) / (1u << 19) - 1.0f;
}

__u32 pb_bits(float value)
{
	__u32 bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

float pb_float(__u32 bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

__u32 pb_name(struct pb *pb, const char *name)
{
	__u32 at = pb->string_size;
	size_t len;

	if (!name || !*name)
		return 0;
	len = strlen(name) + 1;
	ROOM(pb->strings, at, len);
	memcpy(pb->strings + at, name, len);
	pb->string_size += len;
	return at;
}

static __u64 add_data(struct pb *pb, const void *bytes, __u64 size)
{
	__u64 at = (pb->data_size + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;

	ROOM(pb->data, pb->data_size, at - pb->data_size + size);
	memset(pb->data + pb->data_size, 0, at - pb->data_size);
	if (bytes)
		memcpy(pb->data + at, bytes, size);
	else
		memset(pb->data + at, 0, size);
	pb->data_size = at + size;
	return at;
}

struct patcnn_array pb_floats(struct pb *pb, const float *values, __u64 count)
{
	struct patcnn_array a = { 0, count };

	if (count)
		a.offset = add_data(pb, values, count * sizeof(float));
	return a;
}

struct patcnn_array pb_u32s(struct pb *pb, const __u32 *values, __u64 count)
{
	struct patcnn_array a = { 0, count };

	if (count)
		a.offset = add_data(pb, values, count * sizeof(__u32));
	return a;
}

struct patcnn_array pb_random_floats(struct pb *pb, __u64 count, float scale)
{
	struct patcnn_array a = pb_floats(pb, NULL, count);
	float *f = (float *)(pb->data + a.offset);

	for (__u64 i = 0; i < count; i++)
		f[i] = pb_random_float(pb) * scale;
	return a;
}

static __u32 product(const __u32 *shape, __u32 from, __u32 to)
{
	__u32 n = 1;

	for (__u32 i = from; i < to; i++)
		n *= shape[i];
	return n;
}

__u32 pb_tensor(struct pb *pb, __u8 role, __u8 rank, __u8 axis_h, __u8 axis_w,
		const __u32 *shape)
{
	__u32 index = pb->tensor_count;
	struct patcnn_tensor t = {
		.dtype = PATCNN_DTYPE_F32,
		.role = role,
		.rank = rank,
		.axis_h = axis_h,
		.axis_w = axis_w,
		.c = product(shape, 0, axis_h),
		.h = product(shape, axis_h, axis_w),
		.w = product(shape, axis_w, rank),
	};
	char name[24];

	snprintf(name, sizeof(name), "t%u", index);
	t.name = pb_name(pb, name);
	memcpy(t.shape, shape, rank * sizeof(*shape));
	ROOM(pb->tensors, index, 1)[index] = t;
	pb->tensor_count++;
	return index;
}

__u32 pb_tensor4(struct pb *pb, __u8 role, __u32 c, __u32 h, __u32 w)
{
	const __u32 shape[] = { 1, c, h, w };

	return pb_tensor(pb, role, 4, 2, 3, shape);
}

__u32 pb_input(struct pb *pb, __u32 c, __u32 h, __u32 w)
{
	return pb_tensor4(pb, PATCNN_ROLE_INPUT, c, h, w);
}

__u32 pb_input_as(struct pb *pb, __u8 dtype, __u8 layout, __u32 c, __u32 h, __u32 w)
{
	__u32 t = pb_tensor4(pb, PATCNN_ROLE_INPUT, c, h, w);

	pb->tensors[t].dtype = dtype;
	pb->tensors[t].layout = layout;
	return t;
}

__u32 pb_output(struct pb *pb, __u32 tensor)
{
	pb->tensors[tensor].role = PATCNN_ROLE_OUTPUT;
	return tensor;
}

__u32 pb_constant(struct pb *pb, __u8 rank, __u8 axis_h, __u8 axis_w, const __u32 *shape)
{
	__u32 t = pb_tensor(pb, PATCNN_ROLE_CONSTANT, rank, axis_h, axis_w, shape);
	__u64 count = product(shape, 0, rank);
	struct patcnn_array a = pb_random_floats(pb, count, 1.0f);

	pb->tensors[t].data_offset = a.offset;
	pb->tensors[t].data_size = count * sizeof(float);
	return t;
}

float *pb_constant_data(struct pb *pb, __u32 tensor)
{
	return (float *)(pb->data + pb->tensors[tensor].data_offset);
}

struct patcnn_operator *pb_last(struct pb *pb)
{
	return &pb->operators[pb->operator_count - 1];
}

struct patcnn_operator *pb_op(struct pb *pb, const char *name, __u16 kind, __u32 output,
			      __u16 count, const __u32 *operands)
{
	struct patcnn_operator *op;
	char text[40];

	ROOM(pb->operators, pb->operator_count, 1);
	op = &pb->operators[pb->operator_count];
	memset(op, 0, sizeof(*op));
	snprintf(text, sizeof(text), "%s%u", name, pb->operator_count);
	op->name = pb_name(pb, text);
	op->kind = kind;
	op->output = output;
	op->operand_first = pb->operand_count;
	op->operand_count = count;
	pb->operator_count++;
	ROOM(pb->operands, pb->operand_count, count);
	memcpy(pb->operands + pb->operand_count, operands, count * sizeof(*operands));
	pb->operand_count += count;
	return op;
}

void pb_act(struct pb *pb, __u32 kind, float a, float b)
{
	struct patcnn_activation *act = &pb_last(pb)->activation;

	act->kind = kind;
	act->a = pb_bits(a);
	act->b = pb_bits(b);
}

void pb_tune(struct pb *pb, const struct patcnn_tuning *choice)
{
	ROOM(pb->tuning, pb->tuning_count, 1)[pb->tuning_count] = *choice;
	pb->tuning_count++;
}

/* struct part - one section to lay out. */
struct part {
	__u32 type;
	__u32 stride;
	__u64 count;
	const void *from;
};

void *pb_finish(const struct pb *pb, size_t *size)
{
	const struct part parts[] = {
		{ PATCNN_SECTION_TENSORS, sizeof(*pb->tensors), pb->tensor_count, pb->tensors },
		{ PATCNN_SECTION_OPERATORS, sizeof(*pb->operators), pb->operator_count,
		  pb->operators },
		{ PATCNN_SECTION_OPERANDS, sizeof(__u32), pb->operand_count, pb->operands },
		{ PATCNN_SECTION_PATTERNS, sizeof(*pb->patterns), pb->pattern_count,
		  pb->patterns },
		{ PATCNN_SECTION_TAPS, sizeof(*pb->taps), pb->tap_count, pb->taps },
		{ PATCNN_SECTION_TUNING, sizeof(*pb->tuning), pb->tuning_count, pb->tuning },
		{ PATCNN_SECTION_DATA, 1, pb->data_size, pb->data },
		{ PATCNN_SECTION_STRINGS, 1, pb->string_size, pb->strings },
		{ pb->extra_section, 1, pb->extra_section ? 16 : 0, "an extra section" },
	};
	const __u32 max = sizeof(parts) / sizeof(parts[0]);
	struct patcnn_program_header head = {
		.magic = PATCNN_PROGRAM_MAGIC,
		.version_major = PATCNN_PROGRAM_VERSION_MAJOR,
		.version_minor = PATCNN_PROGRAM_VERSION_MINOR,
	};
	struct patcnn_section table[sizeof(parts) / sizeof(parts[0])];
	__u32 source[sizeof(parts) / sizeof(parts[0])];
	__u64 at;
	__u8 *blob;

	for (__u32 i = 0; i < max; i++)
		if (parts[i].count)
			source[head.section_count++] = i;
	at = sizeof(head) + head.section_count * sizeof(*table);
	for (__u32 i = 0; i < head.section_count; i++) {
		const struct part *p = &parts[source[i]];

		at = (at + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
		table[i] = (struct patcnn_section){ p->type, p->stride, at, p->count };
		at += p->count * p->stride;
	}
	head.size = at;
	blob = aligned_alloc(DATA_ALIGN, (at + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN);
	if (!blob) {
		perror("build_program");
		exit(4);
	}
	memset(blob, 0, at);
	memcpy(blob, &head, sizeof(head));
	memcpy(blob + sizeof(head), table, head.section_count * sizeof(*table));
	for (__u32 i = 0; i < head.section_count; i++)
		memcpy(blob + table[i].offset, parts[source[i]].from,
		       table[i].count * table[i].stride);
	*size = at;
	return blob;
}

struct patcnn_section *pb_section(void *blob, __u32 type)
{
	struct patcnn_program_header *h = blob;
	struct patcnn_section *s = (struct patcnn_section *)(h + 1);

	for (__u32 i = 0; i < h->section_count; i++)
		if (s[i].type == type)
			return &s[i];
	return NULL;
}

void *pb_element(void *blob, __u32 type, __u32 index)
{
	struct patcnn_section *s = pb_section(blob, type);

	return s ? (__u8 *)blob + s->offset + (size_t)index * s->stride : NULL;
}
