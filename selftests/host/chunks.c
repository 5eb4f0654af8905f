// SPDX-License-Identifier: MIT
/*
 * Between two calls of pat_exec() a worker can be stopped, and between two slices it
 * lets others run: a chunk must be short, whatever layer a client thinks of. The time of
 * the thread is what is measured, the best of a few runs, so that a busy machine does
 * not matter; the bound leaves room for a slow one.
 */

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "harness.h"

#define RUNS		4
#define BOUND_US	1000
/* Without vectors, which no CPU of today runs for want of others. */
#define SLOW_BOUND_US	3000

static u64 longest_us(const void *blob, size_t size, const struct pat_isa *isa)
{
	const struct hr_opts opts = { .isa = isa, .guard = HR_GUARD_EXACT, .threads = 1 };
	u64 best = ~0ull;
	struct hr h;

	if (hr_open(&h, blob, size, &opts)) {
		printf("# refused: %s\n", h.error.text);
		return 0;
	}
	hr_random_inputs(&h, 1);
	for (int i = 0; i < RUNS; i++) {
		hr_run(&h);
		best = h.longest_ns < best ? h.longest_ns : best;
	}
	hr_close(&h);
	return best / 1000;
}

static void chunks(struct __test_metadata *_metadata, struct pb *pb, u32 tensor)
{
	const struct pat_isa *isa;
	size_t size;
	void *blob;

	pb_output(pb, tensor);
	blob = pb_finish(pb, &size);
	pb_fini(pb);
	for (unsigned int i = 0; (isa = hr_isa(i)); i++) {
		bool generic = !strcmp(pat_isa_name(isa), "generic");
		u64 us = longest_us(blob, size, isa);

		TH_LOG("%s: %llu us", pat_isa_name(isa), (unsigned long long)us);
		EXPECT_LT(us, generic ? SLOW_BOUND_US : BOUND_US);
	}
	free(blob);
}

#define CHUNKS(name) \
	static u32 build_##name(struct pb *pb); \
	TEST(name) \
	{ \
		struct pb pb; \
		pb_init(&pb, 5); \
		chunks(_metadata, &pb, build_##name(&pb)); \
	} \
	static u32 build_##name(struct pb *pb)

CHUNKS(conv_wide_row)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 16, 8, 4096), .out = 16, .kh = 3,
					      .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1 });
}

CHUNKS(conv_many_channels)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 1024, 14, 14), .out = 512,
					      .kh = 3, .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1 });
}

CHUNKS(conv_patterns)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 512, 28, 28), .out = 512, .kh = 3,
					      .kw = 3, .pt = 1, .pl = 1, .pb = 1, .pr = 1,
					      .storage = PATCNN_STORAGE_FKW });
}

CHUNKS(conv_large_kernel)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 64, 64, 64), .out = 64, .kh = 11,
					      .kw = 11, .pt = 5, .pl = 5, .pb = 5, .pr = 5 });
}

CHUNKS(conv_depthwise)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 512, 112, 112), .out = 512,
					      .kh = 5, .kw = 5, .pt = 2, .pl = 2, .pb = 2, .pr = 2,
					      .groups = 512 });
}

CHUNKS(conv_depthwise_huge_kernel)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 2, 300, 318), .out = 2,
					      .kh = 255, .kw = 255, .groups = 2 });
}

CHUNKS(conv_irregular)
{
	return pb_conv(pb, &(struct pb_conv){ .in = pb_input(pb, 512, 28, 28), .out = 256, .kh = 3,
					      .kw = 3, .storage = PATCNN_STORAGE_CSR });
}

CHUNKS(linear)
{
	return pb_linear(pb, pb_reduce(pb, pb_input(pb, 9216, 2, 2), PATCNN_REDUCE_MEAN, 0xc), 4096,
			 PATCNN_STORAGE_DENSE);
}

CHUNKS(softmax_long)
{
	return pb_softmax(pb, pb_input(pb, 1, 1, 1 << 20), 3);
}

CHUNKS(softmax_channels)
{
	return pb_softmax(pb, pb_input(pb, 4096, 8, 64), 1);
}

CHUNKS(reduce_all)
{
	return pb_reduce(pb, pb_input(pb, 256, 128, 128), PATCNN_REDUCE_MEAN, 0xe);
}

CHUNKS(layer_norm)
{
	return pb_layer_norm(pb, pb_input(pb, 1, 4, 1 << 18), 3);
}

CHUNKS(instance_norm)
{
	return pb_instance_norm(pb, pb_input(pb, 8, 512, 512));
}

CHUNKS(pool_large)
{
	return pb_pool(pb, PATCNN_OP_AVG_POOL,
		       &(struct pb_conv){ .in = pb_input(pb, 16, 256, 256), .kh = 64, .kw = 64 },
		       false);
}

CHUNKS(permute)
{
	return pb_permute(pb, pb_input(pb, 64, 128, 256), (const u32[]){ 0, 3, 2, 1 }, 2, 3);
}

CHUNKS(resize)
{
	return pb_resize(pb, pb_input(pb, 16, 64, 64), 512, 512, PATCNN_RESIZE_LINEAR,
			 PATCNN_COORD_HALF_PIXEL, 0);
}

CHUNKS(activation)
{
	return pb_activation(pb, pb_input(pb, 16, 256, 1024), PATCNN_ACT_GELU, 0, 0);
}

CHUNKS(matmul)
{
	return pb_matmul(pb, pb_input(pb, 1, 512, 1024), pb_input(pb, 1, 1024, 512));
}

CHUNKS(conv_transpose)
{
	return pb_conv_transpose(pb, &(struct pb_conv){ .in = pb_input(pb, 256, 32, 32), .out = 128,
							.kh = 4, .kw = 4, .sh = 2, .sw = 2, .pt = 1,
							.pl = 1, .pb = 1, .pr = 1 }, 0, 0);
}

TEST_HARNESS_MAIN
