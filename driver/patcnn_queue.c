// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The queue: jobs that could start
 *
 * Which job is next: the highest priority of the slot; of its clients the one that has
 * waited longest since its last turn; of that client's contexts likewise; of the context
 * the first job. So neither a deep queue nor many contexts buy more turns.
 *
 * &patcnn_pool.waiting lists clients, &patcnn_client_queue.contexts their contexts,
 * &patcnn_ctx.waiting jobs; who has nothing waiting is in no list. All of it belongs to
 * &patcnn_pool.lock.
 */

#include "patcnn_drv.h"
#include "patcnn_job.h"

/*
 * patcnn_waiting_add - the last of its context
 *
 * Who had nothing waiting goes to the end of the line, but before the one whose turn it is,
 * and who is there again already because of what else it has: a client that waits for each
 * job before it submits the next would have one turn of three beside a deep queue.
 */
void patcnn_waiting_add(struct patcnn_pool *pool, struct patcnn_job *job)
{
	struct patcnn_ctx *ctx = job->ctx;
	const struct patcnn_job *running = pool->slot[ctx->slot].job;
	struct patcnn_client_queue *queue = &ctx->client->queue[ctx->priority];
	struct list_head *clients = &pool->waiting[ctx->priority], *contexts = &queue->contexts;

	lockdep_assert_held(&pool->lock);

	if (running && running->ctx->priority == ctx->priority) {
		struct patcnn_ctx *turn = running->ctx;
		struct patcnn_client_queue *other = &turn->client->queue[turn->priority];

		if (other != queue && !list_empty(&other->contexts))
			clients = &other->node;
		if (other == queue && turn != ctx && !list_empty(&turn->waiting))
			contexts = &turn->queue_node;
	}
	if (list_empty(&ctx->waiting)) {
		if (list_empty(&queue->contexts))
			list_add_tail(&queue->node, clients);
		list_add_tail(&ctx->queue_node, contexts);
	}
	list_add_tail(&job->node, &ctx->waiting);
}

/*
 * patcnn_waiting_del - take a job out, to run it or because it is cancelled
 *
 * Context and client leave with their last job, and otherwise go to the end of the line.
 */
void patcnn_waiting_del(struct patcnn_pool *pool, struct patcnn_job *job)
{
	struct patcnn_ctx *ctx = job->ctx;
	struct patcnn_client_queue *queue = &ctx->client->queue[ctx->priority];

	lockdep_assert_held(&pool->lock);

	list_del_init(&job->node);
	if (list_empty(&ctx->waiting))
		list_del_init(&ctx->queue_node);
	else
		list_move_tail(&ctx->queue_node, &queue->contexts);
	if (list_empty(&queue->contexts))
		list_del_init(&queue->node);
	else
		list_move_tail(&queue->node, &pool->waiting[ctx->priority]);
}

/* patcnn_waiting_first - whose turn it is. Return: NULL if nobody waits. */
struct patcnn_job *patcnn_waiting_first(struct patcnn_pool *pool, unsigned int priority)
{
	struct patcnn_client_queue *queue;
	struct patcnn_ctx *ctx;

	lockdep_assert_held(&pool->lock);

	queue = list_first_entry_or_null(&pool->waiting[priority],
					 struct patcnn_client_queue, node);
	if (!queue)
		return NULL;
	ctx = list_first_entry(&queue->contexts, struct patcnn_ctx, queue_node);
	return list_first_entry(&ctx->waiting, struct patcnn_job, node);
}
