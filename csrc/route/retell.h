// retell.h - tells a journal what was before the epoch that has just begun, while all goes
// on: then what was logged before can be thrown away.
//
//     epoch 1 [DELIVERY a]  2 [DELIVERY a]  3 [BEGIN: retained, SESSION b was a][CARRIED b]
//             └─ free once this one is carried, and then 2
//
// First come the retained messages and all sessions, under new numbers, each with what is
// in flight; then what is in their queues, the oldest epoch of all of them first. What
// passes over an epoch has nothing to tell of it.
//
// Owner    the caller; a zeroed one with sessions, consumers and bytes is at the beginning.
// Threads  one at a time, without a lock.
// Cost     a step: one retained message; or a session with its subscriptions and what is in
//          flight; or about `bytes` of its queue. Lanes are held for the second.
#pragma once
#include "route/consumer.h"
#include "route/durable_whole.h"

enum { NMQ_RETELL_BYTES = 64 * 1024 };

typedef struct {
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    size_t bytes;      // of a queue, in one step
    uint32_t at;       // the next place among the retained messages, then the clients
    uint64_t consumer; // the place of the consumer that was told last; 0: none
    uint8_t stage;
    uint32_t epoch;            // that is carried
    nmq_durable_behind behind; // of all that were met since the stage began
    // Nothing that was logged in an epoch before is needed, but what that names; 0: all is.
    uint32_t needed_from;
} nmq_retell;

// Tells one thing again. Returns whether there may be more.
bool nmq_retell_step(nmq_retell *retell);
