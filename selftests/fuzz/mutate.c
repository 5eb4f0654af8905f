// SPDX-License-Identifier: MIT
/* Structure-aware mutations of programs. See mutate.h. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"
#include "random_net.h"
#include "spoil.h"

/* struct view - a program whose section table can be trusted. */
struct view {
	uint8_t *blob;
	size_t size;
	struct patcnn_tensor *tensors;
	struct patcnn_operator *operators;
	__u32 *operands;
	struct patcnn_pattern *patterns;
	struct patcnn_tap *taps;
	struct patcnn_tuning *tuning;
	__u32 *data;
	__u32 tensor_count, operator_count, operand_count, pattern_count, tap_count, tuning_count;
	__u32 section_count;
	__u64 words;
	struct pb rnd;
};

static __u32 rnd(struct view *v, __u32 n)
{
	return pb_random(&v->rnd, n);
}

static void *table(struct view *v, __u32 type, size_t element, __u32 *count)
{
	struct patcnn_section *s = pb_section(v->blob, type);

	*count = 0;
	if (!s || s->offset > v->size || s->offset % 8 || s->stride != element ||
	    s->count > (v->size - s->offset) / element)
		return NULL;
	*count = s->count;
	return v->blob + s->offset;
}

static bool open_view(struct view *v, uint8_t *data, size_t size)
{
	const struct patcnn_program_header *h = (void *)data;
	__u32 words;

	v->blob = data;
	v->size = size;
	if (size < sizeof(*h) || h->section_count > 16 ||
	    sizeof(*h) + h->section_count * sizeof(struct patcnn_section) > size)
		return false;
	v->section_count = h->section_count;
	v->tensors = table(v, PATCNN_SECTION_TENSORS, sizeof(*v->tensors), &v->tensor_count);
	v->operators = table(v, PATCNN_SECTION_OPERATORS, sizeof(*v->operators),
			     &v->operator_count);
	v->operands = table(v, PATCNN_SECTION_OPERANDS, 4, &v->operand_count);
	v->patterns = table(v, PATCNN_SECTION_PATTERNS, sizeof(*v->patterns), &v->pattern_count);
	v->taps = table(v, PATCNN_SECTION_TAPS, sizeof(*v->taps), &v->tap_count);
	v->tuning = table(v, PATCNN_SECTION_TUNING, sizeof(*v->tuning), &v->tuning_count);
	v->data = table(v, PATCNN_SECTION_DATA, 1, &words);
	v->words = words / 4;
	return v->tensor_count && v->operator_count && v->operand_count;
}

static __u64 interesting(struct view *v, __u64 old)
{
	static const __u64 values[] = {
		0, 1, 2, 3, 4, 7, 8, 63, 64, 127, 255, 256, 1023, 32767, 65535, 65536, 1 << 20,
		0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 62, ~0ull, ~63ull,
	};

	switch (rnd(v, 4)) {
	case 0:
		return old + 1;
	case 1:
		return old - 1;
	case 2:
		return old ^ 1ull << rnd(v, 64);
	default:
		return values[rnd(v, sizeof(values) / sizeof(values[0]))];
	}
}

/* Floats that are hard on arithmetic. */
static __u32 odd_float(struct view *v)
{
	static const __u32 values[] = {
		0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000, 0x00000001, 0x807fffff,
		0x00000000, 0x80000000, 0x7f7fffff, 0xff7fffff, 0x3f800000, 0x42b17218,
		0xc2cff1b5, 0x4b800000, 0x34000000, 0x7f000000,
	};

	return values[rnd(v, sizeof(values) / sizeof(values[0]))];
}

static struct patcnn_operator *any_op(struct view *v)
{
	return &v->operators[rnd(v, v->operator_count)];
}

static struct patcnn_tensor *operand(struct view *v, const struct patcnn_operator *op, __u32 i)
{
	__u64 at = (__u64)op->operand_first + i;

	if (at >= v->operand_count || v->operands[at] >= v->tensor_count)
		return NULL;
	return &v->tensors[v->operands[at]];
}

static struct patcnn_tensor *output(struct view *v, const struct patcnn_operator *op)
{
	return op->output < v->tensor_count ? &v->tensors[op->output] : NULL;
}

static void repair_planes(struct patcnn_tensor *t)
{
	__u32 p[3] = { 1, 1, 1 };

	for (__u8 i = 0; i < t->rank && i < PATCNN_MAX_RANK; i++)
		p[i < t->axis_h ? 0 : i < t->axis_w ? 1 : 2] *= t->shape[i];
	t->c = p[0];
	t->h = p[1];
	t->w = p[2];
}

static __u32 slide(__u32 in, __u32 k, __u32 s, __u32 d, __u32 pads)
{
	__u64 dilated = (__u64)(k - 1) * d + 1;

	return s && in + pads >= dilated ? (in + pads - dilated) / s + 1 : 1;
}

/* The output of an operator with a window follows its geometry; tensors [1, c, h, w]. */
static void repair_window(struct view *v, const struct patcnn_operator *op)
{
	const struct patcnn_window *w = &op->conv.window;
	struct patcnn_tensor *in = operand(v, op, 0), *out = output(v, op);

	if (!in || !out || out->rank != 4)
		return;
	out->shape[2] = slide(in->h, w->kernel_h, w->stride_h, w->dilation_h,
			      w->pad_top + w->pad_bottom);
	out->shape[3] = slide(in->w, w->kernel_w, w->stride_w, w->dilation_w,
			      w->pad_left + w->pad_right);
	repair_planes(out);
}

static bool has_window(const struct patcnn_operator *op)
{
	return op->kind == PATCNN_OP_CONV || op->kind == PATCNN_OP_MAX_POOL ||
	       op->kind == PATCNN_OP_AVG_POOL;
}

/* Shapes downstream follow those upstream as far as a rule is known. */
static void repair_shapes(struct view *v)
{
	for (__u32 i = 0; i < v->operator_count; i++) {
		const struct patcnn_operator *op = &v->operators[i];
		struct patcnn_tensor *in = operand(v, op, 0), *out = output(v, op);

		if (!in || !out)
			continue;
		switch (op->kind) {
		case PATCNN_OP_CONV:
		case PATCNN_OP_MAX_POOL:
		case PATCNN_OP_AVG_POOL:
			if (op->kind != PATCNN_OP_CONV && out->rank == 4)
				out->shape[1] = in->c;
			repair_window(v, op);
			break;
		case PATCNN_OP_CONVERT:
		case PATCNN_OP_ACTIVATION:
		case PATCNN_OP_SOFTMAX:
		case PATCNN_OP_LAYER_NORM:
		case PATCNN_OP_INSTANCE_NORM:
		case PATCNN_OP_ADD:
		case PATCNN_OP_PRELU:
			if (out->rank == in->rank) {
				memcpy(out->shape, in->shape, sizeof(out->shape));
				repair_planes(out);
			}
			break;
		}
	}
}

static void change_window(struct view *v)
{
	struct patcnn_operator *op = any_op(v);
	__u16 *member = (__u16 *)&op->conv.window + rnd(v, 10);

	if (!has_window(op) && rnd(v, 4))
		return;
	*member = rnd(v, 8) ? rnd(v, 6) : interesting(v, *member);
	if (rnd(v, 4))
		repair_shapes(v);
}

static void change_shape(struct view *v)
{
	struct patcnn_tensor *t = &v->tensors[rnd(v, v->tensor_count)];
	__u32 axis = rnd(v, t->rank <= PATCNN_MAX_RANK && t->rank ? t->rank : PATCNN_MAX_RANK);

	t->shape[axis] = rnd(v, 6) ? rnd(v, 20) + 1 : interesting(v, t->shape[axis]);
	repair_planes(t);
	if (rnd(v, 5))
		repair_shapes(v);
}

static void change_axes(struct view *v)
{
	struct patcnn_tensor *t = &v->tensors[rnd(v, v->tensor_count)];
	__u8 a = rnd(v, t->rank + 1), b = rnd(v, t->rank + 1);

	t->axis_h = a < b ? a : b;
	t->axis_w = a < b ? b : a;
	repair_planes(t);
}

static void change_tensor(struct view *v)
{
	struct patcnn_tensor *t = &v->tensors[rnd(v, v->tensor_count)];
	__u8 *b = (__u8 *)t + rnd(v, sizeof(*t));

	if (rnd(v, 2)) {
		t->role = rnd(v, 4);
		if (t->role == PATCNN_ROLE_INPUT && rnd(v, 2)) {
			t->dtype = 1 + rnd(v, 2);
			t->layout = rnd(v, 2);
		}
	} else {
		*b = interesting(v, *b);
	}
}

static void change_tuning(struct view *v, struct patcnn_tuning *t)
{
	t->algorithm = rnd(v, 12);
	t->tile_rows = rnd(v, 12);
	t->tile_vectors = rnd(v, 5);
	t->block = rnd(v, 2) ? rnd(v, 40) : interesting(v, t->block);
	t->band_rows = rnd(v, 2) ? rnd(v, 20) : interesting(v, t->band_rows);
	t->fuse = rnd(v, 9);
	if (!rnd(v, 8))
		t->op = rnd(v, v->operator_count + 1);
}

static void change_operator(struct view *v)
{
	struct patcnn_operator *op = any_op(v);
	__u32 *word = (__u32 *)op + rnd(v, sizeof(*op) / 4);

	switch (rnd(v, 7)) {
	case 0:
		op->activation.kind = rnd(v, 22);
		op->activation.a = rnd(v, 2) ? odd_float(v) : pb_bits(rnd(v, 9) * 0.5f - 2);
		op->activation.b = rnd(v, 2) ? odd_float(v) : pb_bits(rnd(v, 9) * 0.5f);
		break;
	case 1:
		op->kind = rnd(v, 25);
		break;
	case 2:
		if (v->tuning_count)
			change_tuning(v, &v->tuning[rnd(v, v->tuning_count)]);
		break;
	case 3:
		op->output = rnd(v, v->tensor_count + 1);
		break;
	case 4:
		op->operand_count = rnd(v, 4);
		break;
	case 5:
		if (op->kind == PATCNN_OP_CONV)
			op->conv.groups = 1 + rnd(v, 8);
		else
			op->axis.axis = rnd(v, 7);
		break;
	default:
		*word = interesting(v, *word);
		break;
	}
}

static void change_operand(struct view *v)
{
	v->operands[rnd(v, v->operand_count)] = rnd(v, v->tensor_count + 1);
}

/* Small numbers are indices and offsets, the others floats: both get what hurts them. */
static void change_data(struct view *v)
{
	__u32 n = 1 + rnd(v, 8);

	while (v->words && n--) {
		__u32 *word = &v->data[rnd(v, v->words < 1u << 30 ? v->words : 1u << 30)];

		if (*word < 1u << 20 && rnd(v, 8))
			*word += rnd(v, 3) - 1;
		else
			*word = rnd(v, 4) ? odd_float(v) : interesting(v, *word);
	}
}

static void change_pattern(struct view *v)
{
	if (v->tap_count && rnd(v, 2)) {
		v->taps[rnd(v, v->tap_count)] = (struct patcnn_tap){ rnd(v, 4), rnd(v, 4) };
	} else if (v->pattern_count) {
		__u8 *b = (__u8 *)&v->patterns[rnd(v, v->pattern_count)] + rnd(v, 8);

		*b = interesting(v, *b);
	}
}

static void change_array(struct view *v)
{
	struct patcnn_operator *op = any_op(v);
	struct patcnn_array *a = &op->conv.weights.bias + rnd(v, 6);

	if (op->kind != PATCNN_OP_CONV && op->kind != PATCNN_OP_LINEAR)
		return;
	if (rnd(v, 2))
		a->offset += (rnd(v, 33) - 16) * 4;
	else
		a->count = rnd(v, 4) ? a->count + rnd(v, 3) - 1 : interesting(v, a->count);
}

static void change_section(struct view *v)
{
	struct patcnn_program_header *h = (void *)v->blob;
	struct patcnn_section *s = (struct patcnn_section *)(h + 1);

	if (!rnd(v, 4)) {
		__u32 *word = (__u32 *)h + rnd(v, sizeof(*h) / 4);

		*word = interesting(v, *word);
	} else if (v->section_count) {
		/* As it was: the header may just have been changed. */
		__u32 *word = (__u32 *)&s[rnd(v, v->section_count)] + rnd(v, sizeof(*s) / 4);

		*word = interesting(v, *word);
	}
}

static void flip(struct view *v)
{
	v->blob[rnd(v, v->size)] ^= 1 << rnd(v, 8);
}

static void mutate_once(struct view *v)
{
	static void (*const how[])(struct view *v) = {
		change_window, change_window, change_shape, change_shape, change_axes,
		change_tensor, change_operator, change_operator, change_operator, change_operand,
		change_data, change_data, change_data, change_pattern, change_array,
		change_section, flip,
	};

	how[rnd(v, sizeof(how) / sizeof(how[0]))](v);
}

size_t mutate_generate(uint8_t *data, size_t max, unsigned int seed)
{
	const struct rn_limits lim = { .channels = 9, .side = 12, .kernel = 5 };
	struct pb pb;
	size_t size;
	void *blob;

	if (seed % 64 == 0) {
		build_every_operator(&pb);
	} else {
		pb_init(&pb, seed);
		rn_net(&pb, 1 + seed % 9, &lim);
		if (seed % 3 == 0)
			rn_tune(&pb);
	}
	blob = pb_finish(&pb, &size);
	pb_fini(&pb);
	if (size > max)
		size = 0;
	memcpy(data, blob, size);
	free(blob);
	return size;
}

size_t mutate_program(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	struct view v;

	memset(&v, 0, sizeof(v));
	pb_init(&v.rnd, seed);
	/* New blood, so that a long run does not stay with a few ancestors. */
	if (!rnd(&v, 12) || !open_view(&v, data, size)) {
		size_t n = mutate_generate(data, max, rnd(&v, 1u << 30));

		size = n ? n : size;
		if (!open_view(&v, data, size)) {
			pb_fini(&v.rnd);
			return size;
		}
	}
	for (__u32 n = 1 + rnd(&v, 3); n; n--)
		mutate_once(&v);
	pb_fini(&v.rnd);
	return size;
}
