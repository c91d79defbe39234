// settler.h - a thread of the poller lets go what has waited for a commit: the one that
// commits goes on meanwhile.
//
//     committer ──settled(7), settled(9)──> number 9 ──job──> nmq_durable_settle(9)
//     committer ──expel──────────────────────────────job──> nmq_durable_expel
//
// Owner    the caller, who stops the committer first.
// Threads  settled: one at a time, any.
#pragma once
#include <pthread.h>

#include "io/poller.h"
#include "route/router.h"

typedef struct {
    nmq_job job; // first
    nmq_router *router;
    pthread_mutex_t lock;
    pthread_cond_t rests;
    uint64_t number; // lock: all is safe up to it
    bool expels;     // lock: what waits is not going to be safe
    bool for_good;   // lock: and nothing ever
    bool posted;     // lock: the job is, or it runs
} nmq_settler;

void nmq_settler_init(nmq_settler *settler, nmq_router *router);

// Waits until the job rests.
void nmq_settler_fini(nmq_settler *settler);

// See nmq_committer_options.
void nmq_settler_settled(nmq_settler *settler, uint64_t number);
void nmq_settler_expel(nmq_settler *settler, bool for_good);
