// map.h - text to pointer: a hash table with open addressing.
//
//     put "client-7" -> p      get "client-7" -> p      del "client-7" -> p
//
// Owner    keys and values are borrowed and must outlive their entry.
// Threads  none of its own: the caller's lock.
// Cost     get, put, del: constant on average; put may allocate.
#pragma once
#include "base/bytes.h"

typedef struct {
    nmq_bytes key;
    void *value; // NULL: free slot
    uint64_t hash;
} nmq_map_slot;

// A zeroed map is a valid empty one.
typedef struct {
    nmq_map_slot *slots;
    size_t cap; // 0 or a power of two
    size_t count;
} nmq_map;

// Returns the value, or NULL.
void *nmq_map_get(const nmq_map *map, nmq_bytes key);

// Adds the key, or replaces the key and the value that are there. value is not NULL.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_map_put(nmq_map *map, nmq_bytes key, void *value);

// Removes the key and returns its value, or NULL.
void *nmq_map_del(nmq_map *map, nmq_bytes key);

// Frees the table, not the keys or values.
void nmq_map_free(nmq_map *map);
