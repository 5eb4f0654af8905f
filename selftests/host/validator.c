// SPDX-License-Identifier: MIT
/*
 * The validator refuses every single mutation of a correct program, with the
 * right code and a text that says where, reads nothing outside the program and
 * leaves nothing behind that depends on what its working memory held.
 */

#include <sys/mman.h>

#include "harness.h"
#include "host_run.h"
#include "spoil.h"

static int validate(const void *blob, size_t size, struct pat_error *err, u8 dirt)
{
	struct pat_program prog;
	void *work, *copy;
	int ret;

	/* Of exactly this size: AddressSanitizer sees a read behind it. */
	if (posix_memalign(&work, 64, PAT_WORK_BYTES) || posix_memalign(&copy, 64, size ? size : 1))
		exit(4);
	memset(work, dirt, PAT_WORK_BYTES);
	memset(&prog, dirt, sizeof(prog));
	memset(err, dirt, sizeof(*err));
	memcpy(copy, blob, size);
	ret = pat_program_open(&prog, copy, size, work, err);
	free(work);
	free(copy);
	return ret;
}

TEST(correct_program)
{
	struct pat_error err;
	struct pb pb;
	size_t size;
	void *blob;

	build_every_operator(&pb);
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(validate(blob, size, &err, 0xff), 0);
	EXPECT_STREQ(err.text, "");
	free(blob);
	pb_fini(&pb);
}

/* What a newer writer adds, with the bit that says "may be skipped", is skipped. */
TEST(optional_section)
{
	struct pat_error err;
	struct pb pb;
	size_t size;
	void *blob;

	build_every_operator(&pb);
	pb.extra_section = PATCNN_SECTION_OPTIONAL | 0x1234;
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(validate(blob, size, &err, 0xff), 0);
	free(blob);
	pb.extra_section = 0x1234;
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(validate(blob, size, &err, 0xff), -EINVAL);
	free(blob);
	pb_fini(&pb);
}

TEST_TIMEOUT(every_mutation, 300)
{
	unsigned int n = 0;

	for (struct spoil *s = spoil_list; s; s = s->next, n++) {
		struct pat_error err, again;
		size_t size;
		void *blob = spoil_build(s, &size);
		int ret = validate(blob, size, &err, 0xff);

		if (ret != -s->err || !strstr(err.text, s->text)) {
			TH_LOG("%s: returned %d \"%s\", expected %d and \"%s\"", s->name, ret,
			       ret ? err.text : "", -s->err, s->text);
			_metadata->failed = true;
		}
		if (validate(blob, size, &again, 0x00) != ret || strcmp(err.text, again.text)) {
			TH_LOG("%s: depends on uninitialised memory: \"%s\", \"%s\"", s->name,
			       err.text, again.text);
			_metadata->failed = true;
		}
		free(blob);
	}
	TH_LOG("%u mutations", n);
	EXPECT_GT(n, 200);
}

/* Operators may share dense weights as often as they like: nobody walks over the values. */
TEST(shared_dense_weights)
{
	struct patcnn_operator first;
	struct pat_error err;
	struct pb pb;
	size_t size;
	void *blob;
	u32 t;

	pb_init(&pb, 1);
	t = pb_conv(&pb, &(struct pb_conv){ .in = pb_input(&pb, 512, 4, 4), .out = 512 });
	first = *pb_last(&pb);
	for (int i = 0; i < 64; i++) {
		u32 out = pb_tensor4(&pb, PATCNN_ROLE_INTERMEDIATE, 512, 4, 4);
		struct patcnn_operator *op = pb_op(&pb, "again", PATCNN_OP_CONV, out, 1, &t);

		op->conv = first.conv;
		t = out;
	}
	pb_output(&pb, t);
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(validate(blob, size, &err, 0xff), 0);
	free(blob);
	pb_fini(&pb);
}

/* More channels and filters than the validator's working memory has bits. */
TEST(wide_layers)
{
	struct pat_error err;

	for (int swap = 0; swap < 2; swap++) {
		struct pb_conv spec = { .out = swap ? 600000 : 2, .keep = 20, .taps = 1,
					.patterns = 1, .storage = PATCNN_STORAGE_FKW };
		struct patcnn_weights *w;
		struct pb pb;
		size_t size;
		void *blob;

		pb_init(&pb, 5);
		spec.in = pb_input(&pb, swap ? 2 : 600000, 1, 1);
		pb_output(&pb, pb_conv(&pb, &spec));
		blob = pb_finish(&pb, &size);
		EXPECT_EQ(validate(blob, size, &err, 0xff), 0);
		free(blob);
		/* The last one twice: the bits of the last window must be looked at. */
		w = &pb_last(&pb)->conv.weights;
		if (swap)
			words_of(&pb, w->reorder)[5] = words_of(&pb, w->reorder)[6];
		else
			words_of(&pb, w->index)[w->index.count - 1] =
				words_of(&pb, w->index)[w->index.count - 2];
		blob = pb_finish(&pb, &size);
		EXPECT_EQ(validate(blob, size, &err, 0xff), -EINVAL);
		EXPECT_TRUE(strstr(err.text, "twice"));
		free(blob);
		pb_fini(&pb);
	}
}

/* Every prefix of a program, in steps of one byte near the tables. */
TEST_TIMEOUT(truncations, 120)
{
	struct pat_error err;
	struct pb pb;
	size_t size;
	void *blob;

	build_every_operator(&pb);
	blob = pb_finish(&pb, &size);
	for (size_t n = 0; n < size; n += n < 1024 ? 1 : 61) {
		EXPECT_EQ(validate(blob, n, &err, 0xff), -EINVAL);
		if (n >= sizeof(struct patcnn_program_header)) {
			((struct patcnn_program_header *)blob)->size = n;
			EXPECT_NE(validate(blob, n, &err, 0xff), 0);
			((struct patcnn_program_header *)blob)->size = size;
		}
	}
	free(blob);
	pb_fini(&pb);
}

/* Names come from outside: an error text stays printable, short and terminated. */
TEST(names_in_errors)
{
	struct pat_error err;
	struct pb pb;
	char name[600];
	size_t size;
	void *blob;

	memset(name, '\t', sizeof(name) - 1);
	name[599] = 0;
	memcpy(name, "\033[31m%s%n\xff", 10);
	build_every_operator(&pb);
	pb.tensors[2].name = pb_name(&pb, name);
	pb.tensors[2].rank = 9;
	blob = pb_finish(&pb, &size);
	EXPECT_EQ(validate(blob, size, &err, 0xff), -EINVAL);
	EXPECT_LT(strnlen(err.text, sizeof(err.text)), sizeof(err.text));
	for (char *c = err.text; *c; c++)
		EXPECT_TRUE(*c >= ' ' && *c <= '~');
	free(blob);
	pb_fini(&pb);
}

/* Ten thousand bit flips: never a crash; a program that still passes must also plan and run. */
TEST_TIMEOUT(bit_flips, 300)
{
	const struct hr_opts opts = {
		.isa = pat_isa_get(PAT_ISA_GENERIC), .guard = HR_GUARD_PAGES, .threads = 1,
		.fill = 0xff, .max_bytes = 64 << 20,
	};
	unsigned int passed = 0;
	struct pb pb, rnd;
	size_t size;
	u8 *blob;

	build_every_operator(&pb);
	pb_init(&rnd, 99);
	blob = pb_finish(&pb, &size);
	for (int i = 0; i < 10000; i++) {
		u32 at = pb_random(&rnd, size), bit = pb_random(&rnd, 8);
		struct hr h;

		blob[at] ^= 1 << bit;
		if (!hr_open(&h, blob, size, &opts)) {
			const char *broke;

			hr_random_inputs(&h, i);
			broke = i % 8 ? NULL : hr_run(&h);
			if (broke) {
				TH_LOG("byte %u bit %u: %s", at, bit, broke);
				_metadata->failed = true;
			}
			passed++;
		}
		hr_close(&h);
		blob[at] ^= 1 << bit;
	}
	TH_LOG("%u of 10000 flips passed the validator (weights and names)", passed);
	free(blob);
	pb_fini(&pb);
}

TEST_HARNESS_MAIN
