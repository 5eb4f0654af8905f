// SPDX-License-Identifier: MIT
/*
 * Whole nets: every variant, fused and not, beside ONNX Runtime on the dense model. The
 * results of a variant whose ONNX file is given are compared with ONNX Runtime's.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "netbench.h"

struct whole {
	struct entry entry;
	struct model_file file;
	struct host *host;
	void *io[PAT_MAX_IO];
	void *memory;
	bool fused;
};

static void run_host(void *arg, u32 reps)
{
	struct whole *w = arg;

	while (reps--)
		host_run(w->host, w->io, NULL);
}

static void run_ort(void *arg, u32 reps)
{
	struct whole *w = arg;

	while (reps--)
		ort_run(w->entry.layer);
}

static bool open_host(struct whole *w, const char *variant, const char *path, bool fused, const struct options *o)
{
	struct host_opts opts = { .isa = o->isa, .threads = o->threads,
				  .plan_flags = fused ? 0 : PAT_PLAN_NO_FUSE };
	u64 bytes = 0;
	u32 i, pass;

	*w = (struct whole){ .entry = { .run = run_host, .variant = variant }, .fused = fused };
	if (!model_file_open(&w->file, path))
		return false;
	w->host = host_open(path, &w->file.prog, &opts);
	for (pass = 0; pass < 2; pass++) {
		if (pass)
			w->memory = memory(bytes);
		for (i = 0, bytes = 0; i < w->file.prog.io_count; i++) {
			w->io[i] = (char *)w->memory + bytes;
			bytes += (pat_tensor_bytes(model_file_io(&w->file, i)) + 63) & ~63ULL;
		}
	}
	fill_floats(w->io[w->file.inputs[0]],
		    pat_tensor_bytes(model_file_io(&w->file, w->file.inputs[0])) / sizeof(float), 2);
	w->entry.macs = w->file.prog.macs_kept;
	return w->host;
}

/* Largest difference to ONNX Runtime's output of the same model, by the largest value. */
static double difference(struct whole *w, const char *onnx)
{
	struct ort_model *m = ort_open(onnx, 1);
	const float *own = w->io[w->file.outputs[0]], *ref;
	double worst = 0, scale = 1e-9;
	u64 n, i;

	ort_run(m);
	host_run(w->host, w->io, NULL);
	ref = ort_output(m, &n);
	for (i = 0; i < n; i++) {
		worst = fmax(worst, fabs((double)own[i] - ref[i]));
		scale = fmax(scale, fabs(ref[i]));
	}
	if (n * sizeof(float) != pat_tensor_bytes(model_file_io(&w->file, w->file.outputs[0])))
		worst = INFINITY;
	ort_close(m);
	return worst / scale;
}

static void emit_net(const char *name, const struct whole *w, const struct whole *base, const struct options *o)
{
	double v[MAX_ROUNDS], ratio, ms;
	u32 i;

	for (i = 0; i < o->rounds; i++)
		v[i] = base ? base->entry.t[i] / w->entry.t[i] : 0;
	ratio = median(v, o->rounds);
	memcpy(v, w->entry.t, sizeof(v));
	ms = median(v, o->rounds) * 1e3;
	printf("{\"kind\":\"net\",\"net\":\"%s\",\"peer\":\"%s\",\"variant\":\"%s\",\"fused\":%s,\"threads\":%u,"
	       "\"median_ms\":%.5g,\"min_ms\":%.5g,\"ratio\":%.4g,\"macs\":%llu}\n", name,
	       w->host ? "patcnn" : "onnxruntime", w->entry.variant, w->fused ? "true" : "false", o->threads, ms,
	       v[0] * 1e3, ratio, (unsigned long long)w->entry.macs);
	fflush(stdout);
}

bool whole_net(const char *name, char *const *arg, u32 count, const struct options *o)
{
	struct whole *w = calloc(2 * count + 1, sizeof(*w)), *base = NULL;
	u32 n = 0, i, r;
	bool ok = true;

	for (i = 0; i < count; i++) {
		char *variant = strchr(arg[i], ':') + 1, *path = strchr(variant, '='), *onnx = strchr(path, ',');
		double e;

		*path++ = '\0';
		if (!strcmp(variant, "onnx")) {
			base = &w[n++];
			base->entry = (struct entry){ .run = run_ort, .variant = "dense",
						      .layer = ort_open(path, o->threads) };
			continue;
		}
		if (onnx)
			*onnx++ = '\0';
		if (!open_host(&w[n++], variant, path, true, o) || !open_host(&w[n++], variant, path, false, o))
			return false;
		e = onnx ? fmax(difference(&w[n - 1], onnx), difference(&w[n - 2], onnx)) : 0;
		if (!(e < 1e-3)) {
			fprintf(stderr, "netbench: %s %s: differs from ONNX Runtime by %g\n", name, variant, e);
			ok = false;
		}
	}
	for (i = 0; i < n; i++)
		entry_warm(&w[i].entry, o);
	for (r = 0; r < o->rounds; r++)
		for (i = 0; i < n; i++)
			w[i].entry.t[r] = entry_sample(&w[i].entry, o);
	for (i = 0; i < n; i++) {
		emit_net(name, &w[i], base, o);
		if (w[i].host) {
			host_close(w[i].host);
			free(w[i].memory);
			model_file_close(&w[i].file);
		} else {
			ort_close(w[i].entry.layer);
		}
	}
	free(w);
	return ok;
}
