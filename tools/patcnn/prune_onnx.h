/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_PRUNE_ONNX_H
#define PATCNN_PRUNE_ONNX_H

/* The prunable layers of an ONNX model, and the way of zeros back into it. */

#include <stddef.h>

#include "prune_rules.h"

struct Onnx__ModelProto;
struct Onnx__TensorProto;

struct prune_target {
	/** @name: of the node; @weights: of the tensor. */
	const char *name;
	const char *weights;
	struct Onnx__TensorProto *tensor;
	/** @layer: a copy of the weights as [out][in][kernel_h][kernel_w], batch norm folded in. */
	struct prune_layer layer;
	/** @transposed: the tensor is [in][out]. */
	bool transposed;
	struct prune_rule rule;
	/** @positions: outputs a channel, 0 if unknown. */
	double positions;
	double energy_before;
	double energy_after;
	uint64_t kept;
};

struct prune_model {
	struct Onnx__ModelProto *proto;
	struct prune_target *targets;
	unsigned int count;
};

/* False: @why says why. */
bool prune_model_read(struct prune_model *m, const void *bytes, size_t size, const char **why);
/* Zero in the model what is zero in the targets, and count. */
void prune_model_update(struct prune_model *m);
/* The model as a file's bytes: free() them. NULL: no memory. */
void *prune_model_write(const struct prune_model *m, size_t *size);
void prune_model_free(struct prune_model *m);

#endif
