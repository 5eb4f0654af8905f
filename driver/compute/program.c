// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: The validator
 *
 * pat_program_open() is the only code that reads untrusted bytes: the plan and
 * the kernels use offsets, counts and sparse indices of a program unchecked,
 * because everything they use was checked here, once, in bytes that nobody can
 * change any more. It is pure, uses no float arithmetic and no recursion, and
 * visits each array element a bounded number of times.
 *
 * program.c          sections, tensors, patterns, the order of operators
 * program_op.c       parameters and shapes of every kind of operator
 * program_window.c   the same for those that slide a window, and for LINEAR
 * program_weights.c  weights in every storage
 * program_work.c     how much work an operator is
 * program_text.c     error texts
 */
#include "program_check.h"

#define PAT_MAX_SECTIONS	64

struct section_kind {
	u32 type;
	u32 stride;
	u64 limit;
	const char *name;
};

static const struct section_kind kinds[] = {
	{ PATCNN_SECTION_TENSORS, sizeof(struct patcnn_tensor), PAT_MAX_TENSORS, "TENSORS" },
	{ PATCNN_SECTION_OPERATORS, sizeof(struct patcnn_operator), PAT_MAX_OPERATORS,
	  "OPERATORS" },
	{ PATCNN_SECTION_OPERANDS, sizeof(u32), PAT_MAX_OPERANDS, "OPERANDS" },
	{ PATCNN_SECTION_PATTERNS, sizeof(struct patcnn_pattern), 1U << 20, "PATTERNS" },
	{ PATCNN_SECTION_TAPS, sizeof(struct patcnn_tap), 1U << 24, "TAPS" },
	{ PATCNN_SECTION_DATA, 1, PAT_MAX_PROGRAM, "DATA" },
	{ PATCNN_SECTION_STRINGS, 1, 1U << 24, "STRINGS" },
	{ PATCNN_SECTION_META, 1, PAT_MAX_PROGRAM, "META" },
	{ PATCNN_SECTION_TUNING, sizeof(struct patcnn_tuning), 4 * PAT_MAX_OPERATORS, "TUNING" },
};

static const struct section_kind *section_kind(u32 type)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

static void section_take(struct pat_program *prog, const struct patcnn_section *s)
{
	const u8 *p = (const u8 *)prog->header + s->offset;

	switch (s->type) {
	case PATCNN_SECTION_TENSORS:
		prog->tensors = (const void *)p;
		prog->tensor_count = s->count;
		break;
	case PATCNN_SECTION_OPERATORS:
		prog->operators = (const void *)p;
		prog->operator_count = s->count;
		break;
	case PATCNN_SECTION_OPERANDS:
		prog->operands = (const void *)p;
		prog->operand_count = s->count;
		break;
	case PATCNN_SECTION_PATTERNS:
		prog->patterns = (const void *)p;
		prog->pattern_count = s->count;
		break;
	case PATCNN_SECTION_TAPS:
		prog->taps = (const void *)p;
		prog->tap_count = s->count;
		break;
	case PATCNN_SECTION_DATA:
		prog->data = p;
		prog->data_size = s->count;
		break;
	case PATCNN_SECTION_STRINGS:
		prog->strings = (const char *)p;
		prog->string_size = s->count;
		break;
	case PATCNN_SECTION_TUNING:
		prog->tuning = (const void *)p;
		prog->tuning_count = s->count;
		break;
	}
}

static int check_section(struct pat_check *ck, const struct patcnn_section *table, u32 i,
			 u64 first, u64 size)
{
	const struct patcnn_section *s = &table[i];
	const struct section_kind *kind = section_kind(s->type);
	u64 bytes = pat_mul(s->stride, s->count);
	u64 align = s->type == PATCNN_SECTION_DATA ? 64 : 8;
	u32 j;

	if (!kind && !(s->type & PATCNN_SECTION_OPTIONAL))
		return pat_fail(ck, -EINVAL, "section %u: type %u is unknown", i, s->type);
	if (kind && s->stride != kind->stride)
		return pat_fail(ck, -EINVAL, "section %s: stride = %u is not %u",
				kind->name, s->stride, kind->stride);
	if (kind && s->count > kind->limit)
		return pat_fail(ck, -E2BIG, "section %s: count = %U is above %U",
				kind->name, s->count, kind->limit);
	if (s->offset % align)
		return pat_fail(ck, -EINVAL, "section %u: offset = %U is not a multiple of %U",
				i, s->offset, align);
	if (s->offset < first || s->offset > size || bytes > size - s->offset)
		return pat_fail(ck, -EINVAL,
				"section %u: offset = %U, count = %U lie outside the program",
				i, s->offset, s->count);
	for (j = 0; j < i; j++) {
		u64 other = pat_mul(table[j].stride, table[j].count);

		if (table[j].type == s->type)
			return pat_fail(ck, -EINVAL, "section %u: type %u is there twice",
					i, s->type);
		if (bytes && other && s->offset < table[j].offset + other &&
		    table[j].offset < s->offset + bytes)
			return pat_fail(ck, -EINVAL, "section %u: overlaps section %u", i, j);
	}
	section_take(ck->prog, s);
	return 0;
}

static int check_sections(struct pat_check *ck, u64 size)
{
	struct pat_program *prog = ck->prog;
	const struct patcnn_program_header *h = prog->header;
	const struct patcnn_section *table = (const void *)(h + 1);
	u64 first;
	u32 i;
	int err;

	if (size < sizeof(*h))
		return pat_fail(ck, -EINVAL, "header: %U bytes are no program", size);
	if (h->magic != PATCNN_PROGRAM_MAGIC)
		return pat_fail(ck, -EINVAL, "header: magic = %u is not a program's", h->magic);
	if (h->version_major != PATCNN_PROGRAM_VERSION_MAJOR ||
	    h->version_minor > PATCNN_PROGRAM_VERSION_MINOR)
		return pat_fail(ck, -EINVAL, "header: version %u.%u is not known",
				(u32)h->version_major, (u32)h->version_minor);
	if (size > PAT_MAX_PROGRAM)
		return pat_fail(ck, -E2BIG, "header: size = %U is above %U", size,
				(u64)PAT_MAX_PROGRAM);
	if (h->size != size)
		return pat_fail(ck, -EINVAL, "header: size = %U, but there are %U bytes",
				h->size, size);
	if (h->flags || h->reserved)
		return pat_fail(ck, -EINVAL, "header: flags and reserved are not zero");
	if (h->section_count > PAT_MAX_SECTIONS)
		return pat_fail(ck, -E2BIG, "header: section_count = %u is above %u",
				h->section_count, (u32)PAT_MAX_SECTIONS);
	first = sizeof(*h) + h->section_count * sizeof(*table);
	if (first > size)
		return pat_fail(ck, -EINVAL, "header: section_count = %u exceeds the program",
				h->section_count);
	for (i = 0; i < h->section_count; i++) {
		err = check_section(ck, table, i, first, size);
		if (err)
			return err;
	}
	if (!prog->string_size || prog->strings[prog->string_size - 1])
		return pat_fail(ck, -EINVAL, "section STRINGS: does not end with a zero byte");
	if (!prog->tensor_count || !prog->operator_count || !prog->operand_count)
		return pat_fail(ck, -EINVAL,
				"sections TENSORS, OPERATORS, OPERANDS: one is missing or empty");
	return 0;
}

static int check_shape(struct pat_check *ck, u32 i)
{
	const struct patcnn_tensor *t = &ck->prog->tensors[i];
	u64 product[3] = { 1, 1, 1 };
	u32 a;

	if (!t->rank || t->rank > PATCNN_MAX_RANK)
		return pat_fail(ck, -EINVAL, "tensor %u %n: rank = %u is not 1 to %u", i, t->name,
				(u32)t->rank, (u32)PATCNN_MAX_RANK);
	if (t->axis_h > t->axis_w || t->axis_w > t->rank)
		return pat_fail(ck, -EINVAL,
				"tensor %u %n: axis_h = %u, axis_w = %u do not fit rank %u", i,
				t->name, (u32)t->axis_h, (u32)t->axis_w, (u32)t->rank);
	for (a = 0; a < PATCNN_MAX_RANK; a++) {
		u32 group = a < t->axis_h ? 0 : a < t->axis_w ? 1 : 2;

		if (a >= t->rank) {
			if (t->shape[a])
				return pat_fail(ck, -EINVAL,
						"tensor %u %n: shape[%u] = %u beyond its rank",
						i, t->name, a, t->shape[a]);
			continue;
		}
		if (!t->shape[a])
			return pat_fail(ck, -EINVAL, "tensor %u %n: shape[%u] = 0", i, t->name, a);
		product[group] = pat_mul(product[group], t->shape[a]);
	}
	if (product[0] != t->c || product[1] != t->h || product[2] != t->w)
		return pat_fail(ck, -EINVAL,
				"tensor %u %n: c, h, w = %u, %u, %u do not agree with shape", i,
				t->name, t->c, t->h, t->w);
	for (a = 0; a < 3; a++)
		if (product[a] > PAT_MAX_DIM)
			return pat_fail(ck, -E2BIG, "tensor %u %n: %s = %U is above %u", i,
					t->name, a ? a == 1 ? "h" : "w" : "c", product[a],
					PAT_MAX_DIM);
	if (pat_elements(t) > PAT_MAX_ELEMENTS)
		return pat_fail(ck, -E2BIG, "tensor %u %n: %U elements are above %U", i, t->name,
				pat_elements(t), (u64)PAT_MAX_ELEMENTS);
	return 0;
}

static int check_tensor(struct pat_check *ck, u32 i)
{
	struct pat_program *prog = ck->prog;
	const struct patcnn_tensor *t = &prog->tensors[i];
	int err;

	if (t->name >= prog->string_size)
		return pat_fail(ck, -EINVAL, "tensor %u: name = %u is outside STRINGS", i, t->name);
	if (t->role > PATCNN_ROLE_CONSTANT)
		return pat_fail(ck, -EINVAL, "tensor %u %n: role = %u is unknown", i, t->name,
				(u32)t->role);
	if (t->dtype != PATCNN_DTYPE_F32 &&
	    (t->dtype != PATCNN_DTYPE_U8 || t->role != PATCNN_ROLE_INPUT))
		return pat_fail(ck, -EINVAL, "tensor %u %n: dtype = %u is not supported here", i,
				t->name, (u32)t->dtype);
	if (t->layout != PATCNN_LAYOUT_CHW &&
	    (t->layout != PATCNN_LAYOUT_HWC || t->role != PATCNN_ROLE_INPUT))
		return pat_fail(ck, -EINVAL, "tensor %u %n: layout = %u is not supported here", i,
				t->name, (u32)t->layout);
	if (t->reserved[0] || t->reserved[1])
		return pat_fail(ck, -EINVAL, "tensor %u %n: reserved is not zero", i, t->name);
	err = check_shape(ck, i);
	if (err)
		return err;
	if (t->role == PATCNN_ROLE_CONSTANT) {
		if (t->data_size != pat_tensor_bytes(t))
			return pat_fail(ck, -EINVAL, "tensor %u %n: data_size = %U is not %U", i,
					t->name, t->data_size, pat_tensor_bytes(t));
		if (t->data_offset % 64 || t->data_offset > prog->data_size ||
		    t->data_size > prog->data_size - t->data_offset)
			return pat_fail(ck, -EINVAL,
					"tensor %u %n: data_offset = %U is outside DATA or odd", i,
					t->name, t->data_offset);
	} else if (t->data_offset || t->data_size) {
		return pat_fail(ck, -EINVAL, "tensor %u %n: has data but is not constant", i,
				t->name);
	}
	if (t->role == PATCNN_ROLE_INPUT || t->role == PATCNN_ROLE_OUTPUT) {
		if (prog->io_count == PAT_MAX_IO)
			return pat_fail(ck, -E2BIG, "tensor %u %n: more than %u inputs and outputs",
					i, t->name, (u32)PAT_MAX_IO);
		prog->io[prog->io_count++] = i;
	}
	return 0;
}

static int check_pattern(struct pat_check *ck, u32 i)
{
	const struct pat_program *prog = ck->prog;
	const struct patcnn_pattern *p = &prog->patterns[i];
	u32 k, last = 0;

	if (!p->kernel_h || !p->kernel_w)
		return pat_fail(ck, -EINVAL, "pattern %u: kernel_h, kernel_w = %u, %u", i,
				(u32)p->kernel_h, (u32)p->kernel_w);
	if (!p->tap_count || p->tap_count > p->kernel_h * p->kernel_w)
		return pat_fail(ck, -EINVAL, "pattern %u: tap_count = %u is not 1 to %u", i,
				(u32)p->tap_count, (u32)p->kernel_h * p->kernel_w);
	if (p->tap_first > prog->tap_count || p->tap_count > prog->tap_count - p->tap_first)
		return pat_fail(ck, -EINVAL, "pattern %u: tap_first = %u is outside TAPS", i,
				p->tap_first);
	if (ck->budget < p->tap_count)
		return pat_fail(ck, -E2BIG, "pattern %u: taps are shared too often", i);
	ck->budget -= p->tap_count;
	for (k = 0; k < p->tap_count; k++) {
		const struct patcnn_tap *t = &prog->taps[p->tap_first + k];
		u32 raster = (u32)t->row * p->kernel_w + t->col + 1;

		if (t->row >= p->kernel_h || t->col >= p->kernel_w)
			return pat_fail(ck, -EINVAL,
					"pattern %u: tap %u = (%u, %u) is outside its kernel", i, k,
					(u32)t->row, (u32)t->col);
		if (raster <= last)
			return pat_fail(ck, -EINVAL, "pattern %u: tap %u is not in raster order",
					i, k);
		last = raster;
	}
	return 0;
}

/* Bit i of the working memory: tensor i has a value. */
static bool is_written(const struct pat_check *ck, u32 tensor)
{
	return ck->work[tensor / 8] >> tensor % 8 & 1;
}

static int check_order(struct pat_check *ck)
{
	struct pat_program *prog = ck->prog;
	const struct patcnn_operator *op = ck->op;
	u32 i;

	if (op->operand_first > prog->operand_count ||
	    op->operand_count > prog->operand_count - op->operand_first)
		return pat_fail(ck, -EINVAL,
				"operand_first = %u, operand_count = %u exceed OPERANDS",
				op->operand_first, (u32)op->operand_count);
	if (ck->budget < op->operand_count)
		return pat_fail(ck, -E2BIG, "operands are shared too often");
	ck->budget -= op->operand_count;
	for (i = 0; i < op->operand_count; i++) {
		u32 t = prog->operands[op->operand_first + i];

		if (t >= prog->tensor_count)
			return pat_fail(ck, -EINVAL, "operand %u = %u is not below %u tensors", i,
					t, prog->tensor_count);
		if (!is_written(ck, t))
			return pat_fail(ck, -EINVAL, "operand %u %n has no value yet", i,
					prog->tensors[t].name);
		if (op->kind != PATCNN_OP_CONVERT &&
		    (prog->tensors[t].dtype != PATCNN_DTYPE_F32 ||
		     prog->tensors[t].layout != PATCNN_LAYOUT_CHW))
			return pat_fail(ck, -EINVAL, "operand %u %n needs a convert operator", i,
					prog->tensors[t].name);
	}
	if (op->output >= prog->tensor_count)
		return pat_fail(ck, -EINVAL, "output = %u is not below %u tensors", op->output,
				prog->tensor_count);
	if (prog->tensors[op->output].role == PATCNN_ROLE_CONSTANT ||
	    prog->tensors[op->output].role == PATCNN_ROLE_INPUT)
		return pat_fail(ck, -EINVAL, "output %n is an input or constant",
				prog->tensors[op->output].name);
	if (is_written(ck, op->output))
		return pat_fail(ck, -EINVAL, "output %n is written twice",
				prog->tensors[op->output].name);
	return 0;
}

static int check_operators(struct pat_check *ck)
{
	struct pat_program *prog = ck->prog;
	u64 work = 0, operands = 0;
	u32 i;
	int err;

	/*
	 * Bits of written tensors: the first kibibyte of the working memory, the
	 * weights use what is behind it.
	 */
	__builtin_memset(ck->work, 0, PAT_MAX_TENSORS / 8);
	for (i = 0; i < prog->tensor_count; i++)
		if (prog->tensors[i].role == PATCNN_ROLE_INPUT ||
		    prog->tensors[i].role == PATCNN_ROLE_CONSTANT)
			ck->work[i / 8] |= 1 << i % 8;
	for (i = 0; i < prog->operator_count; i++) {
		ck->op = NULL;
		ck->op_index = i;
		if (prog->operators[i].name >= prog->string_size)
			return pat_fail(ck, -EINVAL, "operator %u: name = %u is outside STRINGS",
					i, prog->operators[i].name);
		ck->op = &prog->operators[i];
		operands += ck->op->operand_count;
		if (operands > PAT_MAX_OPERANDS)
			return pat_fail(ck, -E2BIG, "operand_count: more than %u in all",
					(u32)PAT_MAX_OPERANDS);
		err = check_order(ck);
		if (!err)
			err = pat_check_operator(ck);
		if (err)
			return err;
		work = pat_add(work, pat_operator_work(prog, i));
		if (work > PAT_MAX_MACS)
			return pat_fail(ck, -E2BIG, "work up to here is above %U operations",
					(u64)PAT_MAX_MACS);
		prog->macs_dense += pat_operator_macs(prog, i, true);
		prog->macs_kept += pat_operator_macs(prog, i, false);
		ck->work[ck->op->output / 8] |= 1 << ck->op->output % 8;
	}
	ck->op = NULL;
	for (i = 0; i < prog->tensor_count; i++)
		if (!is_written(ck, i))
			return pat_fail(ck, -EINVAL, "tensor %u %n is written by no operator", i,
					prog->tensors[i].name);
	return 0;
}

/* Values are not checked: the plan ignores those that no kernel of its own has. */
static int check_tuning(struct pat_check *ck, u32 i)
{
	const struct patcnn_tuning *t = &ck->prog->tuning[i];

	if (t->op >= ck->prog->operator_count)
		return pat_fail(ck, -EINVAL, "tuning %u: op = %u is not below %u operators", i,
				t->op, ck->prog->operator_count);
	if (i && (t->op < t[-1].op || (t->op == t[-1].op && t->isa <= t[-1].isa)))
		return pat_fail(ck, -EINVAL, "tuning %u: op, isa = %u, %u do not ascend", i, t->op,
				(u32)t->isa);
	if (t->reserved[0] || t->reserved[1] || t->reserved[2])
		return pat_fail(ck, -EINVAL, "tuning %u: reserved is not zero", i);
	return 0;
}

int pat_program_open(struct pat_program *prog, const void *blob, u64 size,
		     void *work, struct pat_error *err)
{
	struct pat_check ck = { .prog = prog, .err = err, .work = work };
	u32 i, outputs = 0;
	int ret;

	__builtin_memset(prog, 0, sizeof(*prog));
	err->text[0] = 0;
	prog->header = blob;
	/* Every word twice, and some for small programs: generous to honest sharing. */
	ck.budget = size / 2 + (1U << 20);
	ret = check_sections(&ck, size);
	for (i = 0; !ret && i < prog->tensor_count; i++)
		ret = check_tensor(&ck, i);
	for (i = 0; !ret && i < prog->io_count; i++)
		outputs += prog->tensors[prog->io[i]].role == PATCNN_ROLE_OUTPUT;
	if (!ret && !outputs)
		ret = pat_fail(&ck, -EINVAL, "section TENSORS: there is no output");
	for (i = 0; !ret && i < prog->pattern_count; i++)
		ret = check_pattern(&ck, i);
	for (i = 0; !ret && i < prog->tuning_count; i++)
		ret = check_tuning(&ck, i);
	if (!ret)
		ret = check_operators(&ck);
	return ret;
}

u64 pat_tensor_bytes(const struct patcnn_tensor *t)
{
	return pat_elements(t) * (t->dtype == PATCNN_DTYPE_F32 ? 4 : 1);
}
