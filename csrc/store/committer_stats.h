// committer_stats.h - what a committer has done so far. cffi reads this file.
#pragma once
#include <stdint.h>

typedef struct {
    uint64_t commits;
    uint64_t bytes;   // of records
    uint64_t sync_us; // of the last commit: to write it and make it safe
    uint64_t room;    // bytes that may be appended within the log's bound
    uint64_t used;    // bytes of the log that are needed
    uint64_t rounds;  // how often it has begun anew, and all was told
} nmq_committer_stats;
