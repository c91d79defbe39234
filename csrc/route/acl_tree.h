// acl_tree.h - the topics of access rules as a tree of levels.
//
//     rule 3 denies a/+/c      a ─┬─ + ── c   own   {3 deny}
//     rule 7 allows a/#           │           below {7 allow}, kept in the node a
//     rule 9 allows a/%c          └─ %c       own   {9 allow}, a child that has marks
//
// Rules are put in their order, so that a list begins with the one that decides. A rule
// that an earlier one of the same list leaves nothing to say is not kept: a list has at
// most one rule that allows and one that denies for each act.
//
// Owner    the tree copies what it is given.
// Threads  none of its own; what is complete may be read by any.
#pragma once
#include "base/bytes.h"
#include "route/acl_act.h"
#include "store/levels.h"

static const uint32_t NMQ_ACL_NO_RULE = 4294967295; // none

typedef struct {
    uint32_t rule; // its number: the smallest that applies decides
    uint16_t acts; // that it is about; acl_act.h
    bool allow;
} nmq_acl_entry;

typedef struct {
    nmq_acl_entry *at; // by number; owned
    uint32_t count;
} nmq_acl_entries;

// What a level of a pattern is; `mark` of its nmq_level.
enum nmq_acl_level {
    NMQ_ACL_LEVEL_NAME,
    NMQ_ACL_LEVEL_ANY,    // "+"
    NMQ_ACL_LEVEL_MARKED, // it has marks, which stand for names of the client
};

// A zeroed root is a valid empty tree.
typedef struct nmq_acl_node {
    nmq_level level;             // its children are nodes too
    struct nmq_acl_node *first;  // of the children, by `least`; then their `next`
    struct nmq_acl_node *last;   // of them
    struct nmq_acl_node *next;   // child of the parent
    struct nmq_acl_node *any;    // the child "+"
    struct nmq_acl_node *marked; // a child with marks; then their `next_marked`
    struct nmq_acl_node *next_marked;
    nmq_acl_entries own;   // patterns that end here
    nmq_acl_entries below; // patterns that end with a "#" below here
    uint32_t least;        // no rule here or below has a smaller number; the root's is 0
    uint32_t least_deny;   // the same of those that deny subscriptions
} nmq_acl_node;

// How the text of a topic is read.
typedef struct {
    bool marks;   // "%c", "%u" and "%i" stand for names of the client
    bool literal; // "+" and "#" are names like others
} nmq_acl_reading;

// Puts a pattern, a valid Topic Filter. Returns NMQ_OK, or NMQ_ENOMEM with part of it put.
int nmq_acl_tree_put(nmq_acl_node *root, nmq_bytes pattern, nmq_acl_reading reading,
                     nmq_acl_entry entry);
void nmq_acl_tree_fini(nmq_acl_node *root);

// Whether the text has a mark, and whose: 'c', 'u' or 'i'.
bool nmq_acl_has_mark(nmq_bytes text, char mark);

nmq_acl_node *nmq_acl_node_of(const nmq_level *level); // takes NULL

// The hash of a child's name. One with marks has another than one that is called so.
uint32_t nmq_acl_level_hash(nmq_bytes name, enum nmq_acl_level kind);
