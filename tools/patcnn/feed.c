// SPDX-License-Identifier: MIT
/*
 * From files to input tensors. A u8 input takes pixels as they are (the program's
 * CONVERT knows mean and scale); a float input takes value / 255 unless --mean and
 * --scale say otherwise.
 */

#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "util.h"

bool feed_image(const char *name, const struct patcnn_tensor *t, const struct feed_opts *opts,
		const struct image *img, void *dst)
{
	bool hwc = t->layout == PATCNN_LAYOUT_HWC;
	size_t plane = (size_t)t->h * t->w, i, at;
	struct image fitted;
	uint32_t c, from;
	float mean, scale;

	if ((t->c != 1 && t->c != 3) ||
	    (t->dtype != PATCNN_DTYPE_U8 && t->dtype != PATCNN_DTYPE_F32)) {
		char shape[80];

		tensor_shape(t, shape, sizeof(shape));
		complain("%s: an image does not fit an input of shape %s", name, shape);
		return false;
	}
	image_fit(img, t->w, t->h, t->c, opts->fit, &fitted);
	for (c = 0; c < t->c; c++) {
		from = opts->bgr && t->c == 3 ? 2 - c : c;
		mean = opts->mean_count ? opts->mean[opts->mean_count > c ? c : 0] : 0;
		scale = opts->scale_count ? opts->scale[opts->scale_count > c ? c : 0] : 1.0f / 255;
		for (i = 0; i < plane; i++) {
			uint8_t v = fitted.data[i * t->c + from];

			at = hwc ? i * t->c + c : c * plane + i;
			if (t->dtype == PATCNN_DTYPE_U8)
				((uint8_t *)dst)[at] = v;
			else
				((float *)dst)[at] = opts->scale_count || opts->mean_count ?
						     ((float)v - mean) * scale : (float)v / 255;
		}
	}
	image_free(&fitted);
	return true;
}

bool feed_file(const char *path, const struct patcnn_tensor *t, const struct feed_opts *opts,
	       void *dst)
{
	struct image img;
	bool ok = false;
	size_t size;
	void *data;

	data = read_file(path, &size);
	if (!data)
		return false;
	switch (image_decode(path, data, size, &img)) {
	case 1:
		ok = feed_image(path, t, opts, &img, dst);
		image_free(&img);
		break;
	case 0:
		ok = size == pat_tensor_bytes(t);
		if (ok)
			memcpy(dst, data, size);
		else
			complain("%s: neither PNG, JPEG or PNM nor the %llu bytes of the input tensor (it has %zu)",
				 path, (unsigned long long)pat_tensor_bytes(t), size);
		break;
	default:
		break;
	}
	free(data);
	return ok;
}
