// handover_before.h - what a run of records that begins in the middle says of sessions that
// were before: the ends of their queues, until they are told again (journal.def, SESSION).
//
//     [... SESSION 7, DELIVERY 7][DELIVERY 7 | DROPPED 7 ...] SESSION 12, was 7
//                                └─ this is known           └─ and taken
//
// What was launched is not told from what waits: it is at the front, and goes once it is
// known how many wait.
//
// Owner    each delivery owns a reference, as in any queue.
// Threads  none meanwhile: no connection is open.
#pragma once
#include "base/map.h"
#include "route/handover_objects.h"
#include "store/queue.h"

// A zeroed one is empty.
typedef struct {
    nmq_map queues; // by the number of the session
} nmq_handover_before;

// Takes a record of a session that was before. Returns NMQ_OK, NMQ_EMALFORMED or
// NMQ_ENOMEM.
int nmq_handover_before_take(nmq_handover_before *before, nmq_objects *objects,
                             const nmq_journal_record *record);

// Gives what is known of the queue of that session to the caller.
nmq_queue nmq_handover_before_give(nmq_handover_before *before, uint64_t session);

void nmq_handover_before_fini(nmq_handover_before *before);
