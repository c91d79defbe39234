// settler.h - a thread of the poller lets go what has waited for a commit: the one that
// commits goes on meanwhile.
//
//     committer ──settled(7), settled(9)──> number 9 ──job──> nmq_durable_settle(9)
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
    bool posted;     // lock: the job is, or it runs
} nmq_settler;

void nmq_settler_init(nmq_settler *settler, nmq_router *router);

// Waits until the job rests.
void nmq_settler_fini(nmq_settler *settler);

// nmq_committer_options.settled, with the settler as its arg.
void nmq_settler_settled(void *arg, uint64_t number);
