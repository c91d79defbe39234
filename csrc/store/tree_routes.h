// tree_routes.h - the filters of a subscription tree as a list: each has its place from its
// first subscription until its last has gone.
//
//     put a/b  client x     routes: [a/b 1 subscription]
//     put a/b  client y             [a/b 2 subscriptions]
//
// The subscriptions of one shared group are a route of their own.
//
// Owner    the tree.
// Threads  none of its own: the tree's lock.
// Cost     put, find: the logarithm of how many there are. read: the levels of the filter.
#pragma once
#include "base/places.h"
#include "mqtt/topic.h"
#include "store/groups.h"

typedef struct nmq_tree nmq_tree;           // topic_tree.h
typedef struct nmq_tree_node nmq_tree_node; // tree_node.h

// Pointers hold until the next put or del in the tree.
typedef struct {
    nmq_bytes filter; // without $share
    nmq_bytes group;  // at NULL: not shared
    uint32_t subscriptions;
} nmq_route;

const nmq_places *nmq_routes_of(const nmq_tree *tree);

// Tells the route at a place that is in use; its filter is written to *text, in place of
// what that held. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_routes_read(const nmq_tree *tree, uint32_t place, nmq_buf *text, nmq_route *out);

// For topic_tree.c: the subscriptions to the filter, which ends at that node, and its place
// among the routes; NULL: none. `multi`: it ends with "#".
const nmq_subscriptions *nmq_routes_find(const nmq_tree_node *n, const nmq_filter *filter,
                                         bool multi, uint32_t **place);

// The filter has its first subscription. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_routes_put(nmq_tree *tree, nmq_tree_node *n, const nmq_filter *filter, bool multi,
                   uint32_t *place);
