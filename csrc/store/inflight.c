#include "store/inflight.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"

enum { FIRST_CAP = 8, IDS = 65536 };

static nmq_inflight_entry *
slot_of(const nmq_inflight *inflight, uint16_t packet_id)
{
    return &inflight->slots[packet_id & (inflight->cap - 1)];
}

static uint64_t
message_bytes(const nmq_inflight_entry *entry)
{
    const nmq_message *message = entry->delivery.message;

    return message != NULL ? nmq_message_size(message) : 0;
}

static int
grow(nmq_inflight *inflight)
{
    nmq_inflight bigger = *inflight;

    bigger.cap = inflight->cap == 0 ? FIRST_CAP : inflight->cap * 2;
    bigger.slots = nmq_zalloc(bigger.cap * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < inflight->cap; i++) {
        if (inflight->slots[i].state != NMQ_INFLIGHT_FREE) {
            *slot_of(&bigger, inflight->slots[i].packet_id) = inflight->slots[i];
        }
    }
    nmq_free(inflight->slots);
    *inflight = bigger;
    return NMQ_OK;
}

nmq_inflight_entry *
nmq_inflight_take(nmq_inflight *inflight, const nmq_delivery *delivery)
{
    if (inflight->count >= IDS - 1 ||
        (inflight->count == inflight->cap && grow(inflight) != NMQ_OK)) {
        return NULL;
    }
    uint16_t id = inflight->last_id;
    do {
        id = (uint16_t) (id + 1);
    } while (id == 0 ||
             slot_of(inflight, id)->state != NMQ_INFLIGHT_FREE); // [MQTT-2.2.1-4]
    nmq_inflight_entry *entry = slot_of(inflight, id);
    *entry = (nmq_inflight_entry){
        .delivery = *delivery,
        .order = inflight->next_order++,
        .packet_id = id,
        .state = delivery->qos == 1 ? NMQ_INFLIGHT_PUBACK : NMQ_INFLIGHT_PUBREC,
        .in_quota = true,
    };
    inflight->last_id = id;
    inflight->count++;
    inflight->quota_used++;
    inflight->bytes += message_bytes(entry);
    return entry;
}

int
nmq_inflight_put(nmq_inflight *inflight, const nmq_inflight_entry *entry)
{
    bool needs_message = entry->state != NMQ_INFLIGHT_PUBCOMP;

    if (entry->packet_id == 0 || entry->state == NMQ_INFLIGHT_FREE ||
        entry->state > NMQ_INFLIGHT_PUBCOMP ||
        (needs_message && entry->delivery.message == NULL) ||
        nmq_inflight_find(inflight, entry->packet_id) != NULL) {
        return NMQ_EINVAL;
    }
    // two identifiers of 16 bits part at the latest in a table of 65,536
    while (inflight->cap == 0 ||
           slot_of(inflight, entry->packet_id)->state != NMQ_INFLIGHT_FREE) {
        if (grow(inflight) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    nmq_inflight_entry *slot = slot_of(inflight, entry->packet_id);
    *slot = *entry;
    slot->in_quota = false;
    inflight->count++;
    inflight->bytes += message_bytes(slot);
    return NMQ_OK;
}

nmq_inflight_entry *
nmq_inflight_find(const nmq_inflight *inflight, uint16_t packet_id)
{
    if (inflight->count == 0) {
        return NULL;
    }
    nmq_inflight_entry *entry = slot_of(inflight, packet_id);
    bool found = entry->state != NMQ_INFLIGHT_FREE && entry->packet_id == packet_id;
    return found ? entry : NULL;
}

void
nmq_inflight_received(nmq_inflight *inflight, nmq_inflight_entry *entry)
{
    inflight->bytes -= message_bytes(entry);
    nmq_delivery_fini(&entry->delivery);
    entry->state = NMQ_INFLIGHT_PUBCOMP;
}

void
nmq_inflight_give(nmq_inflight *inflight, nmq_inflight_entry *entry)
{
    inflight->bytes -= message_bytes(entry);
    nmq_delivery_fini(&entry->delivery);
    inflight->quota_used -= entry->in_quota;
    entry->state = NMQ_INFLIGHT_FREE;
    if (--inflight->count == 0 && inflight->cap > FIRST_CAP) { // an idle session is small
        nmq_free(inflight->slots);
        inflight->slots = NULL;
        inflight->cap = 0;
    }
}

typedef struct {
    uint64_t order;
    uint16_t packet_id;
} ordered;

static int
by_order(const void *a, const void *b)
{
    uint64_t x = ((const ordered *) a)->order;
    uint64_t y = ((const ordered *) b)->order;

    return x < y ? -1 : x > y;
}

int
nmq_inflight_sorted(const nmq_inflight *inflight, uint16_t **out)
{
    uint32_t n = 0;
    ordered *all = nmq_alloc(inflight->count * sizeof *all);
    uint16_t *ids = nmq_alloc(inflight->count * sizeof *ids);

    if (all == NULL || ids == NULL) {
        nmq_free(all);
        nmq_free(ids);
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < inflight->cap; i++) {
        const nmq_inflight_entry *entry = &inflight->slots[i];
        if (entry->state != NMQ_INFLIGHT_FREE) {
            all[n++] = (ordered){entry->order, entry->packet_id};
        }
    }
    qsort(all, n, sizeof *all, by_order);
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = all[i].packet_id;
    }
    nmq_free(all);
    *out = ids;
    return (int) n;
}

void
nmq_inflight_free(nmq_inflight *inflight)
{
    for (uint32_t i = 0; i < inflight->cap; i++) {
        nmq_delivery_fini(&inflight->slots[i].delivery);
    }
    nmq_free(inflight->slots);
    *inflight = (nmq_inflight){0};
}

bool
nmq_id_set_has(const nmq_id_set *set, uint16_t packet_id)
{
    return set->count > 0 && set->slots[packet_id & (set->cap - 1)] == packet_id;
}

// Doubles until every identifier, the new one too, has a slot of its own; at 65,536 slots
// each identifier has.
static int
spread(nmq_id_set *set, uint16_t packet_id)
{
    for (uint32_t cap = set->cap == 0 ? FIRST_CAP : set->cap * 2; cap <= IDS; cap *= 2) {
        bool clash = false;
        uint16_t *slots = nmq_zalloc(cap * sizeof *slots);
        if (slots == NULL) {
            return NMQ_ENOMEM;
        }
        slots[packet_id & (cap - 1)] = packet_id;
        for (uint32_t i = 0; i < set->cap && !clash; i++) {
            uint16_t id = set->slots[i];
            clash = id != 0 && slots[id & (cap - 1)] != 0;
            if (id != 0 && !clash) {
                slots[id & (cap - 1)] = id;
            }
        }
        if (!clash) {
            nmq_free(set->slots);
            set->slots = slots;
            set->cap = cap;
            return NMQ_OK;
        }
        nmq_free(slots);
    }
    return NMQ_ENOMEM;
}

int
nmq_id_set_put(nmq_id_set *set, uint16_t packet_id)
{
    if (set->cap == 0 || set->slots[packet_id & (set->cap - 1)] != 0) {
        if (spread(set, packet_id) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    set->slots[packet_id & (set->cap - 1)] = packet_id;
    set->count++;
    return NMQ_OK;
}

bool
nmq_id_set_del(nmq_id_set *set, uint16_t packet_id)
{
    if (!nmq_id_set_has(set, packet_id)) {
        return false;
    }
    set->slots[packet_id & (set->cap - 1)] = 0;
    set->count--;
    return true;
}

void
nmq_id_set_free(nmq_id_set *set)
{
    nmq_free(set->slots);
    *set = (nmq_id_set){0};
}
