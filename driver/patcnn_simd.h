/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _PATCNN_SIMD_H_
#define _PATCNN_SIMD_H_

#include <linux/ktime.h>
#include <linux/sched/clock.h>

#include "patcnn_compat.h"

#ifdef CONFIG_ARM64
#include <asm/neon.h>
#endif

/**
 * struct patcnn_simd - room for the vector registers while a section is preempted.
 *
 * arm64 sections are preemptible: newer kernels save into memory the caller
 * brings, older ones into the task. Elsewhere sections are not preempted.
 */
struct patcnn_simd {
#ifdef PATCNN_HAVE_NEON_STATE
	struct user_fpsimd_state state;
#endif
};

struct pat_isa;

/*
 * Time for measuring sections, on one CPU, cheap. The scheduler's clock has the
 * resolution of the timer tick on user-mode Linux.
 */
static inline u64 patcnn_clock(void)
{
	return IS_ENABLED(CONFIG_UML) ? ktime_get_ns() : local_clock();
}

void patcnn_simd_begin(struct patcnn_simd *simd);
void patcnn_simd_end(struct patcnn_simd *simd);
const struct pat_isa *patcnn_simd_select(const char *name);

#endif
