// durability_keys.h - what the keys `durability` and `durability.*` say, and what is told
// of a broker that they have made durable. cffi reads this file.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "store/wal_found.h" // cffi reads it too

// What follows where the disk fails.
enum nmq_durability_on_error {
    NMQ_DURABILITY_REFUSE,  // what has to be kept is acknowledged no more
    NMQ_DURABILITY_STOP,    // the broker ends
    NMQ_DURABILITY_DEGRADE, // all is acknowledged, without the disk
};

typedef struct {
    const char *location;   // a folder, which is made if there is none in its parent
    uint64_t max_bytes;     // of all segments
    uint64_t segment_bytes; // of one that is made
    uint32_t interval_ms; // 0: replies wait until what they acknowledge is safe; else they
                          // leave at once, and that is how long it may not be
    uint32_t gather_ms;   // least time between two commits; UINT32_MAX: as it is best
    uint32_t hold_ms;     // how long publishers may wait for room
    const char *topics;   // filters of what is logged, each with its 0; see topics_len
    uint32_t topics_len;  // 0: all is
    uint8_t on_error;     // enum nmq_durability_on_error
    bool skip;            // go on behind what is damaged
} nmq_durability_keys;

typedef struct {
    nmq_wal_found log;
    int error;      // the errno of what has failed, or 0
    bool took_over; // what the process before has left
} nmq_durability_found;

typedef struct {
    nmq_durability_stats stats;
    int status; // of the last attempt to write: nmq_committer_options.troubled
    int error;  // its errno, or 0
    bool waits; // who publishes waits, until less is staged
} nmq_durability_state;
