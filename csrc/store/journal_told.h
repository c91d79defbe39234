// journal_told.h - what was told again since a journal began anew.
//
// Threads  thread-safe.
#pragma once
#include "store/journal.h"

// Bytes of it.
uint64_t nmq_journal_retold(nmq_journal *journal);

// Whether a session of that number is among it, or new.
bool nmq_journal_has_told(nmq_journal *journal, uint64_t session);
