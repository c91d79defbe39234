#include "store/levels.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"

enum { FIRST_CAP = 2 };

nmq_bytes
nmq_level_name(const nmq_level *level)
{
    return (nmq_bytes){(const uint8_t *) level + level->node_size, level->name_len};
}

// The slot that holds the child, or the free slot where it belongs.
static uint32_t
slot_of(const nmq_level *parent, nmq_bytes name, uint32_t hash)
{
    uint32_t mask = parent->child_cap - 1;
    uint32_t i = hash & mask;

    for (; parent->children[i] != NULL; i = (i + 1) & mask) {
        const nmq_level *child = parent->children[i];
        if (child->hash == hash && nmq_bytes_equal(nmq_level_name(child), name)) {
            break;
        }
    }
    return i;
}

nmq_level *
nmq_level_find(const nmq_level *parent, nmq_bytes name)
{
    if (parent->child_count == 0) {
        return NULL;
    }
    return parent->children[slot_of(parent, name, (uint32_t) nmq_bytes_hash(name))];
}

static int
grow(nmq_level *parent)
{
    nmq_level bigger = {.child_cap =
                            parent->child_cap == 0 ? FIRST_CAP : parent->child_cap * 2};

    bigger.children = nmq_zalloc(bigger.child_cap * sizeof(nmq_level *));
    if (bigger.children == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < parent->child_cap; i++) {
        nmq_level *child = parent->children[i];
        if (child != NULL) {
            bigger.children[slot_of(&bigger, nmq_level_name(child), child->hash)] = child;
        }
    }
    nmq_free(parent->children);
    parent->children = bigger.children;
    parent->child_cap = bigger.child_cap;
    return NMQ_OK;
}

nmq_level *
nmq_level_add(nmq_level *parent, nmq_bytes name, size_t node_size)
{
    if ((parent->child_count + 1) * 4 > parent->child_cap * 3 && grow(parent) != NMQ_OK) {
        return NULL;
    }
    nmq_level *child = nmq_zalloc(node_size + name.len);
    if (child == NULL) {
        return NULL;
    }
    child->parent = parent;
    child->hash = (uint32_t) nmq_bytes_hash(name);
    child->name_len = (uint16_t) name.len;
    child->node_size = (uint16_t) node_size;
    if (name.len > 0) {
        memcpy((uint8_t *) child + node_size, name.at, name.len);
    }
    parent->children[slot_of(parent, name, child->hash)] = child;
    parent->child_count++;
    return child;
}

// Moves later entries of the run back, so that no search stops at the hole too early.
static void
close_hole(nmq_level *parent, uint32_t hole)
{
    uint32_t mask = parent->child_cap - 1;

    for (uint32_t i = (hole + 1) & mask; parent->children[i] != NULL; i = (i + 1) & mask) {
        uint32_t home = parent->children[i]->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            parent->children[hole] = parent->children[i];
            hole = i;
        }
    }
    parent->children[hole] = NULL;
}

nmq_level *
nmq_level_remove(nmq_level *level)
{
    nmq_level *parent = level->parent;

    close_hole(parent, slot_of(parent, nmq_level_name(level), level->hash));
    if (--parent->child_count == 0) {
        nmq_free(parent->children);
        parent->children = NULL;
        parent->child_cap = 0;
    }
    nmq_free(level->children);
    nmq_free(level);
    return parent;
}

nmq_level *
nmq_level_next(const nmq_level *parent, const nmq_level *child)
{
    uint32_t i = 0;

    if (child != NULL) {
        i = slot_of(parent, nmq_level_name(child), child->hash) + 1;
    }
    for (; i < parent->child_cap; i++) {
        if (parent->children[i] != NULL) {
            return parent->children[i];
        }
    }
    return NULL;
}

void
nmq_level_clear(nmq_level *root, void (*fini)(nmq_level *level))
{
    nmq_level *at = root;

    // Down into each child in turn; a table is shortened from its end, so that no slot is
    // looked at twice however many siblings there are.
    for (;;) {
        while (at->child_cap > 0 && at->children[at->child_cap - 1] == NULL) {
            at->child_cap--;
        }
        if (at->child_cap > 0) {
            at = at->children[at->child_cap - 1];
            continue;
        }
        nmq_free(at->children);
        at->children = NULL;
        at->child_count = 0;
        if (at == root) {
            return;
        }
        nmq_level *parent = at->parent;
        parent->children[parent->child_cap - 1] = NULL;
        fini(at);
        nmq_free(at);
        at = parent;
    }
}
