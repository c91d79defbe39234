// router.h - who gets which message.
//
//     publish ──> tree ──> clients: session ──> outbox of the link ──> flush at batch end
//        └──> retained
//
// A batch is the packets of one receive, or one publish of our own: it enters a lane once,
// gathers which links were written to, and flushes each of them once.
//
// Threads  thread-safe; a batch belongs to the thread that began it.
#pragma once
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/options.h"
#include "route/acl.h"
#include "route/client.h"
#include "route/event.h"
#include "route/lanes.h"
#include "store/retain.h"

// How much memory is taken of memory_max_bytes; see net/memory.c.
enum nmq_memory_level {
    NMQ_MEMORY_FINE,
    NMQ_MEMORY_SHORT, // all of it: what would keep more is refused
    NMQ_MEMORY_OUT,   // more than that: nearly everything is, and who exceeds is cut
};

// Somebody who visits all clients in steps; who leaves the registry is passed over.
typedef struct nmq_walk {
    nmq_client *next;
    struct nmq_walk *other;
} nmq_walk;

struct nmq_router {
    nmq_lanes *lanes;
    nmq_tree *tree; // lanes
    pthread_mutex_t retain_lock;
    nmq_retain *retain;    // retain_lock
    int64_t sweep_due_ms;  // retain_lock; 0: nothing expires
    nmq_timer sweep_timer; // clock: removes what has expired
    pthread_mutex_t registry_lock;
    nmq_map clients;      // registry_lock: client identifier -> client
    size_t clients_max;   // registry_lock: the most there ever were
    nmq_client *oldest;   // registry_lock: all of them, in order of birth
    nmq_client *newest;   // registry_lock
    nmq_walk *walks;      // registry_lock
    uint64_t connected;   // atomic: clients with a link
    uint64_t subscribers; // atomic: those of them that have a subscription
    pthread_mutex_t acl_lock;
    nmq_acl *acl;           // acl_lock; a reference; NULL: everything is allowed
    uint64_t acl_version;   // atomic: counts the changes
    uint64_t users_version; // atomic: counts how often some could come in no more
    bool stopping;          // atomic: what takes long is left
    nmq_clock *clock;
    nmq_events *events;
    const nmq_log *log;
    nmq_counters *counters;
    const nmq_options *options; // NMQ_LIVE
    uint8_t memory;             // NMQ_LIVE: enum nmq_memory_level
    int64_t not_kept_ms;        // atomic: when the last line about it was logged
};

typedef struct {
    nmq_router *router;
    nmq_lane *lane;
    nmq_worker *worker;         // that runs it; NULL: a thread that reads no sockets
    nmq_unflushed_list touched; // links, a reference each
    nmq_link *congested;        // the first link found over its bound, a reference
    uint16_t short_window;      // of nmq_offer, for the message that is next
    bool may_refuse;            // whose message is next need not be told that it was taken
    bool all_or_none; // memory is short: it goes to all that it is for, or is refused
    bool refused;     // the last message was: it is not to be acknowledged as taken
    bool matched;     // a subscription matched it, whatever became of it there
    int64_t now_ms;
    uint64_t messages_out;
    uint64_t messages_dropped;
    uint64_t packets_in;  // from the connection whose batch it is
    uint64_t messages_in; // of them, PUBLISH packets
    uint64_t payload_in;  // of those, bytes
    uint64_t work;        // done since it began: nodes visited, subscriptions looked at
    uint64_t stay;        // of it, done when the lane was entered last
} nmq_batch;

enum {
    NMQ_LANE_WORK = 1 << 12,  // in one stay in a lane: about a millisecond
    NMQ_BATCH_WORK = 1 << 18, // in one batch: then others have their turn
};

// Makes the parts. options, clock, events, log and counters are the caller's to set before,
// and what the pointers lead to outlives the router. Returns NMQ_OK or NMQ_ENOMEM; on
// failure nmq_router_fini still must be called.
int nmq_router_init(nmq_router *router);

// Frees every client and message. No connection is left, and the clock has stopped.
void nmq_router_fini(nmq_router *router);

// worker: the calling thread's; NULL: it reads no sockets.
void nmq_batch_begin(nmq_batch *batch, nmq_router *router, nmq_worker *worker,
                     int64_t now_ms);

// Leaves the lane, counts, and has each link that was written to flushed: now, or when the
// worker does it. `congested` stays for the caller, who unrefs it.
void nmq_batch_end(nmq_batch *batch);

// Enters a lane again after nmq_batch_end; `congested` is still what it was.
void nmq_batch_again(nmq_batch *batch);

// Leaves the lane for a moment, if much work was done in it: whoever changes the tree waits
// no longer than that. Matches of the lane are gone then.
void nmq_batch_breathe(nmq_batch *batch);

// How long publishers of this router wait.
nmq_patience nmq_router_patience(const nmq_router *router, int64_t now_ms);

// Says that a client was found stuck, and counts it.
void nmq_router_tell_stuck(nmq_router *router, nmq_bytes client_id);

// Notes that the link has something to flush. Call with the link's lock.
void nmq_batch_touch(nmq_batch *batch, nmq_link *link);

// Routes one message; `from` is the publishing client or NULL. *message may hold the
// message already, else it is made when a receiver needs to keep it; the caller unrefs it.
// Returns how many sessions took it. One over the bounds of what is retained is not kept;
// of a batch that may refuse it goes to nobody, and batch->refused is set. So it is when
// memory is short and a session would have to keep it; the others got it, unless
// all_or_none.
unsigned nmq_router_publish(nmq_batch *batch, const nmq_client *from,
                            const nmq_message_parts *parts, nmq_message **message);

// Publishes one message in a batch of its own, for wills and for Python. With parts, the
// message is made only when somebody has to keep it.
unsigned nmq_router_publish_message(nmq_router *router, const nmq_client *from,
                                    nmq_message *message);
unsigned nmq_router_publish_parts(nmq_router *router, const nmq_client *from,
                                  const nmq_message_parts *parts);

// Gives a delivery of a session that has ended to another member of its shared group, if
// there is one left (4.8.2). Call without a lane.
void nmq_router_pass_on(nmq_router *router, const nmq_delivery *delivery);

// Puts the acl in force; takes the reference, NULL: everything is allowed.
void nmq_router_set_acl(nmq_router *router, nmq_acl *acl);

// Returns a reference to the acl in force, or NULL, and its version.
nmq_acl *nmq_router_acl(nmq_router *router, uint64_t *version);

// shortage.c. The short_window of nmq_offer at that level of memory.
uint16_t nmq_router_short_window(uint8_t memory);

// shortage.c. Whether no session that the message is for would have to keep it. The batch
// has a short_window.
bool nmq_router_takes_all(const nmq_batch *batch, const nmq_client *from,
                          const nmq_message_parts *parts, const nmq_matches *matches);
