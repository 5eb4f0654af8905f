// SPDX-License-Identifier: MIT
/*
 * Random lines of convolutions, pools and conversions, which the planner runs
 * depth-first where the cache is small: every cut of a line has to give what the
 * reference gives, whoever carries the rows between the stages.
 */

#include "check.h"
#include "harness.h"
#include "random_net.h"

#define CASES	150
#define CACHE	32768	/* so small that rows of these nets are worth keeping */

static u32 range(struct pb *pb, u32 from, u32 to)
{
	return from + pb_random(pb, to - from + 1);
}

static u32 first_tensor(struct pb *pb)
{
	u32 c = range(pb, 1, 12), h = range(pb, 8, 90), w = range(pb, 4, 60);

	if (pb_random(pb, 4))
		return pb_input(pb, c, h, w);
	return pb_convert(pb, pb_input_as(pb, PATCNN_DTYPE_U8, PATCNN_LAYOUT_HWC, c, h, w), NULL,
			  NULL, 0);
}

static struct pb_conv random_window(struct pb *pb, u32 in)
{
	const struct patcnn_tensor t = pb->tensors[in];
	struct pb_conv s = { .in = in, .dw = 1 };

	s.kh = range(pb, 1, t.h > 5 ? 5 : t.h);
	s.kw = range(pb, 1, t.w > 5 ? 5 : t.w);
	s.sh = range(pb, 1, pb_random(pb, 3) ? 1 : 3);
	s.sw = range(pb, 1, pb_random(pb, 3) ? 1 : 2);
	s.dh = pb_random(pb, 6) || (s.kh - 1u) * 2 >= t.h ? 1 : 2;
	s.pt = range(pb, 0, (s.kh - 1) * s.dh);
	s.pb = range(pb, 0, (s.kh - 1) * s.dh);
	s.pl = range(pb, 0, s.kw - 1);
	s.pr = range(pb, 0, s.kw - 1);
	return s;
}

static u32 random_pool(struct pb *pb, struct pb_conv *s)
{
	s->dh = 1;
	s->pt = s->pt < s->kh ? s->pt : 0;
	s->pb = s->pb < s->kh ? s->pb : 0;
	return pb_pool(pb, pb_random(pb, 2) ? PATCNN_OP_MAX_POOL : PATCNN_OP_AVG_POOL, s, false);
}

/* @earlier: a tensor that may be added, or RN_NONE. */
static u32 random_conv(struct pb *pb, struct pb_conv *s, u32 earlier)
{
	const struct patcnn_tensor t = pb->tensors[s->in];

	s->out = range(pb, 1, 16);
	s->storage = pb_random(pb, 4);
	s->act = pb_random(pb, 3) ? PATCNN_ACT_RELU : PATCNN_ACT_SILU;
	if (!pb_random(pb, 5)) {
		s->groups = t.c;
		s->out = t.c;
		s->storage = PATCNN_STORAGE_DENSE;
	} else if (earlier != RN_NONE && !pb_random(pb, 3) && t.h >= 3 && t.w >= 3 &&
		   pb->tensors[earlier].h == t.h && pb->tensors[earlier].w == t.w) {
		s->kh = 3;
		s->kw = 3;
		s->sh = 1;
		s->sw = 1;
		s->dh = 1;
		s->pt = 1;
		s->pb = 1;
		s->pl = 1;
		s->pr = 1;
		s->out = pb->tensors[earlier].c;
		s->residual = earlier;
	}
	return pb_conv(pb, s);
}

static void random_line(struct pb *pb)
{
	u32 t = first_tensor(pb), earlier = RN_NONE, length = range(pb, 2, 9);

	while (length-- && pb->tensors[t].h > 1 && pb->tensors[t].w > 1) {
		struct pb_conv s = random_window(pb, t);

		t = pb_random(pb, 5) ? random_conv(pb, &s, earlier) : random_pool(pb, &s);
		if (!pb_random(pb, 3))
			earlier = t;
	}
	pb_output(pb, t);
}

static u32 fused_steps(const void *blob, size_t size)
{
	const struct hr_opts opts = {
		.isa = pat_isa_get(PAT_ISA_GENERIC), .guard = CHECK_GUARD, .l2_bytes = CACHE,
	};
	struct hr h;
	u32 n = 0, i;

	if (!hr_open(&h, blob, size, &opts))
		for (i = 0; i < h.plan->step_count; i++)
			n += h.plan->steps[i].op_count > 1;
	hr_close(&h);
	return n;
}

static void check_lines(struct __test_metadata *_metadata, u32 seed, bool tune)
{
	unsigned int n = check_cases(CASES), fused = 0;

	for (u32 i = 0; i < n; i++) {
		char label[32];
		struct pb pb;
		size_t size;
		void *blob;

		pb_init(&pb, seed + i);
		random_line(&pb);
		if (tune)
			rn_tune(&pb);
		blob = pb_finish(&pb, &size);
		fused += fused_steps(blob, size) > 0;
		free(blob);
		snprintf(label, sizeof(label), "line %u", i);
		EXPECT_EQ(check_program_thoroughly(&pb, i, label), 0);
		if (_metadata->failed && i > 30)
			break;
	}
	TH_LOG("%u of %u lines fused, largest error: %.2f of its bound", fused, n, check_worst);
	/* A test of fusion that fuses nothing would say nothing. */
	EXPECT_GE(fused * 3, n);
}

TEST_TIMEOUT(random_lines, 600)
{
	check_lines(_metadata, 700000, false);
}

/* Cut, blocked and tiled as a program says, which is not always wise or possible. */
TEST_TIMEOUT(tuned_lines, 600)
{
	check_lines(_metadata, 800000, true);
}

TEST_HARNESS_MAIN
