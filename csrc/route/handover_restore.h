// handover_restore.h - takes over what a process has left: what handover_save.h wrote, or a
// log that goes on.
//
//     log_begin ──> log_take: a commit ──> log_take ... ──> log_end: its clients are here,
//     and the journal goes on
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/handover_reader.h"

// Takes over what is in the bytes, where no client is yet. Returns how many
// sessions, NMQ_ENOMEM, or NMQ_EMALFORMED for bytes that nmq_handover_save did not write;
// what came before the fault stays.
int nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in);

// --- a log

typedef struct {
    nmq_handover_uses uses; // of all its records, which the reader takes over
    int64_t over_ms;        // when its last commit was written; 0: it has none
    bool lenient;           // commits may be missing
} nmq_handover_log;

// Nothing is here yet, and the router has no journal; one has been made
// (nmq_message_have_numbers). Who wants no journal sets objects.keeps_numbers to false. The
// clocks are read: they are never before over_ms.
void nmq_handover_log_begin(nmq_handover_reader *reader, nmq_sessions *sessions,
                            nmq_consumers *consumers, const nmq_handover_log *log);

// Takes a commit over, of whole records; wall_ms: when it was written. Returns NMQ_OK,
// NMQ_ENOMEM, or NMQ_EMALFORMED; then the log is to be given up.
int nmq_handover_log_take(nmq_handover_reader *reader, int64_t wall_ms, nmq_bytes records);

// Lets the clients in. The router logs to the journal from now on: what it appends comes
// behind what was taken, under numbers that go on; NULL: nothing is logged. *passed:
// records, and sessions, that were passed over, as others are missing. Returns how many
// sessions, or NMQ_ENOMEM.
int nmq_handover_log_end(nmq_handover_reader *reader, nmq_journal *journal,
                         uint64_t *passed);

// Gives the log up: no client comes in.
void nmq_handover_log_cancel(nmq_handover_reader *reader);
