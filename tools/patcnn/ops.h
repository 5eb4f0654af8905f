/* SPDX-License-Identifier: MIT */
#ifndef PATCNN_OPS_H
#define PATCNN_OPS_H

/*
 * Every operator the compiler knows, in one table: how its output shape follows
 * from its inputs, how it is computed when they are constants, and how it becomes
 * operators of a program. 0: not at all. Some have no lowering because a pass
 * rewrites them (passes/expand*.c); what is left without one is an issue.
 *
 *	X(name, infer, fold, lower)
 */
#define OPS(X) \
	X(Abs, same, unary, unary) \
	X(Add, broadcast, binary, binary) \
	X(And, broadcast, binary, 0) \
	X(AveragePool, pool, 0, pool) \
	X(BatchNormalization, same, 0, 0) \
	X(Cast, cast, cast, 0) \
	X(Ceil, same, unary, 0) \
	X(Clip, same, clip, unary) \
	X(Concat, concat, concat, concat) \
	X(Constant, constant, 0, 0) \
	X(ConstantOfShape, constant_of_shape, 0, 0) \
	X(Conv, conv, 0, conv) \
	X(ConvTranspose, conv_transpose, 0, conv_transpose) \
	X(DepthToSpace, depth_to_space, 0, 0) \
	X(Div, broadcast, binary, binary) \
	X(Dropout, dropout, identity, 0) \
	X(Elu, same, 0, unary) \
	X(Equal, broadcast, binary, 0) \
	X(Erf, same, unary, unary) \
	X(Exp, same, unary, unary) \
	X(Expand, expand, expand, 0) \
	X(Flatten, flatten, reshape, reshape) \
	X(Floor, same, unary, 0) \
	X(Gather, gather, gather, 0) \
	X(Gelu, gelu, 0, unary) \
	X(Gemm, gemm, 0, gemm) \
	X(GlobalAveragePool, global_pool, 0, reduce) \
	X(GlobalMaxPool, global_pool, 0, reduce) \
	X(Greater, broadcast, binary, 0) \
	X(GreaterOrEqual, broadcast, binary, 0) \
	X(HardSigmoid, same, 0, unary) \
	X(HardSwish, same, 0, unary) \
	X(Identity, same, identity, 0) \
	X(InstanceNormalization, same, 0, instance_norm) \
	X(LayerNormalization, layer_norm, 0, layer_norm) \
	X(LeakyRelu, same, 0, unary) \
	X(Less, broadcast, binary, 0) \
	X(LessOrEqual, broadcast, binary, 0) \
	X(Log, same, unary, unary) \
	X(LogSoftmax, same, 0, 0) \
	X(LRN, same, 0, 0) \
	X(MatMul, matmul, 0, matmul) \
	X(Max, broadcast, binary, 0) \
	X(MaxPool, pool, 0, pool) \
	X(Mean, broadcast, 0, 0) \
	X(Min, broadcast, binary, 0) \
	X(Mish, same, 0, unary) \
	X(Mod, broadcast, binary, 0) \
	X(Mul, broadcast, binary, binary) \
	X(Neg, same, unary, unary) \
	X(NonZero, nonzero, 0, 0) \
	X(Not, same, unary, 0) \
	X(Or, broadcast, binary, 0) \
	X(Pad, pad, 0, pad) \
	X(Pow, broadcast, binary, unary) \
	X(PRelu, prelu, 0, prelu) \
	X(Range, range, range, 0) \
	X(Reciprocal, same, unary, unary) \
	X(ReduceL2, reduce, 0, 0) \
	X(ReduceMax, reduce, reduce, reduce) \
	X(ReduceMean, reduce, reduce, reduce) \
	X(ReduceMin, reduce, reduce, 0) \
	X(ReduceProd, reduce, reduce, 0) \
	X(ReduceSum, reduce, reduce, reduce) \
	X(Relu, same, unary, unary) \
	X(Reshape, reshape, reshape, reshape) \
	X(Resize, resize, 0, resize) \
	X(Round, same, unary, 0) \
	X(Selu, same, 0, 0) \
	X(Shape, shape, 0, 0) \
	X(Sigmoid, same, unary, unary) \
	X(Silu, same, 0, unary) \
	X(Size, size, 0, 0) \
	X(Slice, slice, slice, slice) \
	X(Softmax, same, 0, softmax) \
	X(Softplus, same, 0, unary) \
	X(Softsign, same, 0, 0) \
	X(SpaceToDepth, space_to_depth, 0, 0) \
	X(Split, split, split, 0) \
	X(Sqrt, same, unary, unary) \
	X(Squeeze, squeeze, reshape, reshape) \
	X(Sub, broadcast, binary, binary) \
	X(Sum, broadcast, 0, 0) \
	X(Tanh, same, unary, unary) \
	X(Tile, tile, tile, 0) \
	X(Transpose, transpose, transpose, transpose) \
	X(Unsqueeze, unsqueeze, reshape, reshape) \
	X(Upsample, resize, 0, resize) \
	X(Where, where, where, 0)

enum op {
	OP_NONE,
#define OP_ENUM(name, infer, fold, lower) OP_##name,
	OPS(OP_ENUM)
#undef OP_ENUM
	OP_COUNT
};

struct graph;
struct node;
struct lower;

struct op_info {
	const char *name;
	/* Shape and type of the outputs from the known ones of the inputs. False: reported. */
	int (*infer)(struct graph *g, struct node *n);
	/* Compute the outputs; all inputs are constants. False: leave the node as it is. */
	int (*fold)(struct graph *g, struct node *n);
	/* Emit the node; problems are reported as issues. */
	void (*lower)(struct lower *l, struct node *n);
};

const struct op_info *op_info(enum op op);
/* OP_NONE if unknown. */
enum op op_by_name(const char *name);

#endif
