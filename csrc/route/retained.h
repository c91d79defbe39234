// retained.h - retained messages: kept, swept, and on their way to those who subscribe.
//
//     PUBLISH retain ──keep──> store          SUBSCRIBE ──owe──> the session's list
//                                │                                     │
//                                └──────── pump, while there is room <─┘
//
// A session holds a cursor for each filter that it is owed messages for, not the messages:
// they go out as the outbox drains and the window allows, in steps between which nobody is
// kept waiting.
//
// Threads  thread-safe. Locks: a client's, then a link's, then the store's.
// Source   MQTT 5.0, 3.3.1.3 RETAIN.
#pragma once
#include "route/router.h"

// Keeps the message for its topic, as nmq_retain_put. `bounded`: within the bounds of what
// is retained. What fails is logged. Returns what nmq_retain_put does, or NMQ_ETOOBIG.
int nmq_retained_keep(nmq_router *router, nmq_message *message, bool bounded);

// Removes the message of the topic: another one took its place that is not kept.
void nmq_retained_drop(nmq_router *router, nmq_bytes topic_name);

// Of the router's sweep_timer: removes what has expired.
void nmq_retained_sweep(nmq_timer *timer);

// Sends a few of the retained messages of a filter that the client has subscribed to, and
// notes that it is owed the others [MQTT-3.3.1-9]. is_new is what nmq_router_subscribe
// returned. *visits is how many nodes may be visited at once, and goes down. The batch
// needs no lane. Call without a lock.
enum { NMQ_RETAINED_VISITS = 1 << 12 }; // for one packet
void nmq_retained_owe(nmq_batch *batch, nmq_client *client, const nmq_filter *filter,
                      uint8_t options, uint32_t identifier, bool is_new, uint32_t *visits);

// Where a session was among the retained messages of a filter, in the process before.
typedef struct {
    nmq_bytes filter;
    nmq_bytes topic_name; // of the message that comes next
    uint64_t order;       // see nmq_retain_open_at
    uint32_t queued;      // messages of its queue that come before
    uint32_t identifier;
    uint8_t options;
} nmq_retained_place;

// The client, who has that subscription, is owed the rest. Returns NMQ_OK, NMQ_ENOMEM, or
// NMQ_EINVAL for a filter that it is owed messages of already. Call without a lock.
int nmq_retained_go_on(nmq_router *router, nmq_client *client,
                       const nmq_retained_place *place);

// The client has unsubscribed. Call without a lock.
void nmq_retained_cancel(nmq_router *router, nmq_client *client, nmq_bytes filter);

// The client's session ends. Call without a lock.
void nmq_retained_forget(nmq_router *router, nmq_client *client);

// Sends of what the client is owed, as far as window and outbox allow, after what waits in
// its queue. Call with its lock and the link's; the batch needs no lane. Returns whether it
// stopped only to let others have their turn: then it is to be called again soon.
bool nmq_retained_pump(nmq_batch *batch, nmq_client *client, nmq_link *link);

// Gives a tap everything that its filter matches.
void nmq_retained_tap(nmq_router *router, nmq_client *tap, nmq_bytes filter,
                      uint8_t options);
