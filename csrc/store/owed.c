#include "store/owed.h"

#include "base/mem.h"
#include "base/status.h"

static void
unlink_entry(nmq_owed *owed, nmq_owed_entry *entry)
{
    *(entry->prev != NULL ? &entry->prev->next : &owed->first) = entry->next;
    *(entry->next != NULL ? &entry->next->prev : &owed->last) = entry->prev;
    entry->next = entry->prev = NULL;
}

int
nmq_owed_put(nmq_owed *owed, nmq_owed_entry *entry, uint32_t queued)
{
    nmq_bytes filter = nmq_retain_cursor_filter(entry->cursor);

    if (nmq_map_put(&owed->by_filter, filter, entry) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    entry->after = owed->popped + queued;
    entry->next = NULL;
    entry->prev = owed->last;
    *(owed->last != NULL ? &owed->last->next : &owed->first) = entry;
    owed->last = entry;
    return NMQ_OK;
}

bool
nmq_owed_is_due(const nmq_owed *owed)
{
    return owed->first != NULL && owed->popped >= owed->first->after;
}

nmq_owed_entry *
nmq_owed_take(nmq_owed *owed, nmq_bytes filter)
{
    nmq_owed_entry *entry = nmq_map_del(&owed->by_filter, filter);

    if (entry != NULL) {
        unlink_entry(owed, entry);
    }
    if (owed->first == NULL) {
        nmq_map_free(&owed->by_filter);
    }
    return entry;
}

nmq_retain_cursor *
nmq_owed_swap(nmq_owed *owed, nmq_owed_entry *entry, nmq_retain_cursor *cursor)
{
    nmq_retain_cursor *before = entry->cursor;

    entry->cursor = cursor;
    // the filter is there: nothing is allocated, and its key is the new cursor's
    (void) nmq_map_put(&owed->by_filter, nmq_retain_cursor_filter(cursor), entry);
    return before;
}

void
nmq_owed_free(nmq_owed *owed)
{
    while (owed->first != NULL) {
        nmq_owed_entry *entry = owed->first;
        unlink_entry(owed, entry);
        nmq_free(entry->cursor);
        nmq_free(entry);
    }
    nmq_map_free(&owed->by_filter);
}
