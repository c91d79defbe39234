#include "store/levels.h"

#include <string.h>

#include "base/mem.h"
#include "base/probe.h"
#include "base/status.h"

enum { FIRST_CAP = 4, SHRINK_PART = 8 };

nmq_bytes
nmq_level_name(const nmq_level *level)
{
    return (nmq_bytes){(const uint8_t *) level + level->node_size, level->name_len};
}

uint32_t
nmq_level_hash(nmq_bytes name)
{
    return (uint32_t) nmq_bytes_hash(name);
}

static bool
is_named(const nmq_level *level, nmq_bytes name, uint32_t hash)
{
    return level->hash == hash && nmq_bytes_equal(nmq_level_name(level), name);
}

// The slot of the table that holds the child, or the free slot where it belongs.
static uint32_t
slot_of(const nmq_level *parent, nmq_bytes name, uint32_t hash)
{
    uint32_t mask = parent->child_cap - 1;
    uint32_t i = hash & mask;

    while (parent->children[i] != NULL && !is_named(parent->children[i], name, hash)) {
        i = (i + 1) & mask;
    }
    return i;
}

nmq_level *
nmq_level_find(const nmq_level *parent, nmq_bytes name, uint32_t hash)
{
    if (parent->child_cap == 0) {
        nmq_level *only = parent->only;
        return only != NULL && is_named(only, name, hash) ? only : NULL;
    }
    return parent->children[slot_of(parent, name, hash)];
}

static int
set_cap(nmq_level *parent, uint32_t cap)
{
    nmq_level to = {.child_cap = cap};
    nmq_level *child = NULL;

    to.children = nmq_zalloc(cap * sizeof(nmq_level *));
    if (to.children == NULL) {
        return NMQ_ENOMEM;
    }
    if (parent->child_cap == 0) {
        child = parent->only;
        to.children[child->hash & (cap - 1)] = child;
    }
    for (uint32_t i = 0; i < parent->child_cap; i++) {
        child = parent->children[i];
        if (child != NULL) {
            to.children[slot_of(&to, nmq_level_name(child), child->hash)] = child;
        }
    }
    if (parent->child_cap > 0) {
        nmq_free(parent->children);
    }
    parent->children = to.children;
    parent->child_cap = cap;
    return NMQ_OK;
}

// Makes room for one more child.
static int
reserve(nmq_level *parent)
{
    if (parent->child_count == 0) {
        return NMQ_OK;
    }
    if (parent->child_cap == 0) {
        return set_cap(parent, FIRST_CAP);
    }
    return (parent->child_count + 1) * 4 > parent->child_cap * 3
               ? set_cap(parent, parent->child_cap * 2)
               : NMQ_OK;
}

nmq_level *
nmq_level_add(nmq_level *parent, nmq_bytes name, uint32_t hash, size_t node_size)
{
    nmq_level *child = nmq_zalloc(node_size + name.len);

    if (child == NULL || reserve(parent) != NMQ_OK) {
        nmq_free(child);
        return NULL;
    }
    child->parent = parent;
    child->hash = hash;
    child->name_len = (uint16_t) name.len;
    child->node_size = (uint8_t) node_size;
    if (name.len > 0) {
        memcpy((uint8_t *) child + node_size, name.at, name.len);
    }
    if (parent->child_cap == 0) {
        parent->only = child;
    } else {
        parent->children[slot_of(parent, name, hash)] = child;
    }
    parent->child_count++;
    return child;
}

static size_t
home_of(const void *table, size_t at)
{
    const nmq_level *parent = table;
    const nmq_level *child = parent->children[at];

    return child != NULL ? child->hash & (parent->child_cap - 1) : NMQ_PROBE_FREE;
}

static void
move(void *table, size_t to, size_t from)
{
    nmq_level **children = ((nmq_level *) table)->children;

    children[to] = children[from];
}

static void
close_hole(nmq_level *parent, uint32_t hole)
{
    size_t mask = parent->child_cap - 1;

    parent->children[nmq_probe_close(parent, mask, hole, home_of, move)] = NULL;
}

nmq_level *
nmq_level_next(const nmq_level *parent, const nmq_level *child)
{
    uint32_t i = 0;

    if (parent->child_cap == 0) {
        return child == NULL ? parent->only : NULL;
    }
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

// One child is left: it needs no table.
static void
drop_table(nmq_level *parent)
{
    nmq_level **children = parent->children;
    nmq_level *only = nmq_level_next(parent, NULL);

    parent->only = only;
    parent->child_cap = 0;
    nmq_free(children);
}

static void
unlink_child(nmq_level *parent, const nmq_level *child)
{
    parent->child_count--;
    if (parent->child_cap == 0) {
        parent->only = NULL;
        return;
    }
    close_hole(parent, slot_of(parent, nmq_level_name(child), child->hash));
    if (parent->child_count == 1) {
        drop_table(parent);
    } else if (parent->child_cap > FIRST_CAP &&
               parent->child_count < parent->child_cap / SHRINK_PART) {
        (void) set_cap(parent, parent->child_cap / 2); // it stays large when memory is out
    }
}

nmq_level *
nmq_level_remove(nmq_level *level)
{
    nmq_level *parent = level->parent;

    unlink_child(parent, level);
    nmq_free(level);
    return parent;
}

// Takes some child out, for nmq_level_clear: it shortens the table from its end, so that it
// looks at no slot twice, however many siblings there are.
static nmq_level *
take_child(nmq_level *parent)
{
    nmq_level *child = NULL;

    if (parent->child_cap == 0) {
        child = parent->only;
        parent->only = NULL;
        return child;
    }
    while (child == NULL && parent->child_cap > 0) {
        child = parent->children[--parent->child_cap];
    }
    if (parent->child_cap == 0) {
        nmq_free(parent->children);
        parent->only = NULL;
    }
    return child;
}

void
nmq_level_clear(nmq_level *root, void (*fini)(nmq_level *level))
{
    nmq_level *at = root;

    for (;;) {
        nmq_level *child = take_child(at);
        if (child != NULL) {
            at = child;
            continue;
        }
        at->child_count = 0;
        if (at == root) {
            return;
        }
        nmq_level *parent = at->parent;
        fini(at);
        nmq_free(at);
        at = parent;
    }
}
