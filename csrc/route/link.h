// link.h - one Network Connection as the router sees it: an outbox, and who waits for it.
//
//     publisher ──held──> link over its bound ──drained──> publisher reads on
//                              └── hold time over: stuck; it loses QoS 0, nobody waits
//
// Owner    counted; whoever holds a pointer past a call holds a reference.
// Threads  the link's lock guards what is marked; ops are called without any lock.
#pragma once
#include <pthread.h>

#include "base/wheel.h"
#include "store/outbox.h"

typedef struct nmq_link nmq_link;

// What the network layer does for the router.
typedef struct {
    void (*flush)(nmq_link *link);  // it leaves a batch's list: clear flush_due, then send
    void (*resume)(nmq_link *link); // a held link reads on
    void (*disconnect)(nmq_link *link, uint8_t reason_code); // tell the peer, then close
    void (*free)(nmq_link *link);                            // the last reference is gone
} nmq_link_ops;

struct nmq_link {
    const nmq_link_ops *ops;
    uint32_t refs; // atomic
    pthread_mutex_t lock;
    nmq_outbox outbox;    // lock
    size_t sending_bytes; // lock: with the transport, not yet taken
    bool flush_due;       // lock: some thread is going to flush it
    bool closed;          // lock: nothing more is written
    bool stuck;           // lock: over its bound for longer than the hold time
    bool queue_full;      // lock: its session's queue is over its bound
    bool pump_due;        // lock: its session has more to send once the outbox has room
    nmq_link *next_flush; // whoever set flush_due
    nmq_link *held;       // lock: links that wait for this one, a reference each
    nmq_link *next_held;  // the lock of the link that it waits for
    nmq_timer hold_timer; // clock: ends the hold
};

void nmq_link_init(nmq_link *link, const nmq_link_ops *ops); // with one reference
void nmq_link_fini(nmq_link *link);
nmq_link *nmq_link_ref(nmq_link *link);
void nmq_link_unref(nmq_link *link); // takes NULL

// Bytes that wait for the peer. Call with the lock.
size_t nmq_link_backlog(const nmq_link *link);

// Whether publishers are to wait: over max_bytes or its queue full, and not stuck. Call
// with the lock.
bool nmq_link_is_congested(const nmq_link *link, size_t max_bytes);

// Makes `reader` wait for `link`, if it is still congested. Returns whether it waits;
// *first tells that it is the first, and the caller arms hold_timer. Takes the lock.
bool nmq_link_hold(nmq_link *link, nmq_link *reader, size_t max_bytes, bool *first);

// Ends the hold if the backlog is below half of max_bytes and the queue has room, or if
// `always`: every link that waited reads on. Takes the lock.
void nmq_link_relieve(nmq_link *link, size_t max_bytes, bool always);
