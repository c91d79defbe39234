#include "store/journal_told.h"

uint64_t
nmq_journal_retold(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    uint64_t bytes = journal->retold;
    (void) pthread_mutex_unlock(&journal->lock);
    return bytes;
}

void
nmq_journal_tell_sessions(nmq_journal *journal)
{
    (void) pthread_mutex_lock(&journal->lock);
    journal->told.sessions = journal->given.sessions;
    (void) pthread_mutex_unlock(&journal->lock);
}

bool
nmq_journal_has_told(nmq_journal *journal, uint64_t session)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool told = session > journal->told.sessions;
    (void) pthread_mutex_unlock(&journal->lock);
    return told;
}
