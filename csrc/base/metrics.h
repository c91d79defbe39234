// metrics.h - what the broker counts and measures, as csrc/metrics.def declares it.
//
//     nmq_counters_add(counters, NMQ_COUNT_CONNECT_IN, 1);
//
// Threads  nmq_metrics_sum is thread-safe.
// Cost     counting: base/counters.h. nmq_metrics_sum: a load for each counter and shard.
#pragma once
#include <stdint.h>

#include "base/counters.h"

// The counters, by what they count.
enum nmq_count {
#define COUNTER(id, name, topics, load, help) NMQ_COUNT_##id,
#define LEVEL(id, name, topics, help)         NMQ_COUNT_##id,
#include "metrics.def"
    NMQ_COUNTS, // how many there are
};
_Static_assert((int) NMQ_COUNTS <= NMQ_COUNTERS_MAX, "more counters than there is room");

// All metrics as of now.
typedef struct {
#define COUNTER(id, name, topics, load, help)      uint64_t name;
#define LEVEL(id, name, topics, help)              uint64_t name;
#define SUM(name, first, last, topics, load, help) uint64_t name;
#define GAUGE(name, topics, help)                  uint64_t name;
#include "metrics.def"
} nmq_stats;

// Who holds memory.
typedef struct {
#define HOLDER(name, topics, help) uint64_t name;
#include "metrics.def"
} nmq_memory;

// What became of changes that are to outlive the process.
typedef struct {
#define LOGGED(kind, name, topics, help) uint64_t name;
#include "metrics.def"
} nmq_durability_stats;

// Sets those of *out that are counted, and the gauges to 0.
void nmq_metrics_sum(const nmq_counters *counters, nmq_stats *out);
