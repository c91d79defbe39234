// journal_told.h - what was told again since a journal began anew.
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
