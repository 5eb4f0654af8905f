/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_ONNX_TYPES_H
#define PATCNN_ONNX_TYPES_H

/*
 * The numbers of TensorProto.DataType and AttributeProto.AttributeType, so that
 * only the reader and the pruner include the generated protobuf code. onnx_read.c
 * asserts that they agree.
 */
enum onnx_type {
	ONNX_FLOAT = 1,
	ONNX_UINT8 = 2,
	ONNX_INT8 = 3,
	ONNX_UINT16 = 4,
	ONNX_INT16 = 5,
	ONNX_INT32 = 6,
	ONNX_INT64 = 7,
	ONNX_STRING = 8,
	ONNX_BOOL = 9,
	ONNX_FLOAT16 = 10,
	ONNX_DOUBLE = 11,
	ONNX_UINT32 = 12,
	ONNX_UINT64 = 13,
	ONNX_BFLOAT16 = 16,
};

enum onnx_attr {
	ATTR_FLOAT = 1,
	ATTR_INT = 2,
	ATTR_STRING = 3,
	ATTR_TENSOR = 4,
	ATTR_GRAPH = 5,
	ATTR_FLOATS = 6,
	ATTR_INTS = 7,
	ATTR_STRINGS = 8,
};

#endif
