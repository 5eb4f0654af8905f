// SPDX-License-Identifier: MIT
/* Constant folding of arithmetic. See fold.h. */

#include <math.h>
#include <string.h>

#include "fold.h"
#include "infer.h"
#include "onnx_types.h"

static double element(const struct constant *c, int64_t i)
{
	return c->is_float ? (double)c->f[i] : (double)c->i[i];
}

static double unary(enum op op, double x)
{
	switch (op) {
	case OP_Abs:
		return fabs(x);
	case OP_Ceil:
		return ceil(x);
	case OP_Erf:
		return erf(x);
	case OP_Exp:
		return exp(x);
	case OP_Floor:
		return floor(x);
	case OP_Log:
		return log(x);
	case OP_Neg:
		return -x;
	case OP_Not:
		return x == 0;
	case OP_Reciprocal:
		return 1 / x;
	case OP_Relu:
		return x > 0 ? x : 0;
	case OP_Round:
		return rint(x);
	case OP_Sigmoid:
		return 1 / (1 + exp(-x));
	case OP_Sqrt:
		return sqrt(x);
	default:
		return tanh(x);
	}
}

int fold_unary(struct graph *g, struct node *n)
{
	const struct constant *src = node_in(n, 0)->constant;
	struct folded r = fold_output(g, n->out[0]);
	size_t i;

	for (i = 0; i < r.c->count; i++) {
		if (r.f)
			r.f[i] = (float)unary(n->op, (double)src->f[i]);
		else if (n->op == OP_Neg)
			r.i[i] = (int64_t)(0 - (uint64_t)src->i[i]);
		else if (n->op == OP_Abs)
			r.i[i] = src->i[i] < 0 ? (int64_t)(0 - (uint64_t)src->i[i]) : src->i[i];
		else if (n->op == OP_Relu)
			r.i[i] = src->i[i] > 0 ? src->i[i] : 0;
		else if (n->op == OP_Not)
			r.i[i] = !src->i[i];
		else
			r.i[i] = src->i[i];
	}
	return 1;
}

/* Wrapping arithmetic, as C compilers of other runtimes give it. */
static int64_t int_binary(enum op op, bool fmod_sign, int64_t x, int64_t y)
{
	uint64_t a = (uint64_t)x, b = (uint64_t)y;

	switch (op) {
	case OP_Add:
		return (int64_t)(a + b);
	case OP_Sub:
		return (int64_t)(a - b);
	case OP_Mul:
		return (int64_t)(a * b);
	case OP_Div:
		return !y ? 0 : y == -1 ? (int64_t)(0 - a) : x / y;
	case OP_Mod:
		if (!y || y == -1)
			return 0;
		return !fmod_sign && x % y && (x < 0) != (y < 0) ? x % y + y : x % y;
	case OP_Max:
		return x > y ? x : y;
	case OP_Min:
		return x < y ? x : y;
	case OP_Equal:
		return x == y;
	case OP_Greater:
		return x > y;
	case OP_GreaterOrEqual:
		return x >= y;
	case OP_Less:
		return x < y;
	case OP_LessOrEqual:
		return x <= y;
	case OP_And:
		return x && y;
	case OP_Or:
		return x || y;
	default:
		return (int64_t)pow((double)x, (double)y);
	}
}

static double float_binary(enum op op, double x, double y)
{
	switch (op) {
	case OP_Add:
		return x + y;
	case OP_Sub:
		return x - y;
	case OP_Mul:
		return x * y;
	case OP_Div:
		return x / y;
	case OP_Max:
		return x > y ? x : y;
	case OP_Min:
		return x < y ? x : y;
	case OP_Mod:
		return fmod(x, y);
	case OP_Pow:
		return pow(x, y);
	case OP_Equal:
		return x == y;
	case OP_Greater:
		return x > y;
	case OP_GreaterOrEqual:
		return x >= y;
	case OP_LessOrEqual:
		return x <= y;
	default:
		return x < y;
	}
}

/* Integer powers beyond the range of a double have no integer result worth keeping. */
static bool pow_in_range(const struct constant *a, const struct constant *b)
{
	size_t i;

	for (i = 0; i < a->count; i++)
		if (fabs(element(a, (int64_t)i)) > 1 << 20)
			return false;
	for (i = 0; i < b->count; i++)
		if (!(element(b, (int64_t)i) >= 0 && element(b, (int64_t)i) <= 3))
			return false;
	return true;
}

int fold_binary(struct graph *g, struct node *n)
{
	const struct value *a = node_in(n, 0), *b = n->n_in > 1 ? node_in(n, 1) : NULL;
	int64_t sa[SHAPE_MAX_RANK], sb[SHAPE_MAX_RANK], index[SHAPE_MAX_RANK] = { 0 };
	struct value *out = n->out[0];
	struct folded r;
	size_t at;
	int d;

	if (n->n_in == 1)
		return fold_identity(g, n);
	if (n->n_in != 2)
		return 0;
	if (n->op == OP_Pow && !is_float_type(out->dtype) &&
	    !pow_in_range(a->constant, b->constant))
		return 0;
	r = fold_output(g, out);
	broadcast_strides(&a->shape, &out->shape, sa);
	broadcast_strides(&b->shape, &out->shape, sb);
	for (at = 0; at < r.c->count; at++) {
		int64_t i = 0, j = 0;

		for (d = 0; d < out->shape.rank; d++) {
			i += index[d] * sa[d];
			j += index[d] * sb[d];
		}
		if (a->constant->is_float || b->constant->is_float) {
			double x = float_binary(n->op, element(a->constant, i),
						element(b->constant, j));

			if (r.f)
				r.f[at] = (float)x;
			else
				r.i[at] = x >= -0x1p62 && x <= 0x1p62 ? (int64_t)x : 0;
		} else if (r.i) {
			r.i[at] = int_binary(n->op, attr_int(n, "fmod", 0), a->constant->i[i],
					     b->constant->i[j]);
		}
		next_index(&out->shape, index);
	}
	return 1;
}

int fold_where(struct graph *g, struct node *n)
{
	const struct value *v[3] = { node_in(n, 0), node_in(n, 1), node_in(n, 2) };
	int64_t stride[3][SHAPE_MAX_RANK], index[SHAPE_MAX_RANK] = { 0 };
	struct value *out = n->out[0];
	struct folded r;
	size_t at;
	int d, k;

	if (v[1]->constant->is_float != v[2]->constant->is_float || v[0]->constant->is_float)
		return 0;
	r = fold_output(g, out);
	for (k = 0; k < 3; k++)
		broadcast_strides(&v[k]->shape, &out->shape, stride[k]);
	for (at = 0; at < r.c->count; at++) {
		int64_t from[3] = { 0, 0, 0 };

		for (k = 0; k < 3; k++)
			for (d = 0; d < out->shape.rank; d++)
				from[k] += index[d] * stride[k][d];
		k = v[0]->constant->i[from[0]] ? 1 : 2;
		if (r.f)
			r.f[at] = v[k]->constant->f[from[k]];
		else
			r.i[at] = v[k]->constant->i[from[k]];
		next_index(&out->shape, index);
	}
	return 1;
}

int fold_cast(struct graph *g, struct node *n)
{
	const struct constant *src = node_in(n, 0)->constant;
	struct value *out = n->out[0];
	struct folded r;
	size_t i;

	if (out->dtype == ONNX_STRING)
		return 0;
	if (src->is_float == is_float_type(out->dtype) && out->dtype != ONNX_BOOL) {
		out->constant = src;
		return 1;
	}
	r = fold_output(g, out);
	for (i = 0; i < r.c->count; i++) {
		if (r.f)
			r.f[i] = (float)src->i[i];
		else if (!src->is_float)
			r.i[i] = src->i[i] != 0;
		else if (out->dtype == ONNX_BOOL)
			r.i[i] = src->f[i] != 0;
		else
			r.i[i] = fabsf(src->f[i]) < 0x1p62f ? (int64_t)src->f[i] : 0;
	}
	return 1;
}

int fold_clip(struct graph *g, struct node *n)
{
	const struct constant *src = node_in(n, 0)->constant;
	double low = (double)attr_float(n, "min", -INFINITY);
	double high = (double)attr_float(n, "max", INFINITY);
	struct folded r = fold_output(g, n->out[0]);
	size_t i;

	const_scalar(node_in(n, 1), &low);
	const_scalar(node_in(n, 2), &high);
	for (i = 0; i < r.c->count; i++) {
		double x = element(src, (int64_t)i);

		x = x < low ? low : x;
		x = x > high ? high : x;
		if (r.f)
			r.f[i] = (float)x;
		else
			r.i[i] = (double)src->i[i] == x ? src->i[i] : (int64_t)x;
	}
	return 1;
}

int fold_reduce(struct graph *g, struct node *n)
{
	const struct value *v = node_in(n, 0);
	int set = reduce_axes(g, n, v->shape.rank);
	struct value *out = n->out[0];
	int64_t index[SHAPE_MAX_RANK] = { 0 }, stride[SHAPE_MAX_RANK], step = 1;
	struct folded r;
	double *sum;
	size_t i;
	int d;

	if (set < 0 || !v->constant->count)
		return 0;
	r = fold_output(g, out);
	for (d = v->shape.rank - 1; d >= 0; d--) {
		stride[d] = set >> d & 1 ? 0 : step;
		step *= set >> d & 1 ? 1 : v->shape.dim[d];
	}
	sum = arena_array(g->arena, r.c->count, sizeof(*sum));
	for (i = 0; i < r.c->count; i++)
		sum[i] = n->op == OP_ReduceMax ? -INFINITY : n->op == OP_ReduceMin ? INFINITY :
			 n->op == OP_ReduceProd;
	for (i = 0; i < v->constant->count; i++) {
		double x = element(v->constant, (int64_t)i);
		int64_t to = 0;

		for (d = 0; d < v->shape.rank; d++)
			to += index[d] * stride[d];
		if (n->op == OP_ReduceMax)
			sum[to] = x > sum[to] ? x : sum[to];
		else if (n->op == OP_ReduceMin)
			sum[to] = x < sum[to] ? x : sum[to];
		else if (n->op == OP_ReduceProd)
			sum[to] *= x;
		else
			sum[to] += x;
		next_index(&v->shape, index);
	}
	for (i = 0; i < r.c->count; i++) {
		if (n->op == OP_ReduceMean)
			sum[i] *= (double)r.c->count / (double)v->constant->count;
		if (r.f)
			r.f[i] = (float)sum[i];
		else
			r.i[i] = fabs(sum[i]) < 0x1p62 ? (int64_t)sum[i] : 0;
	}
	return 1;
}
