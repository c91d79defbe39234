// journal_group.h - records that make one change: all of them come back after a kill, or
// none.
//
//     open ──> UNRELEASED, MESSAGE, DELIVERY ──> close
//
// No commit waits for a group: what is staged before the first one that is open can be
// taken.
//
// Owner    a group lies with who appends its records, until it is closed.
// Threads  thread-safe; what other threads append meanwhile waits with it.
#pragma once
#include "store/journal.h"

// What this thread appends until nmq_journal_close is one change, and the journal does not
// begin anew meanwhile. One that is within another is closed before it. It may wait for the
// journal to begin anew, up to NMQ_JOURNAL_ANEW_MS.
void nmq_journal_open(nmq_journal *journal, nmq_journal_group *group);
void nmq_journal_close(nmq_journal *journal, nmq_journal_group *group);
