// SPDX-License-Identifier: MIT
/*
 * Images from files: PNG by libpng, JPEG by libjpeg, PNM by the few lines it
 * takes. 16-bit samples become 8, alpha is blended onto black.
 */

#include <ctype.h>
#include <stdio.h>
#include <jpeglib.h>	/* wants stdio.h */
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "util.h"

#define MAX_PIXELS	(1u << 28)

static bool image_alloc(const char *name, struct image *img, uint32_t width, uint32_t height,
			uint32_t channels)
{
	if (!width || !height || (uint64_t)width * height > MAX_PIXELS) {
		complain("%s: an image of %u x %u pixels is not supported", name, width, height);
		return false;
	}
	*img = (struct image){ .width = width, .height = height, .channels = channels };
	img->data = xcalloc((size_t)width * height, channels);
	return true;
}

void image_free(struct image *img)
{
	free(img->data);
	*img = (struct image){ 0 };
}

static bool decode_png(const char *name, const void *file, size_t size, struct image *img)
{
	static const png_color black = { 0, 0, 0 };
	png_image png = { .version = PNG_IMAGE_VERSION };
	bool grey;

	if (!png_image_begin_read_from_memory(&png, file, size))
		goto bad;
	grey = !(png.format & PNG_FORMAT_FLAG_COLOR);
	if (!image_alloc(name, img, png.width, png.height, grey ? 1 : 3)) {
		png_image_free(&png);
		return false;
	}
	png.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
	if (png_image_finish_read(&png, &black, img->data, 0, NULL))
		return true;
	image_free(img);
bad:
	complain("%s: PNG: %s", name, png.message);
	return false;
}

struct jpeg_fail {
	struct jpeg_error_mgr mgr;
	jmp_buf jump;
	char text[JMSG_LENGTH_MAX];
};

static void jpeg_failed(j_common_ptr cinfo)
{
	struct jpeg_fail *fail = (struct jpeg_fail *)cinfo->err;

	fail->mgr.format_message(cinfo, fail->text);
	longjmp(fail->jump, 1);		/* libjpeg's error handler must not return */
}

static void jpeg_silent(j_common_ptr cinfo)
{
	(void)cinfo;	/* warnings of damaged but decodable files */
}

static bool decode_jpeg(const char *name, const void *file, size_t size, struct image *img)
{
	struct jpeg_decompress_struct cinfo;
	struct jpeg_fail fail;

	cinfo.err = jpeg_std_error(&fail.mgr);
	fail.mgr.error_exit = jpeg_failed;
	fail.mgr.output_message = jpeg_silent;
	jpeg_create_decompress(&cinfo);
	if (setjmp(fail.jump)) {	/* NOLINT(cert-err52-cpp): libjpeg knows no other way */
		complain("%s: JPEG: %s", name, fail.text);
		jpeg_destroy_decompress(&cinfo);
		image_free(img);
		return false;
	}
	jpeg_mem_src(&cinfo, file, size);
	jpeg_read_header(&cinfo, TRUE);
	cinfo.out_color_space = cinfo.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_start_decompress(&cinfo);
	if (!image_alloc(name, img, cinfo.output_width, cinfo.output_height,
			 (uint32_t)cinfo.output_components)) {
		jpeg_destroy_decompress(&cinfo);
		return false;
	}
	while (cinfo.output_scanline < cinfo.output_height) {
		JSAMPROW row = img->data +
			       (size_t)cinfo.output_scanline * img->width * img->channels;

		jpeg_read_scanlines(&cinfo, &row, 1);
	}
	jpeg_finish_decompress(&cinfo);
	jpeg_destroy_decompress(&cinfo);
	return true;
}

struct reader {
	const uint8_t *p;
	const uint8_t *end;
};

/* The next decimal number of a PNM header or text body; comments run to the end of the line. */
static bool pnm_number(struct reader *r, uint32_t *v)
{
	while (r->p < r->end && (isspace(*r->p) || *r->p == '#')) {
		if (*r->p == '#')
			while (r->p < r->end && *r->p != '\n')
				r->p++;
		else
			r->p++;
	}
	if (r->p == r->end || !isdigit(*r->p))
		return false;
	for (*v = 0; r->p < r->end && isdigit(*r->p); r->p++) {
		if (*v > 100000000)
			return false;
		*v = *v * 10 + (uint32_t)(*r->p - '0');
	}
	return true;
}

static bool decode_pnm(const char *name, const void *file, size_t size, struct image *img)
{
	struct reader r = { (const uint8_t *)file + 2, (const uint8_t *)file + size };
	char kind = ((const char *)file)[1];
	bool text = kind < '5';
	uint32_t width, height, max, v;
	size_t i, n;

	if (!pnm_number(&r, &width) || !pnm_number(&r, &height) || !pnm_number(&r, &max) ||
	    !max || max > 65535 || r.p == r.end) {
		complain("%s: PNM: malformed header", name);
		return false;
	}
	r.p++;	/* one white-space character ends the header */
	if (!image_alloc(name, img, width, height, kind == '3' || kind == '6' ? 3 : 1))
		return false;
	n = (size_t)width * height * img->channels;
	for (i = 0; i < n; i++) {
		if (text) {
			if (!pnm_number(&r, &v))
				break;
		} else {
			if ((size_t)(r.end - r.p) < (max > 255 ? 2u : 1u))
				break;
			v = *r.p++;
			if (max > 255)
				v = v << 8 | *r.p++;
		}
		img->data[i] = (uint8_t)(v > max ? 255 : (v * 255 + max / 2) / max);
	}
	if (i == n)
		return true;
	complain("%s: PNM: ends after %zu of %zu samples", name, i, n);
	image_free(img);
	return false;
}

int image_decode(const char *name, const void *file, size_t size, struct image *img)
{
	const uint8_t *p = file;
	bool ok;

	*img = (struct image){ 0 };
	if (size >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8))
		ok = decode_png(name, file, size, img);
	else if (size >= 3 && !memcmp(p, "\xff\xd8\xff", 3))
		ok = decode_jpeg(name, file, size, img);
	else if (size >= 3 && p[0] == 'P' && strchr("2356", p[1]) && isspace(p[2]))
		ok = decode_pnm(name, file, size, img);
	else
		return 0;
	return ok ? 1 : -1;
}

/* Weights of one output coordinate over the input coordinates from @first on. */
struct taps {
	uint32_t first;
	uint32_t count;
	float *weight;
};

/*
 * A triangle filter as wide as the reduction: bilinear interpolation when
 * enlarging, antialiased when reducing, the same as the training frameworks'
 * image libraries. The input range [start, start + length) maps to @n outputs.
 */
static struct taps *make_taps(float start, float length, uint32_t size, uint32_t n)
{
	struct taps *taps = xcalloc(n, sizeof(*taps));
	float step = length / (float)n, support = step > 1 ? step : 1;
	uint32_t i, j;

	for (i = 0; i < n; i++) {
		float centre = start + ((float)i + 0.5f) * step, sum = 0;
		float low = centre - support + 0.5f, high = centre + support + 0.5f;
		uint32_t first = low > 0 ? (uint32_t)low : 0;
		uint32_t last = high < (float)size ? (uint32_t)high : size;

		if (last <= first) {	/* rounding at the far edge */
			last = size;
			first = size - 1;
		}
		taps[i] = (struct taps){ .first = first, .count = last - first };
		taps[i].weight = xcalloc(taps[i].count, sizeof(float));
		for (j = 0; j < taps[i].count; j++) {
			float d = ((float)(first + j) + 0.5f - centre) / support;

			d = d < 0 ? -d : d;
			taps[i].weight[j] = d < 1 ? 1 - d : 0;
			sum += taps[i].weight[j];
		}
		for (j = 0; j < taps[i].count; j++)
			taps[i].weight[j] = sum > 0 ? taps[i].weight[j] / sum :
					    1.0f / (float)taps[i].count;
	}
	return taps;
}

static void free_taps(struct taps *taps, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		free(taps[i].weight);
	free(taps);
}

/* The part [x, x + w) x [y, y + h) of @src to the rectangle of @dst at (dx, dy); separable. */
static void resample(const struct image *src, float x, float y, float w, float h,
		     const struct image *dst, uint32_t dx, uint32_t dy, uint32_t dw, uint32_t dh)
{
	struct taps *tx = make_taps(x, w, src->width, dw), *ty = make_taps(y, h, src->height, dh);
	uint32_t ch = src->channels, row, col, c, k;
	size_t line = (size_t)dw * ch;
	float *mid = xcalloc(line * src->height, sizeof(*mid)), *m = mid;

	for (row = 0; row < src->height; row++) {
		const uint8_t *in = src->data + (size_t)row * src->width * ch;

		for (col = 0; col < dw; col++)
			for (c = 0; c < ch; c++, m++)
				for (k = 0; k < tx[col].count; k++)
					*m += tx[col].weight[k] *
					      (float)in[(tx[col].first + k) * ch + c];
	}
	for (row = 0; row < dh; row++) {
		uint8_t *out = dst->data + ((size_t)(dy + row) * dst->width + dx) * ch;

		for (col = 0; col < line; col++) {
			float sum = 0.5f;

			for (k = 0; k < ty[row].count; k++)
				sum += ty[row].weight[k] * mid[(ty[row].first + k) * line + col];
			out[col] = (uint8_t)(sum < 255 ? sum : 255);
		}
	}
	free(mid);
	free_taps(tx, dw);
	free_taps(ty, dh);
}

static void convert_channels(const struct image *src, uint32_t channels, struct image *dst)
{
	size_t n = (size_t)src->width * src->height, i;

	*dst = (struct image){ .width = src->width, .height = src->height, .channels = channels };
	dst->data = xcalloc(n, channels);
	if (src->channels == channels) {
		memcpy(dst->data, src->data, n * channels);
		return;
	}
	for (i = 0; i < n; i++) {
		const uint8_t *p = src->data + i * src->channels;

		if (channels == 3)
			memset(dst->data + 3 * i, *p, 3);
		else	/* ITU-R 601 luma, as libpng and libjpeg weight it */
			dst->data[i] = (uint8_t)((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000);
	}
}

void image_fit(const struct image *src, uint32_t width, uint32_t height, uint32_t channels,
	       enum image_fit fit, struct image *dst)
{
	float x = 0, y = 0, w = (float)src->width, h = (float)src->height;
	uint32_t dw = width, dh = height;
	struct image img;
	float fx, fy, f;

	convert_channels(src, channels, &img);
	if (src->width == width && src->height == height) {
		*dst = img;
		return;
	}
	fx = (float)width / w;
	fy = (float)height / h;
	if (fit == FIT_CROP) {
		f = fx > fy ? fx : fy;
		w = (float)width / f;
		h = (float)height / f;
		x = ((float)src->width - w) / 2;
		y = ((float)src->height - h) / 2;
	} else if (fit == FIT_PAD) {
		f = fx < fy ? fx : fy;
		dw = (uint32_t)((float)src->width * f + 0.5f);
		dh = (uint32_t)((float)src->height * f + 0.5f);
		dw = dw ? dw > width ? width : dw : 1;
		dh = dh ? dh > height ? height : dh : 1;
	}
	*dst = (struct image){ .width = width, .height = height, .channels = channels };
	dst->data = xcalloc((size_t)width * height, channels);
	resample(&img, x, y, w, h, dst, (width - dw) / 2, (height - dh) / 2, dw, dh);
	image_free(&img);
}
