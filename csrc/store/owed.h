// owed.h - retained messages that a session is still to get, with a cursor for each filter
// that it subscribed to.
//
//     SUBSCRIBE a/#  ──put──>  [a/# at a/b/7] ── [c/+ at its beginning]
//
// The first entry is served first. An entry comes after what was in the session's queue
// when it was put, and before what was queued later. Subscribing again before the walk is
// over begins it anew: a filter is there once.
//
// Owner    the list owns its entries and their cursors. A cursor stands in the store: take
//          the entry out, then close its cursor with the store's lock.
// Threads  none of its own: the client's lock.
// Cost     put, take: constant on average. A list that has become empty holds no memory.
#pragma once
#include "base/map.h"
#include "store/retain_cursor.h"

typedef struct nmq_owed_entry {
    struct nmq_owed_entry *next;
    struct nmq_owed_entry *prev;
    nmq_retain_cursor *cursor; // owned
    uint64_t after;            // due once `popped` is so many
    uint32_t identifier;       // Subscription Identifier, 0: none
    uint8_t options;           // enum nmq_sub_options
} nmq_owed_entry;

// A zeroed list is a valid empty one.
typedef struct {
    nmq_owed_entry *first;
    nmq_owed_entry *last;
    uint64_t popped;   // taken off the session's queue since the list has an entry
    nmq_map by_filter; // filter, of the cursor -> entry
} nmq_owed;

// Adds the entry, which the list takes, behind the `queued` messages of the session's
// queue. The list has none of its filter. Returns NMQ_OK, or NMQ_ENOMEM with the entry
// still the caller's.
int nmq_owed_put(nmq_owed *owed, nmq_owed_entry *entry, uint32_t queued);

// Whether the first entry comes before what is in the queue now.
bool nmq_owed_is_due(const nmq_owed *owed);

// Takes the entry of that filter out, for the caller; NULL: there is none.
nmq_owed_entry *nmq_owed_take(nmq_owed *owed, nmq_bytes filter);

// Gives the entry another cursor of the same filter, which the list takes. Returns the one
// before, for the caller.
nmq_retain_cursor *nmq_owed_swap(nmq_owed *owed, nmq_owed_entry *entry,
                                 nmq_retain_cursor *cursor);

// Frees all. The cursors are not closed, so the store must be gone, or about to go.
void nmq_owed_free(nmq_owed *owed);
