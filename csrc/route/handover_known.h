// handover_known.h - objects that records name by their number, for as long as one will.
//
//     count: MESSAGE 7, DELIVERY of 7, DELIVERY of 7     7 is named twice
//     read:  add 7 ──> named ──> named: it is given back; who else has it may go on
//
// Without that a log of what is long over would be in memory as a whole at its end.
//
// Owner    the table has a reference to each object.
// Memory   2 bytes for each number of the records; 24 to 48 for each object that is known.
// Threads  none meanwhile: no connection is open.
#pragma once
#include "store/journal_record.h"

// How often each number is named, from the first that was given on. A zeroed one has
// counted nothing.
typedef struct {
    uint16_t *at;
    uint64_t base; // of the first one, less 1
    uint32_t count;
    uint32_t cap;
    uint32_t given; // numbers so far
} nmq_uses;

typedef struct {
    nmq_uses messages;
    nmq_uses origins;
} nmq_handover_uses;

// What a record names; 0: none.
typedef struct {
    uint64_t message;
    uint64_t origin;
} nmq_named;

nmq_named nmq_handover_names(const nmq_journal_record *record);

// Counts what is named in records that will be read, up to the first that is malformed.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_handover_count(nmq_handover_uses *uses, nmq_bytes records);
void nmq_handover_uses_fini(nmq_handover_uses *uses);

typedef struct {
    uint64_t number; // 0: free
    void *object;
    uint32_t left; // how often it will be named; UINT32_MAX: nobody knows
} nmq_known_slot;

typedef struct {
    nmq_known_slot *slots; // open addressing by the number
    uint32_t cap;          // 0 or a power of two
    uint32_t count;
    uint64_t base; // the latest number that was given
    void (*unref)(void *object);
} nmq_known;

// The object of that number, or NULL.
void *nmq_known_get(const nmq_known *known, uint64_t number);

// Takes an object under a number that was not given. Returns NMQ_OK, or NMQ_ENOMEM with the
// reference still the caller's.
int nmq_known_add(nmq_known *known, const nmq_uses *uses, uint64_t number, void *object);

// A record has named it.
void nmq_known_named(nmq_known *known, uint64_t number);

void nmq_known_fini(nmq_known *known); // gives back what is left
