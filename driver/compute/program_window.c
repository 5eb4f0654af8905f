// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Validation of operators with a window, and of LINEAR
 */
#include "program_check.h"

struct extent {
	const char *axis;
	u32 in, out;
	u32 kernel, stride, dilation, before, after;
	u64 dilated;
};

static int check_extent(struct pat_check *ck, struct extent *e)
{
	if (!e->kernel || e->kernel > 255)
		return pat_fail(ck, -EINVAL, "window.kernel_%s = %u is not 1 to 255", e->axis,
				e->kernel);
	if (!e->stride || !e->dilation)
		return pat_fail(ck, -EINVAL, "window.stride_%s, dilation_%s = %u, %u", e->axis,
				e->axis, e->stride, e->dilation);
	e->dilated = (u64)(e->kernel - 1) * e->dilation + 1;
	if (e->before >= e->dilated || e->after >= e->dilated)
		return pat_fail(ck, -EINVAL,
				"window: padding %u, %u along %s is not less than the kernel's %U",
				e->before, e->after, e->axis, e->dilated);
	return 0;
}

static int check_window(struct pat_check *ck, const struct patcnn_window *w,
			const struct patcnn_tensor *in, const struct patcnn_tensor *out,
			struct extent e[2])
{
	int err;

	e[0] = (struct extent){ "h", in->h, out->h, w->kernel_h, w->stride_h, w->dilation_h,
				w->pad_top, w->pad_bottom, 0 };
	e[1] = (struct extent){ "w", in->w, out->w, w->kernel_w, w->stride_w, w->dilation_w,
				w->pad_left, w->pad_right, 0 };
	err = check_extent(ck, &e[0]);
	return err ? err : check_extent(ck, &e[1]);
}

/* Sizes of what a window reads and writes. */
static int check_sliding(struct pat_check *ck, const struct patcnn_window *w)
{
	const struct patcnn_tensor *in = pat_operand(ck->prog, ck->op, 0);
	const struct patcnn_tensor *out = pat_output(ck->prog, ck->op);
	struct extent e[2];
	u32 i;
	int err = check_window(ck, w, in, out, e);

	for (i = 0; !err && i < 2; i++) {
		u64 padded = (u64)e[i].in + e[i].before + e[i].after;

		if (padded < e[i].dilated)
			return pat_fail(ck, -EINVAL,
					"window: the kernel's %U along %s exceed the padded %U",
					e[i].dilated, e[i].axis, padded);
		if ((padded - e[i].dilated) / e[i].stride + 1 != e[i].out)
			return pat_fail(ck, -EINVAL, "output %s = %u is not %U", e[i].axis,
					e[i].out, (padded - e[i].dilated) / e[i].stride + 1);
	}
	return err;
}

static int check_groups(struct pat_check *ck, u32 in, u32 out, u32 groups)
{
	if (!groups || in % groups || out % groups)
		return pat_fail(ck, -EINVAL, "groups = %u does not divide %u and %u channels",
				groups, in, out);
	return 0;
}

int pat_check_conv(struct pat_check *ck)
{
	const struct patcnn_tensor *in = pat_operand(ck->prog, ck->op, 0);
	const struct patcnn_tensor *out = pat_output(ck->prog, ck->op);
	const struct patcnn_conv_params *p = &ck->op->conv;
	int err = check_sliding(ck, &p->window);

	if (!err)
		err = check_groups(ck, in->c, out->c, p->groups);
	if (!err && ck->op->operand_count == 2) {
		const struct patcnn_tensor *r = pat_operand(ck->prog, ck->op, 1);

		if (r->c != out->c || r->h != out->h || r->w != out->w)
			return pat_fail(ck, -EINVAL,
					"operand 1: %u x %u x %u is not the output's shape", r->c,
					r->h, r->w);
	}
	return err ? err : pat_check_weights(ck, p, out->c, in->c / p->groups);
}

int pat_check_conv_transpose(struct pat_check *ck)
{
	const struct patcnn_tensor *in = pat_operand(ck->prog, ck->op, 0);
	const struct patcnn_tensor *out = pat_output(ck->prog, ck->op);
	const struct patcnn_conv_params *p = &ck->op->conv;
	struct extent e[2];
	u64 values;
	u32 i;
	int err = check_window(ck, &p->window, in, out, e);

	for (i = 0; !err && i < 2; i++) {
		/* What an unpadded output has at least; more is the framework's output padding. */
		u64 least = (e[i].in - 1ULL) * e[i].stride + e[i].dilated;
		u64 padded = (u64)e[i].out + e[i].before + e[i].after;
		u32 slack = e[i].stride > e[i].dilation ? e[i].stride : e[i].dilation;

		if (padded < least || padded - least >= slack)
			return pat_fail(ck, -EINVAL, "output %s = %u does not fit %u", e[i].axis,
					e[i].out, e[i].in);
	}
	if (!err)
		err = check_groups(ck, in->c, out->c, p->groups);
	if (err)
		return err;
	if (p->weights.storage != PATCNN_STORAGE_DENSE)
		return pat_fail(ck, -EINVAL, "weights.storage = %u is not DENSE",
				(u32)p->weights.storage);
	values = pat_mul((u64)in->c * (out->c / p->groups),
			 (u64)p->window.kernel_h * p->window.kernel_w);
	err = pat_check_array(ck, "weights.values", &p->weights.values, values);
	/* A group's weights are [in / groups][out / groups], the same number either way. */
	return err ? err : pat_check_weights(ck, p, out->c, in->c / p->groups);
}

int pat_check_linear(struct pat_check *ck)
{
	const struct patcnn_tensor *in = pat_operand(ck->prog, ck->op, 0);
	const struct patcnn_tensor *out = pat_output(ck->prog, ck->op);
	const struct patcnn_window *w = &ck->op->conv.window;
	u32 features = out->shape[out->rank - 1];
	u64 rows = pat_elements(out) / features;

	if (w->kernel_h != 1 || w->kernel_w != 1 || w->stride_h != 1 || w->stride_w != 1 ||
	    w->dilation_h != 1 || w->dilation_w != 1 || w->pad_top || w->pad_left ||
	    w->pad_bottom || w->pad_right)
		return pat_fail(ck, -EINVAL, "window: not 1 without padding");
	if (ck->op->conv.groups != 1)
		return pat_fail(ck, -EINVAL, "groups = %u is not 1", ck->op->conv.groups);
	if (ck->op->conv.weights.storage == PATCNN_STORAGE_FKW)
		return pat_fail(ck, -EINVAL, "weights.storage: FKW needs a window");
	if (pat_elements(in) % rows)
		return pat_fail(ck, -EINVAL, "%U elements are not %U rows", pat_elements(in), rows);
	/* One row may lie in any shape; of several, each is a row of planes. */
	if (rows > 1 && (in->c != out->c || in->h != out->h || out->w != features))
		return pat_fail(ck, -EINVAL, "operand 0: %u x %u rows are not the output's %u x %u",
				in->c, in->h, out->c, out->h);
	return pat_check_weights(ck, &ck->op->conv, features, pat_elements(in) / rows);
}

int pat_check_pool(struct pat_check *ck)
{
	const struct patcnn_tensor *in = pat_operand(ck->prog, ck->op, 0);
	const struct patcnn_tensor *out = pat_output(ck->prog, ck->op);
	const struct patcnn_pool_params *p = &ck->op->pool;

	if (p->count_pad > 1 || (p->count_pad && ck->op->kind == PATCNN_OP_MAX_POOL))
		return pat_fail(ck, -EINVAL, "count_pad = %u", p->count_pad);
	if (in->c != out->c)
		return pat_fail(ck, -EINVAL, "output c = %u is not %u", out->c, in->c);
	return check_sliding(ck, &p->window);
}
