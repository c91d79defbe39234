// subscriptions.h - changes of who subscribed to what: the tree, and each session's own
// list.
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
// Cost     constant on average, however many subscribers and filters there are;
//          nmq_subscriptions_forget: that for each subscription.
#pragma once
#include "route/client.h"
#include "route/router.h"

// Subscribes the client to a valid filter. Returns 1 for a new subscription, 0 for one
// replaced, NMQ_ENOMEM, NMQ_ETOOBIG for one over the client's bounds, NMQ_ESHORT for a new
// one while memory is short, NMQ_ENOSPC or NMQ_ESTORE for a new one that would have to be
// logged (nmq_journal_may), or NMQ_ECLOSED for a client that has ended.
int nmq_subscriptions_put(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                          uint8_t options, uint32_t identifier);

// Gives the group of that shared subscription the number that it had in the process before.
void nmq_subscriptions_number_group(nmq_router *router, const nmq_filter *filter,
                                    uint32_t number);

// why it ends, for whoever watches; NMQ_WHY_NONE: it only moves. Returns NMQ_OK or
// NMQ_ENOENT.
int nmq_subscriptions_del(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                          enum nmq_why why);

// Removes all of the client's subscriptions for good.
void nmq_subscriptions_forget(nmq_router *router, nmq_client *client);
