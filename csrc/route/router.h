// router.h - what routing a message needs: who subscribed to what, and the services that
// the parts of it use.
//
//     publish ──fanout──> tree ──deliver──> session ──> outbox of the link ──> flush
//        └──> retained ──replay──> who subscribes later
//
// Owner    the router owns tree and lanes; the other parts are the broker's.
// Threads  each field names its lock.
#pragma once
#include "base/counters.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/options.h"
#include "route/bans.h"
#include "route/lanes.h"
#include "route/memory_level.h"
#include "route/note.h"
#include "route/retained.h"
#include "route/trail.h"
#include "route/watch.h"

// The subscription of a client that lies at that index of its session's list.
typedef struct {
    struct nmq_client *client;
    uint32_t index;
} nmq_sub_place;

typedef struct {
    uint8_t id[NMQ_TRAIL_ID_BYTES]; // fixed: of this broker, as long as it runs
    nmq_lanes *lanes;
    nmq_tree *tree;                 // lanes
    nmq_map meters;                 // lanes: nmq_meter, by Topic Name; meters.h
    nmq_places subscriptions;       // lanes: of clients alone; nmq_sub_place
    struct nmq_interest *interests; // lanes: who hears of first and last subscriptions
    uint64_t subscriptions_max;     // lanes: the most in the tree at once
    uint64_t shared_max;            // lanes: likewise, of the shared ones
    uint64_t routes_max;            // lanes: likewise, of its filters
    nmq_retained *retained;
    nmq_rules *rules;
    nmq_bans *bans;
    nmq_notes *notes;
    nmq_watch watch;
    const nmq_log *log;
    nmq_counters *counters;
    const nmq_options *options;  // NMQ_LIVE
    const uint8_t *memory;       // NMQ_LIVE: enum nmq_memory_level
    struct nmq_journal *journal; // store/journal.h; NULL: nothing is logged
} nmq_router;

// Makes lanes, tree and watch; the rest is the caller's to set, and outlives the router.
// Returns NMQ_OK or NMQ_ENOMEM; on failure nmq_router_fini still must be called.
int nmq_router_init(nmq_router *router);

static inline nmq_bytes
nmq_router_id(const nmq_router *router)
{
    return (nmq_bytes) {router->id, sizeof router->id};
}

// Fills in what is subscribed to.
void nmq_router_stats(nmq_router *router, nmq_stats *out);

// Call it when nobody looks for a subscription any more.
void nmq_router_fini(nmq_router *router);
