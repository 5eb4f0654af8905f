// SPDX-License-Identifier: MIT
/*
 * Runs an ONNX model with onnxruntime's package for Node.js, which needs no linking
 * and no header: a few lines of JavaScript in a process of their own, and files in a
 * temporary directory between. The model is written there with the wanted values as
 * its outputs.
 */

#include <dirent.h>
#include <errno.h>
#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"
#include "util.h"
#include "verify.h"

struct verify_model {
	Onnx__ModelProto *proto;
	/** @names: sorted, values that nodes write. */
	const char **names;
	size_t count;
	char dir[64];
};

/* Exit status of the script when it does not find the runtime. */
#define NOT_INSTALLED	2

/* argv: directory, runtime. "inputs": name, dimensions; "outputs": names. Data as raw floats. */
static const char script[] =
"const fs = require('fs'), dir = process.argv[1];\n"
"let ort;\n"
"try { ort = require(process.argv[2]); } catch (e) { console.error(String(e.message || e)); process.exit(2); }\n"
"const lines = f => fs.readFileSync(dir + f, 'utf8').split('\\n').slice(0, -1);\n"
"(async () => {\n"
"  const session = await ort.InferenceSession.create(dir + '/model.onnx',\n"
"    { logSeverityLevel: 3, intraOpNumThreads: 1, graphOptimizationLevel: 'basic' });\n"
"  const feeds = {};\n"
"  lines('/inputs').forEach((line, i) => {\n"
"    const [name, dims] = line.split('\\t'), b = fs.readFileSync(dir + '/in' + i);\n"
"    let data = new Float32Array(b.buffer, b.byteOffset, b.length / 4).slice(), type = 'float32';\n"
"    const meta = (session.inputMetadata || []).find(m => m.name == name);\n"
"    if (meta && meta.type == 'uint8') { type = 'uint8'; data = Uint8Array.from(data); }\n"
"    feeds[name] = new ort.Tensor(type, data, dims.split(',').map(Number));\n"
"  });\n"
"  const result = await session.run(feeds);\n"
"  lines('/outputs').forEach((name, i) => {\n"
"    const t = result[name];\n"
"    if (!t || t.type == 'string') return;\n"
"    fs.writeFileSync(dir + '/out' + i, new Uint8Array(Float32Array.from(t.data, Number).buffer));\n"
"  });\n"
"})().catch(e => { console.error(String(e.message || e)); process.exit(1); });\n";

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct verify_model *verify_model_open(const char *path)
{
	struct verify_model *m = xcalloc(1, sizeof(*m));
	size_t size, count = 0, i, k;
	void *bytes = read_file(path, &size);
	const Onnx__GraphProto *g;

	if (bytes && onnx_depth_ok(&onnx__model_proto__descriptor, bytes, size))
		m->proto = onnx__model_proto__unpack(NULL, size, bytes);
	free(bytes);
	if (!m->proto || !m->proto->graph) {
		if (bytes)
			complain("%s: not an ONNX model", path);
		verify_model_close(m);
		return NULL;
	}
	verify_widen(m->proto->graph);
	g = m->proto->graph;
	for (i = 0; i < g->n_node; i++)
		count += g->node[i]->n_output;
	m->names = xcalloc(count + 1, sizeof(*m->names));
	for (i = 0; i < g->n_node; i++)
		for (k = 0; k < g->node[i]->n_output; k++)
			m->names[m->count++] = g->node[i]->output[k];
	qsort(m->names, m->count, sizeof(*m->names), by_name);
	return m;
}

bool verify_model_has(const struct verify_model *m, const char *name)
{
	return *name && bsearch(&name, m->names, m->count, sizeof(*m->names), by_name);
}

bool verify_model_channels_last(const struct verify_model *m, const char *name)
{
	static const int64_t want[] = { 0, 3, 1, 2 };
	const Onnx__GraphProto *g = m->proto->graph;
	bool last = false;
	size_t i, k;

	for (i = 0; i < g->n_node; i++) {
		const Onnx__NodeProto *n = g->node[i];

		for (k = 0; k < n->n_input; k++)
			if (!strcmp(n->input[k], name))
				break;
		if (k == n->n_input)
			continue;
		last = n->op_type && !strcmp(n->op_type, "Transpose") && n->n_attribute == 1 &&
		       n->attribute[0]->n_ints == 4 &&
		       !memcmp(n->attribute[0]->ints, want, sizeof(want));
		if (!last)
			break;
	}
	return last;
}

/* ---- files between the processes ---- */

static bool put(const struct verify_model *m, const char *name, const void *data, size_t size)
{
	char path[128];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", m->dir, name);
	f = fopen(path, "wb");
	ok = f && fwrite(data, 1, size, f) == size;
	if (f && fclose(f))
		ok = false;
	if (!ok)
		complain("%s: %s", path, strerror(errno));
	return ok;
}

static void remove_dir(struct verify_model *m)
{
	DIR *d = *m->dir ? opendir(m->dir) : NULL;
	struct dirent *e;
	char path[384];

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", m->dir, e->d_name);
		if (*e->d_name != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	if (*m->dir)
		rmdir(m->dir);
	*m->dir = '\0';
}

void verify_model_close(struct verify_model *m)
{
	if (!m)
		return;
	remove_dir(m);
	free(m->names);
	if (m->proto)
		onnx__model_proto__free_unpacked(m->proto, NULL);
	free(m);
}

/* The model with other outputs; the runtime infers their types. */
static bool put_model(struct verify_model *m, const struct verify_value *outputs, unsigned int n)
{
	Onnx__GraphProto *g = m->proto->graph;
	Onnx__ValueInfoProto **own = g->output, **list = xcalloc(n, sizeof(*list));
	Onnx__ValueInfoProto *info = xcalloc(n, sizeof(*info));
	size_t own_count = g->n_output, size, k;
	unsigned int i;
	void *bytes;
	bool ok;

	for (i = 0; i < n; i++) {
		onnx__value_info_proto__init(&info[i]);
		info[i].name = (char *)outputs[i].name;
		list[i] = &info[i];
		for (k = 0; k < own_count; k++)
			if (own[k]->name && !strcmp(own[k]->name, outputs[i].name))
				list[i] = own[k];
	}
	g->output = list;
	g->n_output = n;
	size = onnx__model_proto__get_packed_size(m->proto);
	bytes = xcalloc(size, 1);
	onnx__model_proto__pack(m->proto, bytes);
	ok = put(m, "model.onnx", bytes, size);
	free(bytes);
	g->output = own;
	g->n_output = own_count;
	free(info);
	free(list);
	return ok;
}

static bool put_inputs(const struct verify_model *m, const struct verify_value *v, unsigned int n)
{
	char *text = NULL, name[16];
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned int i, d;
	bool ok = f;

	for (i = 0; ok && i < n; i++) {
		fprintf(f, "%s\t", v[i].name);
		for (d = 0; d < v[i].rank; d++)
			fprintf(f, "%s%u", d ? "," : "", v[i].dim[d]);
		fputc('\n', f);
		snprintf(name, sizeof(name), "in%u", i);
		ok = put(m, name, v[i].data, v[i].count * sizeof(float));
	}
	if (f)
		fclose(f);
	ok = ok && put(m, "inputs", text, size);
	free(text);
	return ok;
}

static bool put_names(const struct verify_model *m, const struct verify_value *v, unsigned int n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned int i;
	bool ok;

	for (i = 0; f && i < n; i++)
		fprintf(f, "%s\n", v[i].name);
	if (f)
		fclose(f);
	ok = f && put(m, "outputs", text, size);
	free(text);
	return ok;
}

/* Where `npm install --prefix` puts it: in the cache, or the package by name. */
static void runtime_path(char *path, size_t size)
{
	const char *cache = getenv("PATCNN_CACHE"), *home = getenv("HOME");

	if (cache)
		snprintf(path, size, "%s/onnxruntime/node_modules/onnxruntime-node", cache);
	else
		snprintf(path, size, "%s/.cache/patcnn/onnxruntime/node_modules/onnxruntime-node",
			 home ? home : "");
	if (access(path, F_OK))
		snprintf(path, size, "onnxruntime-node");
}

static bool run_script(const struct verify_model *m)
{
	char path[512];
	int status;
	pid_t pid;

	runtime_path(path, sizeof(path));
	pid = fork();
	if (!pid) {
		execlp("node", "node", "-e", script, "--", m->dir, path, NULL);
		fprintf(stderr, "patcnn: node: %s\n", strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		complain("node: %s", strerror(errno));
		return false;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_INSTALLED)
		complain("onnxruntime is installed by: npm install --prefix "
			 "~/.cache/patcnn/onnxruntime --ignore-scripts onnxruntime-node");
	else
		complain("onnxruntime did not run the model");
	return false;
}

bool verify_model_run(struct verify_model *m, const struct verify_value *inputs,
		      unsigned int n_inputs, struct verify_value *outputs, unsigned int n_outputs)
{
	char path[128];
	unsigned int i;
	size_t size;
	bool ok;

	snprintf(m->dir, sizeof(m->dir), "/tmp/patcnn-verify-XXXXXX");
	if (!mkdtemp(m->dir)) {
		complain("/tmp: %s", strerror(errno));
		*m->dir = '\0';
		return false;
	}
	ok = put_model(m, outputs, n_outputs) && put_inputs(m, inputs, n_inputs) &&
	     put_names(m, outputs, n_outputs) && run_script(m);
	for (i = 0; ok && i < n_outputs; i++) {
		snprintf(path, sizeof(path), "%s/out%u", m->dir, i);
		if (access(path, F_OK))
			continue;
		outputs[i].data = read_file(path, &size);
		outputs[i].count = size / sizeof(float);
		ok = outputs[i].data;
	}
	remove_dir(m);
	return ok;
}
