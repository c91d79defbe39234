// consume.h - consumers: kept sessions whose other end is Python, for features that must
// not lose a message. cffi reads this file: no macros here.
//
//     open ──> queue ──take──> handed out ──acknowledge──> gone
//                  └───────────────┘ close, or again: it comes once more
//
// Whoever takes messages gets them in the order in which they came, and acknowledges them
// in that order. What was not acknowledged comes again, unless it has expired: to this
// process or, over a restart, to the next. A consumer that is closed keeps what comes,
// within its bounds, until nmq_consumers_end. Retained messages that a new filter matches
// come when there is nothing newer.
//
// Publishers wait for a consumer whose bounds are half reached, as for any slow subscriber
// (link.h). One that takes nothing loses what goes over its bounds, which is counted.
//
// Threads  thread-safe.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_consumers nmq_consumers;
typedef struct nmq_feed nmq_feed; // route/feed.h

typedef struct {
    const char *name; // 1 to 65,535 bytes of UTF-8
    size_t name_len;
    const char *const *filters; // Topic Filters, with $share/GROUP/ too
    const size_t *filter_lens;
    size_t filter_count;
    uint8_t qos;              // 0 to 2: at most, as for any subscription
    uint32_t queue_max;       // messages that are not acknowledged; 1 or more
    uint64_t queue_max_bytes; // bytes of them; 0: no bound
    uint32_t patience_ms; // publishers wait so long while it acknowledges nothing; 0: as
                          // for any slow subscriber
} nmq_consumer_options;

typedef struct {
    uint64_t bytes;   // of all that is not acknowledged
    uint64_t dropped; // over its bounds or expired, since it was made
    uint32_t waiting; // messages that were not taken yet
    uint32_t taken;   // messages that were, and are not acknowledged
} nmq_consumer_stats;

// Opens the consumer of that name, which is made if there is none, with these filters and
// bounds in place of those that it had. *number identifies it until it is closed; *fd is
// readable when messages have come since nmq_consumers_take found none: read 8 bytes from
// it before the next take, and do not close it. Returns NMQ_OK, NMQ_EINVAL for an option
// out of its range, or a consumer that is open, NMQ_EFILTER, NMQ_EFILES or NMQ_ENOMEM.
int nmq_consumers_open(nmq_consumers *consumers, const nmq_consumer_options *options,
                       uint64_t *number, int32_t *fd);

// Puts the next messages into a feed of the caller's, which is empty. Returns how many; 0:
// there is none; NMQ_ENOENT, or NMQ_ENOMEM.
int nmq_consumers_take(nmq_consumers *consumers, uint64_t number, nmq_feed *feed);

// Acknowledges the oldest `count` of those that were taken. Returns NMQ_OK, NMQ_ENOENT, or
// NMQ_EINVAL for more than were taken.
int nmq_consumers_ack(nmq_consumers *consumers, uint64_t number, uint32_t count);

// Those that were taken and not acknowledged come again. Returns NMQ_OK or NMQ_ENOENT.
int nmq_consumers_again(nmq_consumers *consumers, uint64_t number);

// Returns NMQ_OK or NMQ_ENOENT.
int nmq_consumers_stats(nmq_consumers *consumers, uint64_t number, nmq_consumer_stats *out);

// Closes the consumer: it keeps what comes. Returns NMQ_OK or NMQ_ENOENT.
int nmq_consumers_close(nmq_consumers *consumers, uint64_t number);

// Forgets the consumer of that name, open or closed, and what it keeps. Returns NMQ_OK or
// NMQ_ENOENT.
int nmq_consumers_end(nmq_consumers *consumers, const char *name, size_t name_len);
