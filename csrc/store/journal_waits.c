#include "store/journal_waits.h"

#include <stddef.h>

void
nmq_journal_waits_put(nmq_journal_waits *waits, nmq_journal_wait *wait, uint64_t number)
{
    wait->number = number;
    wait->next = waits->first;
    wait->at = &waits->first;
    if (wait->next != NULL) {
        wait->next->at = &wait->next;
    }
    waits->first = wait;
    waits->count++;
}

bool
nmq_journal_waits_del(nmq_journal_waits *waits, nmq_journal_wait *wait)
{
    if (wait->number == 0) {
        return false;
    }
    waits->count--;
    *wait->at = wait->next;
    if (wait->next != NULL) {
        wait->next->at = wait->at;
    }
    wait->number = 0;
    return true;
}

nmq_journal_wait *
nmq_journal_waits_settle(nmq_journal_waits *waits, uint64_t number)
{
    nmq_journal_wait *due = NULL;

    for (nmq_journal_wait *wait = waits->first, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (wait->number <= number) {
            (void) nmq_journal_waits_del(waits, wait);
            wait->next = due;
            due = wait;
        }
    }
    return due;
}
