// flush_times.h - how long commits took within the last minute: a histogram for each ten
// seconds of it.
//
// A bucket holds times that differ by 1/4 at most: four for each power of 2, from 1 us on.
// The last one holds all that is longer than two minutes.
//
// Owner    the committer.
// Threads  add: one. look: any, at the same time: it may miss what is being added, and
//          count some of what has just become too old.
// Cost     add: a few stores. look: a load for each bucket.
#pragma once
#include <stdint.h>

enum {
    NMQ_FLUSH_TURN_MS = 10000,
    NMQ_FLUSH_TURNS = 7, // the one that goes on, and six before it
    NMQ_FLUSH_BUCKETS = 104,
};

typedef struct {
    uint64_t turn; // which ten seconds; atomic, as all of it
    uint64_t max_us;
    uint32_t count[NMQ_FLUSH_BUCKETS];
} nmq_flush_turn;

// Zeroed: there was none.
typedef struct {
    nmq_flush_turn turns[NMQ_FLUSH_TURNS];
} nmq_flush_times;

// Microseconds; 0: there was none.
typedef struct {
    uint64_t p50_us; // half of them took that long at most, p99_us: 99 of 100
    uint64_t p99_us;
    uint64_t max_us;
} nmq_flush_summary;

void nmq_flush_times_add(nmq_flush_times *times, uint64_t now_ms, uint64_t us);

// Of those of the last 60 to 70 seconds.
nmq_flush_summary nmq_flush_times_look(const nmq_flush_times *times, uint64_t now_ms);
