// SPDX-License-Identifier: MIT
/*
 * netbench [OPTION]... NET:VARIANT=FILE.patcnn... [NET:onnx=FILE.onnx]
 *
 *   -m WHAT    limit, layers, nets, traffic (of fused groups) or clients (layers)
 *   -t N       threads (1)               -n N    rounds (11)
 *   -s MS      least time of a sample, in ms (1)
 *   -p LIST    peers (onednn,xnnpack,xnnpack-sparse,onnxruntime)
 *   -l TEXT    only layers whose shape has it
 *   -i ISA     kernels (best)
 *
 * Writes a JSON object a line; tools/bench/README.md says what its keys mean.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "limit.h"
#include "netbench.h"

#define MAX_KNOWN	4096

static const struct peer *const all_peers[] = {
	&peer_onednn, &peer_xnnpack, &peer_xnnpack_chw, &peer_onnxruntime,
};

bool wants(const struct options *o, const char *peer)
{
	const char *at = strstr(o->peers, peer);
	size_t n = strlen(peer);

	/* xnnpack is the head of xnnpack-sparse */
	while (at && (at[n] && at[n] != ','))
		at = strstr(at + 1, peer);
	return at;
}

/* ---- one thing that is timed ---- */

static void run_peer(void *arg, u32 reps)
{
	struct entry *e = arg;

	while (reps--)
		e->peer->run(e->layer);
}

static void run_own(void *arg, u32 reps)
{
	struct entry *e = arg;

	net_run_step(e->net, e->own->step, reps);
}

double entry_sample(struct entry *e, const struct options *o)
{
	double start;

	if (o->threads > 1)
		wait_quiet();
	start = seconds(o->threads);
	e->run(e, e->reps);
	return (seconds(o->threads) - start) / e->reps;
}

void entry_warm(struct entry *e, const struct options *o)
{
	double t;

	e->reps = 1;
	entry_sample(e, o);
	t = entry_sample(e, o);
	if (t * 1e3 < o->sample_ms)
		e->reps = (u32)(o->sample_ms * 1e-3 / (t > 1e-7 ? t : 1e-7)) + 1;
	entry_sample(e, o);
}

/* ---- layers ---- */

static struct {
	struct shape shape;
	char who[40];
	char *text;
} known[MAX_KNOWN];
static u32 known_count;

static const char *find_known(const struct shape *s, const char *who)
{
	u32 i;

	for (i = 0; i < known_count; i++)
		if (!memcmp(&known[i].shape, s, sizeof(*s)) && !strcmp(known[i].who, who))
			return known[i].text;
	return NULL;
}

static void keep(const struct shape *s, const char *who, const char *text)
{
	if (known_count == MAX_KNOWN)
		return;
	known[known_count].shape = *s;
	snprintf(known[known_count].who, sizeof(known[0].who), "%s", who);
	known[known_count++].text = strdup(text);
}

static void emit(const char *net, const char *name, u32 count, const char *text)
{
	printf("{\"kind\":\"layer\",\"net\":\"%s\",\"name\":\"%s\",\"count\":%u,%s}\n", net, name, count, text);
	fflush(stdout);
}

/* Of input, output, residual and the weights that are not zero. */
static u64 least_bytes(const struct net_layer *l)
{
	const struct shape *s = &l->shape;

	return 4 * (l->nonzero + (u64)s->ic * s->ih * s->iw +
		    (u64)s->oc * s->oh * s->ow * (s->residual ? 2 : 1));
}

static void result_text(const struct entry *e, const struct entry *base, const struct options *o,
			const double *peak, char *text, size_t size)
{
	double v[MAX_ROUNDS], ratio = 0, pct, ms, low;
	char shape[64];
	u32 i;

	shape_name(&e->own->shape, shape, sizeof(shape));
	for (i = 0; base && i < o->rounds; i++)
		v[i] = base->t[i] / e->t[i];
	if (base)
		ratio = median(v, o->rounds);
	for (i = 0; i < o->rounds; i++)
		v[i] = 100.0 * (double)e->macs * peak[i] / e->t[i] / o->threads;
	pct = median(v, o->rounds);
	memcpy(v, e->t, sizeof(v));
	ms = median(v, o->rounds) * 1e3;
	low = v[0] * 1e3;
	snprintf(text, size,
		 "\"layer\":\"%s\",\"peer\":\"%s\",\"variant\":\"%s\",\"threads\":%u,\"median_ms\":%.5g,"
		 "\"min_ms\":%.5g,\"ratio\":%.4g,\"pct_of_peak\":%.4g,\"macs\":%llu,\"macs_dense\":%llu,"
		 "\"bytes\":%llu,\"algorithm\":\"%s\"", shape, e->peer ? e->peer->name : "patcnn", e->variant,
		 o->threads, ms, low, ratio, pct, (unsigned long long)e->own->macs, (unsigned long long)e->own->macs_dense,
		 (unsigned long long)least_bytes(e->own),
		 e->peer ? "" : e->own->algorithm);
}

static void measure(struct entry *e, u32 count, const struct options *o, double *peak)
{
	u32 r, i;

	for (i = 0; i < count; i++)
		entry_warm(&e[i], o);
	for (r = 0; r < o->rounds; r++) {
		double a = fma_seconds(), b;

		for (i = 0; i < count; i++)
			e[i].t[r] = entry_sample(&e[i], o);
		b = fma_seconds();
		peak[r] = a < b ? a : b;
	}
}

static bool pruned(const struct net_layer *l)
{
	return l->nonzero < shape_weights(&l->shape) / 100 * 99;
}

/* The variants of a net and the peers on layer @at of it; 0 entries: all is known. */
static u32 collect(struct net *nets, u32 net_count, u32 at, const struct options *o, struct entry *e)
{
	const struct shape *s = &nets[0].layers[at].shape;
	bool fresh = false;
	float *weights;
	u32 n = 0, i, v;

	for (v = 0; v < net_count; v++) {
		struct net_layer *l = &nets[v].layers[at];

		if (v && !pruned(l))
			continue;
		fresh = fresh || !find_known(s, nets[v].variant);
		e[n++] = (struct entry){ .run = run_own, .net = &nets[v], .own = l, .variant = nets[v].variant,
					 .macs = l->macs };
	}
	if (!fresh)
		return n;
	for (i = 0; i < ARRAY_SIZE(all_peers); i++) {
		struct entry *p = &e[n];

		if (!wants(o, all_peers[i]->name))
			continue;
		*p = (struct entry){ .run = run_peer, .peer = all_peers[i], .own = &nets[0].layers[at],
				     .variant = "dense", .macs = nets[0].layers[at].macs_dense };
		for (v = 1; all_peers[i] == &peer_xnnpack_chw && v < net_count; v++) {
			/* Its sparse path gets unstructured weights, its best case, where there are any. */
			if (strcmp(nets[v].variant, "1x1-10%") || !pruned(&nets[v].layers[at]))
				continue;
			p->own = &nets[v].layers[at];
			p->variant = nets[v].variant;
			weights = net_weights(&nets[v], p->own);
			p->layer = p->peer->open(s, weights, o->threads);
			free(weights);
		}
		if (!p->layer && !(all_peers[i] == &peer_xnnpack_chw && s->kh == 1 && s->groups == 1)) {
			weights = net_weights(&nets[0], &nets[0].layers[at]);
			p->layer = p->peer->open(s, weights, o->threads);
			free(weights);
		}
		if (p->layer)
			n++;
	}
	return n;
}

static void one_layer(const char *net, struct net *nets, u32 net_count, u32 at, u32 count, const struct options *o)
{
	const struct net_layer *first = &nets[0].layers[at];
	static struct entry e[MAX_ENTRIES];
	double peak[MAX_ROUNDS];
	struct entry *base = NULL;
	char text[1024];
	u32 n, i;

	n = collect(nets, net_count, at, o, e);
	if (!e[n - 1].peer && find_known(&first->shape, "dense")) {
		for (i = 0; i < known_count; i++)
			if (!memcmp(&known[i].shape, &first->shape, sizeof(first->shape)))
				emit(net, first->name, count, known[i].text);
		return;
	}
	for (i = 0; i < net_count; i++)
		net_fill(&nets[i]);
	measure(e, n, o, peak);
	for (i = 0; i < n; i++)
		if (e[i].peer == &peer_onednn)
			base = &e[i];
	for (i = 0; i < n; i++) {
		result_text(&e[i], base, o, peak, text, sizeof(text));
		emit(net, first->name, count, text);
		if (!find_known(&first->shape, e[i].peer ? e[i].peer->name : e[i].variant))
			keep(&first->shape, e[i].peer ? e[i].peer->name : e[i].variant, text);
		if (e[i].peer)
			e[i].peer->close(e[i].layer);
	}
}

static bool layers_of(const char *name, char *const *arg, u32 count, const struct options *o)
{
	struct net nets[MAX_VARIANTS] = { 0 };
	u32 n = 0, i, k, same;
	char shape[64];

	for (i = 0; i < count; i++) {
		char *variant = strchr(arg[i], ':') + 1, *path = strchr(variant, '=');

		if (!strncmp(variant, "onnx=", 5))
			continue;
		*path++ = '\0';
		if (n == MAX_VARIANTS || !net_open(&nets[n++], variant, path, o->isa, o->threads))
			return false;
		if (nets[n - 1].layer_count != nets[0].layer_count) {
			fprintf(stderr, "%s: other layers than %s\n", path, nets[0].file.path);
			return false;
		}
	}
	for (i = 0; i < nets[0].layer_count; i++) {
		const struct shape *s = &nets[0].layers[i].shape;

		shape_name(s, shape, sizeof(shape));
		for (k = 0, same = 0; k < nets[0].layer_count; k++) {
			if (memcmp(&nets[0].layers[k].shape, s, sizeof(*s)))
				continue;
			if (k < i)
				break;
			same++;
		}
		if (k == nets[0].layer_count && (!o->only || strstr(shape, o->only)))
			one_layer(name, nets, n, i, same, o);
	}
	for (i = 0; i < n; i++)
		net_close(&nets[i]);
	return true;
}

static void print_limit(void)
{
	struct limit l;

	limit_measure(&l);
	printf("{\"kind\":\"limit\",\"isa\":\"%s\",\"fma\":%.1f,\"fma_aligned\":%.1f,\"fma_misaligned\":%.1f,"
	       "\"fma_shared\":%.1f,\"l1\":%.1f,\"l1_misaligned\":%.1f,\"l2\":%.1f,\"memory\":%.1f}\n", fma_isa(),
	       l.fma, l.fma_aligned, l.fma_misaligned, l.fma_shared, l.l1, l.l1_misaligned, l.l2, l.memory);
}

/* One record for each model. */
static bool each(const char *what, const char *name, char *const *arg, u32 count, const struct options *o)
{
	bool ok = true;
	u32 i;

	for (i = 0; i < count; i++) {
		char *variant = strchr(arg[i], ':') + 1, *path = strchr(variant, '=');

		*path++ = '\0';
		if (strcmp(variant, "onnx"))
			ok = net_traffic(name, variant, path, o) && ok;
		else if (!strcmp(what, "clients"))
			ok = ort_clients(name, path, o) && ok;
	}
	return ok;
}

int main(int argc, char **argv)
{
	struct options o = { .threads = 1, .rounds = 11, .sample_ms = 1, .isa = host_isa(NULL),
			     .peers = "onednn,xnnpack,xnnpack-sparse,onnxruntime" };
	const char *what = "layers";
	char version[32] = "";
	int i, k, opt;

	while ((opt = getopt(argc, argv, "m:t:n:s:p:l:i:")) > 0) {
		switch (opt) {
		case 'm':
			what = optarg;
			break;
		case 't':
			o.threads = (u32)atoi(optarg);
			break;
		case 'n':
			o.rounds = (u32)atoi(optarg);
			break;
		case 's':
			o.sample_ms = atof(optarg);
			break;
		case 'p':
			o.peers = optarg;
			break;
		case 'l':
			o.only = optarg;
			break;
		case 'i':
			o.isa = host_isa(optarg);
			break;
		default:
			return 2;
		}
	}
	if (!o.isa || !o.threads || !o.rounds || o.rounds > MAX_ROUNDS)
		return 2;
	if (!strcmp(what, "limit")) {
		print_limit();
		return 0;
	}
	/* Clients load it after they have been forked. */
	if (strcmp(what, "traffic") && strcmp(what, "clients") && wants(&o, "onnxruntime") &&
	    !ort_load(version, sizeof(version))) {
		fprintf(stderr, "netbench: no ONNX Runtime; tools/bench/nets installs it\n");
		return 1;
	}
	pool_start(o.threads);
	for (i = optind; i < argc; i = k) {
		size_t n = strcspn(argv[i], ":");
		char name[32];
		bool ok;

		snprintf(name, sizeof(name), "%.*s", (int)n, argv[i]);
		for (k = i; k < argc && !strncmp(argv[k], argv[i], n + 1); k++)
			if (!strchr(argv[k] + n, '='))
				return 2;
		if (!strcmp(what, "layers"))
			ok = layers_of(name, argv + i, (u32)(k - i), &o);
		else if (!strcmp(what, "nets"))
			ok = whole_net(name, argv + i, (u32)(k - i), &o);
		else
			ok = each(what, name, argv + i, (u32)(k - i), &o);
		if (!ok)
			return 1;
	}
	return 0;
}
