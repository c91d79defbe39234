// tree_node.h - the tree that subscriptions lie in; for topic_tree.h and tree_routes.h.
//
// Threads  none of its own: the tree's lock.
#pragma once
#include "base/places.h"
#include "store/groups.h"
#include "store/levels.h"

// What few nodes have.
typedef struct {
    nmq_subscriptions *multi; // filters that end with "#" below the node
    nmq_groups groups;
} nmq_tree_rare;

typedef struct nmq_tree_node {
    nmq_level level;         // first: see levels.h
    nmq_subscriptions *here; // filters that end at the node; NULL: none
    nmq_tree_rare *rare;     // NULL: nothing
} nmq_tree_node;

struct nmq_tree {
    nmq_tree_node root;
    nmq_places routes; // uintptr_t: see ROUTE_MULTI
    size_t count;
    size_t shared_count;
    uint64_t version;      // counts the changes
    const nmq_map *meters; // nmq_meter, by Topic Name; NULL: none
};

// Filters that end with "#" below the node; NULL: none.
static inline nmq_subscriptions *
nmq_tree_node_multi(const nmq_tree_node *n)
{
    return n->rare != NULL ? n->rare->multi : NULL;
}
