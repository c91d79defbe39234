// retained.h - the retained messages of the broker: kept within bounds, and swept.
//
//     PUBLISH retain ──keep──> store ──step──> whoever subscribed (replay.h)
//                                └── sweep: what has expired
//
// Owner    the store holds a reference to each message. Cursors belong to the store, and
//          whoever opens one closes it.
// Threads  thread-safe. Locks: a client's, then a link's, then the store's.
// Source   MQTT 5.0, 3.3.1.3 RETAIN.
#pragma once
#include <pthread.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/options.h"
#include "route/memory_level.h"
#include "route/rules.h"
#include "route/watch.h"
#include "store/journal.h"
#include "store/retain_cursor.h"

typedef struct {
    pthread_mutex_t lock;
    nmq_retain *store;    // lock
    uint64_t count_max;   // atomic: the most it held at once
    int64_t sweep_due_ms; // lock; 0: nothing expires
    nmq_timer sweep;      // clock: removes what has expired
    int64_t not_kept_ms;  // atomic: when it was logged last that one was not kept
    nmq_rules *rules;     // whether a message may be sent
    nmq_watch *watch;     // hears of what has expired
    nmq_clock *clock;
    nmq_counters *counters;
    const nmq_log *log;
    const nmq_options *options; // NMQ_LIVE
    const uint8_t *memory;      // NMQ_LIVE: enum nmq_memory_level
    nmq_journal *journal;       // NULL: nothing is logged
} nmq_retained;

// Makes the store; the pointers are the caller's to set before,
// and outlive it. Returns NMQ_OK or NMQ_ENOMEM; nmq_retained_fini is right in any case.
int nmq_retained_init(nmq_retained *retained);

// The clock has stopped, and no cursor is in use.
void nmq_retained_fini(nmq_retained *retained);

// Keeps the message for its topic, as nmq_retain_put. `bounded`: only within the bounds of
// what is retained. A failure is logged. Returns what nmq_retain_put does, or NMQ_ETOOBIG.
int nmq_retained_keep(nmq_retained *retained, nmq_message *message, bool bounded);

// Returns a reference to the message of the topic, or NULL: there is none that is not
// expired.
nmq_message *nmq_retained_get(nmq_retained *retained, nmq_bytes topic_name);

// Removes the message of the topic: the one that took its place is not kept.
void nmq_retained_drop(nmq_retained *retained, nmq_bytes topic_name);

// Logs the next message again, from the place *at on, which is set to behind it. Returns
// false when there is none. There is a journal.
bool nmq_retained_retell(nmq_retained *retained, uint32_t *at);

// Opens a cursor over what the filter matches, at its beginning, or where it was in the
// process before (nmq_retain_open_at). Returns NULL when memory is out.
nmq_retain_cursor *nmq_retained_open(nmq_retained *retained, nmq_bytes filter);
nmq_retain_cursor *nmq_retained_open_at(nmq_retained *retained, nmq_bytes filter,
                                        uint64_t order, nmq_bytes topic_name);
void nmq_retained_close(nmq_retained *retained, nmq_retain_cursor *cursor);

// Takes the next messages of a cursor out of the store, `most` of them at most. *visits is
// how many nodes may be visited, and goes down. Returns how many; the caller unrefs each.
int nmq_retained_step(nmq_retained *retained, nmq_retain_cursor *cursor, int64_t now_ms,
                      uint32_t *visits, nmq_message **out, uint32_t most);

size_t nmq_retained_count(nmq_retained *retained);
uint64_t nmq_retained_bytes(nmq_retained *retained); // of the messages
