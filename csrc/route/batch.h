// batch.h - the packets of one receive, or one publish of our own: it enters a lane once,
// gathers which links were written to, and flushes each of them once.
//
//     begin ──> messages, with breathe in between ──> end: links are flushed
//
// Threads  a batch belongs to the thread that began it.
#pragma once
#include "mqtt/packet_kind.h"
#include "route/link.h"
#include "route/router.h"

// What a batch counts besides packets that come: csrc/metrics.def has a counter for each,
// in this order, behind those of packet_kind.h.
enum nmq_batch_kind {
    NMQ_BATCH_OUT = NMQ_PACKET_KINDS,         // and a kind of packet: one that was put
    NMQ_BATCH_ALLOWED = 2 * NMQ_PACKET_KINDS, // a message that access rules allow
    NMQ_DROP_NO_SUBSCRIBER,                   // a message that was lost
    NMQ_DROP_REFUSED,
    NMQ_DROP_RETAINED,
    NMQ_DROP_FULL,
    NMQ_DROP_AWAY,
    NMQ_DROP_EXPIRED,
    NMQ_DROP_TOO_LARGE,
    NMQ_DROP_MEMORY,
    NMQ_BATCH_COUNTS, // how many there are
};

typedef struct {
    nmq_router *router;
    nmq_lane *lane;
    nmq_worker *worker;         // that runs it; NULL: a thread that reads no sockets
    nmq_unflushed_list touched; // links, a reference each
    nmq_link *congested;        // the first link found over its bound, a reference
    uint16_t short_window;      // of nmq_offer, for the message that is next
    uint32_t wanted;            // of nmq_observer, as of when the lane was entered
    bool waits_for_none;        // whoever publishes cannot wait: it is a program
    bool may_refuse;            // the next message may be refused, with an answer
    bool all_or_none;           // memory is short: it goes to all it is for, or to nobody
    int may_log;                // not NMQ_OK: if the next message would be logged, it is
                                // refused, and that is why
    bool refused;               // the last message was: it is not acknowledged as taken
    bool unlogged;              // and that is why
    bool matched;               // a subscription matched it, whatever became of it there
    int64_t now_ms;
    uint64_t logged;       // number in the journal that what it answers waits for; 0: none
    uint64_t messages_out; // they are in `counts` too, but not in `counted`
    uint64_t payload_in;   // bytes, of PUBLISH packets of a client
    uint64_t work;         // done since it began: nodes visited, subscriptions looked at
    uint64_t work_before;  // of it, done before the lane was entered last
    uint64_t counted;      // a bit for each of `counts` that may not be 0
    uint32_t counts[NMQ_BATCH_COUNTS];
} nmq_batch;

// Counts a packet that came, by its kind, or one of enum nmq_batch_kind.
static inline void
nmq_batch_count_more(nmq_batch *batch, unsigned kind, uint32_t more)
{
    batch->counted |= UINT64_C(1) << kind;
    batch->counts[kind] += more;
}

static inline void
nmq_batch_count(nmq_batch *batch, unsigned kind)
{
    nmq_batch_count_more(batch, kind, 1);
}

enum {
    NMQ_LANE_WORK = 1 << 12,  // while in a lane: about a millisecond
    NMQ_BATCH_WORK = 1 << 18, // in one batch: then others have their turn
};

// worker: the calling thread's; NULL: it reads no sockets.
void nmq_batch_begin(nmq_batch *batch, nmq_router *router, nmq_worker *worker,
                     int64_t now_ms);

// Leaves the lane, counts, and has each link that was written to flushed: now, or when the
// worker does it. `congested` stays for the caller, who unrefs it.
void nmq_batch_end(nmq_batch *batch);

// Adds the packets that came to the broker's counters; returns how many. Once a batch.
uint64_t nmq_batch_add_in(const nmq_batch *batch);

// The same with all else that was counted, for a batch that is not ended: what was counted
// is 0 then.
void nmq_batch_add_rest(nmq_batch *batch);

// Enters a lane again after nmq_batch_end; `congested` is still what it was.
void nmq_batch_again(nmq_batch *batch);

// Leaves the lane for a moment, if much work was done in it: whoever changes the tree waits
// no longer than that. Matches of the lane are gone then.
void nmq_batch_breathe(nmq_batch *batch);

// Notes that the link has something to flush. Call with the link's lock.
void nmq_batch_touch(nmq_batch *batch, nmq_link *link);
