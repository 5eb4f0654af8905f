// SPDX-License-Identifier: MIT
/* patcnn prune: arguments, rules for layers, report. */

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "prune_onnx.h"
#include "util.h"

#define MAX_OVERRIDES	64

static const char help[] =
"usage: patcnn prune IN.onnx -o OUT.onnx RULE... [OPTION]...\n"
"\n"
"One-shot pruning by L2 norm, without training: what is removed becomes zero. The\n"
"result is standard ONNX. Rules, which may be combined:\n"
"      --pattern 4of9      3x3 kernels keep one of a few patterns of so many positions\n"
"      --patterns K        how many patterns, chosen over the whole net (default: 8)\n"
"      --any-centre        patterns may drop the middle\n"
"      --connectivity R    1 of R kernels is kept (convolutions larger than 1x1)\n"
"      --group G           G filters, formed by similarity, share channels and patterns\n"
"      --block OxI         blocks of O filters and I channels, punched at the same positions\n"
"      --keep SHARE        of block positions kept (default: 0.25)\n"
"      --nm N:M            N of M consecutive input channels at each position\n"
"      --unstructured S    remove this share of single weights\n"
"With --pattern or --connectivity the others are for the layers these do not touch.\n"
"Depthwise layers stay as they are, and the first layer keeps all its kernels.\n"
"\n"
"  -o, --output FILE\n"
"      --layer GLOB=SPEC   another rule for layers by name (node or weights): none, or of\n"
"                          pattern, connectivity:R, group:G, block:OxI:KEEP, nm:N:M,\n"
"                          unstructured:S, joined by +; the last that matches wins\n"
"      --report            a line for each layer: norm retained, weights, MACs\n"
"  -h, --help\n";

struct override {
	char *glob;
	struct prune_rule rule;
	bool matched;
};

struct arguments {
	struct prune_rule rule;
	unsigned int entries;
	unsigned int patterns;
	bool any_centre;
	bool patterns_given;
	bool keep_given;
	bool report;
	const char *in;
	const char *out;
	struct override overrides[MAX_OVERRIDES];
	unsigned int n_overrides;
};

static bool parse_number(const char *what, const char *s, double low, double high, double *v)
{
	char *end;

	*v = strtod(s, &end);
	if (end == s || *end || !(*v >= low && *v <= high)) {
		complain("%s: '%s' is not a number from %g to %g", what, s, low, high);
		return false;
	}
	return true;
}

/* "8x4", "1:8", "4of9": two numbers with @separator between them. */
static bool parse_pair(const char *what, const char *s, const char *separator, unsigned int *a,
		       unsigned int *b)
{
	unsigned long x, y;
	char *end;

	x = strtoul(s, &end, 10);
	if (end != s && !strncmp(end, separator, strlen(separator))) {
		const char *second = end + strlen(separator);

		y = strtoul(second, &end, 10);
		if (end != second && !*end && x && y && x <= 4096 && y <= 4096) {
			*a = (unsigned int)x;
			*b = (unsigned int)y;
			return true;
		}
	}
	complain("%s: '%s' is not A%sB", what, s, separator);
	return false;
}

static bool parse_nm(const char *s, struct prune_rule *r)
{
	if (!parse_pair("nm", s, ":", &r->n, &r->m))
		return false;
	if (r->n < r->m)
		return true;
	complain("nm: %u is not less than %u", r->n, r->m);
	return false;
}

static bool parse_group(const char *s, struct prune_rule *r)
{
	return parse_u32("group", s, 1, 64, &r->group);
}

static bool parse_block(char *s, struct prune_rule *r)
{
	char *keep = strchr(s, ':');

	if (keep)
		*keep++ = '\0';
	r->keep = 0.25;
	return parse_pair("block", s, "x", &r->block_out, &r->block_in) &&
	       (!keep || parse_number("block", keep, 0, 1, &r->keep));
}

static bool parse_item(char *s, struct prune_rule *r)
{
	char *value = strchr(s, ':');

	if (value)
		*value++ = '\0';
	if (!strcmp(s, "pattern") && !value) {
		r->pattern = true;
		return true;
	}
	if (!strcmp(s, "none") && !value)
		return true;
	if (value && !strcmp(s, "connectivity"))
		return parse_number(s, value, 1, 1e6, &r->connectivity);
	if (value && !strcmp(s, "group"))
		return parse_group(value, r);
	if (value && !strcmp(s, "block"))
		return parse_block(value, r);
	if (value && !strcmp(s, "nm"))
		return parse_nm(value, r);
	if (value && !strcmp(s, "unstructured"))
		return parse_number(s, value, 0, 1, &r->unstructured);
	complain("--layer: '%s' is no rule", s);
	return false;
}

static bool parse_override(struct arguments *a, char *s)
{
	struct override *o = &a->overrides[a->n_overrides];
	char *spec = strrchr(s, '='), *item;

	if (!spec || a->n_overrides == MAX_OVERRIDES) {
		complain("--layer wants GLOB=SPEC, not '%s'", s);
		return false;
	}
	*spec++ = '\0';
	o->glob = s;
	for (item = strtok(spec, "+"); item; item = strtok(NULL, "+"))
		if (!parse_item(item, &o->rule))
			return false;
	a->n_overrides++;
	return true;
}

static bool parse_pattern(struct arguments *a, const char *s)
{
	unsigned int taps;

	if (!parse_pair("--pattern", s, "of", &a->entries, &taps))
		return false;
	a->rule.pattern = true;
	if (taps == 9 && a->entries < 9)
		return true;
	complain("--pattern: patterns are of 1 to 8 of 9 positions, not '%s'", s);
	return false;
}

enum {
	OPT_PATTERN = 256,
	OPT_PATTERNS,
	OPT_ANY_CENTRE,
	OPT_CONNECTIVITY,
	OPT_GROUP,
	OPT_BLOCK,
	OPT_KEEP,
	OPT_NM,
	OPT_UNSTRUCTURED,
	OPT_LAYER,
	OPT_REPORT,
};

static bool take_option(struct arguments *a, int c)
{
	double keep = a->rule.keep;

	switch (c) {
	case 'o':
		a->out = optarg;
		return true;
	case OPT_PATTERN:
		return parse_pattern(a, optarg);
	case OPT_PATTERNS:
		a->patterns_given = true;
		return parse_u32("--patterns", optarg, 1, PRUNE_MAX_PATTERNS, &a->patterns);
	case OPT_ANY_CENTRE:
		a->any_centre = true;
		return true;
	case OPT_CONNECTIVITY:
		return parse_number("--connectivity", optarg, 1, 1e6, &a->rule.connectivity);
	case OPT_GROUP:
		return parse_group(optarg, &a->rule);
	case OPT_BLOCK:
		if (!parse_block(optarg, &a->rule))
			return false;
		a->rule.keep = keep;
		return true;
	case OPT_KEEP:
		a->keep_given = true;
		return parse_number("--keep", optarg, 0, 1, &a->rule.keep);
	case OPT_NM:
		return parse_nm(optarg, &a->rule);
	case OPT_UNSTRUCTURED:
		return parse_number("--unstructured", optarg, 0, 1, &a->rule.unstructured);
	case OPT_LAYER:
		return parse_override(a, optarg);
	case OPT_REPORT:
		a->report = true;
		return true;
	default:
		return false;
	}
}

static bool prunes(const struct prune_rule *r)
{
	return r->pattern || r->connectivity || r->block_out || r->m || r->unstructured > 0;
}

/* An option that changes nothing was meant to. */
static bool rules_ok(const struct arguments *a)
{
	bool pattern = a->rule.pattern, kernels = pattern || a->rule.connectivity > 0;
	unsigned int i;

	for (i = 0; i < a->n_overrides; i++)
		pattern = pattern || a->overrides[i].rule.pattern;
	if ((a->patterns_given || a->any_centre) && !pattern)
		complain("%s wants a rule with patterns: --pattern 4of9",
			 a->any_centre ? "--any-centre" : "--patterns");
	else if (a->rule.group > 1 && !kernels)
		complain("--group wants --pattern or --connectivity: groups share channels and patterns");
	else if (a->keep_given && !a->rule.block_out)
		complain("--keep wants --block: it is the share of block positions kept");
	else if (a->out && !prunes(&a->rule) && !a->n_overrides)
		complain("prune wants a rule, such as --pattern 4of9; see --help");
	else
		return true;
	return false;
}

/* Return: an exit status, or -1 to go on. */
static int parse_arguments(struct arguments *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "pattern", required_argument, NULL, OPT_PATTERN },
		{ "patterns", required_argument, NULL, OPT_PATTERNS },
		{ "any-centre", no_argument, NULL, OPT_ANY_CENTRE },
		{ "connectivity", required_argument, NULL, OPT_CONNECTIVITY },
		{ "group", required_argument, NULL, OPT_GROUP },
		{ "block", required_argument, NULL, OPT_BLOCK },
		{ "keep", required_argument, NULL, OPT_KEEP },
		{ "nm", required_argument, NULL, OPT_NM },
		{ "unstructured", required_argument, NULL, OPT_UNSTRUCTURED },
		{ "layer", required_argument, NULL, OPT_LAYER },
		{ "report", no_argument, NULL, OPT_REPORT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	a->patterns = 8;
	a->entries = 4;
	a->rule.keep = 0.25;
	while ((c = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return STATUS_OK;
		}
		if (!take_option(a, c))
			return STATUS_USAGE;
	}
	if (optind + 1 != argc || (!a->out && !a->report)) {
		complain("prune wants one ONNX file and -o FILE (or --report); see --help");
		return STATUS_USAGE;
	}
	a->in = argv[optind];
	return rules_ok(a) ? -1 : STATUS_USAGE;
}

/* What of the general rule applies to a layer of this shape. */
static struct prune_rule default_rule(const struct prune_rule *general, const struct prune_layer *l)
{
	unsigned int taps = l->kernel_h * l->kernel_w;
	struct prune_rule r = { 0 };
	bool first = l->in <= 4;

	if (l->in == 1 && l->groups > 1)
		return r;
	r.pattern = general->pattern && l->kernel_h == 3 && l->kernel_w == 3;
	if (!first && (r.pattern || (!general->pattern && taps > 1)))
		r.connectivity = general->connectivity;
	if (r.pattern || r.connectivity > 1) {
		r.group = general->group;
		return r;
	}
	if (first)
		return r;
	r.block_out = general->block_out;
	r.block_in = general->block_in;
	r.keep = general->keep;
	r.n = general->n;
	r.m = general->m;
	r.unstructured = general->unstructured;
	return r;
}

static bool set_rules(struct arguments *a, struct prune_model *m)
{
	unsigned int i, k;

	for (i = 0; i < m->count; i++) {
		struct prune_target *t = &m->targets[i];

		t->rule = default_rule(&a->rule, &t->layer);
		for (k = 0; k < a->n_overrides; k++)
			if (!fnmatch(a->overrides[k].glob, t->name, 0) ||
			    !fnmatch(a->overrides[k].glob, t->weights, 0)) {
				t->rule = a->overrides[k].rule;
				a->overrides[k].matched = true;
			}
	}
	for (k = 0; k < a->n_overrides; k++)
		if (!a->overrides[k].matched) {
			complain("--layer: '%s' is the name of no layer: see --report",
				 a->overrides[k].glob);
			return false;
		}
	return true;
}

static bool apply_rules(struct arguments *a, struct prune_model *m)
{
	struct prune_layer *patterned = xcalloc(m->count + 1, sizeof(*patterned));
	struct prune_patterns set;
	unsigned int i, n = 0;
	int err;

	for (i = 0; i < m->count; i++)
		if (m->targets[i].rule.pattern)
			patterned[n++] = m->targets[i].layer;
	err = prune_choose_patterns(patterned, n, a->entries, !a->any_centre, a->patterns, &set);
	free(patterned);
	for (i = 0; !err && i < m->count; i++)
		err = prune_apply(&m->targets[i].layer, &m->targets[i].rule, &set);
	if (err) {
		complain("%s", strerror(-err));
		return false;
	}
	for (i = 0; a->report && i < set.count; i++) {
		unsigned int bit;

		printf("%spattern %u  ", i ? "" : "\n", i + 1);
		for (bit = 0; bit < 9; bit++)
			printf("%s%c", bit && !(bit % 3) ? " " : "",
			       set.mask[i] >> bit & 1 ? '1' : '.');
		putchar('\n');
	}
	return true;
}

static void rule_text(const struct prune_rule *r, char *s, size_t size)
{
	size_t at = 0;

	s[0] = '\0';
#define ADD(...) (at += (size_t)snprintf(s + at, at < size ? size - at : 0, __VA_ARGS__))
	if (r->pattern)
		ADD("pattern ");
	if (r->connectivity > 1)
		ADD("1 of %g ", r->connectivity);
	if (r->group > 1)
		ADD("groups of %u ", r->group);
	if (r->block_out)
		ADD("blocks %ux%u keep %g ", r->block_out, r->block_in, r->keep);
	if (r->m)
		ADD("%u:%u ", r->n, r->m);
	if (r->unstructured > 0)
		ADD("unstructured %g ", r->unstructured);
#undef ADD
	if (!at)
		snprintf(s, size, "-");
}

static const char *macs_text(double macs)
{
	return macs > 0 ? show_count((uint64_t)macs) : "-";
}

static void report(const struct prune_model *m, bool layers)
{
	uint64_t weights = 0, kept = 0;
	double macs = 0, macs_kept = 0;
	int name = 5, width = 4;
	char rule[96];
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		rule_text(&m->targets[i].rule, rule, sizeof(rule));
		if ((int)strlen(rule) > width)
			width = (int)strlen(rule);
		if ((int)strlen(m->targets[i].name) > name)
			name = (int)strlen(m->targets[i].name);
	}
	if (layers)
		printf("\n%-*s %-17s %-*s %6s %9s %9s %9s %9s\n", name, "layer", "weights",
		       width, "rule", "norm", "weights", "kept", "MACs", "kept");
	for (i = 0; i < m->count; i++) {
		const struct prune_target *t = &m->targets[i];
		const struct prune_layer *l = &t->layer;
		uint64_t count = (uint64_t)l->out * l->in * l->kernel_h * l->kernel_w;
		char shape[48];

		weights += count;
		kept += t->kept;
		macs += t->positions * (double)count;
		macs_kept += t->positions * (double)t->kept;
		if (!layers)
			continue;
		snprintf(shape, sizeof(shape), "%ux%ux%ux%u", l->out, l->in, l->kernel_h,
			 l->kernel_w);
		rule_text(&t->rule, rule, sizeof(rule));
		printf("%-*s %-17s %-*s %5.1f%% %9s", name, t->name, shape, width, rule,
		       t->energy_before > 0 ? 100 * sqrt(t->energy_after / t->energy_before) : 100,
		       show_count(count));
		printf(" %9s", show_count(t->kept));
		printf(" %9s", macs_text(t->positions * (double)count));
		printf(" %9s\n", macs_text(t->positions * (double)t->kept));
	}
	printf("%u layers: weights %s -> %s (%.2fx)", m->count, show_count(weights),
	       show_count(kept), kept ? (double)weights / (double)kept : 0);
	if (macs > 0)
		printf(", MACs %s -> %s (%.2fx)", show_count((uint64_t)macs),
		       show_count((uint64_t)macs_kept), macs_kept > 0 ? macs / macs_kept : 0);
	putchar('\n');
}

static bool write_model(const char *path, const struct prune_model *m)
{
	size_t size;
	void *bytes = prune_model_write(m, &size);
	FILE *f = bytes ? fopen(path, "wb") : NULL;
	bool ok = f && fwrite(bytes, 1, size, f) == size;

	if (f && fclose(f))
		ok = false;
	if (!ok)
		complain("%s: %s", path, strerror(errno));
	free(bytes);
	return ok;
}

static int run(struct arguments *a)
{
	struct prune_model m;
	const char *why;
	size_t size;
	void *bytes = read_file(a->in, &size);
	bool ok;

	if (!bytes)
		return STATUS_FAILED;
	ok = prune_model_read(&m, bytes, size, &why);
	free(bytes);
	if (!ok) {
		complain("%s: %s", a->in, why);
		return STATUS_FAILED;
	}
	ok = set_rules(a, &m) && apply_rules(a, &m);
	if (ok) {
		prune_model_update(&m);
		report(&m, a->report);
		ok = !a->out || write_model(a->out, &m);
	}
	prune_model_free(&m);
	return ok ? STATUS_OK : STATUS_FAILED;
}

int cmd_prune(int argc, char **argv)
{
	struct arguments *a = xcalloc(1, sizeof(*a));
	int status = parse_arguments(a, argc, argv);

	if (status < 0)
		status = run(a);
	free(a);
	return status;
}
