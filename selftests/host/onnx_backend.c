// SPDX-License-Identifier: MIT
/*
 * ONNX's own backend test data (Debian's libonnx-testdata) through the compiler and
 * the compute core, on every instruction set that runs here. One TAP line for each
 * operator: how many of its models agree with the stored outputs, and how many the
 * compiler refuses. A wrong result fails the operator, and so does agreeing with fewer
 * models than its floor below.
 *
 * An input of a test model may stand for a weight or a shape: integers are always
 * given as constants, floats are first given at run time, and as constants if the model
 * cannot be compiled otherwise.
 */

#include <dirent.h>
#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "host_run.h"
#include "onnx.pb-c.h"
#include "onnx_types.h"

#define DATA		"/usr/share/libonnx-testdata/data"
#define MAX_INPUTS	32
#define MAX_OPS		200
/* ONNX's own runner allows 1e-3 relative. */
#define RELATIVE	1e-4
#define HALF		1e-3
#define ABSOLUTE	1e-5

/* Models of each operator that must agree; those refused have 3-D data, integers, rare modes. */
static const struct {
	const char *op;
	unsigned int floor;
} floors[] = {
#include "onnx_backend_floors.h"
};

struct blob {
	void *p;
	size_t size;
};

struct test {
	char dir[512];
	const char *name;
	Onnx__ModelProto *model;
	struct blob file;
	struct blob input[MAX_INPUTS];
	bool is_float[MAX_INPUTS];
	unsigned int n_inputs;
};

static struct tally {
	char op[64];
	unsigned int pass;
	unsigned int fail;
	unsigned int refused;
} tallies[MAX_OPS];
static unsigned int n_tallies;

static struct blob slurp(const char *path)
{
	struct blob b = { NULL, 0 };
	FILE *f = fopen(path, "rb");
	long size;

	if (!f)
		return b;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	b.p = malloc((size_t)size + 1);
	b.size = (size_t)size;
	if (!b.p || fread(b.p, 1, b.size, f) != b.size) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	fclose(f);
	return b;
}

/* Graph inputs that are no initialisers, in order: what the files input_N.pb are for. */
static const char *input_name(const struct test *t, unsigned int index)
{
	const Onnx__GraphProto *g = t->model->graph;
	size_t i, k;

	for (i = 0; i < g->n_input; i++) {
		for (k = 0; k < g->n_initializer; k++)
			if (!strcmp(g->initializer[k]->name, g->input[i]->name))
				break;
		if (k == g->n_initializer && !index--)
			return g->input[i]->name;
	}
	return NULL;
}

static bool load(struct test *t)
{
	char path[640];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/model.onnx", t->dir);
	t->file = slurp(path);
	t->model = t->file.p ? onnx__model_proto__unpack(NULL, t->file.size, t->file.p) : NULL;
	if (!t->model || !t->model->graph)
		return false;
	for (i = 0; i < MAX_INPUTS; i++) {
		Onnx__TensorProto *p;

		snprintf(path, sizeof(path), "%s/test_data_set_0/input_%u.pb", t->dir, i);
		t->input[i] = slurp(path);
		if (!t->input[i].p)
			break;
		p = onnx__tensor_proto__unpack(NULL, t->input[i].size, t->input[i].p);
		t->is_float[i] = p && (p->data_type == ONNX_FLOAT || p->data_type == ONNX_DOUBLE ||
				       p->data_type == ONNX_FLOAT16);
		if (p)
			onnx__tensor_proto__free_unpacked(p, NULL);
	}
	t->n_inputs = i;
	return true;
}

static void unload(struct test *t)
{
	unsigned int i;

	for (i = 0; i < t->n_inputs; i++)
		free(t->input[i].p);
	if (t->model)
		onnx__model_proto__free_unpacked(t->model, NULL);
	free(t->file.p);
}

/*
 * Elements of a stored tensor as floats, in the arena; NULL if it is no tensor of
 * numbers. @half, if not NULL: whether they have the precision of half floats.
 */
static const float *stored(struct arena *a, const struct blob *b, struct shape *shape, bool *half)
{
	Onnx__TensorProto *p = onnx__tensor_proto__unpack(NULL, b->size, b->p);
	const struct constant *c;
	const char *why;
	float *f;
	size_t i;

	c = p ? onnx_tensor(a, p, shape, &why) : NULL;
	f = c ? arena_array(a, c->count + 1, sizeof(*f)) : NULL;
	for (i = 0; f && i < c->count; i++)
		f[i] = c->is_float ? c->f[i] : (float)c->i[i];
	if (half)
		*half = p && p->data_type == ONNX_FLOAT16;
	if (p)
		onnx__tensor_proto__free_unpacked(p, NULL);
	return f;
}

/* Compile with the inputs in @constant bound. */
static bool compile(struct test *t, unsigned int constant, struct compile_result *r)
{
	struct read_binding bindings[MAX_INPUTS];
	struct compile_options opts = { .read = { .bindings = bindings } };
	const char *first;
	unsigned int i;

	for (i = 0; i < t->n_inputs; i++) {
		const char *name = input_name(t, i);

		if (constant >> i & 1 && name)
			bindings[opts.read.n_bindings++] = (struct read_binding){
				name, t->input[i].p, t->input[i].size };
	}
	/* The statistics that a norm also gives are for training. */
	if (!strcmp(t->model->graph->node[0]->op_type, "LayerNormalization")) {
		first = t->model->graph->output[0]->name;
		opts.read.outputs = &first;
		opts.read.n_outputs = 1;
	}
	return compile_model(r, t->file.p, t->file.size, &opts);
}

static bool shape_matches(const struct patcnn_tensor *t, const struct shape *s)
{
	int i;

	if (!s->rank)
		return t->rank == 1 && t->shape[0] == 1;
	for (i = 0; i < s->rank; i++)
		if (t->rank != s->rank || t->shape[i] != s->dim[i])
			return false;
	return true;
}

static bool compare(const struct test *t, const struct hr *h, struct arena *a, const char *isa)
{
	const Onnx__GraphProto *g = t->model->graph;
	bool ok = true;
	u32 k, i;

	for (k = 0; k < h->prog.io_count; k++) {
		const struct patcnn_tensor *p = &h->prog.tensors[h->prog.io[k]];
		const float *got = hr_io(h, h->prog.io[k]), *want;
		struct shape shape;
		struct blob file;
		char path[640];
		bool half;
		size_t n, o;

		if (p->role != PATCNN_ROLE_OUTPUT)
			continue;
		for (o = 0; o < g->n_output; o++)
			if (!strcmp(g->output[o]->name, h->prog.strings + p->name))
				break;
		snprintf(path, sizeof(path), "%s/test_data_set_0/output_%zu.pb", t->dir, o);
		file = slurp(path);
		want = file.p ? stored(a, &file, &shape, &half) : NULL;
		free(file.p);
		if (!want || !shape_matches(p, &shape)) {
			printf("# %s: output %zu has another shape, or none is stored\n", t->name,
			       o);
			return false;
		}
		n = (size_t)shape_elements(&shape);
		for (i = 0; i < n && ok; i++) {
			double limit = ABSOLUTE + (half ? HALF : RELATIVE) * fabs((double)want[i]);

			if (fabs((double)got[i] - (double)want[i]) <= limit || got[i] == want[i] ||
			    (isnan(got[i]) && isnan(want[i])))
				continue;
			printf("# %s, %s: output %zu [%u] is %g, not %g\n", t->name, isa, o, i,
			       (double)got[i], (double)want[i]);
			ok = false;
		}
	}
	return ok;
}

static void fill_inputs(const struct test *t, const struct hr *h, struct arena *a,
			unsigned int constant)
{
	unsigned int i;
	u32 k;

	for (k = 0; k < h->prog.io_count; k++) {
		const struct patcnn_tensor *p = &h->prog.tensors[h->prog.io[k]];

		for (i = 0; i < t->n_inputs; i++) {
			const char *name = input_name(t, i);
			struct shape shape;
			const float *f;

			if (p->role != PATCNN_ROLE_INPUT || constant >> i & 1 || !name ||
			    strcmp(name, h->prog.strings + p->name))
				continue;
			f = stored(a, &t->input[i], &shape, NULL);
			if (f && p->dtype == PATCNN_DTYPE_F32)
				memcpy(hr_io(h, h->prog.io[k]), f, pat_tensor_bytes(p));
		}
	}
}

static bool run_isa(struct test *t, struct hr *h, unsigned int constant, const char *isa)
{
	const char *broken;
	struct arena a;
	bool ok;

	arena_init(&a, (size_t)1 << 30);
	if (setjmp(a.fail)) {
		fprintf(stderr, "%s: %s\n", t->name, a.message);
		exit(1);
	}
	fill_inputs(t, h, &a, constant);
	broken = hr_run(h);
	if (broken)
		printf("# %s, %s: %s\n", t->name, isa, broken);
	ok = !broken && compare(t, h, &a, isa);
	arena_release(&a);
	return ok;
}

static bool run(struct test *t, const struct compile_result *r, unsigned int constant)
{
	const struct pat_isa *isa;
	unsigned int n;
	bool ok = true;

	for (n = 0; ok && (isa = hr_isa(n)); n++) {
		struct hr_opts opts = { .isa = isa, .guard = HR_GUARD_EXACT, .threads = 1,
					.fill = 0xff };
		struct hr h;

		if (hr_open(&h, r->program, r->size, &opts)) {
			printf("# %s: %s\n", t->name, h.error.text);
			return false;
		}
		ok = run_isa(t, &h, constant, pat_isa_name(isa));
		hr_close(&h);
	}
	return ok;
}

static struct tally *tally_of(const char *op)
{
	unsigned int i;

	for (i = 0; i < n_tallies; i++)
		if (!strcmp(tallies[i].op, op))
			return &tallies[i];
	if (n_tallies == MAX_OPS)
		exit(1);
	snprintf(tallies[n_tallies].op, sizeof(tallies[0].op), "%s", op);
	return &tallies[n_tallies++];
}

static void first_issue(const struct test *t, const struct compile_result *r)
{
	const struct issue *i = r->graph.issues;

	if (*r->error)
		printf("# refused: %s: %s\n", t->name, r->error);
	else
		printf("# refused: %s: %s%s%s\n", t->name, i->attribute,
		       *i->attribute ? " " : "", i->reason);
}

static void try_test(struct test *t, struct tally *tally)
{
	unsigned int integers = 0, all, rest, i;
	unsigned int choices[3];
	struct compile_result r;

	all = t->n_inputs >= 32 ? ~0U : (1U << t->n_inputs) - 1;
	for (i = 0; i < t->n_inputs; i++)
		if (!t->is_float[i])
			integers |= 1U << i;
	rest = all & ~(~integers & -~integers);
	choices[0] = integers;
	choices[1] = integers | rest;
	choices[2] = all;
	for (i = 0; i < 3; i++) {
		if (compile(t, choices[i], &r)) {
			if (run(t, &r, choices[i]))
				tally->pass++;
			else
				tally->fail++;
			compile_release(&r);
			return;
		}
		if (i == 2 || choices[i] == all) {
			first_issue(t, &r);
			tally->refused++;
			compile_release(&r);
			return;
		}
		compile_release(&r);
	}
}

static const char *group_of(const struct test *t, const char *set)
{
	const Onnx__GraphProto *g = t->model->graph;

	if (strcmp(set, "node"))
		return set;
	/* The expanded forms of operators are models of many. */
	if (g->n_node != 1)
		return "expanded functions";
	return g->node[0]->op_type;
}

static bool known_operators(const struct test *t)
{
	const Onnx__GraphProto *g = t->model->graph;
	size_t i;

	/* Its result is that of a fractional output size; ONNX 1.13 corrected it. */
	if (!strcmp(t->name, "test_resize_downsample_scales_linear_align_corners"))
		return false;
	/* The data stores bfloat16 as integers. */
	for (i = 0; i < g->n_input; i++)
		if (g->input[i]->type && g->input[i]->type->tensor_type &&
		    g->input[i]->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE &&
		    g->input[i]->type->tensor_type->elem_type == ONNX_BFLOAT16)
			return false;

	for (i = 0; i < g->n_node; i++)
		if (!g->node[i]->op_type || !op_by_name(g->node[i]->op_type))
			return false;
	return true;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static unsigned int run_set(const char *set, const char *only)
{
	struct dirent **list;
	unsigned int others = 0;
	char path[256];
	int n, i;

	snprintf(path, sizeof(path), "%s/%s", DATA, set);
	n = scandir(path, &list, NULL, by_name);
	for (i = 0; i < n; i++) {
		struct test t = { .name = list[i]->d_name };

		snprintf(t.dir, sizeof(t.dir), "%s/%s", path, t.name);
		if (*t.name != '.' && (!only || strstr(t.name, only)) && load(&t)) {
			if (known_operators(&t))
				try_test(&t, tally_of(group_of(&t, set)));
			else
				others++;
		}
		unload(&t);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return others;
}

static unsigned int floor_of(const char *op)
{
	size_t i;

	for (i = 0; i < sizeof(floors) / sizeof(floors[0]); i++)
		if (!strcmp(floors[i].op, op))
			return floors[i].floor;
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const sets[] = { "node", "pytorch-converted", "pytorch-operator",
					    "simple" };
	const char *only = argc > 1 ? argv[1] : NULL;
	unsigned int others = 0, pass = 0, fail = 0, refused = 0, bad = 0, i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("TAP version 13");
	for (i = 0; i < 4; i++)
		others += run_set(sets[i], only);
	/* An operator whose models are gone altogether must not go unnoticed. */
	for (i = 0; !only && i < sizeof(floors) / sizeof(floors[0]); i++)
		tally_of(floors[i].op);
	printf("1..%u\n", n_tallies);
	if (!n_tallies) {
		puts("# no test data: Debian's libonnx-testdata is not installed");
		return 1;
	}
	for (i = 0; i < n_tallies; i++) {
		const struct tally *t = &tallies[i];
		bool ok = !t->fail && (only || t->pass >= floor_of(t->op));

		printf("%sok %u %s: %u agree, %u differ, %u refused\n", ok ? "" : "not ", i + 1,
		       t->op, t->pass, t->fail, t->refused);
		bad += !ok;
		pass += t->pass;
		fail += t->fail;
		refused += t->refused;
	}
	printf("# models: %u agree, %u differ, %u refused, %u of operators not in the list\n", pass,
	       fail, refused, others);
	return bad != 0;
}
