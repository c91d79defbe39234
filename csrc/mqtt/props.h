// props.h - Properties of MQTT 5.0 (2.2.2): one table of identifier, type and packets.
//
// Decoding reads each property once into an array by identifier; values that may repeat
// (User Property, Subscription Identifier) are walked in `raw` with nmq_props_next.
#pragma once
#include "base/bytes.h"
#include "mqtt/wire.h"

enum nmq_prop_id {
    NMQ_PROP_PAYLOAD_FORMAT_INDICATOR = 1,
    NMQ_PROP_MESSAGE_EXPIRY_INTERVAL = 2,
    NMQ_PROP_CONTENT_TYPE = 3,
    NMQ_PROP_RESPONSE_TOPIC = 8,
    NMQ_PROP_CORRELATION_DATA = 9,
    NMQ_PROP_SUBSCRIPTION_IDENTIFIER = 11,
    NMQ_PROP_SESSION_EXPIRY_INTERVAL = 17,
    NMQ_PROP_ASSIGNED_CLIENT_IDENTIFIER = 18,
    NMQ_PROP_SERVER_KEEP_ALIVE = 19,
    NMQ_PROP_AUTHENTICATION_METHOD = 21,
    NMQ_PROP_AUTHENTICATION_DATA = 22,
    NMQ_PROP_REQUEST_PROBLEM_INFORMATION = 23,
    NMQ_PROP_WILL_DELAY_INTERVAL = 24,
    NMQ_PROP_REQUEST_RESPONSE_INFORMATION = 25,
    NMQ_PROP_RESPONSE_INFORMATION = 26,
    NMQ_PROP_SERVER_REFERENCE = 28,
    NMQ_PROP_REASON_STRING = 31,
    NMQ_PROP_RECEIVE_MAXIMUM = 33,
    NMQ_PROP_TOPIC_ALIAS_MAXIMUM = 34,
    NMQ_PROP_TOPIC_ALIAS = 35,
    NMQ_PROP_MAXIMUM_QOS = 36,
    NMQ_PROP_RETAIN_AVAILABLE = 37,
    NMQ_PROP_USER_PROPERTY = 38,
    NMQ_PROP_MAXIMUM_PACKET_SIZE = 39,
    NMQ_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE = 40,
    NMQ_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 41,
    NMQ_PROP_SHARED_SUBSCRIPTION_AVAILABLE = 42,
    NMQ_PROP_COUNT = 43,
};

// Only `present` tells what is there: number[id] and text[id] are unset otherwise.
typedef struct {
    uint64_t present; // bit id: the property appears
    uint32_t number[43];
    nmq_bytes text[43];
    nmq_bytes raw;            // the whole block, without its length
    unsigned user_properties; // how many
} nmq_props;

// One property as it lies in a block. `wire` is all of its bytes, the identifier too.
typedef struct {
    uint32_t id;
    uint32_t number;
    nmq_bytes text;  // also a User Property's name
    nmq_bytes value; // a User Property's value
    nmq_bytes wire;
} nmq_prop;

bool nmq_props_has(const nmq_props *props, unsigned id);

// The number if the property is there, else `otherwise`.
uint32_t nmq_props_number(const nmq_props *props, unsigned id, uint32_t otherwise);

void nmq_props_set_number(nmq_props *props, unsigned id, uint32_t value);
void nmq_props_set_text(nmq_props *props, unsigned id, nmq_bytes value); // borrowed

// Reads the property length and the block from the wire. packet_type is a Control Packet
// type, or NMQ_WILL for the Will Properties. Returns 0, or the Reason Code that refuses it:
// Malformed Packet, or Protocol Error for a repeated property, one that the packet does not
// allow, or a value out of its range.
int nmq_props_read(nmq_wire *wire, unsigned packet_type, nmq_props *out);

// Whether the Response Topic is a Topic Name, or there is none.
bool nmq_props_response_topic_fits(const nmq_props *props);

// Takes the next property off *block. Returns false at the end or at bytes that are not
// one.
bool nmq_props_next(nmq_bytes *block, nmq_prop *out);

// What nmq_props_write will write, without the length in front.
size_t nmq_props_size(const nmq_props *props);

// Writes length and block: single properties in order of identifier, then those of `raw`
// that may repeat, in their order. Returns the place behind.
uint8_t *nmq_props_write(uint8_t *to, const nmq_props *props);
