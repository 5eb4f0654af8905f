// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Tasks of operators on planes: convolution, linear, matmul, pooling, resize
 */
#include "plan.h"

static const u32 *words(const struct pat_program *prog, const struct patcnn_array *a)
{
	return a->count ? (const u32 *)(prog->data + a->offset) : NULL;
}

struct pat_weights pat_weights_of(const struct pat_program *prog,
				  const struct patcnn_operator *op)
{
	const struct patcnn_weights *w = &op->conv.weights;

	return (struct pat_weights){
		.storage = w->storage,
		.block_out = w->block_out,
		.block_in = w->block_in,
		.flat = op->kind == PATCNN_OP_LINEAR,
		.pattern_count = w->pattern_count,
		.nnz = w->values.count,
		.bias = words(prog, &w->bias),
		.values = words(prog, &w->values),
		.offset = words(prog, &w->offset),
		.index = words(prog, &w->index),
		.reorder = words(prog, &w->reorder),
		.stride = words(prog, &w->stride),
		.patterns = w->pattern_count ? prog->patterns + w->pattern_first : NULL,
		.taps = prog->taps,
	};
}

/* The rows of tiles, and the filters where the rows alone give too few of them. */
static void split_conv(struct pat_builder *b, struct pat_task *t,
		       const struct pat_conv_info *info)
{
	struct pat_step *step = &b->plan->steps[b->step];
	struct pat_conv_task *c = &t->conv;
	u64 work = step->macs_kept + step->macs_kept / 8;
	u64 wanted = work / (4 * PAT_TILE_WORK), most;

	if (wanted > 6ULL * b->plan->opts.workers)
		wanted = 6ULL * b->plan->opts.workers;
	/* a worker that is alone has nobody to share with: parts would only gather again */
	if (b->plan->opts.workers == 1)
		wanted = 1;
	c->bands = (c->conv.out.h + c->band_rows - 1) / c->band_rows;
	/* Every part gathers the whole input of its band: at most a quarter of its work. */
	most = info->gather ? work / c->bands / (4 * info->gather) : c->conv.out.c;
	if (most > c->conv.out.c / 4)
		most = c->conv.out.c / 4;
	c->parts = 1;
	if (wanted > c->bands)
		c->parts = (wanted + c->bands - 1) / c->bands;
	if (c->parts > most)
		c->parts = most ? most : 1;
	t->units = (u64)c->bands * c->parts;
	t->tile_first = step->tiles;
	t->tiles = t->units;
	step->tiles += t->tiles;
}

/* Asks the kernels for their sizes and reserves room for the packed weights. */
int pat_conv_sizes(struct pat_builder *b, struct pat_task *t, struct pat_conv_info *info)
{
	const struct pat_weights w = pat_weights_of(b->prog, t->op);
	struct pat_conv_task *c = &t->conv;

	c->tune.l1_bytes = b->plan->opts.l1_bytes;
	c->tune.l2_bytes = b->plan->opts.l2_bytes;
	c->conv.act = t->act.kind;
	c->conv.act_a = t->act.a;
	c->conv.act_b = t->act.b;
	if (!pat_conv_act(c->conv.act))
		c->conv.act = PATCNN_ACT_NONE;
	if (pat_tuned_plan(b, c, t->op - b->prog->operators, &w, info))
		return pat_fail(&b->ck, -E2BIG, "too large for the kernels");
	c->algo = info->algo;
	c->row_step = info->row_step;
	c->scratch_bytes = info->scratch_bytes;
	c->band_rows = info->band_rows;
	t->packed = b->plan->pub.packed_bytes;
	t->packed_bytes = pat_up(info->packed_bytes, PAT_ALIGN);
	b->plan->pub.packed_bytes += t->packed_bytes;
	if (b->plan->pub.packed_bytes > 2 * PAT_MAX_PROGRAM)
		return pat_fail(&b->ck, -E2BIG, "packed weights need more than %U bytes",
				2 * (u64)PAT_MAX_PROGRAM);
	return 0;
}

static int plan_kernel(struct pat_builder *b, struct pat_task *t)
{
	struct pat_conv_task *c = &t->conv;
	const struct patcnn_tuning *tuning = pat_tuning_of(b, t->op - b->prog->operators);
	u32 workers = b->plan->opts.workers;
	struct pat_conv_info info;
	int err;

	/*
	 * Enough bands for all workers: rows are the cheaper way to split. Small
	 * maps keep one band; their filters are split.
	 */
	if (workers > 1 && c->conv.out.h >= 4 * workers)
		c->tune.band_rows = (c->conv.out.h + 4 * workers - 1) / (4 * workers);
	if (tuning && tuning->band_rows &&
	    (!c->tune.band_rows || tuning->band_rows < c->tune.band_rows))
		c->tune.band_rows = tuning->band_rows;
	err = pat_conv_sizes(b, t, &info);
	if (err)
		return err;
	pat_task_scratch(b, info.scratch_bytes);
	split_conv(b, t, &info);
	return 0;
}

/* All but the addresses of input and output. */
void pat_conv_geometry(struct pat_builder *b, struct pat_task *t, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first];
	const struct patcnn_window *w = &op->conv.window;
	struct pat_conv *c = &t->conv.conv;

	c->in = pat_planes_of(b, in);
	c->out = pat_planes_of(b, op->output);
	if (op->operand_count > 1) {
		u32 res = b->prog->operands[op->operand_first + 1];

		pat_use(b, &t->in[1], res, false);
		c->res = pat_planes_of(b, res);
		c->has_res = 1;
	}
	c->kernel_h = w->kernel_h;
	c->kernel_w = w->kernel_w;
	c->stride_h = w->stride_h;
	c->stride_w = w->stride_w;
	c->dilation_h = w->dilation_h;
	c->dilation_w = w->dilation_w;
	c->pad_top = w->pad_top;
	c->pad_left = w->pad_left;
	c->groups = op->conv.groups;
}

int pat_plan_conv(struct pat_builder *b, const struct patcnn_operator *op)
{
	struct pat_task *t = pat_task_new(b, PAT_FN_CONV, op);

	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], b->prog->operands[op->operand_first], false);
	pat_conv_geometry(b, t, op);
	return plan_kernel(b, t);
}

/* Whether @op has several rows and is a matrix product. */
bool pat_linear_rows(const struct pat_program *prog, const struct patcnn_operator *op)
{
	const struct patcnn_tensor *out = pat_output(prog, op);

	return pat_elements(out) > out->shape[out->rank - 1];
}

static int plan_product(struct pat_builder *b, struct pat_task *t)
{
	struct pat_matmul_task *m = &t->matmul;
	u64 depth_work;

	m->row_blocks = (m->out.h + 3) / 4;
	m->col_blocks = (m->out.w + 63) / 64;
	depth_work = 4ULL * (m->out.w < 64 ? m->out.w : 64) * m->depth;
	pat_task_split(b, t, (u64)m->out.c * m->row_blocks * m->col_blocks, depth_work + 64);
	return 0;
}

int pat_plan_matmul(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 a = b->prog->operands[op->operand_first];
	u32 second = b->prog->operands[op->operand_first + 1];
	struct pat_task *t = pat_task_new(b, PAT_FN_MATMUL, op);
	struct pat_matmul_task *m = &t->matmul;

	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], a, false);
	pat_use(b, &t->in[1], second, false);
	m->a = pat_planes_of(b, a);
	m->out = pat_planes_of(b, op->output);
	m->depth = m->a.w;
	m->b_pitch = pat_map_of(b, second)->pitch;
	m->b_plane = b->prog->tensors[second].c == 1 ? 0 : pat_map_of(b, second)->plane;
	return plan_product(b, t);
}

/*
 * One row of features in planes of any layout is a convolution with one output
 * pixel: the kernel is as large as the plane.
 */
static int plan_row(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first];
	struct pat_task *t = pat_task_new(b, PAT_FN_CONV, op);
	struct pat_conv *c = &t->conv.conv;
	u32 features = pat_elements(&b->prog->tensors[in]);

	if (pat_map_of(b, in)->through)
		in = pat_map_of(b, in)->parent;
	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], in, false);
	c->in = pat_planes_of(b, in);
	if (!pat_map_of(b, in)->padded)
		c->in = (struct pat_planes){ 1, 1, features, 1, 1 };
	c->out = (struct pat_planes){ 1, 1, pat_elements(pat_output(b->prog, op)), 1, 1 };
	c->kernel_h = c->in.h;
	c->kernel_w = c->in.w;
	c->stride_h = 1;
	c->stride_w = 1;
	c->dilation_h = 1;
	c->dilation_w = 1;
	c->groups = 1;
	return plan_kernel(b, t);
}

int pat_plan_linear(struct pat_builder *b, const struct patcnn_operator *op)
{
	u32 in = b->prog->operands[op->operand_first];
	struct pat_matmul_task *m;
	struct pat_task *t;

	if (!pat_linear_rows(b->prog, op))
		return plan_row(b, op);
	t = pat_task_new(b, PAT_FN_MATMUL, op);
	m = &t->matmul;
	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], in, false);
	m->a = pat_planes_of(b, in);
	m->out = pat_planes_of(b, op->output);
	/* The channels' rows are rows like others where nothing lies between them. */
	if (m->a.plane == m->a.h * m->a.pitch && m->out.plane == m->out.h * m->out.pitch) {
		m->a.h *= m->a.c;
		m->out.h *= m->out.c;
		m->a.c = 1;
		m->out.c = 1;
	}
	m->depth = m->a.w;
	m->b_pitch = pat_up(m->out.w, 16);
	m->packed = 1;
	t->packed = b->plan->pub.packed_bytes;
	t->packed_bytes = pat_up(4ULL * m->b_pitch * (m->depth + 1ULL), PAT_ALIGN);
	b->plan->pub.packed_bytes += t->packed_bytes;
	if (b->plan->pub.packed_bytes > 2 * PAT_MAX_PROGRAM)
		return pat_fail(&b->ck, -E2BIG, "packed weights need more than %U bytes",
				2 * (u64)PAT_MAX_PROGRAM);
	return plan_product(b, t);
}

/* Longest padded input row that a pooling unit copies to its scratch, in floats. */
#define POOL_ROW	16384

/* Scratch and segments of a pooling; returns the work of a unit. */
u64 pat_pool_geometry(struct pat_task *t)
{
	const struct patcnn_window *w = &t->op->pool.window;
	struct pat_window_task *p = &t->window;
	u64 dilated = (u64)(w->kernel_w - 1) * w->dilation_w + 1, row;
	u64 taps = (u64)w->kernel_h * w->kernel_w;

	p->segment = p->out.w < 512 ? p->out.w : 512;
	row = (p->segment - 1ULL) * w->stride_w + dilated;
	if (row > POOL_ROW) {
		p->segment = 1;
		p->row_floats = 0;
	} else {
		/* Vector loads of the last columns reach beyond them. */
		p->row_floats = pat_up(row + 64ULL * (w->stride_w < 4 ? w->stride_w : 4), 16);
	}
	p->segments = (p->out.w + p->segment - 1) / p->segment;
	return p->row_floats ? row * w->kernel_h + p->segment * (u64)w->kernel_w + 64 : 16 * taps;
}

static void split_planes(struct pat_builder *b, struct pat_task *t, u64 unit_work)
{
	const struct pat_window_task *p = &t->window;

	pat_task_split(b, t, (u64)p->out.c * p->out.h * p->segments, unit_work);
}

static void plan_conv_transpose(struct pat_builder *b, struct pat_task *t)
{
	const struct patcnn_conv_params *c = &t->op->conv;
	struct pat_window_task *p = &t->window;
	u64 row = p->in.w + ((u64)c->window.kernel_w * c->window.dilation_w +
			     c->window.pad_left) / c->window.stride_w + 2;

	t->in[1] = pat_ref_data(&c->weights.values);
	t->in[2] = pat_ref_data(&c->weights.bias);
	/* A row of sums for each output column modulo the stride. */
	p->row_floats = pat_up(row + 16, 16);
	p->segments = 1;
	pat_task_scratch(b, 4ULL * p->row_floats *
			 (c->window.stride_w < p->out.w ? c->window.stride_w : p->out.w));
	pat_task_split(b, t, (u64)p->out.c * p->out.h,
		       b->plan->steps[b->step].macs_dense / p->out.c / p->out.h + p->out.w + 16);
}

u64 pat_convert_geometry(struct pat_builder *b, struct pat_task *t)
{
	const struct patcnn_tensor *in = pat_operand(b->prog, t->op, 0);
	struct pat_window_task *p = &t->window;

	p->hwc = in->layout == PATCNN_LAYOUT_HWC;
	p->bytes = in->dtype == PATCNN_DTYPE_U8;
	if (in->role == PATCNN_ROLE_INPUT) {
		p->in.pitch = p->hwc ? in->w * in->c : in->w;
		p->in.plane = p->hwc ? 1 : in->h * in->w;
	}
	t->in[1] = pat_ref_data(&t->op->convert.mean);
	t->in[2] = pat_ref_data(&t->op->convert.scale);
	p->segment = p->out.w < 1024 ? p->out.w : 1024;
	p->segments = (p->out.w + p->segment - 1) / p->segment;
	return 12ULL * p->segment + 64;
}

static void plan_resize(struct pat_builder *b, struct pat_task *t)
{
	struct pat_window_task *p = &t->window;

	/* Column positions and weights of a segment are made once for all its rows. */
	p->segment = p->out.w < 1024 ? p->out.w : 1024;
	p->segments = (p->out.w + p->segment - 1) / p->segment;
	pat_task_scratch(b, 3ULL * 4 * pat_up(p->segment, 16));
	split_planes(b, t, 12ULL * p->segment + 64);
}

int pat_plan_planes(struct pat_builder *b, const struct patcnn_operator *op)
{
	static const u8 fn[] = {
		[PATCNN_OP_CONVERT] = PAT_FN_CONVERT,
		[PATCNN_OP_CONV_TRANSPOSE] = PAT_FN_CONV_TRANSPOSE,
		[PATCNN_OP_MAX_POOL] = PAT_FN_POOL,
		[PATCNN_OP_AVG_POOL] = PAT_FN_POOL,
		[PATCNN_OP_RESIZE] = PAT_FN_RESIZE,
	};
	struct pat_task *t = pat_task_new(b, fn[op->kind], op);
	u32 in = b->prog->operands[op->operand_first];

	pat_use(b, &t->out, op->output, true);
	pat_use(b, &t->in[0], in, false);
	t->window.in = pat_planes_of(b, in);
	t->window.out = pat_planes_of(b, op->output);
	switch (op->kind) {
	case PATCNN_OP_CONVERT:
		split_planes(b, t, pat_convert_geometry(b, t));
		break;
	case PATCNN_OP_CONV_TRANSPOSE:
		plan_conv_transpose(b, t);
		break;
	case PATCNN_OP_RESIZE:
		plan_resize(b, t);
		break;
	default:
		split_planes(b, t, pat_pool_geometry(t));
		pat_task_scratch(b, 4ULL * t->window.row_floats);
	}
	return 0;
}
