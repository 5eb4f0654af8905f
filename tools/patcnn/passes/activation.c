// SPDX-License-Identifier: MIT
/* Which operators are activations, and their fusion into the operator before them. */

#include <drm/patcnn_program.h>
#include <float.h>
#include <math.h>

#include "../onnx_types.h"
#include "passes.h"

static bool clip_bounds(struct graph *g, struct node *n, struct act *act)
{
	double low = (double)attr_float(n, "min", -FLT_MAX);
	double high = (double)attr_float(n, "max", FLT_MAX);

	if ((node_in(n, 1) && !const_scalar(node_in(n, 1), &low)) ||
	    (node_in(n, 2) && !const_scalar(node_in(n, 2), &high))) {
		issue(g, n, "min", "and max must be constant");
		return false;
	}
	low = low < -(double)FLT_MAX ? -(double)FLT_MAX : low;
	high = high > (double)FLT_MAX ? (double)FLT_MAX : high;
	if (low == 0 && high == (double)FLT_MAX) {
		act->kind = PATCNN_ACT_RELU;
		return true;
	}
	act->kind = PATCNN_ACT_CLIP;
	act->a = (float)low;
	act->b = (float)high;
	return true;
}

static bool power(struct graph *g, struct node *n, struct act *act)
{
	double a;

	if (!const_scalar(node_in(n, 1), &a)) {
		issue(g, n, "exponent", "is not one constant");
		return false;
	}
	if (!(fabs(a) < 128) || 2 * a != rint(2 * a)) {
		issue(g, n, "exponent", "%g is not a multiple of 1/2 below 128", a);
		return false;
	}
	act->kind = PATCNN_ACT_POW;
	act->a = (float)a;
	return true;
}

bool act_of(struct graph *g, struct node *n, struct act *act)
{
	double slope;

	act->a = 0;
	act->b = 0;
	switch (n->op) {
	case OP_Relu:
		act->kind = PATCNN_ACT_RELU;
		return true;
	case OP_Clip:
		return clip_bounds(g, n, act);
	case OP_LeakyRelu:
		act->kind = PATCNN_ACT_LEAKY_RELU;
		act->a = attr_float(n, "alpha", 0.01f);
		break;
	case OP_PRelu:
		if (!const_scalar(node_in(n, 1), &slope))
			return false;
		act->kind = PATCNN_ACT_LEAKY_RELU;
		act->a = (float)slope;
		break;
	case OP_Sigmoid:
		act->kind = PATCNN_ACT_SIGMOID;
		return true;
	case OP_HardSigmoid:
		act->kind = PATCNN_ACT_HARD_SIGMOID;
		act->a = attr_float(n, "alpha", 0.2f);
		act->b = attr_float(n, "beta", 0.5f);
		break;
	case OP_HardSwish:
		act->kind = PATCNN_ACT_HARD_SWISH;
		return true;
	case OP_Silu:
		act->kind = PATCNN_ACT_SILU;
		return true;
	case OP_Tanh:
		act->kind = PATCNN_ACT_TANH;
		return true;
	case OP_Elu:
		act->kind = PATCNN_ACT_ELU;
		act->a = attr_float(n, "alpha", 1);
		break;
	case OP_Gelu:
		act->kind = PATCNN_ACT_GELU;
		return true;
	case OP_Exp:
		act->kind = PATCNN_ACT_EXP;
		return true;
	case OP_Sqrt:
		act->kind = PATCNN_ACT_SQRT;
		return true;
	case OP_Abs:
		act->kind = PATCNN_ACT_ABS;
		return true;
	case OP_Neg:
		act->kind = PATCNN_ACT_NEG;
		return true;
	case OP_Log:
		act->kind = PATCNN_ACT_LOG;
		return true;
	case OP_Erf:
		act->kind = PATCNN_ACT_ERF;
		return true;
	case OP_Reciprocal:
		act->kind = PATCNN_ACT_RECIPROCAL;
		return true;
	case OP_Softplus:
		act->kind = PATCNN_ACT_SOFTPLUS;
		return true;
	case OP_Mish:
		act->kind = PATCNN_ACT_MISH;
		return true;
	case OP_Pow:
		return power(g, n, act);
	default:
		return false;
	}
	if (!isfinite(act->a) || !isfinite(act->b)) {
		issue(g, n, "alpha", "is not finite");
		return false;
	}
	return true;
}

/* Operators that compute what they write, so that one more function of it costs nothing. */
static bool takes_activation(const struct node *n)
{
	switch (n->op) {
	case OP_Add:
	case OP_AveragePool:
	case OP_Conv:
	case OP_ConvTranspose:
	case OP_Div:
	case OP_Gemm:
	case OP_GlobalAveragePool:
	case OP_GlobalMaxPool:
	case OP_InstanceNormalization:
	case OP_LayerNormalization:
	case OP_MatMul:
	case OP_MaxPool:
	case OP_Mul:
	case OP_ReduceMax:
	case OP_ReduceMean:
	case OP_ReduceSum:
	case OP_Sub:
		return true;
	default:
		return false;
	}
}

void pass_activation(struct graph *g)
{
	struct node *n, *next, *before;
	struct value *v;
	struct act act;

	for_each_node_safe(n, next, g) {
		v = node_in(n, 0);
		before = v ? v->producer : NULL;
		if (n->reported || !before || before->reported || v->uses != 1 ||
		    before->act.kind || !takes_activation(before) || before->out[0] != v || !act_of(g, n, &act))
			continue;
		before->act = act;
		v->name = n->out[0]->name;
		replace_node(n, v);
	}
}
