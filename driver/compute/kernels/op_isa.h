/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Every operator template, for the instruction set that the including file chose. */
#include "op_map.h"
#include "op_planes.h"
#include "op_product.h"
#include "op_reduce.h"

extern const struct pat_ops PAT_ISA(pat_ops);
const struct pat_ops PAT_ISA(pat_ops) = {
	.run = {
		[PAT_FN_MAP] = map_run,
		[PAT_FN_RESHAPE] = reshape_run,
		[PAT_FN_PAD] = pad_run,
		[PAT_FN_CONVERT] = convert_run,
		[PAT_FN_CONV_TRANSPOSE] = conv_transpose_run,
		[PAT_FN_MATMUL] = matmul_run,
		[PAT_FN_POOL] = pool_run,
		[PAT_FN_RESIZE] = resize_run,
		[PAT_FN_SOFTMAX] = softmax_run,
		[PAT_FN_REDUCE] = reduce_run,
		[PAT_FN_NORM] = norm_run,
	},
	.move = move,
};
