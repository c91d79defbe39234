#include "store/aliases.h"

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"

enum {
    NAME_MIN_BYTES = 3,
    CREDIT_FIRST = 4,
    CREDIT_USE = 2,
    CREDIT_MAX = 16,
    FIRST_CAP = 4,
};

// --- set by the broker

typedef struct {
    nmq_bytes topic_name; // owned
    uint32_t hash;
    uint8_t credit;
} named;

struct nmq_alias_table {
    named *names;    // by alias, less one
    uint16_t *index; // open addressing, twice `cap`: alias; 0: free
    uint32_t cap;    // 0 or a power of two
    uint32_t count;
    size_t names_bytes;
};

// Where the name is in the index, or the free place where it belongs.
static uint32_t
place_of(const nmq_alias_table *t, nmq_bytes topic_name, uint32_t hash)
{
    uint32_t mask = 2 * t->cap - 1;
    uint32_t i = hash & mask;

    for (; t->index[i] != 0; i = (i + 1) & mask) {
        const named *n = &t->names[t->index[i] - 1];
        if (n->hash == hash && nmq_bytes_equal(n->topic_name, topic_name)) {
            break;
        }
    }
    return i;
}

void
nmq_aliases_reset(nmq_aliases *aliases, uint16_t max)
{
    nmq_alias_table *t = aliases->table;

    for (uint32_t i = 0; t != NULL && i < t->count; i++) {
        nmq_bytes_free(&t->names[i].topic_name);
    }
    if (t != NULL) {
        nmq_free(t->names);
        nmq_free(t->index);
        nmq_free(t);
    }
    *aliases = (nmq_aliases){.max = max};
}

// The alias that a name without one may have, or 0.
static uint16_t
vacancy(nmq_alias_table *t, uint32_t max, size_t len, uint32_t hash)
{
    if (t->count < max && t->names_bytes + len <= NMQ_ALIASES_NAMES_BYTES) {
        return (uint16_t) (t->count + 1);
    }
    if (t->count == 0) {
        return 0;
    }
    named *held = &t->names[hash % t->count];
    if (held->credit > 0) {
        held->credit--;
        return 0;
    }
    bool fits = t->names_bytes - held->topic_name.len + len <= NMQ_ALIASES_NAMES_BYTES;
    return fits ? (uint16_t) (held - t->names + 1) : 0;
}

// Not inline, so that a connection without aliases does not pay for its registers.
__attribute__((noinline)) static uint16_t
look_up(nmq_aliases *aliases, nmq_bytes topic_name, bool *known)
{
    nmq_alias_table *t = aliases->table;

    if (t == NULL) {
        return 1;
    }
    uint32_t hash = (uint32_t) nmq_bytes_hash(topic_name);
    uint16_t alias = t->cap > 0 ? t->index[place_of(t, topic_name, hash)] : 0;
    if (alias == 0) {
        return vacancy(t, aliases->max, topic_name.len, hash);
    }
    named *n = &t->names[alias - 1];
    if (n->credit < CREDIT_MAX) {
        n->credit += CREDIT_USE;
    }
    *known = true;
    return alias;
}

// At most the client's maximum [MQTT-3.3.2-11], none if that is 0 [MQTT-3.1.2-27].
uint16_t
nmq_aliases_find(nmq_aliases *aliases, nmq_bytes topic_name, bool *known)
{
    *known = false;
    if (aliases->max == 0 || topic_name.len < NAME_MIN_BYTES) {
        return 0;
    }
    return look_up(aliases, topic_name, known);
}

static int
grow_table(nmq_alias_table *t)
{
    uint32_t cap = t->cap == 0 ? FIRST_CAP : 2 * t->cap;
    uint16_t *index = nmq_zalloc(2 * cap * sizeof *index);
    named *names = index != NULL ? nmq_resize(t->names, cap * sizeof *names) : NULL;

    if (names == NULL) {
        nmq_free(index);
        return NMQ_ENOMEM;
    }
    nmq_free(t->index);
    t->names = names;
    t->index = index;
    t->cap = cap;
    for (uint32_t i = 0; i < t->count; i++) {
        if (names[i].topic_name.at != NULL) {
            t->index[place_of(t, names[i].topic_name, names[i].hash)] = (uint16_t) (i + 1);
        }
    }
    return NMQ_OK;
}

static size_t
home_of(const void *table, size_t at)
{
    const nmq_alias_table *t = table;

    return t->index[at] != 0 ? t->names[t->index[at] - 1].hash & (2 * t->cap - 1)
                             : NMQ_PROBE_FREE;
}

static void
move(void *table, size_t to, size_t from)
{
    uint16_t *index = ((nmq_alias_table *) table)->index;

    index[to] = index[from];
}

// Takes the name out.
static void
forget(nmq_alias_table *t, named *n)
{
    if (n->topic_name.at == NULL) {
        return;
    }
    uint32_t hole = place_of(t, n->topic_name, n->hash);
    t->index[nmq_probe_close(t, 2 * t->cap - 1, hole, home_of, move)] = 0;
    t->names_bytes -= n->topic_name.len;
    nmq_bytes_free(&n->topic_name);
    *n = (named){0};
}

int
nmq_aliases_learn(nmq_aliases *aliases, uint16_t alias, nmq_bytes topic_name)
{
    nmq_bytes copy;

    if (aliases->table == NULL) {
        aliases->table = nmq_zalloc(sizeof *aliases->table);
    }
    nmq_alias_table *t = aliases->table;
    if (t == NULL || (alias > t->cap && grow_table(t) != NMQ_OK)) {
        return NMQ_ENOMEM;
    }
    named *n = &t->names[alias - 1];
    if (alias <= t->count) {
        forget(t, n); // the receiver has forgotten it too: the alias is free
    }
    if (nmq_bytes_copy(topic_name, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    t->count = alias > t->count ? alias : t->count;
    *n = (named){copy, (uint32_t) nmq_bytes_hash(copy), CREDIT_FIRST};
    t->names_bytes += copy.len;
    t->index[place_of(t, copy, n->hash)] = alias;
    return NMQ_OK;
}

// --- set by the client

static nmq_alias_name *
slot_of(const nmq_alias_names *names, uint16_t alias)
{
    uint32_t mask = names->cap - 1;
    nmq_bytes key = {(const uint8_t *) &alias, sizeof alias};
    uint32_t i = (uint32_t) nmq_bytes_hash(key) & mask;

    while (names->slots[i].topic_name.at != NULL && names->slots[i].alias != alias) {
        i = (i + 1) & mask;
    }
    return &names->slots[i];
}

nmq_bytes
nmq_alias_names_get(const nmq_alias_names *names, uint16_t alias)
{
    return names->cap > 0 ? slot_of(names, alias)->topic_name : (nmq_bytes){0};
}

static int
grow_names(nmq_alias_names *names)
{
    nmq_alias_names bigger = {.cap = names->cap == 0 ? FIRST_CAP : 2 * names->cap,
                              .count = names->count};

    bigger.slots = nmq_zalloc(bigger.cap * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < names->cap; i++) {
        if (names->slots[i].topic_name.at != NULL) {
            *slot_of(&bigger, names->slots[i].alias) = names->slots[i];
        }
    }
    nmq_free(names->slots);
    *names = bigger;
    return NMQ_OK;
}

int
nmq_alias_names_put(nmq_alias_names *names, uint16_t alias, nmq_bytes topic_name)
{
    nmq_bytes copy;

    if (4 * (names->count + 1) > 3 * names->cap && grow_names(names) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    if (nmq_bytes_copy(topic_name, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_alias_name *slot = slot_of(names, alias);
    names->count += slot->topic_name.at == NULL;
    nmq_bytes_free(&slot->topic_name);
    *slot = (nmq_alias_name){copy, alias};
    return NMQ_OK;
}

void
nmq_alias_names_free(nmq_alias_names *names)
{
    for (uint32_t i = 0; i < names->cap; i++) {
        nmq_bytes_free(&names->slots[i].topic_name);
    }
    nmq_free(names->slots);
    *names = (nmq_alias_names){0};
}
