/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_FUZZ_MUTATE_ONNX_H
#define PATCNN_FUZZ_MUTATE_ONNX_H

#include <stddef.h>
#include <stdint.h>

/*
 * Mutations that know what ONNX is: one operator, attribute, edge, dimension or
 * weight is changed and the rest stays a model, so that shape inference, the passes and
 * lowering are reached. Now and then bytes are changed, for the reader.
 * Return: the new size, at most @max.
 */
size_t mutate_onnx(uint8_t *data, size_t size, size_t max, unsigned int seed);

#endif
