// SPDX-License-Identifier: MIT
/* classify MODEL.patcnn INPUT.raw: the number and the value of the largest output. */
#include <errno.h>
#include <patcnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char why[192];

static void try(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s %s\n", what, strerror(-err), why);
	exit(1);		/* the kernel frees everything of a process that ends */
}

int main(int argc, char **argv)
{
	struct patcnn_tensor_desc in, out;
	struct patcnn_binding input = { 0 }, output = { 0 };
	struct patcnn_job_args job = { .inputs = &input, .outputs = &output, .in_fence = -1 };
	struct patcnn_device *dev;
	struct patcnn_context *ctx;
	struct patcnn_model *model;
	void *pixels, *scores;
	FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;

	if (!file)
		return fprintf(stderr, "usage: classify MODEL.patcnn INPUT.raw\n"), 2;
	try("open", patcnn_device_open(NULL, &dev));
	try("load", patcnn_model_load(dev, argv[1], &model, why, sizeof(why)));
	try("input", patcnn_model_input(model, 0, &in));
	try("output", patcnn_model_output(model, 0, &out));
	try("buffer", patcnn_buffer_create(dev, in.bytes, &input.buffer));
	try("buffer", patcnn_buffer_create(dev, out.bytes, &output.buffer));
	try("map", patcnn_buffer_map(input.buffer, &pixels));	/* the device reads this memory */
	try("map", patcnn_buffer_map(output.buffer, &scores));	/* and writes this */
	try("context", patcnn_context_create(dev, PATCNN_PRIORITY_NORMAL, NULL, &ctx));

	if (fread(pixels, 1, in.bytes, file) != in.bytes)
		try("read", -EIO);
	try("job", patcnn_submit_wait(ctx, model, &job, 1000));

	const float *score = scores, *best = score;
	for (const float *s = score; s < score + out.bytes / sizeof(*s); s++)
		best = *s > *best ? s : best;
	printf("class %td, score %g\n", best - score, *best);
}
