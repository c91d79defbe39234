// groups.h - the $share groups on one node of the subscription tree.
//
//     put  g1, a/b  client x     first ─> {g1, members x, y} ─> {g2, members z}
//     put  g1, a/b  client y
//     put  g2, a/b  client z     a long list has an index by name
//
// Owner    the list owns its groups, and a group its members.
// Threads  none of its own: the tree's lock.
// Cost     put, del: constant on average, whatever the number of groups and members.
// Source   MQTT 5.0, 4.8.2 Shared Subscriptions.
#pragma once
#include "base/map.h"
#include "store/sub_list.h"

// The members of one $share group on one filter.
typedef struct nmq_group {
    struct nmq_group *next;
    struct nmq_group *prev;
    nmq_subscriptions *members; // one or more
    void *node;                 // the tree's: where the filter ends
    uint32_t place;             // the tree's: among its routes
    uint32_t turn;              // atomic: who is next
    uint32_t number;            // never 0, and never another group's, over restarts too
    bool multi;                 // on "#" below the node rather than on the node
    uint16_t name_len;
    uint8_t name[];
} nmq_group;

// A zeroed list is a valid empty one.
typedef struct {
    nmq_group *first;
    uint32_t count;
    uint32_t multi_count; // of them, on "#"
    nmq_map *index;       // two maps by name, without "#" and with; NULL: few
} nmq_groups;

// Adds the subscription to the group of that name, which is made if need be, or replaces
// the one of its client. Returns 1 when it is new, 0 when it replaced one, or NMQ_ENOMEM
// with the groups as they were.
int nmq_groups_put(nmq_groups *groups, nmq_bytes name, bool multi,
                   const nmq_subscription *sub);

// Removes the client's subscription, and the group after its last one. Returns NMQ_OK or
// NMQ_ENOENT.
int nmq_groups_del(nmq_groups *groups, nmq_bytes name, bool multi, const void *client);

// The group of that name, or NULL.
nmq_group *nmq_groups_find(const nmq_groups *groups, nmq_bytes name, bool multi);

// The number that a group was given last in this process.
uint32_t nmq_groups_latest(void);

// From now on groups get numbers after that one.
void nmq_groups_begin_after(uint32_t number);

void nmq_groups_free(nmq_groups *groups); // all; the list is empty then
