// SPDX-License-Identifier: MIT
/* The correct program, and mutations of header, sections, tensors, patterns and order. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spoil.h"

struct spoil *spoil_list;
static struct spoil **tail = &spoil_list;

void spoil_register(struct spoil *s)
{
	*tail = s;
	tail = &s->next;
}

void *spoil_build(const struct spoil *s, size_t *size)
{
	struct pb pb;
	void *blob;

	build_every_operator(&pb);
	if (s->before)
		s->before(&pb);
	blob = pb_finish(&pb, size);
	pb_fini(&pb);
	if (s->after)
		s->after(blob, size);
	return blob;
}

struct patcnn_operator *op_of(struct pb *pb, __u16 kind, unsigned int nth)
{
	for (__u32 i = 0; i < pb->operator_count; i++)
		if (pb->operators[i].kind == kind && !nth--)
			return &pb->operators[i];
	abort();
}

struct patcnn_tensor *in_of(struct pb *pb, const struct patcnn_operator *op, __u32 i)
{
	return &pb->tensors[pb->operands[op->operand_first + i]];
}

struct patcnn_tensor *out_of(struct pb *pb, const struct patcnn_operator *op)
{
	return &pb->tensors[op->output];
}

struct patcnn_operator *conv_with(struct pb *pb, __u16 storage)
{
	for (unsigned int i = 0;; i++)
		if (op_of(pb, PATCNN_OP_CONV, i)->conv.weights.storage == storage)
			return op_of(pb, PATCNN_OP_CONV, i);
}

__u32 *words_of(struct pb *pb, struct patcnn_array a)
{
	return (__u32 *)(pb->data + a.offset);
}

static __u32 conv3(struct pb *pb, __u32 in, __u32 out, __u16 storage, __u32 residual)
{
	return pb_conv(pb, &(struct pb_conv){
		.in = in, .out = out, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1,
		.storage = storage, .residual = residual, .act = PATCNN_ACT_RELU });
}

static __u32 per_channel(struct pb *pb, __u32 c, float low)
{
	const __u32 shape[] = { 1, c, 1, 1 };
	__u32 t = pb_constant(pb, 4, 2, 3, shape);

	for (__u32 i = 0; i < c; i++)
		pb_constant_data(pb, t)[i] += low;
	return t;
}

void build_every_operator(struct pb *pb)
{
	const float mean[] = { 120, 110, 100 }, scale[] = { 0.02f, 0.018f, 0.017f };
	const __u32 start[] = { 0, 2, 1, 0 }, step[] = { 1, 2, 1, 1 }, size[] = { 1, 6, 4, 5 };
	const __u32 perm[] = { 0, 1, 3, 2 }, shape[] = { 1, 6, 4, 5 };
	const __u32 before[] = { 0, 0, 1, 1 }, after[] = { 0, 0, 1, 2 };
	const __u32 right[] = { 1, 1, 28, 5 };
	const struct pb_conv half = { .kh = 2, .kw = 2, .sh = 2, .sw = 2 };
	struct pb_conv spec = half;
	__u32 image, second, t, u, v, pair[2];

	pb_init(pb, 3);
	image = pb_input_as(pb, PATCNN_DTYPE_U8, PATCNN_LAYOUT_HWC, 3, 12, 10);
	second = pb_input(pb, 8, 12, 10);
	t = pb_convert(pb, image, mean, scale, true);
	u = conv3(pb, t, 8, PATCNN_STORAGE_DENSE, 0);
	t = conv3(pb, u, 8, PATCNN_STORAGE_FKW, u);
	u = conv3(pb, t, 8, PATCNN_STORAGE_CSR, 0);
	v = conv3(pb, t, 8, PATCNN_STORAGE_BLOCK, 0);
	t = pb_conv(pb, &(struct pb_conv){ .in = t, .out = 8, .groups = 8, .kh = 3, .kw = 3,
					   .pt = 1, .pl = 1, .pb = 1, .pr = 1 });
	u = pb_binary(pb, PATCNN_OP_ADD, u, v);
	u = pb_binary(pb, PATCNN_OP_SUB, u, t);
	u = pb_binary(pb, PATCNN_OP_MUL, u, second);
	u = pb_binary(pb, PATCNN_OP_DIV, u, per_channel(pb, 8, 3));
	u = pb_binary(pb, PATCNN_OP_PRELU, u, per_channel(pb, 8, 0));
	spec.in = u;
	pair[0] = pb_pool(pb, PATCNN_OP_MAX_POOL, &spec, false);
	pair[1] = pb_pool(pb, PATCNN_OP_AVG_POOL, &spec, true);
	t = pb_concat(pb, 1, 2, pair);
	t = pb_slice(pb, t, start, step, size);
	t = pb_permute(pb, t, perm, 2, 3);
	t = pb_reshape(pb, t, 4, 2, 3, shape);
	t = pb_pad(pb, t, PATCNN_PAD_CONSTANT, 0.25f, before, after);
	t = pb_resize(pb, t, 12, 14, PATCNN_RESIZE_LINEAR, PATCNN_COORD_HALF_PIXEL, 0);
	spec = half;
	spec.in = t;
	spec.out = 4;
	t = pb_conv_transpose(pb, &spec, 0, 0);
	t = pb_softmax(pb, t, 1);
	t = pb_layer_norm(pb, t, 3);
	t = pb_instance_norm(pb, t);
	t = pb_matmul(pb, t, pb_constant(pb, 4, 2, 3, right));
	t = pb_reduce(pb, t, PATCNN_REDUCE_MEAN, 0xc);
	t = pb_linear(pb, t, 10, PATCNN_STORAGE_DENSE);
	pb_output(pb, pb_activation(pb, t, PATCNN_ACT_TANH, 0, 0));
	pb_tune(pb, &(struct patcnn_tuning){ .op = 2, .isa = PATCNN_ISA_AVX2, .algorithm = 1 });
	pb_tune(pb, &(struct patcnn_tuning){ .op = 2, .isa = PATCNN_ISA_NEON, .algorithm = 2 });
	pb_tune(pb, &(struct patcnn_tuning){ .op = 3, .isa = PATCNN_ISA_AVX2, .fuse = 1 });
}

/* ---- header and sections ---- */

static struct patcnn_program_header *head(void *blob)
{
	return blob;
}

static struct patcnn_section *entry(void *blob, __u32 i)
{
	return (struct patcnn_section *)(head(blob) + 1) + i;
}

SPOIL_BYTES(empty, EINVAL, "header") { *size = 0; }
SPOIL_BYTES(one_byte, EINVAL, "header") { *size = 1; }
SPOIL_BYTES(short_header, EINVAL, "header") { *size = sizeof(*head(blob)) - 1; }
SPOIL_BYTES(header_only, EINVAL, "header")
{
	*size = sizeof(*head(blob));
	head(blob)->size = *size;
}

SPOIL_BYTES(magic, EINVAL, "magic") { head(blob)->magic ^= 1; }
SPOIL_BYTES(version_major, EINVAL, "version") { head(blob)->version_major++; }
SPOIL_BYTES(version_major_zero, EINVAL, "version") { head(blob)->version_major = 0; }
SPOIL_BYTES(version_minor, EINVAL, "version") { head(blob)->version_minor++; }
SPOIL_BYTES(size_small, EINVAL, "size") { head(blob)->size--; }
SPOIL_BYTES(size_large, EINVAL, "size") { head(blob)->size = ~0ull; }
SPOIL_BYTES(truncated, EINVAL, "size") { *size /= 2; }
SPOIL_BYTES(header_flags, EINVAL, "flags") { head(blob)->flags = 1; }
SPOIL_BYTES(header_reserved, EINVAL, "reserved") { head(blob)->reserved = 1ull << 63; }
SPOIL_BYTES(section_count_huge, E2BIG, "section_count") { head(blob)->section_count = ~0u; }
SPOIL_BYTES(section_count_beyond, EINVAL, "section_count")
{
	*size = sizeof(*head(blob)) + sizeof(struct patcnn_section) + 8;
	head(blob)->size = *size;
	head(blob)->section_count = 2;
}

SPOIL_BYTES(no_sections, EINVAL, "STRINGS") { head(blob)->section_count = 0; }
SPOIL_BYTES(section_unknown, EINVAL, "unknown") { entry(blob, 0)->type = 99; }
SPOIL_BYTES(section_twice, EINVAL, "twice") { *entry(blob, 1) = *entry(blob, 0); }
SPOIL_BYTES(section_stride_zero, EINVAL, "stride") { entry(blob, 0)->stride = 0; }
SPOIL_BYTES(section_stride, EINVAL, "stride") { entry(blob, 1)->stride += 8; }
SPOIL_BYTES(section_misaligned, EINVAL, "multiple") { entry(blob, 2)->offset += 4; }
SPOIL_BYTES(section_data_misaligned, EINVAL, "multiple")
{
	pb_section(blob, PATCNN_SECTION_DATA)->offset += 8;
}

SPOIL_BYTES(section_in_table, EINVAL, "outside") { entry(blob, 0)->offset = 8; }
SPOIL_BYTES(section_behind, EINVAL, "outside")
{
	entry(blob, 0)->offset = (*size + 7) / 8 * 8 + 8;
}

SPOIL_BYTES(section_offset_wraps, EINVAL, "outside") { entry(blob, 0)->offset = ~7ull; }
SPOIL_BYTES(section_count_outside, EINVAL, "outside") { entry(blob, 0)->count = 8192; }
SPOIL_BYTES(section_count_wraps, E2BIG, "count") { entry(blob, 1)->count = 1ull << 56; }
SPOIL_BYTES(section_count_wraps_to_zero, E2BIG, "count") { entry(blob, 2)->count = 1ull << 62; }
SPOIL_BYTES(section_data_wraps, EINVAL, "outside")
{
	pb_section(blob, PATCNN_SECTION_DATA)->count = 0x7fffffff;
}

SPOIL_BYTES(section_overlap, EINVAL, "overlap")
{
	pb_section(blob, PATCNN_SECTION_TAPS)->offset =
		pb_section(blob, PATCNN_SECTION_PATTERNS)->offset;
}

SPOIL_BYTES(optional_section_outside, EINVAL, "outside")
{
	struct patcnn_section *s = pb_section(blob, PATCNN_SECTION_TAPS);

	s->type = PATCNN_SECTION_OPTIONAL | 5;
	s->stride = ~0u;
	s->count = ~0ull;
}

SPOIL_BYTES(strings_open, EINVAL, "STRINGS")
{
	struct patcnn_section *s = pb_section(blob, PATCNN_SECTION_STRINGS);

	((char *)blob)[s->offset + s->count - 1] = 'x';
}

SPOIL_BYTES(strings_empty, EINVAL, "STRINGS")
{
	pb_section(blob, PATCNN_SECTION_STRINGS)->count = 0;
}

SPOIL_BYTES(tensors_empty, EINVAL, "TENSORS")
{
	pb_section(blob, PATCNN_SECTION_TENSORS)->count = 0;
}

SPOIL_BYTES(operators_empty, EINVAL, "OPERATORS")
{
	pb_section(blob, PATCNN_SECTION_OPERATORS)->count = 0;
}

SPOIL_BYTES(data_missing, EINVAL, "DATA")
{
	pb_section(blob, PATCNN_SECTION_DATA)->count = 0;
}

SPOIL_BYTES(patterns_missing, EINVAL, "PATTERNS")
{
	pb_section(blob, PATCNN_SECTION_PATTERNS)->count = 0;
}

SPOIL_BYTES(taps_missing, EINVAL, "tap_first")
{
	pb_section(blob, PATCNN_SECTION_TAPS)->count = 0;
}

/* ---- tensors ---- */

SPOIL(tensor_name, EINVAL, "name") { pb->tensors[2].name = pb->string_size; }
SPOIL(tensor_name_huge, EINVAL, "name") { pb->tensors[2].name = ~0u; }
SPOIL(tensor_role, EINVAL, "role") { pb->tensors[2].role = 4; }
SPOIL(tensor_dtype_zero, EINVAL, "dtype") { pb->tensors[2].dtype = 0; }
SPOIL(tensor_dtype_unknown, EINVAL, "dtype") { pb->tensors[0].dtype = 77; }
SPOIL(tensor_dtype_f16, EINVAL, "dtype") { pb->tensors[0].dtype = PATCNN_DTYPE_F16; }
SPOIL(tensor_u8_intermediate, EINVAL, "dtype") { pb->tensors[2].dtype = PATCNN_DTYPE_U8; }
SPOIL(tensor_layout, EINVAL, "layout") { pb->tensors[0].layout = 2; }
SPOIL(tensor_hwc_intermediate, EINVAL, "layout") { pb->tensors[2].layout = 1; }
SPOIL(tensor_reserved, EINVAL, "reserved") { pb->tensors[2].reserved[1] = 1; }
SPOIL(tensor_rank_zero, EINVAL, "rank") { pb->tensors[2].rank = 0; }
SPOIL(tensor_rank_large, EINVAL, "rank") { pb->tensors[2].rank = 7; }
SPOIL(tensor_axis_order, EINVAL, "axis_h") { pb->tensors[2].axis_h = 4; }
SPOIL(tensor_axis_w, EINVAL, "axis_w") { pb->tensors[2].axis_w = 5; }
SPOIL(tensor_shape_beyond, EINVAL, "beyond") { pb->tensors[2].shape[4] = 1; }
SPOIL(tensor_shape_zero, EINVAL, "shape[2] = 0") { pb->tensors[2].shape[2] = 0; }
SPOIL(tensor_c, EINVAL, "c, h, w") { pb->tensors[2].c++; }
SPOIL(tensor_h, EINVAL, "c, h, w") { pb->tensors[2].h = 0; }
SPOIL(tensor_w, EINVAL, "c, h, w") { pb->tensors[2].w = ~0u; }
SPOIL(tensor_dim, E2BIG, "is above")
{
	pb->tensors[2].shape[1] = (1u << 20) + 1;
	pb->tensors[2].c = (1u << 20) + 1;
}

SPOIL(tensor_product_wraps, EINVAL, "c, h, w")
{
	/* 2^16 * 2^16 is 0 in 32 bits. */
	pb->tensors[2].shape[0] = 1u << 16;
	pb->tensors[2].shape[1] = 1u << 16;
	pb->tensors[2].c = 0;
}

SPOIL(tensor_elements, E2BIG, "elements")
{
	for (int i = 1; i < 4; i++)
		pb->tensors[2].shape[i] = 1u << 20;
	pb->tensors[2].c = 1u << 20;
	pb->tensors[2].h = 1u << 20;
	pb->tensors[2].w = 1u << 20;
}

static struct patcnn_tensor *a_constant(struct pb *pb)
{
	return in_of(pb, op_of(pb, PATCNN_OP_DIV, 0), 1);
}

SPOIL(constant_size, EINVAL, "data_size") { a_constant(pb)->data_size -= 4; }
SPOIL(constant_misaligned, EINVAL, "data_offset") { a_constant(pb)->data_offset += 4; }
SPOIL(constant_outside, EINVAL, "data_offset") { a_constant(pb)->data_offset += 1ull << 30; }
SPOIL(constant_wraps, EINVAL, "data_offset") { a_constant(pb)->data_offset = ~63ull; }
SPOIL(constant_end, EINVAL, "data_offset")
{
	a_constant(pb)->data_offset = pb->data_size / 64 * 64;
	pb->data_size = pb->data_size / 64 * 64 + 16;
}

SPOIL(intermediate_with_data, EINVAL, "constant") { pb->tensors[2].data_offset = 64; }
SPOIL(input_with_data, EINVAL, "constant") { pb->tensors[1].data_size = 4; }
SPOIL(too_many_io, E2BIG, "inputs and outputs")
{
	for (int i = 0; i < 64; i++)
		pb_input(pb, 1, 1, 1);
}

SPOIL(no_output, EINVAL, "output")
{
	pb->tensors[pb_last(pb)->output].role = PATCNN_ROLE_INTERMEDIATE;
}

SPOIL(too_many_tensors, E2BIG, "TENSORS")
{
	for (int i = 0; i < 8192; i++)
		pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, 1, 1, 1);
}

/* ---- patterns ---- */

SPOIL(pattern_kernel_zero, EINVAL, "kernel_h") { pb->patterns[1].kernel_h = 0; }
SPOIL(pattern_taps_zero, EINVAL, "tap_count") { pb->patterns[1].tap_count = 0; }
SPOIL(pattern_taps_many, EINVAL, "tap_count") { pb->patterns[1].tap_count = 10; }
SPOIL(pattern_first_outside, EINVAL, "tap_first") { pb->patterns[1].tap_first = pb->tap_count; }
SPOIL(pattern_first_wraps, EINVAL, "tap_first") { pb->patterns[1].tap_first = ~0u; }
SPOIL(pattern_tap_row, EINVAL, "tap 0") { pb->taps[0].row = 3; }
SPOIL(pattern_tap_col, EINVAL, "tap 0") { pb->taps[0].col = 255; }
SPOIL(pattern_tap_twice, EINVAL, "raster") { pb->taps[1] = pb->taps[0]; }
SPOIL(pattern_tap_order, EINVAL, "raster")
{
	struct patcnn_tap t = pb->taps[0];

	pb->taps[0] = pb->taps[1];
	pb->taps[1] = t;
}

/* ---- measured choices: what they say is never wrong, where they stand may be ---- */

SPOIL(tuning_op, EINVAL, "tuning 2") { pb->tuning[2].op = pb->operator_count; }
SPOIL(tuning_op_huge, EINVAL, "tuning 2") { pb->tuning[2].op = ~0u; }
SPOIL(tuning_twice, EINVAL, "ascend") { pb->tuning[1].isa = pb->tuning[0].isa; }
SPOIL(tuning_isa_descends, EINVAL, "ascend") { pb->tuning[0].isa = 255; }
SPOIL(tuning_op_descends, EINVAL, "ascend") { pb->tuning[1].op = 1; }
SPOIL(tuning_reserved, EINVAL, "tuning 0") { pb->tuning[0].reserved[0] = 1; }
SPOIL(tuning_reserved_middle, EINVAL, "tuning 1") { pb->tuning[1].reserved[1] = 1; }
SPOIL(tuning_reserved_last, EINVAL, "tuning 2") { pb->tuning[2].reserved[2] = 128; }
SPOIL_BYTES(tuning_stride, EINVAL, "TUNING")
{
	pb_section(blob, PATCNN_SECTION_TUNING)->stride = 8;
}

SPOIL_BYTES(tuning_too_many, E2BIG, "TUNING")
{
	pb_section(blob, PATCNN_SECTION_TUNING)->count = 4 * 8192 + 1;
}

/* ---- order of operators ---- */

SPOIL(op_name, EINVAL, "name") { pb->operators[3].name = pb->string_size; }
SPOIL(op_kind_zero, EINVAL, "kind") { pb->operators[3].kind = 0; }
SPOIL(op_kind_unknown, EINVAL, "kind") { pb->operators[3].kind = 24; }
SPOIL(op_kind_huge, EINVAL, "kind") { pb->operators[3].kind = 0xffff; }
SPOIL(op_reserved, EINVAL, "reserved") { pb->operators[3].reserved[0] = 1; }
SPOIL(op_reserved_last, EINVAL, "reserved") { pb->operators[3].reserved[1] = 1; }
SPOIL(op_operands_outside, EINVAL, "OPERANDS")
{
	pb->operators[3].operand_first = pb->operand_count;
}

SPOIL(op_operands_wrap, EINVAL, "OPERANDS") { pb->operators[3].operand_first = ~0u; }
SPOIL(op_operand_index, EINVAL, "operand 0")
{
	pb->operands[pb->operators[3].operand_first] = pb->tensor_count;
}

SPOIL(op_operand_index_huge, EINVAL, "operand 0")
{
	pb->operands[pb->operators[3].operand_first] = ~0u;
}

SPOIL(op_operand_unwritten, EINVAL, "no value")
{
	pb->operands[pb->operators[1].operand_first] = pb_last(pb)->output;
}

SPOIL(op_in_place, EINVAL, "no value")
{
	pb->operands[pb->operators[1].operand_first] = pb->operators[1].output;
}

SPOIL(op_operand_u8, EINVAL, "convert")
{
	pb->operands[pb->operators[1].operand_first] = 0;
}

SPOIL(op_output_index, EINVAL, "output") { pb_last(pb)->output = pb->tensor_count; }
SPOIL(op_output_constant, EINVAL, "output")
{
	pb_last(pb)->output = a_constant(pb) - pb->tensors;
}

SPOIL(op_output_input, EINVAL, "output") { pb->operators[1].output = 1; }
SPOIL(op_output_twice, EINVAL, "twice") { pb->operators[3].output = pb->operators[2].output; }
SPOIL(tensor_never_written, EINVAL, "written by no")
{
	pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, 1, 1, 1);
}

SPOIL(operand_count_zero, EINVAL, "operand_count") { pb->operators[1].operand_count = 0; }
SPOIL(operand_count_large, EINVAL, "operand_count")
{
	struct patcnn_operator *op = op_of(pb, PATCNN_OP_ADD, 0);

	op->operand_count = 3;
	pb->operands[op->operand_first + 2] = 1;
}
