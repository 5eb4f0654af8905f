/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_ONNX_READ_H
#define PATCNN_ONNX_READ_H

#include "graph.h"

/* --shape: name of an input with all its dimensions, or of one symbolic dimension. */
struct shape_option {
	const char *name;
	int rank;
	int64_t dim[SHAPE_MAX_RANK];
};

struct read_options {
	const struct shape_option *shapes;
	unsigned int n_shapes;
	/* Values, by name, to compute instead of the outputs the file states. */
	const char *const *outputs;
	unsigned int n_outputs;
	/* Inputs to take as constants: a serialised TensorProto each (tests use this). */
	const struct read_binding {
		const char *name;
		const void *data;
		size_t size;
	} *bindings;
	unsigned int n_bindings;
};

struct ProtobufCMessageDescriptor;

/* Parse ONNX into @g. What is not supported becomes an issue; unreadable bytes arena_fail(). */
void onnx_read(struct graph *g, const void *bytes, size_t size, const struct read_options *opts);

/*
 * True if @bytes are well-formed and nest less deep than a recursive parser can
 * take (protobuf-c has no limit of its own).
 */
bool onnx_depth_ok(const struct ProtobufCMessageDescriptor *desc, const void *bytes, size_t size);

struct Onnx__GraphProto;

/* Indices of a graph's nodes, each behind those that write what it reads. */
const size_t *onnx_order(struct arena *arena, const struct Onnx__GraphProto *p);

/* Of a name, for tables. */
size_t onnx_hash(const char *s);

struct Onnx__TensorProto;

/* The elements of a TensorProto. On failure NULL, and *@why says why. */
struct constant *onnx_tensor(struct arena *a, const struct Onnx__TensorProto *t,
			     struct shape *shape, const char **why);

/* IEEE half precision to single. */
float half_to_float(uint16_t h);

#endif
