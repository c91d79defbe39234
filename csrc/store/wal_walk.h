// wal_walk.h - the blocks of a write-ahead log, from its oldest to its end, and what ends
// it.
//
//     [41] [42 part 0] [42 part 1] [43] [44, torn] 0 0 0     a torn tail: 43 is the last
//     [41] [42, torn ] [43] [44] 0 0 0 0 0 0 0 0 0 0 0 0     damaged: 42 was safe before 43
//
// A commit is written when the one before it is safe. So a bad block with nothing behind it
// but parts of the same commit is what a cut has left of the last commit, which nobody was
// told of; with a later commit behind it, it was safe once.
//
// Threads  one at a time.
#pragma once
#include "store/wal_reader.h"

typedef struct {
    nmq_wal_segments *segments;
    // Each block of a chain, in order; `at` is where it lies. Returns NMQ_OK, or what ends
    // the walk.
    int (*block)(void *arg, const nmq_wal_block *block, const uint8_t *bytes,
                 const nmq_wal_reader *at);
    void *arg;
    bool skip; // go on behind what is damaged: a commit of which a block is bad is lost

    // what was found
    uint64_t store;        // 0: no block at all
    uint64_t sequence;     // of the latest commit of which there is a block
    bool torn;             // it ends with a commit that is not whole
    uint32_t damaged;      // how many places
    uint64_t lost;         // commits behind which the walk has gone on
    uint32_t bad_segment;  // the first of them: number of the file; 0: none
    uint64_t bad_at;       // bytes
    uint32_t next_segment; // what lies behind it
    uint64_t next_at;
    uint64_t next_sequence;
} nmq_wal_walk;

// Walks. Returns NMQ_OK; NMQ_ECORRUPT: there is damage, and not `skip`; NMQ_ENEWER: a later
// version wrote it; NMQ_ENOMEM, NMQ_EIO; or what `block` has returned.
int nmq_wal_walk_run(nmq_wal_walk *walk);
