// batch.c - the batch of router.h: one stay in a lane, and the links that it wrote to.
#include "route/router.h"
#include "route/turn.h"

void
nmq_batch_begin(nmq_batch *batch, nmq_router *router, int64_t now_ms)
{
    *batch = (nmq_batch){.router = router, .now_ms = now_ms};
    batch->lane = nmq_lanes_enter(router->lanes);
}

void
nmq_batch_again(nmq_batch *batch)
{
    batch->lane = nmq_lanes_enter(batch->router->lanes);
    batch->stay = batch->work;
}

void
nmq_batch_breathe(nmq_batch *batch)
{
    if (batch->work - batch->stay >= NMQ_LANE_WORK) {
        nmq_lanes_leave(batch->lane);
        nmq_batch_again(batch);
    }
}

void
nmq_batch_touch(nmq_batch *batch, nmq_link *link)
{
    if (!link->flush_due) {
        link->flush_due = true;
        link->next_flush = NULL;
        *(batch->touched == NULL ? &batch->touched : &batch->touched_last->next_flush) =
            nmq_link_ref(link);
        batch->touched_last = link;
    }
}

// A subscriber comes before the publisher, whose acknowledgement is put last: who hears of
// a message first is who it is for.
void
nmq_batch_end(nmq_batch *batch)
{
    nmq_lanes_leave(batch->lane);
    batch->lane = NULL;
    nmq_counters_add(batch->router->counters, NMQ_COUNT_MESSAGES_OUT, batch->messages_out);
    nmq_counters_add(batch->router->counters, NMQ_COUNT_MESSAGES_DROPPED,
                     batch->messages_dropped);
    nmq_turn_flush(batch->touched, batch->touched_last, batch->messages_out);
    batch->touched = batch->touched_last = NULL;
    batch->messages_out = batch->messages_dropped = 0;
}
