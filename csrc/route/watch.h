// watch.h - who in Python listens, and to what: an event that nobody asked for is not
// recorded.
//
//     what happens ──wanted?──> each feed that asks for the kind
//
// Owner    it holds a reference to each feed.
// Threads  thread-safe; its lock is held with no other but a feed's, and may be taken with
//          any.
// Cost     nobody listens: a test of `wanted` where something could be recorded.
#pragma once
#include <pthread.h>

#include "base/counters.h"
#include "base/live.h"
#include "route/client.h"
#include "route/feed_record.h"
#include "store/observer.h"

// Bits of `wanted`; that of a kind of event is 1 << kind.
enum {
    NMQ_WATCH_READERS = 1, // there is a tap or a consumer
    // who wants to know who publishes a message
    NMQ_WATCH_PUBLISHERS = NMQ_WATCH_READERS | 1 << NMQ_EVENT_DELIVERED |
        1 << NMQ_EVENT_ACKED | 1 << NMQ_EVENT_DROPPED | 1 << NMQ_EVENT_EXPIRED,
};

typedef struct {
    nmq_feed *feed; // a reference
    uint64_t number;
    uint32_t kinds;
} nmq_watcher;

typedef struct {
    nmq_observer observer; // first; of sessions. Its `wanted`: changed with the lock
    nmq_counters *counters;
    pthread_mutex_t lock;
    nmq_watcher *at;      // lock
    size_t count;         // lock
    uint32_t readers;     // lock: of messages
    uint32_t cap;         // lock
    uint64_t last_number; // lock
} nmq_watch;

void nmq_watch_init(nmq_watch *watch, nmq_counters *counters);
void nmq_watch_fini(nmq_watch *watch);

// Tells of these kinds of event from now on, a bit for each. *feed is a reference of the
// caller's. Returns NMQ_OK, NMQ_EINVAL for kinds that are none, NMQ_ENOMEM or NMQ_EFILES.
int nmq_watch_open(nmq_watch *watch, uint32_t kinds, uint64_t *number, nmq_feed **feed);

// Returns NMQ_OK or NMQ_ENOENT. What is in the feed can still be taken.
int nmq_watch_close(nmq_watch *watch, uint64_t number);

// One more reader of messages, a tap or a consumer (1), or one fewer (-1).
void nmq_watch_readers(nmq_watch *watch, int change);

static inline bool
nmq_watch_wants(const nmq_watch *watch, enum nmq_event_kind kind)
{
    return (NMQ_LIVE(watch->observer.wanted) >> kind & 1) != 0;
}

// Tells whoever wants to know; full feeds count it.
void nmq_watch_tell(nmq_watch *watch, const nmq_event *event);

// The same, of a client, whose lock it takes: event->who is set. Nobody hears of a tap.
void nmq_watch_tell_of(nmq_watch *watch, nmq_client *client, nmq_event *event);
