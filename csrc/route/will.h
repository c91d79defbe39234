// will.h - the will of a client, from its CONNECT to its publication.
//
//     CONNECT ──> held ──connection lost──> waits for its delay ──> taken, published
//
// Owner    the client owns a reference to the message, until the will is taken.
// Threads  the client's lock, where nothing else is said.
// Source   MQTT 5.0, 3.1.2.5 Will Flag, 3.1.3.2 Will Properties.
#pragma once
#include "route/client.h"
#include "route/router.h"

// Drops the client's will if it may not be published any more, which is counted and logged.
// Call with the client's lock.
void nmq_will_judge(nmq_router *router, nmq_client *client);

// Takes the will off the client: the caller publishes it. Returns a zeroed one when the
// client has none, or its rules do not allow it any more. Call with the client's lock.
nmq_will nmq_will_take(nmq_router *router, nmq_client *client);

// Drops the will, if there is one, without publishing it. Call with the client's lock.
void nmq_will_drop(nmq_client *client);

// Publishes what was taken, if it is one, and gives its reference back. Call without locks.
void nmq_will_publish(nmq_router *router, const nmq_client *client, const nmq_will *will);
