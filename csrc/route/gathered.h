// gathered.h - records of one session that go to the journal in one piece.
//
//     gather ──put, put──> append: all of them are logged, or none is
//
// Owner    append gives back what is held.
// Threads  the locks of what is put.
#pragma once
#include "route/session_records.h"
#include "store/journal_group.h"
#include "store/session_log.h"

// It lies where it is until all is appended.
typedef struct {
    nmq_record_sink base; // first
    nmq_journal *journal;
    nmq_journal_group group;
    nmq_buf records;
} nmq_gathered;

// Messages are told to the journal as they are put: these and the records are one change.
void nmq_gather(nmq_gathered *all, nmq_journal *journal);

// *number: of the session, see nmq_journal_append_session; so is `again`. What has gone
// wrong meanwhile fails the journal.
void nmq_gathered_append(nmq_gathered *all, nmq_session_log *log, uint64_t *number,
                         bool again);
