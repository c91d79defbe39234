// wal_found.h - what a write-ahead log was like when it was opened. cffi reads this file.
#pragma once
#include <stdint.h>

// Segments are numbers of files; 0: nothing of the kind.
typedef struct {
    uint32_t torn_segment; // where the last commit is torn
    uint64_t torn_at;      // bytes
    uint32_t damaged;      // places
    uint32_t bad_segment;  // the first of them
    uint64_t bad_at;
    uint32_t next_segment; // what lies behind it
    uint64_t next_at;
    uint64_t next_sequence;
    uint32_t missing; // a file that is not there
    uint64_t lost;    // commits that were skipped
    uint64_t passed; // records of the others that say nothing without them; by their reader
} nmq_wal_found;
