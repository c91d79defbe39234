// handover_objects.h - what sessions share while they are taken over: when the records were
// written, who published, and messages.
//
// Owner    a list of messages holds a reference to each, and so one of origins.
// Threads  none meanwhile: no connection is open.
#pragma once
#include "base/moment.h"
#include "store/groups.h"
#include "store/journal_record.h"
#include "store/message.h"

// Objects by their number: their place, from 1, and the base.
typedef struct {
    void **at;
    uint64_t base; // numbers up to it were given before the first record
    uint32_t count;
    uint32_t cap;
} nmq_numbered;

// The number of the next one.
static inline uint64_t
nmq_numbered_next(const nmq_numbered *list)
{
    return list->base + list->count + 1;
}

// Whether that number was given so far.
static inline bool
nmq_numbered_was(const nmq_numbered *list, uint64_t number)
{
    return number != 0 && number < nmq_numbered_next(list);
}

// The object of that number, or NULL.
void *nmq_numbered_get(const nmq_numbered *list, uint64_t number);

// Puts the object at the next place. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_numbered_add(nmq_numbered *list, void *object);

typedef struct {
    bool keeps_numbers; // objects have their numbers from here on, for the same journal
    nmq_moment written; // when the records were
    nmq_moment now;
    nmq_numbered origins;  // nmq_origin
    nmq_numbered messages; // nmq_message
} nmq_objects;

// Each takes a record over. BEGIN may come again: for who begins to read there.
// Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM.
int nmq_handover_take_begin(nmq_objects *objects, const nmq_begin_record *begin);
int nmq_handover_take_origin(nmq_objects *objects, const nmq_origin_record *record);
int nmq_handover_take_message(nmq_objects *objects, const nmq_message_record *record);

// Whether a time of a record can be one, and the deadline here that it stands for.
bool nmq_handover_is_time(int64_t at_ms);
int64_t nmq_handover_due(const nmq_objects *objects, int64_t at_ms);

// Returns whether that is an address, or none.
bool nmq_handover_peer(nmq_bytes address, uint16_t port, nmq_peer *out);

void nmq_objects_fini(nmq_objects *objects); // gives back what the lists hold
