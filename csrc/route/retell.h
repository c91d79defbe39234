// retell.h - tells a journal that has begun anew what was before, while all goes on: then
// what was logged before it began can be thrown away.
//
//     [SESSION a][DELIVERY a] ... [BEGIN][SESSION_END a][SESSION a'][DELIVERY a']
//     └─ needed until the last    └─ from here on it is enough
//        of a' is durable
//
// Each session gets a new number, and so does each message that is still held; what is
// logged of an old number between BEGIN and that is passed over by who begins to read
// there.
//
// Owner    the caller; a zeroed one with sessions, consumers and bytes is at the beginning.
// Threads  one at a time, without a lock.
// Cost     a step: one retained message; or a session with its subscriptions and what is in
//          flight, and `bytes` of its queue; or as much more of its queue. Lanes
//          are held for a session's first and last step.
#pragma once
#include "route/consumer.h"

enum { NMQ_RETELL_BYTES = 64 * 1024 };

typedef struct {
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    size_t bytes; // of a queue, in one step
    uint32_t at;  // the next place among the retained messages, then the clients
    uint8_t stage;
} nmq_retell;

// Tells one thing again. Returns 1; NMQ_OK: all is told; or NMQ_ENOMEM: nothing is thrown
// away, and it is to begin anew.
int nmq_retell_step(nmq_retell *retell);
