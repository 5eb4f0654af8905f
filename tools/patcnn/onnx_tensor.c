// SPDX-License-Identifier: MIT
/*
 * TensorProto to constants: floats of any width become single precision, integers
 * and booleans become 64-bit integers. The number of elements is checked against
 * the bytes that are there before anything is allocated for it.
 */

#include <math.h>
#include <string.h>

#include "onnx.pb-c.h"
#include "onnx_read.h"
#include "onnx_types.h"

float half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16;
	uint32_t exponent = (h >> 10) & 31;
	uint32_t mantissa = h & 0x3ff;
	uint32_t bits;
	float f;

	if (exponent == 31) {
		bits = sign | 0x7f800000 | mantissa << 13;
	} else if (exponent) {
		bits = sign | (exponent + 112) << 23 | mantissa << 13;
	} else {
		f = ldexpf((float)mantissa, -24);
		return sign ? -f : f;
	}
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static float bfloat_to_float(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static size_t raw_bytes_of(int type)
{
	switch (type) {
	case ONNX_UINT8:
	case ONNX_INT8:
	case ONNX_BOOL:
		return 1;
	case ONNX_UINT16:
	case ONNX_INT16:
	case ONNX_FLOAT16:
	case ONNX_BFLOAT16:
		return 2;
	case ONNX_FLOAT:
	case ONNX_INT32:
	case ONNX_UINT32:
		return 4;
	case ONNX_INT64:
	case ONNX_UINT64:
	case ONNX_DOUBLE:
		return 8;
	default:
		return 0;
	}
}

/* Elements in the typed field that belongs to the type. */
static size_t typed_count(const Onnx__TensorProto *t)
{
	switch (t->data_type) {
	case ONNX_FLOAT:
		return t->n_float_data;
	case ONNX_DOUBLE:
		return t->n_double_data;
	case ONNX_INT64:
		return t->n_int64_data;
	case ONNX_UINT32:
	case ONNX_UINT64:
		return t->n_uint64_data;
	default:
		return t->n_int32_data;
	}
}

static float raw_float(int type, const uint8_t *p)
{
	uint16_t h;
	double d;
	float f;

	switch (type) {
	case ONNX_FLOAT:
		memcpy(&f, p, sizeof(f));
		return f;
	case ONNX_DOUBLE:
		memcpy(&d, p, sizeof(d));
		return (float)d;
	default:
		memcpy(&h, p, sizeof(h));
		return type == ONNX_FLOAT16 ? half_to_float(h) : bfloat_to_float(h);
	}
}

static int64_t raw_int(int type, const uint8_t *p)
{
	uint64_t u = 0;

	memcpy(&u, p, raw_bytes_of(type));
	switch (type) {
	case ONNX_INT8:
		return (int8_t)u;
	case ONNX_INT16:
		return (int16_t)u;
	case ONNX_INT32:
		return (int32_t)u;
	default:
		return (int64_t)u;
	}
}

static float typed_float(const Onnx__TensorProto *t, size_t i)
{
	switch (t->data_type) {
	case ONNX_FLOAT:
		return t->float_data[i];
	case ONNX_DOUBLE:
		return (float)t->double_data[i];
	case ONNX_FLOAT16:
		return half_to_float((uint16_t)t->int32_data[i]);
	default:
		return bfloat_to_float((uint16_t)t->int32_data[i]);
	}
}

static int64_t typed_int(const Onnx__TensorProto *t, size_t i)
{
	switch (t->data_type) {
	case ONNX_INT64:
		return t->int64_data[i];
	case ONNX_UINT32:
	case ONNX_UINT64:
		return (int64_t)t->uint64_data[i];
	default:
		return t->int32_data[i];
	}
}

static bool tensor_shape(const Onnx__TensorProto *t, struct shape *shape, const char **why)
{
	size_t i;

	if (t->n_dims > SHAPE_MAX_RANK) {
		*why = "more than 8 dimensions";
		return false;
	}
	shape->rank = (int)t->n_dims;
	for (i = 0; i < t->n_dims; i++)
		shape->dim[i] = t->dims[i];
	if (shape_elements(shape) < 0) {
		*why = "dimensions are negative or too large";
		return false;
	}
	return true;
}

struct constant *onnx_tensor(struct arena *a, const Onnx__TensorProto *t,
			     struct shape *shape, const char **why)
{
	struct constant *c = arena_alloc(a, sizeof(*c));
	size_t width = raw_bytes_of(t->data_type);
	size_t count, i;

	if ((t->has_data_location &&
	     t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) ||
	    t->n_external_data) {
		*why = "its data is in another file (external data): save the model as one file";
		return NULL;
	}
	if (!width) {
		*why = "element type is not supported (strings and complex numbers are not)";
		return NULL;
	}
	if (!tensor_shape(t, shape, why))
		return NULL;
	count = (size_t)shape_elements(shape);
	if (t->has_raw_data ? t->raw_data.len != count * width : typed_count(t) != count) {
		*why = "its data does not have the size of its dimensions";
		return NULL;
	}

	c->count = count;
	c->is_float = is_float_type(t->data_type);
	/* protobuf-c got the bytes from the arena: aligned, and as long-lived as the graph. */
	if (t->data_type == ONNX_FLOAT && t->has_raw_data) {
		c->f = (const float *)(const void *)t->raw_data.data;
	} else if (t->data_type == ONNX_FLOAT) {
		c->f = t->float_data;
	} else if (c->is_float) {
		float *f = arena_array(a, count, sizeof(*f));

		for (i = 0; i < count; i++)
			f[i] = t->has_raw_data ? raw_float(t->data_type,
							   t->raw_data.data + i * width) :
						 typed_float(t, i);
		c->f = f;
	} else {
		int64_t *v = arena_array(a, count, sizeof(*v));

		for (i = 0; i < count; i++)
			v[i] = t->has_raw_data ? raw_int(t->data_type,
							 t->raw_data.data + i * width) :
						 typed_int(t, i);
		c->i = v;
	}
	return c;
}
