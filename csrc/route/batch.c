#include "route/batch.h"

#include "base/container.h"
#include "base/live.h"

void
nmq_batch_begin(nmq_batch *batch, nmq_router *router, nmq_worker *worker, int64_t now_ms)
{
    *batch = (nmq_batch){.router = router, .worker = worker, .now_ms = now_ms};
    nmq_batch_again(batch);
}

void
nmq_batch_again(nmq_batch *batch)
{
    batch->lane = nmq_lanes_enter(batch->router->lanes);
    // in the lane: a tap that is in the tree wanted it before
    batch->wanted = NMQ_LIVE(batch->router->watch.observer.wanted);
    batch->work_before = batch->work;
}

void
nmq_batch_breathe(nmq_batch *batch)
{
    if (batch->work - batch->work_before >= NMQ_LANE_WORK) {
        nmq_lanes_leave(batch->lane);
        nmq_batch_again(batch);
    }
}

void
nmq_batch_touch(nmq_batch *batch, nmq_link *link)
{
    if (!link->flush_due) {
        link->flush_due = true;
        nmq_unflushed_put(&batch->touched, &nmq_link_ref(link)->unflushed);
    }
}

static void
flush(nmq_unflushed *touched)
{
    nmq_link *link = NMQ_CONTAINER(touched, nmq_link, unflushed);

    link->ops->flush(link);
    nmq_link_unref(link);
}

// The receivers of a message are flushed before its publisher, whose acknowledgement was
// written last.
void
nmq_batch_end(nmq_batch *batch)
{
    nmq_lanes_leave(batch->lane);
    batch->lane = NULL;
    nmq_counters_add(batch->router->counters, NMQ_COUNT_MESSAGES_OUT, batch->messages_out);
    nmq_counters_add(batch->router->counters, NMQ_COUNT_MESSAGES_DROPPED,
                     batch->messages_dropped);
    nmq_worker_put_off(batch->worker, batch->touched, flush, batch->messages_out);
    batch->touched = (nmq_unflushed_list){0};
    batch->messages_out = batch->messages_dropped = 0;
}
