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

void
nmq_journal_go_on(nmq_journal *journal, uint64_t messages, uint64_t origins,
                  uint64_t sessions)
{
    (void) pthread_mutex_lock(&journal->lock);
    journal->given =
        (nmq_journal_given){.messages = messages, .origins = origins, .sessions = sessions};
    (void) pthread_mutex_unlock(&journal->lock);
}
