/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H

#include "bench.h"

/* GFLOP/s (two a multiply-accumulate) and GB/s of one core. */
struct limit {
	double fma, fma_aligned, fma_misaligned, fma_shared;
	double l1, l1_misaligned, l2, memory;
};

void limit_measure(struct limit *l);

#endif
