// tap.h - taps: subscriptions whose messages go to Python as events, without a session.
//
//     open ──> retained messages, then each that matches ──> event ring (lossy)
//
// Owner    the taps hold a reference to the client that stands for each.
// Threads  thread-safe; call without a lane or lock.
#pragma once
#include "route/sessions.h"

typedef struct {
    nmq_sessions *sessions;
    pthread_mutex_t lock;
    nmq_client **at; // lock; a reference each
    size_t count;    // lock
    uint32_t cap;    // lock
} nmq_taps;

void nmq_taps_init(nmq_taps *taps, nmq_sessions *sessions);

// Nobody publishes any more.
void nmq_taps_fini(nmq_taps *taps);

// Copies messages that match the filter to the event ring from now on, retained ones first.
// Returns NMQ_OK, NMQ_EFILTER, NMQ_EINVAL for a QoS over 2, or NMQ_ENOMEM. *number
// identifies the tap in its events.
int nmq_taps_open(nmq_taps *taps, nmq_bytes filter, uint8_t qos, uint64_t *number);

// Returns NMQ_OK or NMQ_ENOENT. Events that are on the ring already still come.
int nmq_taps_close(nmq_taps *taps, uint64_t number);
