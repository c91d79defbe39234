// retain_node.h - the tree that retained messages lie in; for retain.h and retain_cursor.h.
//
// Threads  none of its own: the caller's lock.
#pragma once
#include "base/places.h"
#include "store/levels.h"
#include "store/message.h"

typedef struct nmq_retain nmq_retain;

typedef struct nmq_retain_node {
    nmq_level level; // first: see levels.h
    nmq_message *message;
    uint64_t stored;               // order of the message; see retain.h
    struct nmq_retain_node *next;  // sibling; the last one's is NULL
    struct nmq_retain_node *prev;  // sibling; the first one's is the last
    struct nmq_retain_node *first; // child, in order of birth
    uint32_t heap_at;              // one more than its place in the heap, 0: not there
    uint32_t pins;                 // cursors that stand here: while there are any, it stays
    uint32_t place;                // with a message: among all of them
} nmq_retain_node;

// Messages that expire also lie in a binary heap, the earliest on top.
struct nmq_retain {
    nmq_retain_node root;
    nmq_places places; // nmq_retain_node *: those with a message
    uint64_t stored;   // how many messages were put so far
    uint64_t bytes;    // of the messages
    nmq_retain_node **heap;
    uint32_t heap_count;
    uint32_t heap_cap;
};

// The node above; NULL for the root.
static inline nmq_retain_node *
nmq_retain_node_parent(const nmq_retain_node *n)
{
    return (nmq_retain_node *) n->level.parent;
}

// Puts the new node behind the other children of its parent.
void nmq_retain_node_link(nmq_retain_node *parent, nmq_retain_node *child);

// Frees the node and its parents while nothing hangs on them: child, message or cursor.
void nmq_retain_node_prune(nmq_retain *retain, nmq_retain_node *n);
