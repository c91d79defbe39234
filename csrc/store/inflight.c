#include "store/inflight.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"

enum { FIRST_CAP = 8, IDS = 65536, SPARSE = 16, KEEP_CAP = 256 };

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

static bool
is_free(const nmq_inflight_entry *entry)
{
    return entry->state == NMQ_INFLIGHT_FREE;
}

// Puts the entry in the first free slot from its own on; there is one.
static void
settle(nmq_inflight *inflight, const nmq_inflight_entry *entry)
{
    nmq_inflight_entry *home = slot_of(inflight, entry->packet_id);
    nmq_inflight_entry *slot = home;

    for (uint32_t id = entry->packet_id; !is_free(slot);) {
        slot = slot_of(inflight, (uint16_t) ++id);
    }
    *slot = *entry;
    inflight->displaced += slot != home;
}

static int
grow(nmq_inflight *inflight)
{
    nmq_inflight bigger = *inflight;

    bigger.displaced = 0;
    bigger.cap = inflight->cap == 0 ? FIRST_CAP : inflight->cap * 2;
    bigger.slots = nmq_zalloc(bigger.cap * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < inflight->cap; i++) {
        if (!is_free(&inflight->slots[i])) {
            settle(&bigger, &inflight->slots[i]);
        }
    }
    nmq_free(inflight->slots);
    *inflight = bigger;
    return NMQ_OK;
}

uint16_t
nmq_inflight_draw(nmq_inflight *inflight)
{
    do {
        inflight->last_id++;
    } while (inflight->last_id == 0 ||
             nmq_inflight_find(inflight, inflight->last_id) != NULL);
    return inflight->last_id;
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
    } while (id == 0 || !is_free(slot_of(inflight, id))); // [MQTT-2.2.1-4]
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
    if (inflight->count == inflight->cap && grow(inflight) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_inflight_entry outside = *entry;
    outside.in_quota = false;
    settle(inflight, &outside);
    inflight->count++;
    inflight->bytes += message_bytes(&outside);
    return NMQ_OK;
}

// Finds an entry that lies behind its own slot.
static nmq_inflight_entry *
search(const nmq_inflight *inflight, uint16_t packet_id)
{
    uint32_t id = packet_id;

    for (uint32_t looks = 1; looks < inflight->cap; looks++) {
        nmq_inflight_entry *entry = slot_of(inflight, (uint16_t) ++id);
        if (is_free(entry)) {
            break;
        }
        if (entry->packet_id == packet_id) {
            return entry;
        }
    }
    return NULL;
}

nmq_inflight_entry *
nmq_inflight_find(const nmq_inflight *inflight, uint16_t packet_id)
{
    if (inflight->count == 0) {
        return NULL;
    }
    nmq_inflight_entry *entry = slot_of(inflight, packet_id);
    if (is_free(entry)) {
        return NULL;
    }
    if (entry->packet_id == packet_id) {
        return entry;
    }
    return inflight->displaced > 0 ? search(inflight, packet_id) : NULL;
}

static size_t
home_of_entry(const void *table, size_t at)
{
    const nmq_inflight *inflight = table;
    const nmq_inflight_entry *entry = &inflight->slots[at];

    return inflight->displaced > 0 && !is_free(entry)
               ? entry->packet_id & (inflight->cap - 1)
               : NMQ_PROBE_FREE;
}

static void
move_entry(void *table, size_t to, size_t from)
{
    nmq_inflight *inflight = table;

    inflight->displaced -= home_of_entry(inflight, from) == to;
    inflight->slots[to] = inflight->slots[from];
    inflight->slots[from].state = NMQ_INFLIGHT_FREE;
    inflight->slots[from].delivery = (nmq_delivery){0};
}

// Closes the hole: moves displaced entries behind it back.
static void
close_hole(nmq_inflight *inflight, uint32_t hole)
{
    (void) nmq_probe_close(inflight, inflight->cap - 1, hole, home_of_entry, move_entry);
}

void
nmq_inflight_received(nmq_inflight *inflight, nmq_inflight_entry *entry)
{
    inflight->bytes -= message_bytes(entry);
    nmq_delivery_fini(&entry->delivery);
    entry->state = NMQ_INFLIGHT_PUBCOMP;
}

void
nmq_inflight_swap(nmq_inflight *inflight, nmq_inflight_entry *entry, nmq_message *message)
{
    inflight->bytes += nmq_message_size(message) - message_bytes(entry);
    nmq_message_unref(entry->delivery.message);
    entry->delivery.message = message;
}

void
nmq_inflight_give(nmq_inflight *inflight, nmq_inflight_entry *entry)
{
    inflight->bytes -= message_bytes(entry);
    nmq_delivery_fini(&entry->delivery);
    inflight->quota_used -= entry->in_quota;
    entry->state = NMQ_INFLIGHT_FREE;
    if (inflight->displaced > 0) {
        inflight->displaced -= entry != slot_of(inflight, entry->packet_id);
        close_hole(inflight, (uint32_t) (entry - inflight->slots));
    }
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

// Identifiers mostly come in turn. They are spread, so that they are not one long run.
static uint32_t
home_of(const nmq_id_set *set, uint16_t packet_id)
{
    uint32_t spread = packet_id * 0x9e3779b1u; // of the golden ratio

    return (uint32_t) ((uint64_t) spread * set->cap >> 32);
}

// Where the identifier is, or the free slot where it belongs.
static uint32_t
place_of(const nmq_id_set *set, uint16_t packet_id)
{
    uint32_t i = home_of(set, packet_id);

    while (set->slots[i] != 0 && set->slots[i] != packet_id) {
        i = (i + 1) & (set->cap - 1);
    }
    return i;
}

bool
nmq_id_set_has(const nmq_id_set *set, uint16_t packet_id)
{
    return set->count > 0 && set->slots[place_of(set, packet_id)] != 0;
}

static int
resize(nmq_id_set *set, uint32_t cap)
{
    nmq_id_set other = {.cap = cap, .count = set->count};

    other.slots = nmq_zalloc(cap * sizeof *other.slots);
    if (other.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < set->cap; i++) {
        if (set->slots[i] != 0) {
            other.slots[place_of(&other, set->slots[i])] = set->slots[i];
        }
    }
    nmq_free(set->slots);
    *set = other;
    return NMQ_OK;
}

// At most three quarters are taken.
int
nmq_id_set_put(nmq_id_set *set, uint16_t packet_id)
{
    if (4 * (set->count + 1) > 3 * set->cap &&
        resize(set, set->cap == 0 ? FIRST_CAP : 2 * set->cap) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    set->slots[place_of(set, packet_id)] = packet_id;
    set->count++;
    return NMQ_OK;
}

static size_t
home_of_id(const void *table, size_t at)
{
    const nmq_id_set *set = table;

    return set->slots[at] != 0 ? home_of(set, set->slots[at]) : NMQ_PROBE_FREE;
}

static void
move_id(void *table, size_t to, size_t from)
{
    uint16_t *slots = ((nmq_id_set *) table)->slots;

    slots[to] = slots[from];
}

bool
nmq_id_set_del(nmq_id_set *set, uint16_t packet_id)
{
    uint32_t hole = set->count > 0 ? place_of(set, packet_id) : 0;

    if (set->count == 0 || set->slots[hole] == 0) {
        return false;
    }
    hole = (uint32_t) nmq_probe_close(set, set->cap - 1, hole, home_of_id, move_id);
    set->slots[hole] = 0;
    set->count--;
    if (set->cap > KEEP_CAP && set->count <= set->cap / SPARSE) {
        (void) resize(set, set->cap / 2); // without memory it stays large
    }
    return true;
}

void
nmq_id_set_free(nmq_id_set *set)
{
    nmq_free(set->slots);
    *set = (nmq_id_set){0};
}
