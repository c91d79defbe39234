// wal_recover.h - opens a write-ahead log that a process has left, and reads it again.
//
// What it may say is one of these: it ends with a whole commit; the last commit is torn,
// which is no loss; something that was safe is damaged (wal_walk.h); files are missing.
//
// Threads  one at a time.
#pragma once
#include "store/wal.h"
#include "store/wal_found.h"

// What is done with a commit. Its bytes are the function's until it returns. Returns
// NMQ_OK, or what ends the reading.
typedef int nmq_wal_commit_fn(void *arg, uint64_t sequence, nmq_bytes bytes);

typedef struct {
    uint64_t segment_bytes; // of a file that is made: 1 MiB or more, whole pages
    uint64_t bytes_max;     // of all files
    bool skip;              // go on behind what is damaged
    // Called by open for each commit that is whole, also for some that replay leaves out.
    // NULL: nobody has to look ahead.
    nmq_wal_commit_fn *ahead;
    void *ahead_arg;
} nmq_wal_options;

// Opens the log of that disk, or a new one. Returns NMQ_OK; NMQ_ECORRUPT with bad_segment
// or missing; NMQ_ENEWER, NMQ_ENOMEM, or NMQ_EIO with wal->segments.error. nmq_wal_close
// has to follow in any case. Nothing is written.
int nmq_wal_open(nmq_wal *wal, nmq_disk *disk, const nmq_wal_options *options,
                 nmq_wal_found *found);

// Calls fn for each commit from wal->from on; before the first append. Meanwhile
// wal->wall_ms is when that commit was written. skip: as it was opened. Returns NMQ_OK,
// NMQ_ENOMEM, NMQ_EIO, or what fn has.
int nmq_wal_replay(nmq_wal *wal, bool skip, nmq_wal_commit_fn *fn, void *arg);
