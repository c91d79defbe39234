// log_trouble.h - what operator and program are told when the log of what is kept cannot be
// written, has no room, or takes messages again.
//
//     "the log in '/var/lib/nanomq' cannot be written (Input/output error): ..." + a note
//     + an event
//
// Threads  any; without a lock.
#pragma once
#include "route/router.h"

typedef struct {
    const char *folder; // as the operator calls it
    int status;         // as nmq_committer_options.troubled
    int before;         // the status that was told last
    int error;          // errno; 0: none
    uint8_t on_error;   // enum nmq_durability_on_error
} nmq_log_trouble;

// Writes a line to the log of the router, puts NMQ_NOTE_DURABILITY on its ring, tells those
// who watch, and counts.
void nmq_log_trouble_tell(nmq_router *router, const nmq_log_trouble *trouble);
