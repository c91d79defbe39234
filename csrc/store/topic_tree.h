// topic_tree.h - who subscribed: Topic Filters in, the clients of a Topic Name out.
//
//     put a/+/c  client x          a ─┬─ + ── c   {x}
//     put a/#    client y             └─ #        {y}, kept in the node a
//     match a/b/c  ->  x, y
//
// Owner    The tree copies every filter it is given and owns its nodes; a client is a
//          pointer that it never follows.
// Threads  None of its own, no lock: match may run in many threads at once while none runs
//          put or del.
// Cost     match: at each level one look-up for each branch still open; the number of
//          unrelated filters does not matter. put, del: the levels of the filter, however
//          many subscribers and groups it has, and the logarithm of the filters.
// Source   MQTT 5.0, 4.7 Topic Names and Topic Filters, 4.8.2 Shared Subscriptions.
#pragma once
#include "base/map.h"
#include "mqtt/topic.h"
#include "store/groups.h"
#include "store/meter.h"

typedef struct nmq_tree nmq_tree;

enum { NMQ_MATCHES_TOPIC_BYTES = 128 };

// What match found. A zeroed one is empty; keep it for the next match in the same tree,
// then free it. A publisher mostly stays with its topic: while the tree is as it was, the
// same topic again is not looked up again.
typedef struct {
    nmq_subscriptions *found; // not shared; a client twice where two filters match
    nmq_group **groups;
    uint32_t group_count;
    uint32_t group_cap;
    uint32_t lists;   // how many filters `found` comes from
    uint32_t visits;  // nodes that the last look-up visited; 0: none was needed
    nmq_meter *meter; // of the topic; valid as `found`; NULL: it is not counted
    bool sorted;      // for the caller, who may sort `found`; false after a look-up
    void **open;      // scratch: the branches of this level and of the next
    uint32_t open_cap;
    uint32_t topic_len; // 0: of no topic
    uint64_t version;   // of the tree
    uint8_t topic[NMQ_MATCHES_TOPIC_BYTES];
} nmq_matches;

nmq_tree *nmq_tree_new(void); // NULL when memory is out
void nmq_tree_free(nmq_tree *tree);

// Adds the subscription, or replaces options and identifier of the one that is there.
// Returns 1 when it is new, 0 when it replaced one, or NMQ_ENOMEM with the tree as it was.
// The filter is one that nmq_filter_parse gave.
int nmq_tree_put(nmq_tree *tree, const nmq_filter *filter, const nmq_subscription *sub);

// Removes the client's subscription. Returns NMQ_OK or NMQ_ENOENT.
int nmq_tree_del(nmq_tree *tree, const nmq_filter *filter, const void *client);

// Returns the group of that shared subscription, or NULL. It is valid as long as a match
// is.
nmq_group *nmq_tree_group(nmq_tree *tree, const nmq_filter *filter);

// Finds every subscription whose filter matches the valid Topic Name. Pointers in *out hold
// until the next put or del. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_tree_match(const nmq_tree *tree, nmq_bytes topic_name, nmq_matches *out);

// From now on match finds the meter of the topic among these, by Topic Name; NULL: there
// are none. They are borrowed until the next call.
void nmq_tree_use_meters(nmq_tree *tree, const nmq_map *meters);

void nmq_matches_free(nmq_matches *matches);

// The place of the filter among the routes (tree_routes.h), NMQ_NO_PLACE: it has no
// subscription.
uint32_t nmq_tree_route_place(nmq_tree *tree, const nmq_filter *filter);

// How many routes there are of that filter, whatever its group: of each group that
// subscribes to it, and of the subscriptions that are not shared.
uint32_t nmq_tree_route_count(nmq_tree *tree, const nmq_filter *filter);

// Subscriptions held, of every kind; and those of members of shared groups.
size_t nmq_tree_count(const nmq_tree *tree);
size_t nmq_tree_shared_count(const nmq_tree *tree);
