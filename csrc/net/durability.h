// durability.h - what a broker keeps is on a disk: it becomes what the log there says, and
// goes on logging.
//
//     open: log ──replay──> sessions, retained messages; then changes ──> log, replies wait
//
// Owner    the caller: stopped once no connection is left, freed after what it serves. The
//          disk is the caller's, and stays as long.
// Threads  open, stop, free: one. It has one of its own (store/committer.h).
#pragma once
#include "net/durability_keys.h"
#include "route/consumer.h"
#include "store/committer.h"
#include "store/wal_recover.h"

typedef struct nmq_durability nmq_durability;

typedef struct {
    nmq_wal_options log;  // its segments are an eighth of bytes_max at most
    uint64_t full_bytes;  // see nmq_journal_init; a segment at most
    uint32_t gather_ms;   // see nmq_committer_options
    uint32_t hold_ms;     // see nmq_durability_keys
    uint32_t interval_ms; // see nmq_durability_keys; 0 or not: as it was opened
    uint8_t on_error;     // enum nmq_durability_on_error
    nmq_bytes topics;     // see nmq_journal_set_topics; copied
    const char *folder;   // what the operator calls it; copied; NULL: it has no name
    // As nmq_committer_options.troubled, once it is logged and noted (NMQ_NOTE_DURABILITY);
    // its thread calls it. NULL: nobody needs it.
    void (*troubled)(void *arg, int status, int error);
    void *arg;
    nmq_bytes
        left; // what the process before handed over (nmq_handover_save); empty: nothing
} nmq_durability_options;

// left, where there is room for it in bytes_max and on the disk, is taken over in place of
// what the log says: it knows of all that the log does, and of what is not logged. It
// becomes one commit, and that is where the log begins from then on: a crash before that
// leaves the log as it was.
//
// Nothing is kept yet, and no listener is open. found: what the log was like; *error:
// errno. Returns how many sessions there are now; NMQ_ECORRUPT, NMQ_ENEWER, NMQ_EIO: the
// log cannot be read; NMQ_EMALFORMED: what it says cannot be; or NMQ_ENOMEM. Then nothing
// is logged.
int nmq_durability_open(nmq_sessions *sessions, nmq_consumers *consumers, nmq_disk *disk,
                        const nmq_durability_options *options, nmq_wal_found *found,
                        int *error, nmq_durability **out);

// Whether what was left was taken over.
bool nmq_durability_took_over(const nmq_durability *durability);

// Puts log.bytes_max, gather_ms, interval_ms, hold_ms, on_error and topics in force.
// Thread-safe. Returns NMQ_OK, or NMQ_ENOMEM: nothing has changed.
int nmq_durability_set(nmq_durability *durability, const nmq_durability_options *options);

// Commits the rest. Nothing more is safe, and what still waits is lost with its connection.
// It may be called again.
void nmq_durability_stop(nmq_durability *durability);
void nmq_durability_free(nmq_durability *durability); // takes NULL

// What it has done, and whether publishers wait for it. Thread-safe.
nmq_committer_stats nmq_durability_look(nmq_durability *durability);
bool nmq_durability_is_full(const nmq_durability *durability);

// The same for people. Returns the status of the last trouble, NMQ_OK once it is over, and
// in *error its errno, or 0. Thread-safe.
int nmq_durability_report(nmq_durability *durability, nmq_durability_stats *out,
                          int *error);
