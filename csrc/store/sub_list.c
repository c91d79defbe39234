#include "store/sub_list.h"

#include <string.h>

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"

enum { FEW = 8 }; // up to so many subscriptions are searched one by one

// The room of a list is a power of two. A long list has an index by client behind its
// subscriptions: 2 * cap slots, each one more than a place, 0 for free.

static bool
has_index(const nmq_subscriptions *list)
{
    return list->cap > FEW;
}

static uint32_t *
index_of(nmq_subscriptions *list)
{
    return (uint32_t *) &list->at[list->cap];
}

static uint32_t
home_of(const nmq_subscriptions *list, const void *client)
{
    uint64_t hash = (uintptr_t) client * UINT64_C(0x9e3779b97f4a7c15);

    return (uint32_t) (hash >> 32) & (2 * list->cap - 1);
}

// Where in the index that client is, or the free slot where it belongs.
static uint32_t *
find_slot(nmq_subscriptions *list, const void *client)
{
    uint32_t *index = index_of(list);
    uint32_t slot = home_of(list, client);

    while (index[slot] != 0 && list->at[index[slot] - 1].client != client) {
        slot = (slot + 1) & (2 * list->cap - 1);
    }
    return &index[slot];
}

static size_t
home_at(const void *table, size_t at)
{
    const nmq_subscriptions *list = table;
    const uint32_t *index = (const uint32_t *) &list->at[list->cap];

    return index[at] != 0 ? home_of(list, list->at[index[at] - 1].client) : NMQ_PROBE_FREE;
}

static void
move(void *table, size_t to, size_t from)
{
    uint32_t *index = index_of(table);

    index[to] = index[from];
}

static void
close_hole(nmq_subscriptions *list, uint32_t hole)
{
    index_of(list)[nmq_probe_close(list, 2 * list->cap - 1, hole, home_at, move)] = 0;
}

// Makes room for one more. Returns NMQ_OK or NMQ_ENOMEM.
static int
reserve(nmq_subscriptions **at)
{
    uint32_t count = *at != NULL ? (*at)->count : 0;
    uint32_t cap = *at != NULL ? (*at)->cap : 0;

    if (count < cap) {
        return NMQ_OK;
    }
    cap = cap == 0 ? 1 : 2 * cap;
    size_t index_bytes = cap > FEW ? 2 * cap * sizeof(uint32_t) : 0;
    nmq_subscriptions *grown =
        nmq_resize(*at, sizeof *grown + cap * sizeof *grown->at + index_bytes);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    grown->count = count;
    grown->cap = cap;
    *at = grown;
    if (has_index(grown)) {
        memset(index_of(grown), 0, index_bytes);
        for (uint32_t i = 0; i < count; i++) {
            *find_slot(grown, grown->at[i].client) = i + 1;
        }
    }
    return NMQ_OK;
}

static nmq_subscription *
find(nmq_subscriptions *list, const void *client)
{
    if (list != NULL && has_index(list)) {
        uint32_t place = *find_slot(list, client);
        return place != 0 ? &list->at[place - 1] : NULL;
    }
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        if (list->at[i].client == client) {
            return &list->at[i];
        }
    }
    return NULL;
}

int
nmq_sub_list_put(nmq_subscriptions **at, const nmq_subscription *sub)
{
    nmq_subscription *known = find(*at, sub->client);

    if (known != NULL) {
        *known = *sub;
        return 0;
    }
    if (reserve(at) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_subscriptions *list = *at;
    if (has_index(list)) {
        *find_slot(list, sub->client) = list->count + 1;
    }
    list->at[list->count++] = *sub;
    return 1;
}

int
nmq_sub_list_del(nmq_subscriptions **at, const void *client)
{
    nmq_subscription *known = find(*at, client);

    if (known == NULL) {
        return NMQ_ENOENT;
    }
    nmq_subscriptions *list = *at;
    nmq_subscription *last = &list->at[list->count - 1];
    if (has_index(list)) {
        close_hole(list, (uint32_t) (find_slot(list, client) - index_of(list)));
        if (known != last) {
            *find_slot(list, last->client) = (uint32_t) (known - list->at) + 1;
        }
    }
    *known = *last;
    if (--list->count == 0) {
        nmq_free(list);
        *at = NULL;
    }
    return NMQ_OK;
}
