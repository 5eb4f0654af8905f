// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Tiles and their scratch
 *
 * Two tiles for each CPU, each with a scratch as large as the most demanding of the
 * models that live asks for, rounded up to a power of two: then a pool sees few
 * changes. The model that makes scratch grow is created by somebody whose cgroup is
 * charged for it. Some time after the last such model is gone it shrinks again.
 *
 * Whoever holds a tile uses its scratch without a lock. So a replacement is only laid
 * beside it (&patcnn_tile.next), and taken by patcnn_tile_refresh() between two jobs'
 * tiles, or by a worker before it sleeps. What was replaced is freed by a work, because
 * fences wait for workers, and freeing waits for memory management.
 */

#include <linux/log2.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "patcnn_pool.h"
#include "patcnn_worker.h"

/* A client that loads and destroys a model again and again is spared the growing. */
#define PATCNN_SHRINK_MS	2000

static unsigned int patcnn_scratch_class(size_t bytes)
{
	return bytes <= PATCNN_MIN_SCRATCH ? 0 : order_base_2(bytes) - ilog2(PATCNN_MIN_SCRATCH);
}

static size_t patcnn_scratch_wanted(const struct patcnn_pool *pool)
{
	unsigned int class = PATCNN_SCRATCH_CLASSES - 1;

	lockdep_assert_held(&pool->scratch_lock);
	while (class && !pool->scratch_users[class])
		class--;
	return PATCNN_MIN_SCRATCH << class;
}

/* patcnn_tile_refresh - take another scratch if there is one; the tile is in nobody's use. */
void patcnn_tile_refresh(struct patcnn_pool *pool, struct patcnn_tile *tile)
{
	if (!READ_ONCE(tile->next))
		return;
	spin_lock(&tile->lock);
	if (tile->next) {
		/* Was emptied when next was set. */
		tile->old = tile->scratch;
		tile->scratch = tile->next;
		tile->scratch_bytes = tile->next_bytes;
		tile->dirty = 0;
		tile->next = NULL;
		mod_delayed_work(system_unbound_wq, &pool->settle, 0);
	}
	spin_unlock(&tile->lock);
}

static void *patcnn_scratch_alloc(size_t bytes, gfp_t gfp)
{
	return __vmalloc(bytes, gfp | __GFP_ZERO | __GFP_NOWARN);
}

static int patcnn_tile_resize(struct patcnn_tile *tile, size_t bytes, gfp_t gfp)
{
	void *fresh = patcnn_scratch_alloc(bytes, gfp);
	void *next, *old;

	if (!fresh)
		return -ENOMEM;
	spin_lock(&tile->lock);
	next = tile->next;
	old = tile->old;
	tile->old = NULL;
	tile->next_bytes = bytes;
	WRITE_ONCE(tile->next, fresh);
	spin_unlock(&tile->lock);
	vfree(next);
	vfree(old);
	return 0;
}

static size_t patcnn_tile_bytes(struct patcnn_tile *tile)
{
	size_t bytes;

	spin_lock(&tile->lock);
	bytes = tile->next ? tile->next_bytes : tile->scratch_bytes;
	spin_unlock(&tile->lock);
	return bytes;
}

static void patcnn_tile_free_old(struct patcnn_tile *tile)
{
	void *old;

	spin_lock(&tile->lock);
	old = tile->old;
	tile->old = NULL;
	spin_unlock(&tile->lock);
	vfree(old);
}

/* Brings scratch down to what is wanted, as far as memory allows, and frees what was replaced. */
static void patcnn_scratch_settle(struct work_struct *work)
{
	struct patcnn_pool *pool = container_of(to_delayed_work(work), struct patcnn_pool, settle);
	struct patcnn_tile *tile;
	bool changed = false;
	size_t bytes;

	mutex_lock(&pool->scratch_lock);
	if (pool->closing)
		goto unlock;
	bytes = patcnn_scratch_wanted(pool);
	pool->scratch_bytes = bytes;
	list_for_each_entry(tile, &pool->tiles, all_node) {
		patcnn_tile_free_old(tile);
		if (patcnn_tile_bytes(tile) > bytes && !patcnn_tile_resize(tile, bytes, GFP_KERNEL))
			changed = true;
	}
	if (changed) {
		spin_lock(&pool->lock);
		list_for_each_entry(tile, &pool->free, node)
			patcnn_tile_refresh(pool, tile);
		spin_unlock(&pool->lock);
		/* The others are in the hands of workers, who look before they sleep. */
		patcnn_workers_kick(pool, NULL, UINT_MAX);
	}
unlock:
	mutex_unlock(&pool->scratch_lock);
}

/*
 * patcnn_scratch_reserve - see to it that tiles have @bytes, until patcnn_scratch_release()
 *
 * Return: 0, -E2BIG, -ENOMEM, -EINTR, or -ENODEV: the pool is gone.
 */
int patcnn_scratch_reserve(struct patcnn_pool *pool, size_t bytes)
{
	struct patcnn_tile *tile;
	size_t wanted;
	int ret;

	if (bytes > PATCNN_MAX_SCRATCH)
		return -E2BIG;
	ret = mutex_lock_killable(&pool->scratch_lock);
	if (ret)
		return ret;
	if (pool->closing) {
		mutex_unlock(&pool->scratch_lock);
		return -ENODEV;
	}
	pool->scratch_users[patcnn_scratch_class(bytes)]++;
	wanted = patcnn_scratch_wanted(pool);
	list_for_each_entry(tile, &pool->tiles, all_node) {
		if (patcnn_tile_bytes(tile) >= wanted)
			continue;
		ret = fatal_signal_pending(current) ? -EINTR :
		      patcnn_tile_resize(tile, wanted, GFP_KERNEL_ACCOUNT);
		if (ret)
			break;
	}
	/* Also after a failure: what has grown is to shrink again. */
	pool->scratch_bytes = wanted;
	mutex_unlock(&pool->scratch_lock);
	if (ret)
		patcnn_scratch_release(pool, bytes);
	return ret;
}

/* patcnn_scratch_release - undo patcnn_scratch_reserve(); also when the pool is gone. */
void patcnn_scratch_release(struct patcnn_pool *pool, size_t bytes)
{
	mutex_lock(&pool->scratch_lock);
	pool->scratch_users[patcnn_scratch_class(bytes)]--;
	if (!pool->closing && patcnn_scratch_wanted(pool) < pool->scratch_bytes)
		mod_delayed_work(system_unbound_wq, &pool->settle,
				 msecs_to_jiffies(PATCNN_SHRINK_MS));
	mutex_unlock(&pool->scratch_lock);
}

static int patcnn_tile_add(struct patcnn_pool *pool, unsigned int cpu)
{
	struct patcnn_tile *tile = kzalloc_node(sizeof(*tile), GFP_KERNEL, cpu_to_node(cpu));

	if (!tile)
		return -ENOMEM;
	tile->scratch = patcnn_scratch_alloc(pool->scratch_bytes, GFP_KERNEL);
	if (!tile->scratch) {
		kfree(tile);
		return -ENOMEM;
	}
	tile->scratch_bytes = pool->scratch_bytes;
	spin_lock_init(&tile->lock);
	list_add(&tile->all_node, &pool->tiles);
	patcnn_pool_put_free(pool, tile);
	return 0;
}

/* patcnn_tiles_add - the two tiles of a CPU that comes up for the first time. */
bool patcnn_tiles_add(struct patcnn_pool *pool, unsigned int cpu)
{
	lockdep_assert_held(&pool->scratch_lock);
	return !patcnn_tile_add(pool, cpu) && !patcnn_tile_add(pool, cpu);
}

void patcnn_scratch_init(struct patcnn_pool *pool)
{
	mutex_init(&pool->scratch_lock);
	INIT_LIST_HEAD(&pool->free);
	INIT_LIST_HEAD(&pool->tiles);
	INIT_DELAYED_WORK(&pool->settle, patcnn_scratch_settle);
	pool->scratch_bytes = PATCNN_MIN_SCRATCH;
}

/*
 * patcnn_scratch_close - no change from here on
 *
 * A MODEL_CREATE that began before the device went away may still come by, and so may
 * models that others hold: the lock and the counters stay valid as long as the device.
 */
void patcnn_scratch_close(struct patcnn_pool *pool)
{
	mutex_lock(&pool->scratch_lock);
	pool->closing = true;
	mutex_unlock(&pool->scratch_lock);
}

/* patcnn_scratch_fini - free all tiles; workers are gone. */
void patcnn_scratch_fini(struct patcnn_pool *pool)
{
	struct patcnn_tile *tile, *tmp;

	cancel_delayed_work_sync(&pool->settle);
	list_for_each_entry_safe(tile, tmp, &pool->tiles, all_node) {
		vfree(tile->scratch);
		vfree(tile->next);
		vfree(tile->old);
		kfree(tile);
	}
	INIT_LIST_HEAD(&pool->tiles);
}
