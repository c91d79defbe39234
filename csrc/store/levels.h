// levels.h - a tree of topic levels: what the subscription tree and the retained tree
// share.
//
//     root ── a ─┬─ b        a node is its parent's child under a name, found by hash
//                └─ c
//
// A user embeds nmq_level first in a larger node and gives that node's size; the name lies
// behind it in the same allocation.
//
// Threads  none of its own.
// Cost     find: constant on average, whatever the number of siblings. An only child, which
//          most are, needs no table.
#pragma once
#include "base/bytes.h"

typedef struct nmq_level {
    struct nmq_level *parent;
    union {
        struct nmq_level *only;      // child_cap 0: the one child, or NULL
        struct nmq_level **children; // open addressing; NULL: free slot
    };
    uint32_t child_cap; // 0 or a power of two
    uint32_t child_count;
    uint32_t hash;
    uint16_t name_len;
    uint8_t node_size;
    uint8_t mark; // the user's
} nmq_level;

nmq_bytes nmq_level_name(const nmq_level *level);
uint32_t nmq_level_hash(nmq_bytes name);

// Names are compared byte by byte, never normalised [MQTT-4.7.3-4].
// Returns the child of that name, whose hash is given, or NULL.
nmq_level *nmq_level_find(const nmq_level *parent, nmq_bytes name, uint32_t hash);

// Adds a zeroed child of node_size bytes, up to 255; the name is not there yet. Returns
// NULL when memory is out.
nmq_level *nmq_level_add(nmq_level *parent, nmq_bytes name, uint32_t hash,
                         size_t node_size);

// Unlinks and frees a node without children. Returns its parent.
nmq_level *nmq_level_remove(nmq_level *level);

// The child after `child` in some fixed order, the first for NULL; NULL at the end. The
// order holds while no sibling is added or removed.
nmq_level *nmq_level_next(const nmq_level *parent, const nmq_level *child);

// Frees everything below root (not root itself), calling fini on each node before.
void nmq_level_clear(nmq_level *root, void (*fini)(nmq_level *level));
