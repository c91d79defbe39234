// acl_act.h - what a client does, as access rules tell it apart: one bit each.
//
//     PUBLISH at QoS 1 with RETAIN -> nmq_acl_publish(1, true)
//     SUBSCRIBE that asks for QoS 2 -> nmq_acl_subscribe(2)
//
// A rule has a set of them. HEAR is what becomes of a message that waits for a client: its
// topic is judged, not the filter that it came by.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    NMQ_ACL_PUBLISH = 0x03f, // any of them
    NMQ_ACL_SUBSCRIBE = 0x1c0,
    NMQ_ACL_HEAR = 0x200,
};

static inline uint16_t
nmq_acl_publish(uint8_t qos, bool retain)
{
    return (uint16_t) (1u << (2 * qos + retain));
}

static inline uint16_t
nmq_acl_subscribe(uint8_t qos)
{
    return (uint16_t) (1u << (6 + qos));
}
