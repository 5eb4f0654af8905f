/* SPDX-License-Identifier: MIT */
#ifndef _PATCNN_PROGRAM_H_
#define _PATCNN_PROGRAM_H_

#include <linux/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * DOC: The program
 *
 * A program is one CNN as the driver accepts it: independent of the
 * instruction set, versioned, little-endian, batch 1. It is also the content of
 * a .patcnn file. &struct patcnn_program_header is followed by a table of
 * &struct patcnn_section; everything else is an array in one of the sections
 * and is referred to by index, or by a byte range of the DATA section.
 *
 * Rules, all checked before anything of a program is used:
 *
 * - Every section lies inside the program, starts at a multiple of 8 (DATA: of
 *   64), has the stride this header gives it and is there at most once.
 *   Sections do not overlap. A section type with %PATCNN_SECTION_OPTIONAL set
 *   that a reader does not know is skipped; any other unknown type is refused.
 * - Operators are in execution order. An operator reads constants, inputs and
 *   outputs of earlier operators; every tensor that is neither constant nor
 *   input is written by exactly one operator.
 * - All reserved members and unused union members are zero. Unknown flags are
 *   refused.
 * - Floats are IEEE 754 single precision. In the driver denormal ones are zero.
 *
 * A tensor is logically a dense row-major array of @shape. The device stores
 * activations as channel planes: axes [0, @axis_h) form the channel, axes
 * [@axis_h, @axis_w) the row, axes [@axis_w, @rank) the column. For NCHW that
 * is axis_h = 2, axis_w = 3.
 */

#define PATCNN_PROGRAM_MAGIC		0x4e434150	/* "PACN" */
#define PATCNN_PROGRAM_VERSION_MAJOR	1
#define PATCNN_PROGRAM_VERSION_MINOR	0

#define PATCNN_MAX_RANK			6

/** struct patcnn_program_header - first bytes of a program. */
struct patcnn_program_header {
	/** @magic: PATCNN_PROGRAM_MAGIC. */
	__u32 magic;
	/** @version_major: readers refuse a program of another major version. */
	__u16 version_major;
	/** @version_minor: readers refuse a program of a higher minor version. */
	__u16 version_minor;
	/** @size: bytes of the whole program, this header included. */
	__u64 size;
	/** @section_count: entries of the section table behind this header. */
	__u32 section_count;
	/** @flags: must be zero. */
	__u32 flags;
	/** @reserved: must be zero. */
	__u64 reserved;
};

/** enum patcnn_section_type - what a section holds. */
enum patcnn_section_type {
	/** @PATCNN_SECTION_TENSORS: array of &struct patcnn_tensor. */
	PATCNN_SECTION_TENSORS = 1,
	/** @PATCNN_SECTION_OPERATORS: array of &struct patcnn_operator. */
	PATCNN_SECTION_OPERATORS = 2,
	/** @PATCNN_SECTION_OPERANDS: array of __u32 tensor indices. */
	PATCNN_SECTION_OPERANDS = 3,
	/** @PATCNN_SECTION_PATTERNS: array of &struct patcnn_pattern. */
	PATCNN_SECTION_PATTERNS = 4,
	/** @PATCNN_SECTION_TAPS: array of &struct patcnn_tap. */
	PATCNN_SECTION_TAPS = 5,
	/** @PATCNN_SECTION_DATA: bytes; weights and constants. */
	PATCNN_SECTION_DATA = 6,
	/** @PATCNN_SECTION_STRINGS: bytes; NUL-terminated names, UTF-8. */
	PATCNN_SECTION_STRINGS = 7,
	/**
	 * @PATCNN_SECTION_META: bytes; JSON text for tools (labels, origin), not read by
	 * the driver.
	 */
	PATCNN_SECTION_META = 0x80000001U,
	/** @PATCNN_SECTION_TUNING: array of &struct patcnn_tuning. */
	PATCNN_SECTION_TUNING = 0x80000002U,
};

/** define PATCNN_SECTION_OPTIONAL - bit of a type that readers may skip. */
#define PATCNN_SECTION_OPTIONAL		0x80000000U

/** struct patcnn_section - one entry of the section table. */
struct patcnn_section {
	/** @type: enum patcnn_section_type. */
	__u32 type;
	/** @stride: bytes of one element. */
	__u32 stride;
	/** @offset: of the first element, from the start of the program. */
	__u64 offset;
	/** @count: number of elements. */
	__u64 count;
};

/** enum patcnn_dtype - element types. */
enum patcnn_dtype {
	PATCNN_DTYPE_F32 = 1,
	PATCNN_DTYPE_U8 = 2,
	PATCNN_DTYPE_S8 = 3,
	PATCNN_DTYPE_F16 = 4,
	PATCNN_DTYPE_S32 = 5,
	PATCNN_DTYPE_S64 = 6,
};

/** enum patcnn_role - where the elements of a tensor come from. */
enum patcnn_role {
	/** @PATCNN_ROLE_INTERMEDIATE: written and read by operators only. */
	PATCNN_ROLE_INTERMEDIATE = 0,
	/** @PATCNN_ROLE_INPUT: bound to a buffer by the submitter. */
	PATCNN_ROLE_INPUT = 1,
	/** @PATCNN_ROLE_OUTPUT: bound to a buffer; may also be read by operators. */
	PATCNN_ROLE_OUTPUT = 2,
	/** @PATCNN_ROLE_CONSTANT: held by the DATA section, dense, row-major. */
	PATCNN_ROLE_CONSTANT = 3,
};

/** enum patcnn_layout - order of elements in a bound buffer, without gaps. */
enum patcnn_layout {
	/** @PATCNN_LAYOUT_CHW: row-major in the order of the shape. */
	PATCNN_LAYOUT_CHW = 0,
	/**
	 * @PATCNN_LAYOUT_HWC: channels fastest, as cameras and image files have it; inputs
	 * only.
	 */
	PATCNN_LAYOUT_HWC = 1,
};

/** struct patcnn_tensor - a value of the graph. */
struct patcnn_tensor {
	/** @name: offset in STRINGS. */
	__u32 name;
	/** @dtype: enum patcnn_dtype; intermediates and outputs are F32. */
	__u8 dtype;
	/** @role: enum patcnn_role. */
	__u8 role;
	/** @layout: enum patcnn_layout. */
	__u8 layout;
	/** @rank: valid entries of @shape, 1 to PATCNN_MAX_RANK. */
	__u8 rank;
	/** @axis_h: first axis of the row, at most @axis_w. */
	__u8 axis_h;
	/** @axis_w: first axis of the column, at most @rank. */
	__u8 axis_w;
	/** @reserved: must be zero. */
	__u8 reserved[2];
	/** @c: channels; product of the axes before @axis_h. */
	__u32 c;
	/** @h: rows; product of the axes from @axis_h to @axis_w. */
	__u32 h;
	/** @w: columns; product of the axes from @axis_w on. */
	__u32 w;
	/** @shape: as the framework names it, batch (1) included; zero beyond @rank. */
	__u32 shape[PATCNN_MAX_RANK];
	/** @data_offset: constants: in DATA, multiple of 64; else zero. */
	__u64 data_offset;
	/** @data_size: constants: bytes; else zero. */
	__u64 data_size;
};

/** struct patcnn_tap - one kept position of a kernel. */
struct patcnn_tap {
	/** @row: kernel row, less than the pattern's kernel_h. */
	__u8 row;
	/** @col: kernel column, less than the pattern's kernel_w. */
	__u8 col;
};

/** struct patcnn_pattern - the kept positions of a kernel, in raster order, distinct. */
struct patcnn_pattern {
	/** @tap_first: index in TAPS. */
	__u32 tap_first;
	/** @tap_count: kept positions, 1 to kernel_h * kernel_w. */
	__u16 tap_count;
	/** @kernel_h: rows of the kernel. */
	__u8 kernel_h;
	/** @kernel_w: columns of the kernel. */
	__u8 kernel_w;
};

/**
 * enum patcnn_operator_kind - the operators.
 *
 * "in" is the first operand. Shapes are those of the tensors; the driver checks
 * that they agree with the parameters. Every operator applies its
 * &struct patcnn_activation last.
 */
enum patcnn_operator_kind {
	/** @PATCNN_OP_CONVERT: u8/f32 input, HWC or CHW, to planes: (in - mean[c]) * scale[c]. */
	PATCNN_OP_CONVERT = 1,
	/**
	 * @PATCNN_OP_CONV: 2-D convolution; optional second operand: residual added before
	 * the activation.
	 */
	PATCNN_OP_CONV = 2,
	/**
	 * @PATCNN_OP_CONV_TRANSPOSE: transposed convolution, dense storage, weights
	 * [in][out/groups][kh][kw].
	 */
	PATCNN_OP_CONV_TRANSPOSE = 3,
	/**
	 * @PATCNN_OP_LINEAR: in, as [rows][in_features], times weights^T
	 * [out_features][in_features] plus bias.
	 */
	PATCNN_OP_LINEAR = 4,
	/** @PATCNN_OP_MATMUL: [c][h][k] times [c or 1][k][w]. */
	PATCNN_OP_MATMUL = 5,
	PATCNN_OP_MAX_POOL = 6,
	PATCNN_OP_AVG_POOL = 7,
	/** @PATCNN_OP_ADD: elementwise; each operand's axis equals the output's or is 1. */
	PATCNN_OP_ADD = 8,
	PATCNN_OP_SUB = 9,
	PATCNN_OP_MUL = 10,
	PATCNN_OP_DIV = 11,
	/** @PATCNN_OP_ACTIVATION: the activation alone. */
	PATCNN_OP_ACTIVATION = 12,
	/** @PATCNN_OP_PRELU: in < 0 ? in * slope : in; slope: second operand, broadcast. */
	PATCNN_OP_PRELU = 13,
	/** @PATCNN_OP_CONCAT: any number of operands along one axis. */
	PATCNN_OP_CONCAT = 14,
	/** @PATCNN_OP_SLICE: start and step per axis. */
	PATCNN_OP_SLICE = 15,
	/** @PATCNN_OP_PERMUTE: out axis i is in axis perm[i]. */
	PATCNN_OP_PERMUTE = 16,
	/** @PATCNN_OP_RESHAPE: same elements in row-major order. */
	PATCNN_OP_RESHAPE = 17,
	/** @PATCNN_OP_PAD: elements before and after each axis. */
	PATCNN_OP_PAD = 18,
	/** @PATCNN_OP_RESIZE: rows and columns. */
	PATCNN_OP_RESIZE = 19,
	/** @PATCNN_OP_SOFTMAX: over one axis. */
	PATCNN_OP_SOFTMAX = 20,
	/**
	 * @PATCNN_OP_REDUCE: mean, sum or maximum over a set of axes (kept as 1). Global
	 * pooling is this.
	 */
	PATCNN_OP_REDUCE = 21,
	/** @PATCNN_OP_LAYER_NORM: over axes from @axis on; operands: in, scale, bias. */
	PATCNN_OP_LAYER_NORM = 22,
	/**
	 * @PATCNN_OP_INSTANCE_NORM: over the plane of each channel; operands: in,
	 * scale[c], bias[c].
	 */
	PATCNN_OP_INSTANCE_NORM = 23,
};

/** enum patcnn_activation_kind - f(x), with parameters a and b. */
enum patcnn_activation_kind {
	PATCNN_ACT_NONE = 0,
	/** @PATCNN_ACT_RELU: max(x, 0). */
	PATCNN_ACT_RELU = 1,
	/** @PATCNN_ACT_CLIP: min(max(x, a), b). */
	PATCNN_ACT_CLIP = 2,
	/** @PATCNN_ACT_LEAKY_RELU: x < 0 ? a * x : x. */
	PATCNN_ACT_LEAKY_RELU = 3,
	PATCNN_ACT_SIGMOID = 4,
	/** @PATCNN_ACT_HARD_SIGMOID: min(max(a * x + b, 0), 1). */
	PATCNN_ACT_HARD_SIGMOID = 5,
	/** @PATCNN_ACT_HARD_SWISH: x * min(max(x / 6 + 1/2, 0), 1). */
	PATCNN_ACT_HARD_SWISH = 6,
	/** @PATCNN_ACT_SILU: x * sigmoid(x). */
	PATCNN_ACT_SILU = 7,
	PATCNN_ACT_TANH = 8,
	/** @PATCNN_ACT_ELU: x < 0 ? a * (exp(x) - 1) : x. */
	PATCNN_ACT_ELU = 9,
	/** @PATCNN_ACT_GELU: x * (1 + erf(x / sqrt 2)) / 2. */
	PATCNN_ACT_GELU = 10,
	PATCNN_ACT_EXP = 11,
	PATCNN_ACT_SQRT = 12,
	PATCNN_ACT_ABS = 13,
	PATCNN_ACT_NEG = 14,
	/** @PATCNN_ACT_LOG: natural logarithm. */
	PATCNN_ACT_LOG = 15,
	PATCNN_ACT_ERF = 16,
	PATCNN_ACT_RECIPROCAL = 17,
	/** @PATCNN_ACT_SOFTPLUS: log(1 + exp(x)). */
	PATCNN_ACT_SOFTPLUS = 18,
	/** @PATCNN_ACT_MISH: x * tanh(softplus(x)). */
	PATCNN_ACT_MISH = 19,
	/** @PATCNN_ACT_POW: x to the integral or half-integral power a. */
	PATCNN_ACT_POW = 20,
};

/** struct patcnn_activation - applied by an operator to what it writes. */
struct patcnn_activation {
	/** @kind: enum patcnn_activation_kind. */
	__u32 kind;
	/** @a: bits of a float, finite. */
	__u32 a;
	/** @b: bits of a float, finite. */
	__u32 b;
	/** @reserved: must be zero. */
	__u32 reserved;
};

/** struct patcnn_array - elements of the DATA section. */
struct patcnn_array {
	/** @offset: in DATA, multiple of 4; zero with @count zero if absent. */
	__u64 offset;
	/** @count: elements. */
	__u64 count;
};

/** enum patcnn_storage - how weights are held. */
enum patcnn_storage {
	/** @PATCNN_STORAGE_DENSE: values: f32 [out][in/groups][kh][kw]. */
	PATCNN_STORAGE_DENSE = 0,
	/**
	 * @PATCNN_STORAGE_FKW: kernel patterns and connectivity (PatDNN). Filter
	 * slots are in FKR order.
	 * reorder: u32 [out], original filter of each slot, a permutation;
	 * offset: u32 [out + 1], first kernel of each slot;
	 * index: u32 [kernels], input channel within the group, distinct within a slot;
	 * stride: u32 [out][patterns + 1], kernels of the slot before each pattern;
	 * values: f32, the taps of each kernel in raster order, kernels in order.
	 * Patterns pattern_first to pattern_first + pattern_count - 1.
	 */
	PATCNN_STORAGE_FKW = 1,
	/**
	 * @PATCNN_STORAGE_CSR: unstructured. offset: u32 [out + 1]; index: u32
	 * [nnz], (channel * kh + row) * kw + col, ascending within a filter;
	 * values: f32 [nnz].
	 */
	PATCNN_STORAGE_CSR = 2,
	/**
	 * @PATCNN_STORAGE_BLOCK: block-punched; blocks of block_out filters by
	 * block_in channels share kept kernel positions. offset: u32 [ceil(out /
	 * block_out) + 1]; index: u32 [blocks], (channel / block_in * kh + row) *
	 * kw + col, ascending; values: f32 [blocks][block_out][block_in].
	 */
	PATCNN_STORAGE_BLOCK = 3,
	/**
	 * @PATCNN_STORAGE_NM: n of every m consecutive weights along the input
	 * channels kept. Reserved: refused by this version.
	 */
	PATCNN_STORAGE_NM = 4,
};

/** struct patcnn_weights - the weights of a convolution or linear operator. */
struct patcnn_weights {
	/** @storage: enum patcnn_storage. */
	__u16 storage;
	/** @dtype: enum patcnn_dtype of the values: F32. */
	__u16 dtype;
	/** @pattern_first: FKW: first of the layer's patterns. */
	__u32 pattern_first;
	/** @pattern_count: FKW: number of the layer's patterns. */
	__u32 pattern_count;
	/** @block_out: BLOCK: filters of a block. */
	__u16 block_out;
	/** @block_in: BLOCK: channels of a block. */
	__u16 block_in;
	/** @bias: f32 [out] or absent. */
	struct patcnn_array bias;
	/** @values: see enum patcnn_storage, as for the following. */
	struct patcnn_array values;
	/** @offset: FKW, CSR, BLOCK. */
	struct patcnn_array offset;
	/** @index: FKW, CSR, BLOCK. */
	struct patcnn_array index;
	/** @reorder: FKW. */
	struct patcnn_array reorder;
	/** @stride: FKW. */
	struct patcnn_array stride;
};

/** struct patcnn_window - the geometry of a convolution or pooling. */
struct patcnn_window {
	/** @kernel_h: rows. */
	__u16 kernel_h;
	/** @kernel_w: columns. */
	__u16 kernel_w;
	__u16 stride_h;
	__u16 stride_w;
	__u16 dilation_h;
	__u16 dilation_w;
	/**
	 * @pad_top: rows of zeros (max pooling: of nothing) above; each pad is less than
	 * the dilated kernel.
	 */
	__u16 pad_top;
	__u16 pad_left;
	__u16 pad_bottom;
	__u16 pad_right;
};

/** struct patcnn_conv_params - CONV, CONV_TRANSPOSE and LINEAR. */
struct patcnn_conv_params {
	/** @window: LINEAR: kernel, stride and dilation 1, no padding. */
	struct patcnn_window window;
	/** @groups: divides input and output channels. */
	__u32 groups;
	/** @weights: the weights. */
	struct patcnn_weights weights;
};

/** struct patcnn_pool_params - MAX_POOL and AVG_POOL. */
struct patcnn_pool_params {
	struct patcnn_window window;
	/** @count_pad: AVG_POOL: padding counts in the divisor. */
	__u32 count_pad;
};

/** struct patcnn_convert_params - CONVERT. */
struct patcnn_convert_params {
	/** @mean: f32 [channels] or absent (0). */
	struct patcnn_array mean;
	/** @scale: f32 [channels] or absent (1). */
	struct patcnn_array scale;
	/** @swap_rb: output channel c is input channel 2 - c (three channels). */
	__u32 swap_rb;
	/** @reserved: must be zero. */
	__u32 reserved;
};

/** enum patcnn_resize_mode - interpolation. */
enum patcnn_resize_mode {
	PATCNN_RESIZE_NEAREST = 0,
	PATCNN_RESIZE_LINEAR = 1,
};

/** enum patcnn_resize_coord - where output pixel i lies in the input. */
enum patcnn_resize_coord {
	PATCNN_COORD_ASYMMETRIC = 0,
	PATCNN_COORD_HALF_PIXEL = 1,
	PATCNN_COORD_ALIGN_CORNERS = 2,
	PATCNN_COORD_PYTORCH_HALF_PIXEL = 3,
};

/** enum patcnn_resize_round - NEAREST: which pixel a fractional coordinate takes. */
enum patcnn_resize_round {
	PATCNN_ROUND_FLOOR = 0,
	PATCNN_ROUND_CEIL = 1,
	PATCNN_ROUND_PREFER_FLOOR = 2,
	PATCNN_ROUND_PREFER_CEIL = 3,
};

/** struct patcnn_resize_params - RESIZE. */
struct patcnn_resize_params {
	__u32 mode;
	__u32 coord;
	__u32 round;
	/** @scale_h: bits of a float, output rows per input row; 0: from the shapes. */
	__u32 scale_h;
	/** @scale_w: bits of a float, output columns per input column; 0: from the shapes. */
	__u32 scale_w;
};

/** struct patcnn_slice_params - SLICE. */
struct patcnn_slice_params {
	__u32 start[PATCNN_MAX_RANK];
	/** @step: at least 1. */
	__u32 step[PATCNN_MAX_RANK];
};

/** enum patcnn_pad_mode - what PAD fills in. */
enum patcnn_pad_mode {
	PATCNN_PAD_CONSTANT = 0,
	PATCNN_PAD_REFLECT = 1,
	PATCNN_PAD_EDGE = 2,
};

/** struct patcnn_pad_params - PAD. */
struct patcnn_pad_params {
	__u32 before[PATCNN_MAX_RANK];
	__u32 mode;
	/** @value: bits of a float. */
	__u32 value;
};

/** enum patcnn_reduce_kind - REDUCE. */
enum patcnn_reduce_kind {
	PATCNN_REDUCE_MEAN = 0,
	PATCNN_REDUCE_SUM = 1,
	PATCNN_REDUCE_MAX = 2,
};

/**
 * struct patcnn_axis_params - CONCAT, SOFTMAX, PERMUTE, REDUCE, LAYER_NORM, INSTANCE_NORM,
 * MATMUL.
 */
struct patcnn_axis_params {
	/** @axis: CONCAT, SOFTMAX, LAYER_NORM. */
	__u32 axis;
	/** @axes: REDUCE: bit i is axis i. */
	__u32 axes;
	/** @kind: REDUCE: enum patcnn_reduce_kind. */
	__u32 kind;
	/** @epsilon: LAYER_NORM, INSTANCE_NORM: bits of a float, positive. */
	__u32 epsilon;
	/** @perm: PERMUTE: a permutation of 0 to rank - 1. */
	__u32 perm[PATCNN_MAX_RANK];
};

/** struct patcnn_operator - one operator; also its layer-wise representation (LR). */
struct patcnn_operator {
	/** @name: offset in STRINGS. */
	__u32 name;
	/** @kind: enum patcnn_operator_kind. */
	__u16 kind;
	/** @operand_count: number of operands. */
	__u16 operand_count;
	/** @operand_first: index in OPERANDS. */
	__u32 operand_first;
	/** @output: tensor index. */
	__u32 output;
	/** @activation: applied last. */
	struct patcnn_activation activation;
	/** @reserved: must be zero. */
	__u64 reserved[2];
	/** @conv: parameters by @kind. */
	union {
		struct patcnn_conv_params conv;
		struct patcnn_pool_params pool;
		struct patcnn_convert_params convert;
		struct patcnn_resize_params resize;
		struct patcnn_slice_params slice;
		struct patcnn_pad_params pad;
		struct patcnn_axis_params axis;
		__u8 bytes[176];
	};
};

/** enum patcnn_isa - instruction sets that choices are measured for. */
enum patcnn_isa {
	PATCNN_ISA_GENERIC = 0,
	PATCNN_ISA_AVX2 = 1,
	PATCNN_ISA_AVX512 = 2,
	PATCNN_ISA_NEON = 3,
};

/**
 * struct patcnn_tuning - what was measured to be fastest for one operator
 *
 * A hint: a device uses the entries of its own instruction set, of those what its
 * kernels can do, and nothing of them where memory would grow much by it. They change
 * results by no more than rounding. Zero is the device's own choice everywhere. Entries
 * ascend by @op, then @isa; each pair is there once.
 */
struct patcnn_tuning {
	/** @op: index in OPERATORS. */
	__u32 op;
	/** @isa: enum patcnn_isa. */
	__u8 isa;
	/** @algorithm: family of kernels, numbered by the device's compute core. */
	__u8 algorithm;
	/** @tile_rows: rows of a register tile. */
	__u8 tile_rows;
	/** @tile_vectors: vectors of a row of it. */
	__u8 tile_vectors;
	/** @block: input channels that are added up before the next ones. */
	__u16 block;
	/**
	 * @band_rows: most output rows of a tile, or the fewest that the algorithm can do;
	 * of fused operators: rows made at a time.
	 */
	__u16 band_rows;
	/**
	 * @fuse: operators that run depth-first together and end with this one; 1: it
	 * runs alone.
	 */
	__u8 fuse;
	/** @reserved: must be zero. */
	__u8 reserved[3];
};

#if defined(__cplusplus)
}
#endif

#endif
