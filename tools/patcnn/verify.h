/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_VERIFY_H
#define PATCNN_VERIFY_H

/* An independent runtime's opinion of a model: onnxruntime, found at run time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verify_value {
	const char *name;
	/** @data, @count: inputs: given; outputs: received, NULL if the runtime has none of it. */
	float *data;
	size_t count;
	/** @rank, @dim: inputs. */
	unsigned int rank;
	const uint32_t *dim;
};

/* Whether some node of the ONNX model @bytes writes @name; @model from verify_model_open(). */
struct verify_model;
struct verify_model *verify_model_open(const char *path);
bool verify_model_has(const struct verify_model *m, const char *name);
/* Whether the model takes input @name with the channels last and transposes it itself. */
bool verify_model_channels_last(const struct verify_model *m, const char *name);
void verify_model_close(struct verify_model *m);

/*
 * Run the model with @inputs and fetch @outputs, which may be any of its values.
 * Complains and returns false on failure. The data of outputs is freed by the caller.
 */
bool verify_model_run(struct verify_model *m, const struct verify_value *inputs,
		      unsigned int n_inputs, struct verify_value *outputs, unsigned int n_outputs);

/* Types and weights of half precision become single precision. */
struct Onnx__GraphProto;
void verify_widen(struct Onnx__GraphProto *g);

#endif
