// journal_told.h - what was told again since a journal began anew, and the numbers that
// were given before.
//
// Threads  thread-safe.
#pragma once
#include "store/journal.h"

// Bytes of it.
uint64_t nmq_journal_retold(nmq_journal *journal);

// What was retained is told again: sessions are from here on, those too that came
// meanwhile. They may be owed retained messages that were not told yet.
void nmq_journal_tell_sessions(nmq_journal *journal);

// Whether a session of that number is among it, or new.
bool nmq_journal_has_told(nmq_journal *journal, uint64_t session);

// The journal goes on from what another process has written: numbers up to these are taken.
void nmq_journal_go_on(nmq_journal *journal, uint64_t messages, uint64_t origins,
                       uint64_t sessions);
