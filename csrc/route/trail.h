// trail.h - the brokers that a message has passed over bridges of MQTT 5.0: a User Property
// named NMQ_TRAIL_NAME, whose value is their identifiers, one behind the other.
//
//     edge: none ──bridge──> cloud: "edge" ──bridge──> third: "edge" "cloud"
//
// Bridges tell each other who they are with the same property: in CONNECT the broker whose
// bridge it is, in the CONNACK to such a CONNECT the other one.
#pragma once
#include "base/bytes.h"
#include "mqtt/props.h"

#define NMQ_TRAIL_NAME "nanomq-via"

enum {
    NMQ_TRAIL_ID_BYTES = 16,   // of a broker's identifier
    NMQ_TRAIL_BROKERS_MAX = 8, // no bridge takes a message further

    // What a packet may be larger with it: the property, and a byte of each length field.
    NMQ_TRAIL_MOST_BYTES = 1 + 2 + (sizeof NMQ_TRAIL_NAME - 1) + 2 +
        NMQ_TRAIL_ID_BYTES * NMQ_TRAIL_BROKERS_MAX + 2,
};

// The largest packet between two brokers that know each other by the property: it does not
// count, so that a message that fits without it goes with it.
static inline uint32_t
nmq_trail_allow(uint32_t packet_max_bytes)
{
    return packet_max_bytes < UINT32_MAX - NMQ_TRAIL_MOST_BYTES
               ? packet_max_bytes + NMQ_TRAIL_MOST_BYTES
               : UINT32_MAX;
}

// Draws an identifier: hexadecimal digits.
void nmq_trail_draw(uint8_t id[NMQ_TRAIL_ID_BYTES]);

// The value of that property, borrowed from the block; empty: there is none.
nmq_bytes nmq_trail_of(nmq_bytes props);

// Whether the broker is in it. An empty id is nobody's.
bool nmq_trail_has(nmq_bytes trail, nmq_bytes id);

// Whether no bridge of this broker carries a message with it: it was here before, or has
// passed too many.
bool nmq_trail_ends(nmq_bytes trail, nmq_bytes id);

// How many User Properties there are but for that one: a client cannot help it.
unsigned nmq_trail_user_properties(const nmq_props *props);

// Makes *to the block with the broker behind those that are in its trail. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_trail_put(nmq_buf *to, nmq_bytes props, nmq_bytes id);
