// committer.h - the thread that takes what a journal has staged, writes it to the log and
// makes it safe: one commit for all that came meanwhile.
//
//     staged ──wanted──> gather ──take──> append to the log ──settled(number)──> again
//
// It writes as soon as somebody waits. What nobody waits for is written with the next
// commit, at the latest after NMQ_COMMITTER_LAZY_MS, or when much is staged. If nothing is
// staged it sleeps.
//
// Replies that a commit lets go bring the next messages. With NMQ_GATHER_AUTO it waits for
// them, as long as that is worth it (commit_gather.h).
//
// Room is decided before something is added (nmq_journal_may), so what is taken is always
// written; log_room.h has the rule. It looks for room by itself, and says when there is
// some.
//
// What is written all the same finds the disk full only where much was added at once: then
// it tries again and again, and who has waited for hold_ms is let go, unanswered.
//
// When a write or a sync has failed nobody knows what is on the disk: nothing more is
// written or durable, and who waits is let go, unanswered; or, if it degrades, all is said
// to be durable from then on.
//
// The log holds what has changed, and most of that is over. Once it is larger than twice
// what was live plus NMQ_LOG_ROOM_SPARE segments, the journal begins anew, and what is
// still there is told again (log_round.h).
//
// Owner    the caller, who stops it while the log is there.
// Threads  one of its own, which alone touches the log between new and stop.
#pragma once
#include "store/commit_gather.h"
#include "store/committer_stats.h"
#include "store/journal.h"
#include "store/wal.h"

enum { NMQ_COMMITTER_LAZY_MS = 1000 };

#define NMQ_GATHER_AUTO UINT32_MAX

typedef struct nmq_committer nmq_committer;

typedef struct {
    nmq_journal *journal; // nothing is appended yet; it calls the committer from then on
    nmq_wal *wal;
    // All is safe up to that number. On the thread of the committer, without a lock.
    void (*settled)(void *arg, uint64_t number);
    // What waits is not going to be safe; for_good: and nothing ever. As settled.
    void (*expel)(void *arg, bool for_good);
    // status: NMQ_EIO, or NMQ_ESTORE where memory was out: nothing will be safe any more;
    // NMQ_ENOSPC or NMQ_ENOMEM: nothing may be added now; NMQ_OK: it may again. error:
    // errno; 0: none, and with NMQ_ENOSPC bytes_max is reached. As settled.
    void (*troubled)(void *arg, int status, int error);
    // Takes what is staged, and has an epoch of the journal begin, as
    // nmq_journal_begin_anew; NULL: the log only grows. tell: tells one thing again, and
    // sets *needed_from if less is needed now; whether there is more (route/retell.h). As
    // settled.
    uint64_t (*begin_anew)(void *arg, nmq_buf *out, bool is_round);
    bool (*tell)(void *arg, uint32_t *needed_from);
    // Bytes that all that is live takes, or more; NULL: 0. *first: about what is told of
    // them before the oldest of the log is free. As settled.
    uint64_t (*live)(void *arg, uint64_t *first);
    void *arg;
    uint32_t gather_ms; // least time between the ends of two commits, or NMQ_GATHER_AUTO
    uint32_t lazy_ms;   // in place of NMQ_COMMITTER_LAZY_MS; 0: that
    uint32_t hold_ms;   // how long who waits for an answer does so while there is no room
    uint64_t bytes_max; // of the log, with what is told again; 0: as the log says
    bool degrades;
} nmq_committer_options;

// Makes it, and starts its thread. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_committer_new(const nmq_committer_options *options, nmq_committer **out);

// Commits what is staged, if the disk takes it, and stops: what is appended from then on
// stays staged. Takes NULL.
void nmq_committer_stop(nmq_committer *committer);

// The same, and frees it: nothing is appended any more. Takes NULL.
void nmq_committer_free(nmq_committer *committer);

// See nmq_committer_options. Thread-safe.
void nmq_committer_set_times(nmq_committer *committer, uint32_t gather_ms,
                             uint32_t lazy_ms);
void nmq_committer_set_policy(nmq_committer *committer, uint64_t bytes_max,
                              uint32_t hold_ms, bool degrades);
nmq_committer_stats nmq_committer_look(nmq_committer *committer); // thread-safe
