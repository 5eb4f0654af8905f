// SPDX-License-Identifier: MIT
/* Mutations of weights in every storage. */

#include <errno.h>

#include "spoil.h"

#define W(storage) (&conv_with(pb, PATCNN_STORAGE_##storage)->conv.weights)
#define WORDS(storage, member) words_of(pb, W(storage)->member)

SPOIL(weights_storage, EINVAL, "storage") { W(DENSE)->storage = 5; }
SPOIL(weights_storage_nm, EINVAL, "storage") { W(DENSE)->storage = PATCNN_STORAGE_NM; }
SPOIL(weights_storage_huge, EINVAL, "storage") { W(DENSE)->storage = 0xffff; }
SPOIL(weights_dtype, EINVAL, "dtype") { W(DENSE)->dtype = PATCNN_DTYPE_S8; }
SPOIL(bias_count, EINVAL, "bias") { W(DENSE)->bias.count++; }
SPOIL(bias_misaligned, EINVAL, "bias") { W(DENSE)->bias.offset += 1; }
SPOIL(bias_outside, EINVAL, "bias") { W(DENSE)->bias.offset = (pb->data_size & ~3ull) + 4; }
SPOIL(bias_end, EINVAL, "bias") { W(DENSE)->bias.offset = (pb->data_size & ~3ull) - 28; }
SPOIL(bias_wraps, EINVAL, "bias") { W(DENSE)->bias.offset = ~3ull; }
SPOIL(dense_count, EINVAL, "values") { W(DENSE)->values.count--; }
SPOIL(dense_count_huge, EINVAL, "values") { W(DENSE)->values.count = 1ull << 62; }
SPOIL(dense_outside, EINVAL, "values") { W(DENSE)->values.offset = pb->data_size & ~3ull; }
SPOIL(dense_absent, EINVAL, "values") { W(DENSE)->values = (struct patcnn_array){ 0, 0 }; }
SPOIL(dense_index, EINVAL, "index") { W(DENSE)->index = W(CSR)->index; }
SPOIL(dense_offset, EINVAL, "offset") { W(DENSE)->offset = W(CSR)->offset; }
SPOIL(dense_reorder, EINVAL, "reorder") { W(DENSE)->reorder = W(FKW)->reorder; }
SPOIL(dense_stride, EINVAL, "stride") { W(DENSE)->stride = W(FKW)->stride; }
SPOIL(dense_block, EINVAL, "block") { W(DENSE)->block_out = 4; }
SPOIL(dense_patterns, EINVAL, "pattern") { W(DENSE)->pattern_count = 1; }

SPOIL(fkw_no_patterns, EINVAL, "pattern") { W(FKW)->pattern_count = 0; }
SPOIL(fkw_patterns_outside, EINVAL, "pattern") { W(FKW)->pattern_first++; }
SPOIL(fkw_patterns_wrap, EINVAL, "pattern") { W(FKW)->pattern_first = ~0u; }
SPOIL(fkw_patterns_many, EINVAL, "pattern") { W(FKW)->pattern_count = ~0u; }
SPOIL(fkw_pattern_kernel, EINVAL, "pattern")
{
	pb->patterns[W(FKW)->pattern_first].kernel_h = 5;
}

SPOIL(fkw_reorder_count, EINVAL, "reorder") { W(FKW)->reorder.count--; }
SPOIL(fkw_reorder_outside, EINVAL, "reorder") { W(FKW)->reorder.offset = pb->data_size & ~3ull; }
SPOIL(fkw_reorder_range, EINVAL, "reorder") { WORDS(FKW, reorder)[3] = 8; }
SPOIL(fkw_reorder_huge, EINVAL, "reorder") { WORDS(FKW, reorder)[3] = ~0u; }
SPOIL(fkw_reorder_twice, EINVAL, "reorder")
{
	WORDS(FKW, reorder)[3] = WORDS(FKW, reorder)[4];
}

SPOIL(fkw_offset_count, EINVAL, "offset") { W(FKW)->offset.count++; }
SPOIL(fkw_offset_first, EINVAL, "offset") { WORDS(FKW, offset)[0] = 1; }
SPOIL(fkw_offset_falls, EINVAL, "offset") { WORDS(FKW, offset)[4] = WORDS(FKW, offset)[3] - 1; }
SPOIL(fkw_offset_huge, EINVAL, "offset") { WORDS(FKW, offset)[4] = ~0u; }
SPOIL(fkw_offset_last, EINVAL, "offset") { WORDS(FKW, offset)[8]++; }
SPOIL(fkw_index_count, EINVAL, "offset") { W(FKW)->index.count--; }
SPOIL(fkw_index_many, EINVAL, "index") { W(FKW)->index.count = 65; }
SPOIL(fkw_index_range, EINVAL, "index") { WORDS(FKW, index)[0] = 8; }
SPOIL(fkw_index_huge, EINVAL, "index") { WORDS(FKW, index)[0] = ~0u; }
SPOIL(fkw_index_twice, EINVAL, "index") { WORDS(FKW, index)[1] = WORDS(FKW, index)[0]; }
SPOIL(fkw_stride_count, EINVAL, "stride") { W(FKW)->stride.count--; }
SPOIL(fkw_stride_first, EINVAL, "stride") { WORDS(FKW, stride)[0] = 1; }
SPOIL(fkw_stride_falls, EINVAL, "stride")
{
	__u32 *s = WORDS(FKW, stride);

	s[W(FKW)->pattern_count - 1] = s[W(FKW)->pattern_count] + 1;
}

SPOIL(fkw_stride_last, EINVAL, "stride") { WORDS(FKW, stride)[W(FKW)->pattern_count]--; }
SPOIL(fkw_values_few, EINVAL, "values") { W(FKW)->values.count--; }
SPOIL(fkw_values_many, EINVAL, "values") { W(FKW)->values.count++; }
SPOIL(fkw_values_outside, EINVAL, "values") { W(FKW)->values.offset = pb->data_size & ~3ull; }
SPOIL(fkw_block, EINVAL, "block") { W(FKW)->block_in = 4; }

SPOIL(csr_offset_first, EINVAL, "offset") { WORDS(CSR, offset)[0] = 1; }
SPOIL(csr_offset_falls, EINVAL, "offset") { WORDS(CSR, offset)[2] = WORDS(CSR, offset)[1] - 1; }
SPOIL(csr_offset_huge, EINVAL, "offset") { WORDS(CSR, offset)[2] = 0x80000000; }
SPOIL(csr_offset_last, EINVAL, "offset") { WORDS(CSR, offset)[8]++; }
SPOIL(csr_offset_count, EINVAL, "offset") { W(CSR)->offset.count--; }
SPOIL(csr_index_range, EINVAL, "index")
{
	WORDS(CSR, index)[WORDS(CSR, offset)[1] - 1] = 8 * 9;
}

SPOIL(csr_index_huge, EINVAL, "index") { WORDS(CSR, index)[WORDS(CSR, offset)[1] - 1] = ~0u; }
SPOIL(csr_index_twice, EINVAL, "index") { WORDS(CSR, index)[1] = WORDS(CSR, index)[0]; }
SPOIL(csr_index_many, EINVAL, "index") { W(CSR)->index.count = 8 * 8 * 9 + 1; }
SPOIL(csr_values, EINVAL, "values") { W(CSR)->values.count++; }
SPOIL(csr_stride, EINVAL, "stride") { W(CSR)->stride = W(CSR)->offset; }
SPOIL(csr_patterns, EINVAL, "pattern") { W(CSR)->pattern_first = 1; }

SPOIL(block_out_zero, EINVAL, "block") { W(BLOCK)->block_out = 0; }
SPOIL(block_in_zero, EINVAL, "block") { W(BLOCK)->block_in = 0; }
SPOIL(block_out_other, EINVAL, "offset") { W(BLOCK)->block_out = 3; }
SPOIL(block_in_other, EINVAL, "weights") { W(BLOCK)->block_in = 3; }
SPOIL(block_huge, EINVAL, "weights")
{
	W(BLOCK)->block_out = 0xffff;
	W(BLOCK)->block_in = 0xffff;
}

SPOIL(block_index_range, EINVAL, "index")
{
	WORDS(BLOCK, index)[WORDS(BLOCK, offset)[1] - 1] = 2 * 9;
}

SPOIL(block_index_order, EINVAL, "index") { WORDS(BLOCK, index)[1] = 0; }
SPOIL(block_offset_last, EINVAL, "offset") { WORDS(BLOCK, offset)[2]--; }
SPOIL(block_values, EINVAL, "values") { W(BLOCK)->values.count -= 16; }
SPOIL(block_groups, EINVAL, "block_out")
{
	pb_conv(pb, &(struct pb_conv){ .in = 1, .out = 8, .groups = 4,
				       .storage = PATCNN_STORAGE_BLOCK });
}

/* Operators may share arrays, but not so that a small program becomes much work to check. */
SPOIL(shared_too_often, E2BIG, "shared")
{
	__u32 t = pb_conv(pb, &(struct pb_conv){ .in = 1, .out = 256, .kh = 3, .kw = 3, .pt = 1,
						 .pl = 1, .pb = 1, .pr = 1 });
	struct patcnn_operator first;

	t = pb_conv(pb, &(struct pb_conv){ .in = t, .out = 256, .kh = 3, .kw = 3, .pt = 1,
					   .pl = 1, .pb = 1, .pr = 1, .keep = 90,
					   .storage = PATCNN_STORAGE_CSR });
	first = *pb_last(pb);
	for (int i = 0; i < 64; i++) {
		__u32 out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, 256, 12, 10);
		struct patcnn_operator *op = pb_op(pb, "again", PATCNN_OP_CONV, out, 1, &t);

		op->conv = first.conv;
		t = out;
	}
}

SPOIL(fkw_shared_too_often, E2BIG, "shared")
{
	struct pb_conv spec = { .in = 1, .out = 256, .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1,
				.pr = 1, .storage = PATCNN_STORAGE_FKW, .keep = 99 };
	struct patcnn_operator first;

	spec.in = pb_conv(pb, &spec);
	spec.in = pb_conv(pb, &spec);
	first = *pb_last(pb);
	for (int i = 0; i < 64; i++) {
		__u32 out = pb_tensor4(pb, PATCNN_ROLE_INTERMEDIATE, 256, 12, 10);
		struct patcnn_operator *op = pb_op(pb, "again", PATCNN_OP_CONV, out, 1, &spec.in);

		op->conv = first.conv;
		spec.in = out;
	}
}
