// interest.h - who asked hears when the first subscription to a filter comes, and when the
// last one goes: in C each observer, in Python as events (watch.h).
//
//     subscribe a/b (client x)   -> changed("a/b", first)
//     subscribe a/b (client y)
//     x and y leave              -> changed("a/b", last)
//
// For each filter first and last come in turn, in the order in which the tree changed,
// whatever threads changed it. The subscriptions of taps and consumers count.
//
// An observer is told of routes (tree_routes.h): the subscriptions of a shared group are a
// filter of their own. What is in the tree when it is added is told as first.
//
// An event is of a filter without its group: the first subscription is shared or not, and
// with the last one there is none of either kind. Python begins with nmq_broker_query of
// the routes: a filter whose state changes after the events were asked for is in them.
//
// Owner    whoever asks: the struct stays until nmq_interest_remove has returned.
// Threads  thread-safe; call add and remove without a lane, a client's or a link's lock.
// Cost     nobody asks: a look at two words for each SUBSCRIBE and UNSUBSCRIBE.
#pragma once
#include "route/router.h"

typedef struct nmq_interest {
    // With all lanes locked, by the thread that changed the tree: it must be quick, and
    // take no lock but one that nothing else is taken under. filter is without $share, and
    // group.at is NULL where it is not shared; both are borrowed.
    void (*changed)(struct nmq_interest *interest, nmq_bytes filter, nmq_bytes group,
                    bool first);
    struct nmq_interest *next; // all lanes
    uint32_t told;             // all lanes: routes at lower places have been told
} nmq_interest;

// Tells what is there, a few filters at a time, and from then on what changes. Returns
// NMQ_OK, or NMQ_ENOMEM with nobody told any more.
int nmq_interest_add(nmq_router *router, nmq_interest *interest);
void nmq_interest_remove(nmq_router *router, nmq_interest *interest);

// Whether anybody asks. Call with all lanes.
static inline bool
nmq_interest_is_asked_for(const nmq_router *router)
{
    return router->interests != NULL ||
           nmq_watch_wants(&router->watch, NMQ_EVENT_FIRST_SUBSCRIPTION) ||
           nmq_watch_wants(&router->watch, NMQ_EVENT_LAST_SUBSCRIPTION);
}

// A route has its first subscription, or has lost its last, and has or had that place among
// the routes. Call with all lanes.
void nmq_interest_tell(nmq_router *router, const nmq_filter *filter, uint32_t place,
                       bool first);
