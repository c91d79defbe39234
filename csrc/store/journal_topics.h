// journal_topics.h - which messages a journal leaves out: those whose topic matches none of
// its filters.
//
// It is decided once for each message, when it would be appended for the first time; so
// what was appended stays so, and is told again, whatever the filters are then.
//
// Threads  thread-safe.
// Cost     a journal that never left anything out: a test of one word.
#pragma once
#include "store/journal.h"

// Of the messages to come. filters: see nmq_topic_choice; empty: all are logged. Returns
// NMQ_OK, or NMQ_ENOMEM: they are as they were.
int nmq_journal_set_topics(nmq_journal *journal, nmq_bytes filters);

// Whether a message of that topic that comes now is logged. NULL: it is not left out.
bool nmq_journal_wants_topic(nmq_journal *journal, nmq_bytes topic_name);

// Whether it was decided that this one is not.
bool nmq_journal_has_left_out(nmq_journal *journal, const nmq_message *message);
static inline bool
nmq_journal_leaves_out(nmq_journal *journal, const nmq_message *message)
{
    return NMQ_LIVE(journal->partial) && nmq_journal_has_left_out(journal, message);
}
