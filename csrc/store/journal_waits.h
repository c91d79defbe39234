// journal_waits.h - who waits until changes are safe.
//
// Owner    the journal, with whose lock all of it is called.
// Cost     settle: those that wait.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Embedded in what waits.
typedef struct nmq_journal_wait {
    struct nmq_journal_wait *next; // of the list that it is on
    struct nmq_journal_wait **at;  // the journal's lock: what points at it
    uint64_t number; // the journal's lock: it waits for; 0: it is not on the journal's list
} nmq_journal_wait;

typedef struct {
    nmq_journal_wait *first;
    uint64_t count;
} nmq_journal_waits;

void nmq_journal_waits_put(nmq_journal_waits *waits, nmq_journal_wait *wait,
                           uint64_t number);

// Returns whether it waited.
bool nmq_journal_waits_del(nmq_journal_waits *waits, nmq_journal_wait *wait);

// Takes those off that wait for that number or a lower one. Returns them, chained by next.
nmq_journal_wait *nmq_journal_waits_settle(nmq_journal_waits *waits, uint64_t number);
