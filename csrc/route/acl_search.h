// acl_search.h - which rule of a tree decides: the one with the smallest number of those
// that apply.
//
//     search {act, best NO_RULE} ──tree, tree──> search {best 7, allow}
//
// A rule that allows applies when its pattern covers the topic, which is a Topic Name or a
// Topic Filter: it matches all that the topic matches ("a/#" covers "a/+/b"; "a/b" does not
// cover "a/+"). One that denies applies as soon as its pattern meets the topic: the two
// have a topic in common ("a/b" meets "a/+"). So whoever is granted a filter may have each
// topic that it matches.
// Levels "%c", "%u" and "%i" of a pattern, or parts of levels, stand for the names of the
// client. A name that is no part of one level, because it is empty or has "/", "+" or "#",
// stands for no topic, and so does one that would begin the topic with "$". Wildcards do
// not match a first level that begins with "$" [MQTT-4.7.2-1].
//
// Threads  any, each with a search of its own.
// Cost     a Topic Name: at each level one look-up for each branch still open, and none
//          below rules with larger numbers than the best. A filter with wildcards besides:
//          at most the nodes at or below which a rule denies subscriptions.
#pragma once
#include "route/acl_tree.h"

typedef struct {
    nmq_bytes client_id;
    nmq_bytes user_name; // at NULL: none
    nmq_bytes address;   // as text
} nmq_acl_names;

typedef struct {
    const nmq_acl_names *who;
    uint16_t act;  // one of acl_act.h
    bool allow;    // what the best says
    uint32_t best; // NMQ_ACL_NO_RULE: none applies
} nmq_acl_search;

// Looks for a better rule. The topic is a valid Topic Name, or Topic Filter without $share.
void nmq_acl_search_tree(nmq_acl_search *search, const nmq_acl_node *root, nmq_bytes topic);

// The same in a tree of literal texts: a pattern applies to a topic that is the same text.
void nmq_acl_search_literal(nmq_acl_search *search, const nmq_acl_node *root,
                            nmq_bytes topic);
