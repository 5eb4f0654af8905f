#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# usage: probe.sh OUTPUT COMPILER FLAGS...
# Writes a header that says which kernel interfaces the headers in FLAGS have.
set -eu
out=$1
shift
tmp=$(mktemp -d "${TMPDIR:-/tmp}/patcnn-probe.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM

compiles() {
	cat >"$tmp/t.c"
	"$@" -Werror -Wno-unused -Wno-missing-prototypes -Wno-missing-declarations \
		-c -o "$tmp/t.o" "$tmp/t.c" >"$tmp/log" 2>&1
}

need() {
	text=$1
	shift
	if ! compiles "$@"; then
		cat "$tmp/log" >&2
		echo "patcnn: $text" >&2
		exit 1
	fi
}

have() {
	name=$1
	shift
	if compiles "$@"; then
		echo "#define PATCNN_HAVE_$name 1" >>"$tmp/config.h"
	fi
}

echo "/* SPDX-License-Identifier: GPL-2.0-only */" >"$tmp/config.h"

need "the compiler cannot build against these kernel headers." "$@" <<'C'
#include <linux/module.h>
#include <drm/gpu_scheduler.h>
C

need "drm_sched_init() of this kernel is too old (6.12.114 is the oldest tested)." "$@" <<'C'
#include <linux/module.h>
#include <drm/gpu_scheduler.h>
int f(struct drm_gpu_scheduler *s, const struct drm_sched_init_args *a);
int f(struct drm_gpu_scheduler *s, const struct drm_sched_init_args *a) { return drm_sched_init(s, a); }
C

have SCHED_NUM_RQS "$@" <<'C'
#include <linux/module.h>
#include <drm/gpu_scheduler.h>
struct drm_sched_init_args a = { .num_rqs = 1 };
C

have SCHED_CLIENT_ID "$@" <<'C'
#include <linux/module.h>
#include <drm/gpu_scheduler.h>
int f(struct drm_sched_job *j, struct drm_sched_entity *e);
int f(struct drm_sched_job *j, struct drm_sched_entity *e) { return drm_sched_job_init(j, e, 1, e, (u64)1); }
C

have SHMEM_VMAP_LOCKED "$@" <<'C'
#include <linux/module.h>
#include <drm/drm_gem_shmem_helper.h>
int (*p)(struct drm_gem_shmem_object *, struct iosys_map *) = drm_gem_shmem_vmap_locked;
C

# A string compiles with both kinds, but imports nothing with the older one.
have IMPORT_NS_TOKEN "$@" <<'C'
#include <linux/module.h>
MODULE_IMPORT_NS(DMA_BUF);
C

have NEON_STATE "$@" <<'C'
#include <linux/module.h>
#include <asm/neon.h>
void f(struct user_fpsimd_state *s);
void f(struct user_fpsimd_state *s) { kernel_neon_begin(s); kernel_neon_end(s); }
C

# Left alone when nothing changed: everything depends on it.
cmp -s "$tmp/config.h" "$out" || cp "$tmp/config.h" "$out"
