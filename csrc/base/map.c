#include "base/map.h"

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"

enum { FIRST_CAP = 16 };

static size_t
find(const nmq_map *map, nmq_bytes key, uint64_t hash)
{
    size_t i = (size_t) hash & (map->cap - 1);

    while (map->slots[i].value != NULL) {
        if (map->slots[i].hash == hash && nmq_bytes_equal(map->slots[i].key, key)) {
            break;
        }
        i = (i + 1) & (map->cap - 1);
    }
    return i;
}

void *
nmq_map_get(const nmq_map *map, nmq_bytes key)
{
    return map->cap == 0 ? NULL : map->slots[find(map, key, nmq_bytes_hash(key))].value;
}

static int
grow(nmq_map *map)
{
    nmq_map bigger = {.cap = map->cap == 0 ? FIRST_CAP : map->cap * 2, .count = map->count};

    bigger.slots = nmq_zalloc(bigger.cap * sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return NMQ_ENOMEM;
    }
    for (size_t i = 0; i < map->cap; i++) {
        nmq_map_slot *from = &map->slots[i];
        if (from->value != NULL) {
            bigger.slots[find(&bigger, from->key, from->hash)] = *from;
        }
    }
    nmq_free(map->slots);
    *map = bigger;
    return NMQ_OK;
}

int
nmq_map_put(nmq_map *map, nmq_bytes key, void *value)
{
    uint64_t hash = nmq_bytes_hash(key);

    if ((map->count + 1) * 4 > map->cap * 3 && grow(map) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    size_t i = find(map, key, hash);
    if (map->slots[i].value == NULL) {
        map->count++;
    }
    map->slots[i] = (nmq_map_slot){key, value, hash};
    return NMQ_OK;
}

static size_t
home_of(const void *table, size_t at)
{
    const nmq_map *map = table;

    return map->slots[at].value != NULL ? (size_t) map->slots[at].hash & (map->cap - 1)
                                        : NMQ_PROBE_FREE;
}

static void
move(void *table, size_t to, size_t from)
{
    nmq_map_slot *slots = ((nmq_map *) table)->slots;

    slots[to] = slots[from];
}

void *
nmq_map_del(nmq_map *map, nmq_bytes key)
{
    if (map->cap == 0) {
        return NULL;
    }
    size_t i = find(map, key, nmq_bytes_hash(key));
    void *value = map->slots[i].value;
    if (value != NULL) {
        i = nmq_probe_close(map, map->cap - 1, i, home_of, move);
        map->slots[i] = (nmq_map_slot){0};
        map->count--;
    }
    return value;
}

void
nmq_map_free(nmq_map *map)
{
    nmq_free(map->slots);
    *map = (nmq_map){0};
}
