#include "store/journal_topics.h"

int
nmq_journal_set_topics(nmq_journal *journal, nmq_bytes filters)
{
    (void) pthread_mutex_lock(&journal->lock);
    int rv = nmq_topic_choice_set(&journal->topics, filters);
    if (rv == NMQ_OK && filters.len > 0) {
        NMQ_LIVE_SET(journal->partial, true); // for good: what was left out stays so
    }
    (void) pthread_mutex_unlock(&journal->lock);
    return rv;
}

bool
nmq_journal_wants_topic(nmq_journal *journal, nmq_bytes topic_name)
{
    if (journal == NULL || !NMQ_LIVE(journal->partial)) {
        return true;
    }
    (void) pthread_mutex_lock(&journal->lock);
    bool wants = nmq_topic_choice_has(&journal->topics, topic_name);
    (void) pthread_mutex_unlock(&journal->lock);
    return wants;
}

bool
nmq_journal_has_left_out(nmq_journal *journal, const nmq_message *message)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool left_out = nmq_message_number(message) == NMQ_JOURNAL_LEFT_OUT;
    (void) pthread_mutex_unlock(&journal->lock);
    return left_out;
}
