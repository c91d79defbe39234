#include "route/handover_known.h"

#include <string.h>

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"
#include "base/vec.h"

enum {
    FIRST_CAP = 64,
    // Numbers that were lost between two, for which there is room; what is farther off is
    // not counted, and kept to the end.
    GAP_MAX = 1 << 20,
};

#define UNKNOWN UINT32_MAX

nmq_named
nmq_handover_names(const nmq_journal_record *record)
{
    switch (record->kind) {
    case NMQ_JOURNAL_MESSAGE:
        return (nmq_named){record->message.was, record->message.origin};
    case NMQ_JOURNAL_RETAINED: return (nmq_named){record->retained.message, 0};
    case NMQ_JOURNAL_WILL: return (nmq_named){record->will.message, 0};
    case NMQ_JOURNAL_DELIVERY: return (nmq_named){record->delivery.message, 0};
    case NMQ_JOURNAL_CARRIED: return (nmq_named){record->carried.message, 0};
    case NMQ_JOURNAL_DROPPED: return (nmq_named){record->dropped.message, 0};
    default: return (nmq_named){0};
    }
}

// --- counting

// Has a place for each number up to that one, unless it is far off.
static int
reach(nmq_uses *uses, uint64_t number)
{
    if (uses->given == 0) {
        uses->base = number - 1;
    }
    if (number <= uses->base + uses->count ||
        number - uses->base > (uint64_t) 2 * uses->given + GAP_MAX) {
        return NMQ_OK;
    }
    uint32_t count = (uint32_t) (number - uses->base);
    uint16_t *grown =
        nmq_vec_grow(uses->at, &uses->cap, count, FIRST_CAP, sizeof *uses->at);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    uses->at = grown;
    memset(uses->at + uses->count, 0, (count - uses->count) * sizeof *uses->at);
    uses->count = count;
    return NMQ_OK;
}

static int
note_given(nmq_uses *uses, uint64_t number)
{
    int rv = number != 0 ? reach(uses, number) : NMQ_OK;

    uses->given += uses->given < UINT32_MAX / 4;
    return rv;
}

static void
note_named(nmq_uses *uses, uint64_t number)
{
    if (number - 1 - uses->base < uses->count) {
        uint16_t *at = &uses->at[number - 1 - uses->base];
        *at = (uint16_t) (*at + (*at < UINT16_MAX));
    }
}

int
nmq_handover_count(nmq_handover_uses *uses, nmq_bytes records)
{
    nmq_journal_record record;
    int rv = NMQ_OK;

    while (rv == NMQ_OK && nmq_journal_get(&records, &record) == NMQ_OK) {
        const nmq_named named = nmq_handover_names(&record);
        note_named(&uses->messages, named.message);
        note_named(&uses->origins, named.origin);
        if (record.kind == NMQ_JOURNAL_MESSAGE) {
            rv = note_given(&uses->messages, record.message.number);
        } else if (record.kind == NMQ_JOURNAL_ORIGIN) {
            rv = note_given(&uses->origins, record.origin.number);
        }
    }
    return rv;
}

void
nmq_handover_uses_fini(nmq_handover_uses *uses)
{
    nmq_free(uses->messages.at);
    nmq_free(uses->origins.at);
    *uses = (nmq_handover_uses){0};
}

static uint32_t
uses_of(const nmq_uses *uses, uint64_t number)
{
    uint64_t place = number - 1 - uses->base;

    return place < uses->count && uses->at[place] < UINT16_MAX ? uses->at[place] : UNKNOWN;
}

// --- what is known

// Numbers come in turn. They are spread, so that they are not one long run.
static uint32_t
home_of(const nmq_known *known, uint64_t number)
{
    uint32_t spread = (uint32_t) number * 0x9e3779b1u; // of the golden ratio

    return (uint32_t) ((uint64_t) spread * known->cap >> 32);
}

// Where the number is, or the free slot where it belongs.
static nmq_known_slot *
slot_of(const nmq_known *known, uint64_t number)
{
    uint32_t i = home_of(known, number);

    while (known->slots[i].number != 0 && known->slots[i].number != number) {
        i = (i + 1) & (known->cap - 1);
    }
    return &known->slots[i];
}

void *
nmq_known_get(const nmq_known *known, uint64_t number)
{
    return known->count > 0 && number != 0 ? slot_of(known, number)->object : NULL;
}

static int
grow(nmq_known *known)
{
    nmq_known bigger = *known;

    bigger.cap = known->cap == 0 ? FIRST_CAP : known->cap * 2;
    bigger.slots = nmq_zalloc(bigger.cap * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < known->cap; i++) {
        if (known->slots[i].number != 0) {
            *slot_of(&bigger, known->slots[i].number) = known->slots[i];
        }
    }
    nmq_free(known->slots);
    *known = bigger;
    return NMQ_OK;
}

int
nmq_known_add(nmq_known *known, const nmq_uses *uses, uint64_t number, void *object)
{
    uint32_t left = uses_of(uses, number);

    if (left > 0 && known->count >= known->cap / 2 && grow(known) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    known->base = number;
    if (left == 0) { // nothing will name it
        known->unref(object);
        return NMQ_OK;
    }
    *slot_of(known, number) = (nmq_known_slot){number, object, left};
    known->count++;
    return NMQ_OK;
}

static size_t
home_at(const void *table, size_t at)
{
    const nmq_known *known = table;
    uint64_t number = known->slots[at].number;

    return number != 0 ? home_of(known, number) : NMQ_PROBE_FREE;
}

static void
move(void *table, size_t to, size_t from)
{
    nmq_known_slot *slots = ((nmq_known *) table)->slots;

    slots[to] = slots[from];
}

void
nmq_known_named(nmq_known *known, uint64_t number)
{
    nmq_known_slot *slot = known->count > 0 && number != 0 ? slot_of(known, number) : NULL;

    if (slot == NULL || slot->number == 0 || slot->left == UNKNOWN || --slot->left > 0) {
        return;
    }
    known->unref(slot->object);
    size_t hole = (size_t) (slot - known->slots);
    hole = nmq_probe_close(known, known->cap - 1, hole, home_at, move);
    known->slots[hole] = (nmq_known_slot){0};
    known->count--;
}

void
nmq_known_fini(nmq_known *known)
{
    for (uint32_t i = 0; i < known->cap; i++) {
        if (known->slots[i].number != 0) {
            known->unref(known->slots[i].object);
        }
    }
    nmq_free(known->slots);
    *known = (nmq_known){0};
}
