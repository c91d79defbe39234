// tap.h - taps: subscriptions whose messages go to Python, without a session.
//
//     open ──> retained messages, as they are asked for
//         └──> each that matches ──> feed (lossy)
//
// Retained messages come first and whole: the reader takes them step by step, and what is
// published meanwhile waits in the feed.
//
// Owner    the taps hold a reference to the client that stands for each, and to its feed.
// Threads  thread-safe; call without a lane or lock.
// Cost     retained: some thousand nodes of the store; its lock is held for a few of them.
#pragma once
#include "route/feed.h"
#include "route/sessions.h"

typedef struct {
    nmq_client *client;        // a reference
    nmq_retain_cursor *cursor; // NULL: no retained message is left
    nmq_feed *before;          // retained messages that were taken already; NULL: as above
    uint8_t options;           // enum nmq_sub_options
} nmq_tap;

typedef struct {
    nmq_sessions *sessions;
    pthread_mutex_t lock;
    nmq_tap *at;  // lock
    size_t count; // lock
    uint32_t cap; // lock
} nmq_taps;

void nmq_taps_init(nmq_taps *taps, nmq_sessions *sessions);

// Nobody publishes any more.
void nmq_taps_fini(nmq_taps *taps);

// Copies messages that match the filter to a feed from now on. Returns NMQ_OK, NMQ_EFILTER,
// NMQ_EINVAL for a QoS over 2, NMQ_ENOMEM or NMQ_EFILES. *number identifies the tap; *feed
// is a reference of the caller's.
int nmq_taps_open(nmq_taps *taps, nmq_bytes filter, uint8_t qos, uint64_t *number,
                  nmq_feed **feed);

// Takes the retained message of one topic in *out; NULL: there is none. Whether its
// publisher may publish it still does not matter. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO.
int nmq_taps_retained_message(nmq_taps *taps, nmq_bytes topic_name, nmq_chunk **out);

// Takes the next retained messages, in *out, NULL: none that far. The messages in the feed
// come after all of them. Returns 1 while there may be more, 0, or NMQ_ENOENT.
int nmq_taps_retained(nmq_taps *taps, uint64_t number, nmq_chunk **out);

// Returns NMQ_OK or NMQ_ENOENT. What is in the feed can still be taken.
int nmq_taps_close(nmq_taps *taps, uint64_t number);
