// acl_entry.h - how an acl is kept; for acl_rules.h, which makes it, and acl.h, which looks
// at it.
#pragma once
#include "base/bytes.h"
#include "base/peer.h"

enum nmq_acl_action { NMQ_ACL_PUBLISH = 1, NMQ_ACL_SUBSCRIBE = 2 };

typedef struct {
    bool allow;
    uint8_t actions;
    nmq_bytes client_id; // owned; at NULL: any
    nmq_bytes user_name; // owned; at NULL: any
    nmq_network network; // without an address: any
    nmq_bytes *topics;   // owned, each too
    size_t topic_count;
} nmq_acl_entry;

typedef struct nmq_acl {
    uint32_t refs; // atomic
    bool asks;
    bool otherwise;
    bool deny_disconnects;
    size_t count;
    nmq_acl_entry rules[];
} nmq_acl;
