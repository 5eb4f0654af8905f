// SPDX-License-Identifier: MIT
/*
 * Walks protobuf wire format with the descriptors that protoc-c generated, before
 * the recursive parser sees it: a small file can nest messages deep enough to run
 * that parser out of stack.
 */

#include <protobuf-c/protobuf-c.h>

#include "onnx_read.h"

/* Model, graph, node, attribute, tensor ... and sub-graphs of If or Loop. */
#define MAX_DEPTH	40

static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	unsigned int shift;

	*v = 0;
	for (shift = 0; shift < 70 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		if (shift < 64)
			*v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

static bool walk(const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t size, int depth)
{
	const uint8_t *end = p + size;

	while (p < end) {
		const ProtobufCFieldDescriptor *field;
		uint64_t tag, v;

		if (!varint(&p, end, &tag))
			return false;
		switch (tag & 7) {
		case 0:
			if (!varint(&p, end, &v))
				return false;
			break;
		case 1:
			if (end - p < 8)
				return false;
			p += 8;
			break;
		case 5:
			if (end - p < 4)
				return false;
			p += 4;
			break;
		case 2:
			if (!varint(&p, end, &v) || v > (uint64_t)(end - p))
				return false;
			field = protobuf_c_message_descriptor_get_field(desc,
									(unsigned int)(tag >> 3));
			if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
			    (depth >= MAX_DEPTH ||
			     !walk(field->descriptor, p, (size_t)v, depth + 1)))
				return false;
			p += v;
			break;
		default:
			return false;
		}
	}
	return true;
}

bool onnx_depth_ok(const ProtobufCMessageDescriptor *desc, const void *bytes, size_t size)
{
	return walk(desc, bytes, size, 0);
}
