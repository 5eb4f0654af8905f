// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Error texts of the validator
 *
 * A formatter of four conversions: the core has neither libc nor printk. Names
 * come from an untrusted program, so of them only printable ASCII is shown and
 * their length is limited; a text never exceeds struct pat_error.
 */
#include "program_check.h"

#define PAT_NAME_SHOWN	48

struct text {
	char *p;
	char *end;
};

static void put(struct text *t, char c)
{
	if (t->p < t->end)
		*t->p++ = c;
}

static void put_string(struct text *t, const char *s)
{
	while (*s)
		put(t, *s++);
}

static void put_number(struct text *t, u64 n)
{
	char digits[20];
	int i = 0;

	do {
		digits[i++] = '0' + n % 10;
		n /= 10;
	} while (n);
	while (i)
		put(t, digits[--i]);
}

static void put_name(struct text *t, const struct pat_program *prog, u32 name)
{
	u32 i;

	put(t, '\'');
	for (i = 0; name + (u64)i < prog->string_size && i < PAT_NAME_SHOWN; i++) {
		char c = prog->strings[name + i];

		if (!c)
			break;
		put(t, c >= ' ' && c <= '~' ? c : '?');
	}
	put(t, '\'');
}

int pat_fail(struct pat_check *ck, int code, const char *fmt, ...)
{
	struct text t = { ck->err->text, ck->err->text + sizeof(ck->err->text) - 1 };
	__builtin_va_list args;

	if (ck->op) {
		put_string(&t, "operator ");
		put_number(&t, ck->op_index);
		put(&t, ' ');
		put_name(&t, ck->prog, ck->op->name);
		put_string(&t, ": ");
	}
	__builtin_va_start(args, fmt);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(&t, *fmt);
			continue;
		}
		switch (*++fmt) {
		case 'u':
			put_number(&t, __builtin_va_arg(args, u32));
			break;
		case 'U':
			put_number(&t, __builtin_va_arg(args, u64));
			break;
		case 's':
			put_string(&t, __builtin_va_arg(args, const char *));
			break;
		case 'n':
			put_name(&t, ck->prog, __builtin_va_arg(args, u32));
			break;
		}
	}
	__builtin_va_end(args);
	*t.p = 0;
	return code;
}

const char *pat_kind_name(u32 kind)
{
	static const char *const names[] = {
		[PATCNN_OP_CONVERT] = "convert",
		[PATCNN_OP_CONV] = "conv",
		[PATCNN_OP_CONV_TRANSPOSE] = "conv_transpose",
		[PATCNN_OP_LINEAR] = "linear",
		[PATCNN_OP_MATMUL] = "matmul",
		[PATCNN_OP_MAX_POOL] = "max_pool",
		[PATCNN_OP_AVG_POOL] = "avg_pool",
		[PATCNN_OP_ADD] = "add",
		[PATCNN_OP_SUB] = "sub",
		[PATCNN_OP_MUL] = "mul",
		[PATCNN_OP_DIV] = "div",
		[PATCNN_OP_ACTIVATION] = "activation",
		[PATCNN_OP_PRELU] = "prelu",
		[PATCNN_OP_CONCAT] = "concat",
		[PATCNN_OP_SLICE] = "slice",
		[PATCNN_OP_PERMUTE] = "permute",
		[PATCNN_OP_RESHAPE] = "reshape",
		[PATCNN_OP_PAD] = "pad",
		[PATCNN_OP_RESIZE] = "resize",
		[PATCNN_OP_SOFTMAX] = "softmax",
		[PATCNN_OP_REDUCE] = "reduce",
		[PATCNN_OP_LAYER_NORM] = "layer_norm",
		[PATCNN_OP_INSTANCE_NORM] = "instance_norm",
	};

	return kind && kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}
