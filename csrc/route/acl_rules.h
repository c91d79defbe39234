// acl_rules.h - access rules as they are given, made into an acl. cffi reads this file: no
// macros here. acl.h judges by them.
//
// Owner    an acl is immutable and counted.
// Threads  any.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_acl nmq_acl;

// What a check says of a topic. The first that has an opinion decides: rules, then, where
// they ask, whoever answers NMQ_NOTE_ACCESS, then what holds otherwise.
enum nmq_access {
    NMQ_ACCESS_LATER, // it does not know yet: the packet waits until it does
    NMQ_ACCESS_ALLOW,
    NMQ_ACCESS_DENY,
    NMQ_ACCESS_PASS, // it has no opinion
};

enum { NMQ_ACL_LEVELS_MAX = 256 }; // of one topic of a rule

// How the topic of a rule is read.
enum nmq_acl_topic_kind {
    NMQ_ACL_TOPIC_PATTERN, // "%c", "%u", "%i" stand for client id, user name, address
    NMQ_ACL_TOPIC_PLAIN,   // it has no such marks
    NMQ_ACL_TOPIC_LITERAL, // it has, and is only about the filter that is the same text
};

typedef struct {
    const char *text; // a Topic Filter
    uint8_t kind;     // enum nmq_acl_topic_kind
} nmq_acl_topic;

// One rule. Texts are NUL-terminated and copied; NULL: any.
typedef struct {
    bool allow;
    bool publish; // applies to publishing
    bool subscribe;
    uint8_t qos_set;    // that it applies to, 1 << QoS each; 0: any
    uint8_t retain_set; // 1: publishing without RETAIN, 2: with; 0: either
    const char *client_id;
    const char *user_name; // empty: who has none
    uint8_t address[16];   // of the client, in network order
    uint8_t address_len;   // 4, 16, or 0: any
    uint8_t prefix_bits;   // how many of its bits count
    const nmq_acl_topic *topics;
    size_t topic_count;
} nmq_acl_rule;

typedef struct {
    const nmq_acl_rule *at; // in order: the first that applies decides
    size_t count;
    bool asks;             // what no rule applies to is asked: NMQ_NOTE_ACCESS
    bool otherwise;        // what holds when nobody has an opinion: true allows
    bool deny_disconnects; // a client that does what it may not is disconnected
} nmq_acl_rules;

// Compiles the rules; a topic has at most NMQ_ACL_LEVELS_MAX levels. Returns them with one
// reference, or NULL when memory is out.
nmq_acl *nmq_acl_new(const nmq_acl_rules *rules);
void nmq_acl_unref(nmq_acl *acl); // takes NULL

nmq_acl *nmq_acl_ref(nmq_acl *acl); // takes NULL
