// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Vector registers in the kernel
 *
 * Sections are opened by workers alone: planning and packing know no float. On x86 a
 * section runs with preemption off; on arm64 it may be preempted, and FPCR is what the
 * last user of the CPU left there. Here both are set to rounding to nearest, nothing
 * trapped, denormals taken for and flushed to zero: x86 handles them in microcode, so
 * that a client's numbers would decide how long a slice takes. User-mode Linux has no
 * state of its own to save.
 *
 * A CPU can run an instruction set if it has the instructions and the kernel
 * saves their registers; SVE is never used, for no kernel saves it in a section.
 */

#include <linux/kernel.h>
#include <linux/string.h>

#if defined(CONFIG_X86_64) && !defined(CONFIG_UML)
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#elif defined(CONFIG_ARM64)
#include <asm/cpufeature.h>
#include <asm/sysreg.h>
#elif defined(CONFIG_ARCH_HAS_KERNEL_FPU_SUPPORT)
#include <linux/fpu.h>
#endif

#include "patcnn_compute.h"
#include "patcnn_simd.h"

#ifdef CONFIG_X86_64
#define MXCSR_USUAL	0x1f80U		/* to nearest, all exceptions masked */
#define MXCSR_FLUSH	0x8040U		/* results (FTZ), operands (DAZ) */

static void patcnn_set_mxcsr(u32 mxcsr)
{
	asm volatile("ldmxcsr %0" : : "m" (mxcsr));
}
#endif

#if defined(CONFIG_X86_64) && !defined(CONFIG_UML)

void patcnn_simd_begin(struct patcnn_simd *simd)
{
	kernel_fpu_begin();
	patcnn_set_mxcsr(MXCSR_USUAL | MXCSR_FLUSH);
}

void patcnn_simd_end(struct patcnn_simd *simd)
{
	patcnn_set_mxcsr(MXCSR_USUAL);
	kernel_fpu_end();
}

#elif defined(CONFIG_ARM64)

#define FPCR_FLUSH	BIT(24)		/* FZ: operands and results */

void patcnn_simd_begin(struct patcnn_simd *simd)
{
#ifdef PATCNN_HAVE_NEON_STATE
	kernel_neon_begin(&simd->state);
#else
	kernel_neon_begin();
#endif
	write_sysreg(FPCR_FLUSH, fpcr);
}

void patcnn_simd_end(struct patcnn_simd *simd)
{
	write_sysreg(0, fpcr);
#ifdef PATCNN_HAVE_NEON_STATE
	kernel_neon_end(&simd->state);
#else
	kernel_neon_end();
#endif
}

#elif defined(CONFIG_ARCH_HAS_KERNEL_FPU_SUPPORT)

void patcnn_simd_begin(struct patcnn_simd *simd)
{
	kernel_fpu_begin();
}

void patcnn_simd_end(struct patcnn_simd *simd)
{
	kernel_fpu_end();
}

#elif defined(CONFIG_UML)

/* Preemption would let another thread run on the same host registers. */
void patcnn_simd_begin(struct patcnn_simd *simd)
{
	preempt_disable();
#ifdef CONFIG_X86_64
	patcnn_set_mxcsr(MXCSR_USUAL | MXCSR_FLUSH);
#endif
}

void patcnn_simd_end(struct patcnn_simd *simd)
{
#ifdef CONFIG_X86_64
	patcnn_set_mxcsr(MXCSR_USUAL);
#endif
	preempt_enable();
}

#else
#error "patcnn: no way to use floating point in the kernel of this architecture"
#endif

#if defined(CONFIG_UML) && defined(CONFIG_X86_64)
/*
 * User-mode Linux reads names from the host's /proc/cpuinfo and may miss some: ask the
 * CPU, and what the host saves, as a program of the host does.
 */
static void patcnn_cpuid(u32 leaf, u32 *ebx, u32 *ecx)
{
	u32 eax = leaf, edx;

	*ecx = 0;
	asm volatile("cpuid" : "+a"(eax), "=b"(*ebx), "+c"(*ecx), "=d"(edx));
}

static bool patcnn_x86_usable(bool avx512)
{
	const u32 leaf1 = BIT(12) | BIT(27) | BIT(28);	/* FMA, OSXSAVE, AVX */
	const u32 leaf7 = BIT(5);			/* AVX2 */
	const u32 leaf7_512 = BIT(16) | BIT(17) | BIT(30) | BIT(31);	/* F, DQ, BW, VL */
	const u32 saved = avx512 ? 0xe6 : 0x06;
	u32 ebx, ecx, xcr0, high;

	patcnn_cpuid(1, &ebx, &ecx);
	if ((ecx & leaf1) != leaf1)
		return false;
	asm volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
	patcnn_cpuid(7, &ebx, &ecx);
	return (xcr0 & saved) == saved && (ebx & leaf7) &&
	       (!avx512 || (ebx & leaf7_512) == leaf7_512);
}
#elif defined(CONFIG_X86_64)
static bool patcnn_x86_usable(bool avx512)
{
	u64 saved = XFEATURE_MASK_SSE | XFEATURE_MASK_YMM;

	if (!boot_cpu_has(X86_FEATURE_AVX2) || !boot_cpu_has(X86_FEATURE_FMA))
		return false;
	if (avx512) {
		if (!boot_cpu_has(X86_FEATURE_AVX512F) || !boot_cpu_has(X86_FEATURE_AVX512BW) ||
		    !boot_cpu_has(X86_FEATURE_AVX512DQ) || !boot_cpu_has(X86_FEATURE_AVX512VL))
			return false;
		saved |= XFEATURE_MASK_AVX512;
	}
	return cpu_has_xfeatures(saved, NULL);
}
#endif

static bool patcnn_simd_usable(enum pat_isa_id id)
{
	switch (id) {
	case PAT_ISA_GENERIC:
		return true;
#ifdef CONFIG_X86_64
	case PAT_ISA_AVX2:
		return patcnn_x86_usable(false);
	case PAT_ISA_AVX512:
		return patcnn_x86_usable(true);
#endif
#ifdef CONFIG_ARM64
	case PAT_ISA_NEON:
		return cpu_have_named_feature(ASIMD);
#endif
	default:
		return false;
	}
}

/*
 * patcnn_simd_select - the kernels to use
 * @name: of an instruction set, or NULL or empty: the best one
 *
 * Return: NULL if this CPU cannot run it, or the module was built without.
 */
const struct pat_isa *patcnn_simd_select(const char *name)
{
	static const enum pat_isa_id order[] = {
		PAT_ISA_AVX512, PAT_ISA_AVX2, PAT_ISA_NEON, PAT_ISA_GENERIC,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		const struct pat_isa *isa = pat_isa_get(order[i]);

		if (!isa || !patcnn_simd_usable(order[i]))
			continue;
		if (!name || !*name || !strcmp(name, pat_isa_name(isa)))
			return isa;
	}
	return NULL;
}
