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
};

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
