// packet_kind.h - a Control Packet as it is counted: by its type, a PUBLISH by its QoS.
//
// csrc/metrics.def has a counter for each, in this order, for packets that came and for
// those that were sent.
//
// Threads  pure.
#pragma once
#include <stdint.h>

enum nmq_packet_kind {
    NMQ_KIND_QOS0, // PUBLISH
    NMQ_KIND_QOS1,
    NMQ_KIND_QOS2,
    NMQ_KIND_CONNECT,
    NMQ_KIND_CONNACK,
    NMQ_KIND_PUBACK,
    NMQ_KIND_PUBREC,
    NMQ_KIND_PUBREL,
    NMQ_KIND_PUBCOMP,
    NMQ_KIND_SUBSCRIBE,
    NMQ_KIND_SUBACK,
    NMQ_KIND_UNSUBSCRIBE,
    NMQ_KIND_UNSUBACK,
    NMQ_KIND_PINGREQ,
    NMQ_KIND_PINGRESP,
    NMQ_KIND_DISCONNECT,
    NMQ_KIND_AUTH,
    NMQ_PACKET_KINDS, // how many there are
};

// By the first byte of a packet, without its lowest bit.
extern const uint8_t nmq_packet_kinds[128];

// The kind of a valid packet, by its first byte.
static inline unsigned
nmq_packet_kind_of(uint8_t first)
{
    return nmq_packet_kinds[first >> 1];
}
