// wal.h - a write-ahead log on disk: commits are appended and made safe, and come back,
// whole and in their order, after a kill or a cut of the power.
//
//     open ──> replay: commits 41, 42, 43 ──> append: 44 ──> append: 45 ...
//     ──keep_from(43)──> tidy: files that hold nothing from 43 on are used again
//
// A commit is bytes: what they mean is the caller's matter. It is there once append has
// returned NMQ_OK. Pages that hold it are not written again while it is needed, so nothing
// that happens to a later commit can harm it.
//
// Owner    the caller: nmq_wal_open (wal_recover.h), nmq_wal_close. The disk is the
//          caller's, and stays as long.
// Threads  one at a time.
// Cost     append: one write for each 256 KiB begun, one sync; bytes are not copied.
#pragma once
#include "store/wal_segments.h"

typedef struct {
    nmq_wal_segments segments;
    uint64_t store;     // drawn at random when the store was made
    uint64_t sequence;  // of the next commit
    uint64_t from;      // what is kept begins with that commit
    uint64_t safe_from; // the same, as the last commit says
    int64_t wall_ms;    // when the last commit was written; 0: there is none
    uint64_t at;        // where the next block goes, in the active segment
    uint32_t active;    // its place in segments.at
    uint32_t before;    // checksum of the last block
    uint64_t spare;     // bytes that nmq_wal_tidy keeps ahead; 0: half a segment
    uint64_t kept;      // bytes of all segments up to which it keeps what is free
    int file;           // of the active segment; -1: not open
    bool failed;        // for good: nobody knows what is safe
} nmq_wal;

// Appends the commit. Returns NMQ_OK; NMQ_ENOSPC or NMQ_ENOMEM: nothing has happened, and
// later there may be room; NMQ_EIO: it is safe or not, and nothing more is taken.
// segments.error has the errno.
int nmq_wal_append(nmq_wal *wal, nmq_bytes commit, int64_t wall_ms);

// Makes segments until a commit of so many bytes may be appended. Returns NMQ_OK, or
// NMQ_ENOSPC, NMQ_ENOMEM or NMQ_EIO as append.
int nmq_wal_reserve(nmq_wal *wal, uint64_t len);

// Commits before that one are needed no more. The next commit says so on the disk; then
// nmq_wal_tidy frees what only they need.
void nmq_wal_keep_from(nmq_wal *wal, uint64_t sequence);

// Frees segments, unless somebody reads them (nmq_disk_folder_look), and makes one ahead
// where less than `spare` is, so that append need not. Call it while nobody waits. Returns
// NMQ_OK; NMQ_ENOSPC or NMQ_ENOMEM: it could make none; or NMQ_EIO as append.
int nmq_wal_tidy(nmq_wal *wal);

// Bytes that may be appended before a segment has to be made; a little less than there are.
uint64_t nmq_wal_ahead(const nmq_wal *wal);

// Bytes of the segments that hold what is needed, up to the end of the log.
uint64_t nmq_wal_used(const nmq_wal *wal);

// Bytes that may be appended before there is no room within bytes_max; a little less than
// there is.
uint64_t nmq_wal_room(const nmq_wal *wal);

void nmq_wal_close(nmq_wal *wal);
