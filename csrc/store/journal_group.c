#include "store/journal_group.h"

void
nmq_journal_open(nmq_journal *journal, nmq_journal_group *group)
{
    (void) pthread_mutex_lock(&journal->lock);
    uint32_t turn = journal->turn; // not the next: it may wait for this thread's own group
    while (journal->turns && journal->turn == turn) {
        (void) pthread_cond_wait(&journal->turned, &journal->lock);
    }
    nmq_journal_group **at = &journal->groups;
    while (*at != NULL) { // as many as threads that publish
        at = &(*at)->next;
    }
    *group = (nmq_journal_group){
        .at = at, .number = journal->appended, .bytes = journal->staged.len};
    *at = group;
    (void) pthread_mutex_unlock(&journal->lock);
}

void
nmq_journal_close(nmq_journal *journal, nmq_journal_group *group)
{
    (void) pthread_mutex_lock(&journal->lock);
    bool lets_go = journal->cut && group->at == &journal->groups;
    *group->at = group->next;
    if (group->next != NULL) {
        group->next->at = group->at;
    }
    journal->cut = journal->cut && !lets_go;
    if (journal->turns && journal->groups == NULL) {
        (void) pthread_cond_broadcast(&journal->turned);
    }
    (void) pthread_mutex_unlock(&journal->lock);
    if (lets_go && journal->wanted != NULL) {
        journal->wanted(journal->arg, true);
    }
}
