// SPDX-License-Identifier: MIT
/* Program writer; see program_write.h. */

#include <string.h>

#include "program_write.h"

struct chunk {
	const void *data;
	uint64_t size;
	uint64_t offset;
};

static void *add_rows(struct program_writer *w, struct program_table *t, size_t count)
{
	void *first;

	if (t->room - t->count < count) {
		size_t room = t->room * 2 + count + 64;
		void *rows = arena_array(w->arena, room, t->stride);

		if (t->count)
			memcpy(rows, t->rows, t->count * t->stride);
		t->rows = rows;
		t->room = room;
	}
	first = (char *)t->rows + t->count * t->stride;
	t->count += count;
	return first;
}

void program_init(struct program_writer *w, struct arena *arena)
{
	memset(w, 0, sizeof(*w));
	w->arena = arena;
	w->tensors.stride = sizeof(struct patcnn_tensor);
	w->operators.stride = sizeof(struct patcnn_operator);
	w->operands.stride = sizeof(uint32_t);
	w->patterns.stride = sizeof(struct patcnn_pattern);
	w->taps.stride = sizeof(struct patcnn_tap);
	w->strings.stride = 1;
	w->chunks.stride = sizeof(struct chunk);
}

static size_t utf8_length(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 :
		   *s >= 0xf0 && *s < 0xf5 ? 4 : 0;
	size_t i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void program_utf8(char *s)
{
	while (*s) {
		size_t n = utf8_length((const unsigned char *)s);

		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}

static uint32_t add_string(struct program_writer *w, const char *s)
{
	uint32_t at = (uint32_t)w->strings.count;
	size_t size = strlen(s) + 1;
	char *to = add_rows(w, &w->strings, size);

	memcpy(to, s, size);
	program_utf8(to);
	return at;
}

static uint64_t add_data(struct program_writer *w, const void *data, uint64_t size)
{
	const struct chunk *have = w->chunks.rows;
	struct chunk *c;
	size_t i;

	for (i = 0; i < w->chunks.count; i++)
		if (have[i].data == data && have[i].size == size)
			return have[i].offset;
	c = add_rows(w, &w->chunks, 1);
	c->data = data;
	c->size = size;
	c->offset = w->data_size;
	w->data_size += (size + 63) & ~(uint64_t)63;
	return c->offset;
}

struct patcnn_tensor *program_tensor_at(struct program_writer *w, uint32_t index)
{
	return (struct patcnn_tensor *)w->tensors.rows + index;
}

uint32_t program_tensor(struct program_writer *w, const char *name, unsigned int dtype,
			unsigned int role, unsigned int layout, const struct tensor_shape *s)
{
	uint32_t index = (uint32_t)w->tensors.count;
	uint32_t name_at = add_string(w, name);
	struct patcnn_tensor *t = add_rows(w, &w->tensors, 1);
	unsigned int i;

	t->name = name_at;
	t->dtype = (uint8_t)dtype;
	t->role = (uint8_t)role;
	t->layout = (uint8_t)layout;
	t->rank = (uint8_t)s->rank;
	t->axis_h = (uint8_t)s->axis_h;
	t->axis_w = (uint8_t)s->axis_w;
	t->c = 1;
	t->h = 1;
	t->w = 1;
	for (i = 0; i < s->rank; i++) {
		t->shape[i] = s->dim[i];
		if (i < s->axis_h)
			t->c *= s->dim[i];
		else if (i < s->axis_w)
			t->h *= s->dim[i];
		else
			t->w *= s->dim[i];
	}
	return index;
}

uint32_t program_constant(struct program_writer *w, const char *name,
			  const struct tensor_shape *s, const float *data)
{
	uint32_t index = program_tensor(w, name, PATCNN_DTYPE_F32, PATCNN_ROLE_CONSTANT,
					PATCNN_LAYOUT_CHW, s);
	struct patcnn_tensor *t = program_tensor_at(w, index);

	t->data_size = 4ULL * t->c * t->h * t->w;
	t->data_offset = add_data(w, data, t->data_size);
	return index;
}

struct patcnn_array program_array(struct program_writer *w, const void *data, uint64_t count)
{
	struct patcnn_array a = { 0, count };

	if (count)
		a.offset = add_data(w, data, 4 * count);
	return a;
}

struct patcnn_operator *program_operator(struct program_writer *w, const char *name,
					 unsigned int kind, const uint32_t *operands,
					 unsigned int count, uint32_t output)
{
	uint32_t name_at = add_string(w, name);
	struct patcnn_operator *op = add_rows(w, &w->operators, 1);

	op->name = name_at;
	op->kind = (uint16_t)kind;
	op->operand_count = (uint16_t)count;
	op->operand_first = (uint32_t)w->operands.count;
	op->output = output;
	memcpy(add_rows(w, &w->operands, count), operands, count * sizeof(*operands));
	return op;
}

static uint64_t pattern_mask(const struct program_writer *w, const struct patcnn_pattern *p)
{
	const struct patcnn_tap *taps = w->taps.rows;
	uint64_t mask = 0;
	unsigned int i;

	for (i = 0; i < p->tap_count; i++)
		mask |= 1ULL << (taps[p->tap_first + i].row * p->kernel_w +
				 taps[p->tap_first + i].col);
	return mask;
}

static bool same_patterns(const struct program_writer *w, const struct patcnn_pattern *p,
			  unsigned int kernel_h, unsigned int kernel_w, const uint64_t *masks,
			  unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (p[i].kernel_h != kernel_h || p[i].kernel_w != kernel_w ||
		    pattern_mask(w, &p[i]) != masks[i])
			return false;
	return true;
}

uint32_t program_patterns(struct program_writer *w, unsigned int kernel_h, unsigned int kernel_w,
			  const uint64_t *masks, unsigned int count)
{
	unsigned int i, bit;
	uint32_t first;

	for (first = 0; first + count <= w->patterns.count; first++)
		if (same_patterns(w, (struct patcnn_pattern *)w->patterns.rows + first, kernel_h,
				  kernel_w, masks, count))
			return first;
	first = (uint32_t)w->patterns.count;
	for (i = 0; i < count; i++) {
		struct patcnn_pattern *p = add_rows(w, &w->patterns, 1);

		p->tap_first = (uint32_t)w->taps.count;
		p->kernel_h = (uint8_t)kernel_h;
		p->kernel_w = (uint8_t)kernel_w;
		for (bit = 0; bit < kernel_h * kernel_w; bit++) {
			struct patcnn_tap *tap;

			if (!(masks[i] >> bit & 1))
				continue;
			tap = add_rows(w, &w->taps, 1);
			tap->row = (uint8_t)(bit / kernel_w);
			tap->col = (uint8_t)(bit % kernel_w);
			p->tap_count++;
		}
	}
	return first;
}

void program_meta(struct program_writer *w, const char *json)
{
	w->meta = json;
}

static void place(struct patcnn_section *s, uint32_t type, size_t stride, uint64_t count,
		  uint64_t align, uint64_t *at)
{
	*at = (*at + align - 1) & ~(align - 1);
	s->type = type;
	s->stride = (uint32_t)stride;
	s->offset = *at;
	s->count = count;
	*at += stride * count;
}

void *program_finish(struct program_writer *w, size_t *size)
{
	const struct {
		uint32_t type;
		const struct program_table *table;
	} tables[] = {
		{ PATCNN_SECTION_TENSORS, &w->tensors },
		{ PATCNN_SECTION_OPERATORS, &w->operators },
		{ PATCNN_SECTION_OPERANDS, &w->operands },
		{ PATCNN_SECTION_PATTERNS, &w->patterns },
		{ PATCNN_SECTION_TAPS, &w->taps },
		{ PATCNN_SECTION_STRINGS, &w->strings },
	};
	const unsigned int n_tables = sizeof(tables) / sizeof(tables[0]);
	const struct chunk *chunks = w->chunks.rows;
	struct patcnn_program_header *h;
	struct patcnn_section s[8];
	size_t meta_size = w->meta ? strlen(w->meta) : 0, i;
	uint64_t at = sizeof(*h) + (n_tables + 1 + !!meta_size) * sizeof(*s);
	unsigned int n = 0;
	char *blob;

	for (i = 0; i < n_tables; i++)
		place(&s[n++], tables[i].type, tables[i].table->stride, tables[i].table->count, 8,
		      &at);
	place(&s[n++], PATCNN_SECTION_DATA, 1, w->data_size, 64, &at);
	if (meta_size)
		place(&s[n++], PATCNN_SECTION_META, 1, meta_size, 8, &at);

	blob = arena_alloc(w->arena, at < 4096 ? 4096 : (size_t)at);
	h = (struct patcnn_program_header *)blob;
	h->magic = PATCNN_PROGRAM_MAGIC;
	h->version_major = PATCNN_PROGRAM_VERSION_MAJOR;
	h->version_minor = PATCNN_PROGRAM_VERSION_MINOR;
	h->size = at;
	h->section_count = n;
	memcpy(h + 1, s, n * sizeof(*s));
	for (i = 0; i < n_tables; i++)
		if (tables[i].table->count)
			memcpy(blob + s[i].offset, tables[i].table->rows,
			       tables[i].table->count * tables[i].table->stride);
	for (i = 0; i < w->chunks.count; i++)
		if (chunks[i].size)
			memcpy(blob + s[n_tables].offset + chunks[i].offset, chunks[i].data,
			       chunks[i].size);
	if (meta_size)
		memcpy(blob + s[n_tables + 1].offset, w->meta, meta_size);
	*size = (size_t)at;
	return blob;
}
