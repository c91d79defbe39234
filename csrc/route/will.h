// will.h - the will of a client, from its CONNECT to its publication.
//
//     CONNECT ──> held ──connection lost──> waits for its delay ──> taken, published
//
// Owner    the client owns a reference to the message, until the will is taken.
// Threads  the client's lock, where nothing else is said.
// Source   MQTT 5.0, 3.1.2.5 Will Flag, 3.1.3.2 Will Properties.
#pragma once
#include "store/message.h"

typedef struct nmq_router nmq_router;
typedef struct nmq_client nmq_client;

// A zeroed one is no will.
typedef struct {
    nmq_message *message; // a reference; NULL: none
    uint32_t delay_s;     // Will Delay Interval
    uint32_t expiry_s;    // Message Expiry Interval, which begins at the publication
    bool expires;         // it has one
} nmq_will;

// Takes the will off the client: the caller publishes it. Returns a zeroed one when the
// client has none, or its rules do not allow it any more. Call with the client's lock.
nmq_will nmq_will_take(nmq_client *client);

// It is not published any more; there may be none. Call with the client's lock.
void nmq_will_drop(nmq_client *client);

// Publishes what was taken, if it is one, and gives its reference back. Call without locks.
void nmq_will_publish(nmq_router *router, const nmq_client *client, const nmq_will *will);
