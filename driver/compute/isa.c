// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Instruction sets that are built in
 */
#include "plan.h"

extern const struct pat_ops pat_ops_generic, pat_ops_avx2, pat_ops_avx512, pat_ops_neon;

static const struct pat_isa isas[] = {
	{ "generic", &pat_ops_generic, PAT_ISA_GENERIC, 4 },
#if defined(__x86_64__)
	{ "avx2", &pat_ops_avx2, PAT_ISA_AVX2, 8 },
	{ "avx512", &pat_ops_avx512, PAT_ISA_AVX512, 16 },
#elif defined(__aarch64__)
	{ "neon", &pat_ops_neon, PAT_ISA_NEON, 4 },
#endif
};

const struct pat_isa *pat_isa_get(enum pat_isa_id id)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(isas); i++)
		if (isas[i].id == id)
			return &isas[i];
	return NULL;
}

const char *pat_isa_name(const struct pat_isa *isa)
{
	return isa->name;
}

const struct pat_isa *pat_isa_by_name(const char *name)
{
	u32 i, k;

	for (i = 0; i < ARRAY_SIZE(isas); i++) {
		for (k = 0; name[k] && name[k] == isas[i].name[k]; k++)
			;
		if (name[k] == isas[i].name[k])
			return &isas[i];
	}
	return NULL;
}
