/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM patcnn

#if !defined(_PATCNN_TRACE_H_) || defined(TRACE_HEADER_MULTI_READ)
#define _PATCNN_TRACE_H_

#include <linux/tracepoint.h>

#include "patcnn_drv.h"
#include "patcnn_job.h"

/* A job is known by the context and sequence number of its fence. */
DECLARE_EVENT_CLASS(patcnn_job,
		    TP_PROTO(const struct patcnn_job *job),
		    TP_ARGS(job),
		    TP_STRUCT__entry(__field(u64, client)
				 __field(u64, context)
				 __field(u64, seqno)
				 __field(u32, slot)),
		    TP_fast_assign(__entry->client = job->ctx->client->id;
			       __entry->context = job->fence->base.context;
			       __entry->seqno = job->fence->base.seqno;
			       __entry->slot = job->ctx->slot;),
		    TP_printk("client=%llu fence=%llu:%llu slot=%u", __entry->client,
			      __entry->context, __entry->seqno, __entry->slot)
);

DEFINE_EVENT(patcnn_job, patcnn_job_queue,
	     TP_PROTO(const struct patcnn_job *job),
	     TP_ARGS(job)
);

DEFINE_EVENT(patcnn_job, patcnn_job_start,
	     TP_PROTO(const struct patcnn_job *job),
	     TP_ARGS(job)
);

TRACE_EVENT(patcnn_job_step,
	    TP_PROTO(const struct patcnn_job *job, u32 step),
	    TP_ARGS(job, step),
	    TP_STRUCT__entry(__field(u64, context)
			     __field(u64, seqno)
			     __field(u32, step)),
	    TP_fast_assign(__entry->context = job->fence->base.context;
			   __entry->seqno = job->fence->base.seqno;
			   __entry->step = step;),
	    TP_printk("fence=%llu:%llu step=%u", __entry->context, __entry->seqno,
		      __entry->step)
);

TRACE_EVENT(patcnn_job_end,
	    TP_PROTO(const struct patcnn_job *job, int error),
	    TP_ARGS(job, error),
	    TP_STRUCT__entry(__field(u64, context)
			     __field(u64, seqno)
			     __field(u64, wait_ns)
			     __field(u64, run_ns)
			     __field(int, error)),
	    TP_fast_assign(__entry->context = job->fence->base.context;
			   __entry->seqno = job->fence->base.seqno;
			   __entry->wait_ns = job->start_ns ?
					      job->start_ns - job->queued_ns : 0;
			   __entry->run_ns = job->end_ns ? job->end_ns - job->start_ns : 0;
			   __entry->error = error;),
	    TP_printk("fence=%llu:%llu wait=%lluns run=%lluns error=%d", __entry->context,
		      __entry->seqno, __entry->wait_ns, __entry->run_ns, __entry->error)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE patcnn_trace
#include <trace/define_trace.h>
