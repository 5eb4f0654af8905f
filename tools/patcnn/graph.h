/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_GRAPH_H
#define PATCNN_GRAPH_H

/*
 * The graph in memory: what an ONNX file becomes, what the passes change and what
 * lowering reads. Nodes are a list in execution order. Values are written by one
 * node, or are inputs or constants. Everything lives in the graph's arena.
 *
 * value_replace() makes all readers of one value read another one; readers find
 * out through node_in(), which is therefore the only way to look at an input.
 */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "ops.h"

#define SHAPE_MAX_RANK	8
/* Elements of one value; larger than any the program format takes. */
#define SHAPE_MAX_ELEMENTS	(1LL << 31)

struct shape {
	/** @rank: -1 while unknown. */
	int rank;
	int64_t dim[SHAPE_MAX_RANK];
};

/* A constant: floats if the ONNX type is floating, else 64-bit integers. */
struct constant {
	bool is_float;
	size_t count;
	const float *f;
	const int64_t *i;
};

struct node;

struct value {
	const char *name;
	/** @dtype: TensorProto.DataType. */
	int dtype;
	struct shape shape;
	/** @declared: the shape the file states; used if it cannot be inferred. */
	struct shape declared;
	struct node *producer;
	const struct constant *constant;
	/** @alias: reads of this value are reads of that one. */
	struct value *alias;
	/** @uses: readers, graph outputs included. */
	unsigned int uses;
	bool is_input;
	/** @bytes: an input whose elements the model takes as bytes. */
	bool bytes;
	/** @channels_last: an input whose buffer holds [h][w][c], whatever @shape says. */
	bool channels_last;
	bool is_output;
	/** @tensor: lowering: index in the program plus one. */
	unsigned int tensor;
	/** @views: lowering: the same elements under other shapes. */
	struct view *views;
};

struct attr {
	const char *name;
	/** @type: AttributeProto.AttributeType. */
	int type;
	float f;
	int64_t i;
	const char *s;
	size_t count;
	const float *floats;
	const int64_t *ints;
	/** @tensor: value of a tensor attribute. */
	struct value *tensor;
};

/* What lowering puts into struct patcnn_activation. */
struct act {
	unsigned int kind;
	float a;
	float b;
};

struct node {
	struct node *prev;
	struct node *next;
	enum op op;
	const char *op_name;
	const char *name;
	unsigned int n_in;
	unsigned int n_out;
	unsigned int n_attr;
	/** @in: NULL for an optional input that is absent. */
	struct value **in;
	struct value **out;
	struct attr *attr;
	/** @act: fused, applied last. */
	struct act act;
	/** @residual: added before @act; convolutions only. */
	struct value *residual;
	/** @reported: an issue names this node or one it reads from: passes leave it alone. */
	bool reported;
};

struct issue {
	struct issue *next;
	const char *node;
	const char *op;
	const char *attribute;
	const char *reason;
};

struct graph {
	struct arena *arena;
	const char *name;
	const char *producer;
	int opset;
	/** @nodes: ring; nodes.next is the first. */
	struct node nodes;
	struct value **inputs;
	struct value **outputs;
	unsigned int n_inputs;
	unsigned int n_outputs;
	unsigned int n_values;
	struct issue *issues;
	struct issue **issue_tail;
	unsigned int n_issues;
	/** @folded: elements of constants made by folding, to bound them. */
	uint64_t folded;
};

#define for_each_node(n, g) \
	for ((n) = (g)->nodes.next; (n) != &(g)->nodes; (n) = (n)->next)
/* As above; @n may be removed in the body. */
#define for_each_node_safe(n, t, g) \
	for ((n) = (g)->nodes.next, (t) = (n)->next; (n) != &(g)->nodes; \
	     (n) = (t), (t) = (n)->next)

void graph_init(struct graph *g, struct arena *arena);

struct value *value_new(struct graph *g, const char *name);
/* All readers of @old read @to from now on. */
void value_replace(struct value *old, struct value *to);
struct value *value_resolve(struct value *v);

struct node *node_new(struct graph *g, enum op op, const char *name,
		      unsigned int n_in, unsigned int n_out);
void node_append(struct graph *g, struct node *n);
void node_insert_before(struct node *at, struct node *n);
/* Take @n out of the list and drop its reads; its outputs must be unread or replaced. */
void node_remove(struct node *n);
void node_set_in(struct node *n, unsigned int i, struct value *v);
struct value *node_in(const struct node *n, unsigned int i);
void node_set_out(struct node *n, unsigned int i, struct value *v);

/* A node with one fresh float output of shape @shape, put before @at. */
struct node *node_build(struct graph *g, struct node *at, enum op op, const char *suffix,
			const struct shape *shape, struct value *a, struct value *b);

const struct attr *node_attr(const struct node *n, const char *name);
int64_t attr_int(const struct node *n, const char *name, int64_t def);
float attr_float(const struct node *n, const char *name, float def);
const char *attr_str(const struct node *n, const char *name, const char *def);
/* Number of integers, 0 if absent. */
size_t attr_ints(const struct node *n, const char *name, const int64_t **ints);
void attr_set_int(struct graph *g, struct node *n, const char *name, int64_t i);
void attr_set_float(struct graph *g, struct node *n, const char *name, float f);
void attr_set_ints(struct graph *g, struct node *n, const char *name, const int64_t *ints,
		   size_t count);

struct value *const_floats(struct graph *g, const char *name, const struct shape *shape,
			   const float *f);
struct value *const_ints(struct graph *g, const char *name, const struct shape *shape,
			 const int64_t *i);
struct shape shape_of(int rank, const int64_t *dim);
/* Elements; -1 if unknown, negative or beyond SHAPE_MAX_ELEMENTS. */
int64_t shape_elements(const struct shape *s);
bool shape_equal(const struct shape *a, const struct shape *b);
const char *shape_text(struct graph *g, const struct shape *s);

/* The single element of a constant, whatever its type. */
bool const_scalar(const struct value *v, double *x);
/* Integers of an integer constant, at most @max; -1 if it is none. */
int const_int_list(const struct value *v, int64_t *ints, int max);
bool is_float_type(int dtype);

/* Report once per node and attribute; the compile goes on to find the others. */
void issue(struct graph *g, struct node *n, const char *attribute, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A node before @at that changes nothing but the shape. */
struct value *build_reshape(struct graph *g, struct node *at, struct value *v,
			    const struct shape *shape);

#endif
