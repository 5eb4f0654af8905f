// SPDX-License-Identifier: MIT
/* classify MODEL.patcnn INPUT.raw: the number and the value of the largest output. */
#include <err.h>
#include <patcnn.h>
#include <stdio.h>
#include <string.h>

#define TRY(call) do { int e = (call); if (e) errx(1, #call ": %s %s", strerror(-e), why); } while (0)

int main(int argc, char **argv)
{
	struct patcnn_tensor_desc in, out;
	struct patcnn_binding input = { 0 }, output = { 0 };
	struct patcnn_job_args job = { .inputs = &input, .outputs = &output, .in_fence = -1 };
	struct patcnn_device *dev;
	struct patcnn_context *ctx;
	struct patcnn_model *model;
	void *pixels, *scores;
	char why[192] = "";
	FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;

	if (!file)
		errx(2, "usage: classify MODEL.patcnn INPUT.raw");
	TRY(patcnn_device_open(NULL, &dev));
	TRY(patcnn_model_load(dev, argv[1], &model, why, sizeof(why)));
	TRY(patcnn_model_input(model, 0, &in));
	TRY(patcnn_model_output(model, 0, &out));
	TRY(patcnn_buffer_create(dev, in.bytes, &input.buffer));
	TRY(patcnn_buffer_create(dev, out.bytes, &output.buffer));
	TRY(patcnn_buffer_map(input.buffer, &pixels));		/* the device reads this memory */
	TRY(patcnn_buffer_map(output.buffer, &scores));		/* and writes this */
	TRY(patcnn_context_create(dev, PATCNN_PRIORITY_NORMAL, NULL, &ctx));
	if (fread(pixels, 1, in.bytes, file) != in.bytes)
		errx(1, "%s is shorter than %s, %llu bytes", argv[2], in.name, (unsigned long long)in.bytes);
	TRY(patcnn_submit_wait(ctx, model, &job, 1000));

	const float *score = scores, *best = score;
	for (const float *s = score; s < score + out.bytes / sizeof(*s); s++)
		best = *s > *best ? s : best;
	printf("class %td, score %g\n", best - score, *best);
}
