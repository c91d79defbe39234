// committer_stats.h - what a committer has done so far.
#pragma once
#include <stdint.h>

#include "store/flush_times.h"

typedef struct {
    uint64_t commits;
    uint64_t bytes;  // of records
    uint64_t room;   // bytes that may be appended within the log's bound
    uint64_t used;   // bytes of the log that are needed
    uint64_t live;   // bytes that it would take if nothing else were in it; about
    uint64_t rounds; // how often it has begun anew, and all was told
    uint64_t size;   // bytes of all segments
    uint64_t segments;
    nmq_flush_summary flushes;
} nmq_committer_stats;
