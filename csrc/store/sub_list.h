// sub_list.h - the subscriptions to one filter: a list, with an index by client once it is
// long.
//
// Owner    the holder of the pointer, NULL for an empty list; nmq_free frees a list
//          whole. A client is a pointer that is never followed.
// Threads  none of its own: the tree's lock.
// Cost     put, del: constant on average, however long the list is.
#pragma once
#include "base/bytes.h"

typedef struct {
    void *client;
    uint32_t identifier; // Subscription Identifier, 0: none
    uint8_t options;     // enum nmq_sub_options
} nmq_subscription;

// A list of subscriptions, in one allocation.
typedef struct {
    uint32_t count;
    uint32_t cap;
    uint32_t place; // the tree's: of the filter among its routes
    nmq_subscription at[];
} nmq_subscriptions;

// Adds the subscription, or replaces the one of its client; the list may move. Returns 1
// when it is new, 0 when it replaced one, or NMQ_ENOMEM with the list as it was.
int nmq_sub_list_put(nmq_subscriptions **at, const nmq_subscription *sub);

// Removes the client's subscription; *at is NULL after the last. The order of the others
// may change. Returns NMQ_OK or NMQ_ENOENT.
int nmq_sub_list_del(nmq_subscriptions **at, const void *client);
