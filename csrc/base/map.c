#include "base/map.h"

#include "base/mem.h"
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

// Moves later entries of the run back, so that no search stops at the hole too early.
static void
close_hole(nmq_map *map, size_t hole)
{
    size_t mask = map->cap - 1;

    for (size_t i = (hole + 1) & mask; map->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = (size_t) map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (nmq_map_slot){0};
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
        close_hole(map, i);
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
