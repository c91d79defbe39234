// acl_group.h - an acl: its rules by whom they are for.
//
//     client "c", any user, 10.0.0.0/8 ──> group: trees of topics     found by hash
//     anybody                          ──> group
//
// All rules of a group have the same conditions, and only those about topics are left to be
// looked at. A client belongs to the groups whose conditions it meets: at most four, and
// four more for each length of a network's prefix that occurs.
//
// Owner    an acl is immutable and counted; groups are its own.
// Threads  any.
// Cost     find: one look-up for each kind of conditions that occurs.
#pragma once
#include "base/map.h"
#include "base/peer.h"
#include "route/acl_tree.h"

// Whom something is for. Slices are borrowed.
typedef struct {
    nmq_bytes client_id;
    nmq_bytes user_name; // at NULL: none
    const nmq_peer *peer;
    bool superuser;      // everything is allowed
    struct nmq_acl *own; // rules of it alone, judged first; NULL: none
} nmq_acl_subject;

// What all rules of a group ask of a client. Slices are borrowed.
typedef struct {
    nmq_bytes client_id; // at NULL: any
    nmq_bytes user_name; // at NULL: any; empty: who has none
    nmq_network network; // without an address: any
} nmq_acl_conditions;

typedef struct {
    nmq_acl_node root;     // of patterns
    nmq_acl_node *literal; // of literal texts; NULL: none
    nmq_bytes key;         // its conditions; owned
} nmq_acl_group;

enum { NMQ_ACL_PREFIXES_MAX = 33 + 129 }; // that there can be

typedef struct {
    uint8_t address_len;
    uint8_t prefix_bits;
} nmq_acl_prefix;

typedef struct nmq_acl {
    uint32_t refs; // atomic
    bool asks;
    bool otherwise;
    bool deny_disconnects;
    bool marks_address; // a pattern has "%i"
    uint8_t kinds;      // of conditions that occur, a bit each
    uint8_t prefix_count;
    nmq_acl_prefix prefixes[NMQ_ACL_PREFIXES_MAX];
    nmq_map groups; // by key
} nmq_acl;

// Returns the group of those conditions, which is made if there is none, or NULL when
// memory is out.
nmq_acl_group *nmq_acl_group_for(nmq_acl *acl, const nmq_acl_conditions *asked);
void nmq_acl_groups_free(nmq_acl *acl);

typedef int nmq_acl_group_fn(void *arg, const nmq_acl_group *group);

// Calls fn for each group that the subject belongs to, until it returns something else than
// NMQ_OK. Returns that, NMQ_OK, or NMQ_ENOMEM.
int nmq_acl_groups_find(const nmq_acl *acl, const nmq_acl_subject *subject,
                        nmq_acl_group_fn *fn, void *arg);
