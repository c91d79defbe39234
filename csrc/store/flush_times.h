// flush_times.h - how long commits took within the last minute: a histogram for each ten
// seconds of it.
//
//     begin ──> a commit is written and made safe ──> end
//
// A bucket holds times that differ by 1/4 at most: four for each power of 2, from 1 us on.
// The last one holds all that is longer than two minutes.
//
// Owner    the committer.
// Threads  begin and end: one. look: any, at the same time: it may miss what is being
//          added, and count some of what has just become too old.
// Cost     end: a few stores. look: a load for each bucket.
#pragma once
#include <stdbool.h>
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
    int64_t began_ns;  // atomic: the one under way; 0: there is none
    uint64_t total_us; // atomic: all that ended
} nmq_flush_times;

// Microseconds; 0: there was none. The first three: of the last 60 to 70 seconds.
typedef struct {
    uint64_t p50_us; // half of them took that long at most, p99_us: 99 of 100
    uint64_t p99_us;
    uint64_t max_us;
    uint64_t total_us; // all since the start took
    uint64_t now_us;   // that the one under way has taken so far
} nmq_flush_summary;

// now_ns: of the monotonic clock. counts: it has become safe.
void nmq_flush_begin(nmq_flush_times *times, int64_t now_ns);
void nmq_flush_end(nmq_flush_times *times, int64_t now_ns, bool counts);
nmq_flush_summary nmq_flush_look(const nmq_flush_times *times, int64_t now_ns);
