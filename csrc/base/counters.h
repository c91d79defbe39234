// counters.h - counters that all threads add to and few read: each thread has its own cache
// lines.
//
// Where one thread raises a counter and another lowers it, only the sum is right.
//
// Threads  thread-safe.
// Cost     add: one atomic addition to a line that no other running thread writes.
#pragma once
#include "base/shard.h"

enum { NMQ_COUNTERS_MAX = 128 };

// Zeroed counters are at 0.
typedef struct {
    uint64_t at[NMQ_SHARDS]
               [NMQ_COUNTERS_MAX + NMQ_CACHE_LINE / 8]; // the rest keeps lines apart
} nmq_counters;

void nmq_counters_add(nmq_counters *counters, unsigned which, uint64_t more);
uint64_t nmq_counters_sum(const nmq_counters *counters, unsigned which);

// The sum of those from `first` to `last`.
uint64_t nmq_counters_total(const nmq_counters *counters, unsigned first, unsigned last);
