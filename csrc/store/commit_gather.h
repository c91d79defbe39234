// commit_gather.h - how long a commit waits for more to come along.
//
//     commit ends: 40 records let go, 25 have come meanwhile ──gather──> 65 are there: go
//
// Answers that a commit lets go bring the next messages. If the next commit did not wait
// for them, two halves of the publishers would take turns, each waiting for the sync of the
// other, and each commit would be half as large as it could be.
//
// So it waits until as many records are staged as the last commit let go, besides those
// that were staged when it ended. It waits while they come faster than records have been
// committed, so that each moment of waiting makes the commit larger by more than it makes
// it later; and never longer after the last commit than that one's sync took. Where the
// last commit is longer ago, nothing of it is expected any more.
//
// `asked` is nmq_journal_asked.
//
// Owner    embedded in the committer.
// Threads  none of its own.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t taken;    // of what was asked for: up to the last commit
    uint64_t let_go;   // of that, the last commit had
    uint64_t expected; // with so many there is nothing more to wait for
    uint64_t seen;     // so many had come at the last look
    int64_t seen_ns;   // when that was
    int64_t ended_ns;  // when the last commit ended; 0: there was none
    int64_t sync_ns;   // how long it took
} nmq_commit_gather;

// What is staged is about to be taken.
void nmq_commit_gather_take(nmq_commit_gather *gather, uint64_t asked);

// The commit is over, which began then.
void nmq_commit_gather_end(nmq_commit_gather *gather, uint64_t asked, int64_t began_ns,
                           int64_t now_ns);

// Somebody waits for the next commit. Returns until when to wait before another look, or
// until `expected` is there; 0: it is time. least_ns: between the ends of two commits,
// whatever comes; -1: as above. again: it has waited since the last look.
int64_t nmq_commit_gather_look(nmq_commit_gather *gather, int64_t least_ns, uint64_t asked,
                               int64_t now_ns, bool again);
