// SPDX-License-Identifier: MIT
/*
 * What this core can do: multiply-accumulates with operands in registers, with an
 * aligned and a misaligned memory operand, with one misaligned load for two; and
 * bytes a second out of the caches and memory.
 */
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include "limit.h"

#define Z24	"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"
#define CLOBBER	"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
		"xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define CLOBBER32 CLOBBER, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", \
		"xmm24", "xmm25", "xmm30", "xmm31"

/* Each: @n rounds of 24 (12 with two FMAs a load) over 1.5 KiB at @p; 16 lanes. */

static __attribute__((target("avx512f"), noinline)) void registers512(const float *p, long n)
{
	(void)p;
	__asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm30\n vpxord %%zmm31, %%zmm31, %%zmm31\n"
		"1:\n.irp r," Z24 "\nvfmadd231ps %%zmm30, %%zmm31, %%zmm\\r\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : : CLOBBER32);
}

static __attribute__((target("avx512f"), noinline)) void memory512(const float *p, long n)
{
	__asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31\n"
		"1:\n.irp r," Z24 "\nvfmadd231ps \\r*64(%1), %%zmm31, %%zmm\\r\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : "r"(p) : CLOBBER32);
}

#define PAIR512(r, s)	"vmovups " #r "*64(%1), %%zmm25\n" \
		"vfmadd231ps %%zmm25, %%zmm31, %%zmm" #r "\nvfmadd231ps %%zmm25, %%zmm30, %%zmm" #s "\n"

static __attribute__((target("avx512f"), noinline)) void shared512(const float *p, long n)
{
	__asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm30\n vpxord %%zmm31, %%zmm31, %%zmm31\n1:\n"
		PAIR512(0, 12) PAIR512(1, 13) PAIR512(2, 14) PAIR512(3, 15) PAIR512(4, 16) PAIR512(5, 17)
		PAIR512(6, 18) PAIR512(7, 19) PAIR512(8, 20) PAIR512(9, 21) PAIR512(10, 22) PAIR512(11, 23)
		"dec %0\njnz 1b\n" : "+r"(n) : "r"(p) : CLOBBER32);
}

static __attribute__((target("avx512f"), noinline)) void read512(const float *p, long n)
{
	__asm__ volatile("1:\n.irp r,0,1,2,3,4,5,6,7\nvmovups \\r*64(%1), %%zmm\\r\n.endr\n"
		"add $512, %1\ndec %0\njnz 1b\n" : "+r"(n), "+r"(p) : : CLOBBER);
}

static __attribute__((target("avx2,fma"), noinline)) void registers256(const float *p, long n)
{
	(void)p;
	__asm__ volatile("vxorps %%ymm14, %%ymm14, %%ymm14\n vxorps %%ymm15, %%ymm15, %%ymm15\n"
		"1:\n.rept 2\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
		"vfmadd231ps %%ymm14, %%ymm15, %%ymm\\r\n.endr\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : : CLOBBER);
}

static __attribute__((target("avx2,fma"), noinline)) void memory256(const float *p, long n)
{
	__asm__ volatile("vxorps %%ymm15, %%ymm15, %%ymm15\n"
		"1:\n.rept 2\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11\n"
		"vfmadd231ps \\r*32(%1), %%ymm15, %%ymm\\r\n.endr\n.endr\ndec %0\njnz 1b\n"
		: "+r"(n) : "r"(p) : CLOBBER);
}

#define PAIR256(r, s)	"vmovups " #r "*32(%1), %%ymm14\n" \
		"vfmadd231ps %%ymm14, %%ymm15, %%ymm" #r "\nvfmadd231ps %%ymm14, %%ymm13, %%ymm" #s "\n"
#define PAIRS256	PAIR256(0, 6) PAIR256(1, 7) PAIR256(2, 8) PAIR256(3, 9) PAIR256(4, 10) PAIR256(5, 11)

static __attribute__((target("avx2,fma"), noinline)) void shared256(const float *p, long n)
{
	__asm__ volatile("vxorps %%ymm13, %%ymm13, %%ymm13\n vxorps %%ymm15, %%ymm15, %%ymm15\n"
		"1:\n" PAIRS256 PAIRS256 "dec %0\njnz 1b\n" : "+r"(n) : "r"(p) : CLOBBER);
}

static __attribute__((target("avx2"), noinline)) void read256(const float *p, long n)
{
	__asm__ volatile("1:\n.irp r,0,1,2,3,4,5,6,7\nvmovups \\r*64(%1), %%ymm\\r\n"
		"vmovups (\\r*64+32)(%1), %%ymm\\r\n.endr\n"
		"add $512, %1\ndec %0\njnz 1b\n" : "+r"(n), "+r"(p) : : CLOBBER);
}

typedef void (*loop)(const float *p, long n);

static bool wide(void)
{
	return __builtin_cpu_supports("avx512f");
}

const char *fma_isa(void)
{
	return wide() ? "avx512" : "avx2";
}

double fma_seconds(void)
{
	u32 lanes = wide() ? 16 : 8;
	long n = 64000 / lanes;
	double start = seconds(1);

	(wide() ? registers512 : registers256)(NULL, n);
	return (seconds(1) - start) / ((double)n * 24 * lanes);
}

static double rate(loop fn, const float *p, long n, double work)
{
	double t[15];
	u32 i;

	fn(p, n);
	for (i = 0; i < 15; i++) {
		double start = seconds(1);

		fn(p, n);
		t[i] = seconds(1) - start;
	}
	return work / median(t, 15) * 1e-9;
}

static double fma_rate(loop fn, const float *p)
{
	u32 lanes = wide() ? 16 : 8;
	long n = 20000;

	return rate(fn, p, n, 2.0 * 24 * lanes * (double)n);
}

/* Reads of @bytes, again and again, in GB/s. */
static double read_rate(const char *p, u64 bytes)
{
	u64 passes = (16 << 20) / bytes, i;
	double t[9];
	u32 k;

	if (!passes)
		passes = 1;
	for (k = 0; k < 9; k++) {
		double start = seconds(1);

		for (i = 0; i < passes; i++)
			(wide() ? read512 : read256)((const float *)p, (long)(bytes / 512));
		t[k] = seconds(1) - start;
	}
	return (double)(bytes * passes) / median(t, 9) * 1e-9;
}

void limit_measure(struct limit *l)
{
	u64 l1 = 24 << 10, l2 = 384 << 10, far = 64 << 20;
	char *p = memory(far + 4096);

	*l = (struct limit){
		.fma = fma_rate(wide() ? registers512 : registers256, NULL),
		.fma_aligned = fma_rate(wide() ? memory512 : memory256, (float *)p),
		.fma_misaligned = fma_rate(wide() ? memory512 : memory256, (float *)(p + 4)),
		.fma_shared = fma_rate(wide() ? shared512 : shared256, (float *)(p + 4)),
		.l1 = read_rate(p, l1),
		.l1_misaligned = read_rate(p + 4, l1),
		.l2 = read_rate(p, l2),
		.memory = read_rate(p, far),
	};
	free(p);
}
