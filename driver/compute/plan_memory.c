// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DOC: Addresses
 *
 * Every tensor of the arena lives from the first step that writes it, or a part
 * of it, to the last that reads it. Tensors are placed in the order of their
 * first steps, each at the lowest address where it fits beside those alive; what
 * is alive is a list ordered by address.
 */
#include "plan.h"

/*
 * Kernels read whole vectors and prefetch: around the tensors of the arena there is room
 * for what lies in front of the first and behind the last.
 */
#define MARGIN		4096

static u64 root_bytes(const struct pat_builder *b, u32 tensor)
{
	return pat_up(4ULL * b->prog->tensors[tensor].c * pat_map_of(b, tensor)->plane, PAT_ALIGN);
}

static u64 place_one(struct pat_builder *b, u32 *alive, u32 tensor)
{
	struct pat_map *maps = b->plan->maps;
	u64 at = MARGIN, bytes = root_bytes(b, tensor);
	u32 *link = alive;

	while (*link != PAT_NONE) {
		struct pat_map *m = &maps[*link];

		if (m->last < maps[tensor].first) {
			*link = m->chain;
			continue;
		}
		if (m->off >= at + bytes)
			break;
		at = m->off + root_bytes(b, *link);
		link = &m->chain;
	}
	maps[tensor].off = at;
	maps[tensor].chain = *link;
	*link = tensor;
	return at + bytes;
}

/* Roots in the order of their first steps, as a list through the chain member. */
static void sort_roots(struct pat_builder *b, u32 *head)
{
	struct pat_map *maps = b->plan->maps;
	u32 i, *link;

	*head = PAT_NONE;
	for (i = b->prog->tensor_count; i--;) {
		if (maps[i].parent != PAT_NONE || maps[i].base != PAT_BASE_ARENA ||
		    maps[i].first == PAT_NONE)
			continue;
		/* Tensors are mostly written in the order of their numbers: the walk is short. */
		for (link = head; *link != PAT_NONE && maps[*link].first < maps[i].first;)
			link = &maps[*link].chain;
		maps[i].chain = *link;
		*link = i;
	}
}

static void resolve(struct pat_builder *b, struct pat_ref *ref)
{
	struct pat_map *maps = b->plan->maps;
	u32 t = ref->tensor;
	u64 off = 0;

	if (!ref->used || t == PAT_NONE)
		return;
	while (maps[t].parent != PAT_NONE) {
		off += maps[t].parent_off * 4ULL;
		t = maps[t].parent;
	}
	ref->off += maps[t].off + off;
	ref->base = maps[t].base;
	ref->io = maps[t].io;
}

int pat_place(struct pat_builder *b)
{
	struct pat_plan_full *plan = b->plan;
	u32 alive = PAT_NONE, next, t, i, k;
	u64 end = MARGIN;

	sort_roots(b, &next);
	while (next != PAT_NONE) {
		u64 e;

		t = next;
		next = plan->maps[t].chain;
		e = place_one(b, &alive, t);
		if (e > end)
			end = e;
		if (end > PAT_MAX_ARENA - MARGIN)
			return pat_fail(&b->ck, -E2BIG, "activations need more than %U bytes",
					(u64)PAT_MAX_ARENA);
	}
	plan->pub.arena_bytes = end + MARGIN;
	if (plan->pub.scratch_bytes > PAT_MAX_SCRATCH)
		return pat_fail(&b->ck, -E2BIG, "a tile needs more than %U bytes of scratch",
				(u64)PAT_MAX_SCRATCH);
	for (i = 0; i < plan->task_count; i++) {
		resolve(b, &plan->tasks[i].out);
		for (k = 0; k < ARRAY_SIZE(plan->tasks[i].in); k++)
			resolve(b, &plan->tasks[i].in[k]);
	}
	return 0;
}
