// SPDX-License-Identifier: MIT
/* Program files: read, validated by the compute core, META text parsed. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "file.h"
#include "util.h"

const char *model_file_meta(const struct model_file *file, size_t *size)
{
	const struct patcnn_program_header *head = file->blob;
	const struct patcnn_section *section = (const struct patcnn_section *)(head + 1);
	uint32_t i;

	for (i = 0; i < head->section_count; i++) {
		if (section[i].type == PATCNN_SECTION_META && section[i].stride == 1) {
			*size = (size_t)section[i].count;
			return (const char *)file->blob + section[i].offset;
		}
	}
	return NULL;
}

static void free_labels(struct model_file *file)
{
	uint32_t i;

	for (i = 0; i < file->label_count; i++)
		free(file->labels[i]);
	free(file->labels);
	file->labels = NULL;
	file->label_count = 0;
}

/* META is for people: what does not parse is left alone. */
static void parse_meta(struct model_file *file)
{
	const cJSON *name, *labels, *label;
	const char *text;
	cJSON *meta;
	size_t size;
	int count;

	text = model_file_meta(file, &size);
	meta = text ? cJSON_ParseWithLength(text, size) : NULL;
	if (!meta)
		return;
	name = cJSON_GetObjectItemCaseSensitive(meta, "name");
	if (cJSON_IsString(name))
		file->name = xstrdup(name->valuestring);
	labels = cJSON_GetObjectItemCaseSensitive(meta, "labels");
	count = cJSON_IsArray(labels) ? cJSON_GetArraySize(labels) : 0;
	if (count) {
		file->labels = xcalloc((size_t)count, sizeof(*file->labels));
		cJSON_ArrayForEach(label, labels)
			file->labels[file->label_count++] =
				xstrdup(cJSON_IsString(label) ? label->valuestring : "?");
	}
	cJSON_Delete(meta);
}

bool model_file_open(struct model_file *file, const char *path)
{
	size_t size;
	void *blob = read_file(path, &size);

	return blob && model_file_from(file, path, blob, size);
}

bool model_file_from(struct model_file *file, const char *path, void *blob, size_t size)
{
	struct pat_error err = { "" };
	void *work;
	uint32_t i;
	int ret;

	*file = (struct model_file){ .path = path, .blob = blob, .size = size };
	work = xcalloc(1, PAT_WORK_BYTES);
	ret = pat_program_open(&file->prog, file->blob, file->size, work, &err);
	free(work);
	if (ret) {
		complain("%s: %s", path, err.text[0] ? err.text : strerror(-ret));
		model_file_close(file);
		return false;
	}
	for (i = 0; i < file->prog.io_count; i++) {
		if (model_file_io(file, i)->role == PATCNN_ROLE_INPUT)
			file->inputs[file->input_count++] = (uint16_t)i;
		else
			file->outputs[file->output_count++] = (uint16_t)i;
	}
	parse_meta(file);
	return true;
}

void model_file_close(struct model_file *file)
{
	free_labels(file);
	free(file->name);
	free(file->blob);
	*file = (struct model_file){ 0 };
}

bool model_file_read_labels(struct model_file *file, const char *path)
{
	char *text, *line, *next;
	size_t size, lines = 1, i;

	text = read_file(path, &size);
	if (!text)
		return false;
	free_labels(file);
	for (i = 0; i < size; i++)
		lines += text[i] == '\n';
	file->labels = xcalloc(lines, sizeof(*file->labels));
	for (line = text; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		file->labels[file->label_count++] = xstrdup(line);
	}
	free(text);
	return true;
}

void tensor_shape(const struct patcnn_tensor *t, char *s, size_t size)
{
	size_t used = 0;
	unsigned int i;

	*s = '\0';
	for (i = 0; i < t->rank && used < size; i++)
		used += (size_t)snprintf(s + used, size - used, i ? "x%u" : "%u", t->shape[i]);
}

uint32_t tensor_classes(const struct patcnn_tensor *t)
{
	uint32_t classes = 1;
	unsigned int i;

	for (i = 0; i < t->rank; i++) {
		if (t->shape[i] == 1)
			continue;
		if (classes != 1)
			return 0;
		classes = t->shape[i];
	}
	return classes;
}

const char *class_label(const struct model_file *file, uint32_t i)
{
	static char number[16];

	if (i < file->label_count)
		return file->labels[i];
	snprintf(number, sizeof(number), "%u", i);
	return number;
}

const char *operator_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		"copy", "convert", "conv", "conv-transpose", "linear", "matmul", "max-pool",
		"avg-pool", "add", "sub", "mul", "div", "activation", "prelu", "concat", "slice",
		"permute", "reshape", "pad", "resize", "softmax", "reduce", "layer-norm",
		"instance-norm",
	};

	return kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}
