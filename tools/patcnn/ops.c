// SPDX-License-Identifier: MIT
/* The operator table; see ops.h. */

#include <stddef.h>
#include <string.h>

#include "fold.h"
#include "infer.h"
#include "lower.h"
#include "ops.h"

#define infer_0	NULL
#define fold_0	NULL
#define lower_0	NULL

static const struct op_info table[OP_COUNT] = {
	[OP_NONE] = { "unknown operator", NULL, NULL, NULL },
#define OP_ROW(name, infer, fold, lower) \
	[OP_##name] = { #name, infer_##infer, fold_##fold, lower_##lower },
	OPS(OP_ROW)
#undef OP_ROW
};

const struct op_info *op_info(enum op op)
{
	return &table[op];
}

enum op op_by_name(const char *name)
{
	int i;

	for (i = OP_NONE + 1; i < OP_COUNT; i++)
		if (!strcmp(table[i].name, name))
			return (enum op)i;
	return OP_NONE;
}
