#include "route/batch.h"

#include <string.h>

#include "base/container.h"
#include "base/live.h"

static const uint64_t KINDS_IN = (UINT64_C(1) << NMQ_BATCH_OUT) - 1;

// The counters are in the order of nmq_batch.counts.
#define IS_COUNTED_BY(kind, counter)                                                       \
    _Static_assert((int) NMQ_COUNT_##counter - (int) NMQ_COUNT_MESSAGES_QOS0_IN == (kind), \
                   "a counter is out of its place")

IS_COUNTED_BY(NMQ_KIND_CONNECT, CONNECT_IN);
IS_COUNTED_BY(NMQ_KIND_AUTH, AUTH_IN);
IS_COUNTED_BY(NMQ_BATCH_OUT, MESSAGES_QOS0_OUT);
IS_COUNTED_BY(NMQ_BATCH_OUT + NMQ_KIND_AUTH, AUTH_OUT);
IS_COUNTED_BY(NMQ_BATCH_ALLOWED, ACCESS_ALLOWED);
IS_COUNTED_BY(NMQ_DROP_NO_SUBSCRIBER, DROPPED_NO_SUBSCRIBER);
IS_COUNTED_BY(NMQ_DROP_MEMORY, DROPPED_MEMORY);

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

// Adds those kinds to the broker's counters. Returns their sum.
static uint64_t
add(const nmq_batch *batch, uint64_t kinds)
{
    uint64_t sum = 0;

    for (; kinds != 0; kinds &= kinds - 1) {
        unsigned kind = (unsigned) __builtin_ctzll(kinds);
        nmq_counters_add(batch->router->counters, NMQ_COUNT_MESSAGES_QOS0_IN + kind,
                         batch->counts[kind]);
        sum += batch->counts[kind];
    }
    return sum;
}

uint64_t
nmq_batch_add_in(const nmq_batch *batch)
{
    return add(batch, batch->counted & KINDS_IN);
}

void
nmq_batch_add_rest(nmq_batch *batch)
{
    uint64_t publish = batch->messages_out != 0 ? UINT64_C(7) << NMQ_BATCH_OUT : 0;

    (void) add(batch, (batch->counted & ~KINDS_IN) | publish);
    memset(batch->counts + NMQ_BATCH_OUT, 0,
           sizeof batch->counts - NMQ_BATCH_OUT * sizeof *batch->counts);
    batch->counted &= KINDS_IN;
    batch->messages_out = 0;
}

// The receivers of a message are flushed before its publisher, whose acknowledgement was
// written last.
void
nmq_batch_end(nmq_batch *batch)
{
    nmq_lanes_leave(batch->lane);
    batch->lane = NULL;
    uint64_t messages = batch->messages_out;
    nmq_batch_add_rest(batch); // before a receiver can see what is counted
    nmq_worker_put_off(batch->worker, batch->touched, flush, messages);
    batch->touched = (nmq_unflushed_list){0};
}
