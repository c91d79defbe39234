// log_room.h - how much may be added to a log, and when it is worth telling again what is
// live.
//
//     [ used: live, and what is over | room / 2 | room / 2 | live, told again | reserve ]
//                                                                    bytes_max ──┘
//
// Each byte that is added may have to be told again, and so may all that is live: so that
// the log can always begin anew, only half of what that leaves may be added. The reserve is
// for what takes away (acknowledgements, ends of sessions), and for what is let in at once
// by several threads. Its segments are made ahead, and those for telling again before that
// begins: they cannot be made on a disk that has become full meanwhile. Where they cannot
// be made, nothing may be added. A process that goes on with a log does not know how old
// what it holds there is, so nothing is free before all of that is told; later, only what
// is told first needs room ahead.
//
// Threads  the one that writes the log; bytes_max: any.
#pragma once
#include "store/committer_stats.h"
#include "store/journal.h"
#include "store/wal.h"

enum {
    NMQ_LOG_ROOM_SPARE = 4,   // segments that the log may be larger than twice what is live
    NMQ_LOG_ROOM_RESERVE = 2, // segments
};

typedef struct {
    nmq_wal *wal;
    nmq_journal *journal;
    uint64_t bytes_max; // NMQ_LIVE; 0: as the log says
    uint64_t live;      // bytes that were live when the log began anew last
    uint64_t live_most; // that telling again all that is live takes, or more
    uint64_t first;     // of them: what is told before the oldest of the log is free
    bool is_known;      // how much is live
    bool in_epochs;     // it is known in which epochs what is live was logged
    int blocked;      // why no segment can be made; NMQ_OK: one can, for all that is known
    uint32_t look_ms; // until it is looked for room again; 0: there is room
    int64_t look_ns;  // when that is
} nmq_log_room;

void nmq_log_room_init(nmq_log_room *room, nmq_wal *wal, nmq_journal *journal,
                       uint64_t bytes_max);

// Whether the journal is to begin anew: that gives room where it is wanted, and there are
// segments for all that is live.
bool nmq_log_room_is_time(const nmq_log_room *room);

// Sees to the segments, and tells the journal how much may be added. live, first: as
// live_most and first; told: bytes that were told again since the log has begun anew; NULL:
// all is told. Returns NMQ_OK; NMQ_ENOSPC or NMQ_ENOMEM: nothing may be added,
// wal->segments.error has the errno; or NMQ_EIO as nmq_wal_tidy.
int nmq_log_room_look(nmq_log_room *room, uint64_t live, uint64_t first,
                      const uint64_t *told, int64_t now_ns);

// Sets what is told of the space: room, used, live, size, segments.
void nmq_log_room_measure(const nmq_log_room *room, nmq_committer_stats *out);

// When to look though nothing is written; INT64_MAX: never.
int64_t nmq_log_room_due_ns(const nmq_log_room *room);

// How long to wait after an attempt for which it was waited `ms`; 0: the first.
uint32_t nmq_log_room_longer(uint32_t ms);
