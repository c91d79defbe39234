#include "mqtt/props.h"

#include "mqtt/packet_type.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"
#include "mqtt/varint.h"

enum type { NONE, BYTE, U16, U32, VARINT, TEXT, BINARY, PAIR };

#define ON(type) (1u << NMQ_##type)
#define ON_ACKS  (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP))
#define ON_CODES                                                                           \
    (ON(CONNACK) | ON_ACKS | ON(SUBACK) | ON(UNSUBACK) | ON(DISCONNECT) | ON(AUTH))

// MQTT 5.0, table 2-4. A flag is 0 or 1; some numbers must not be 0.
static const struct rule {
    uint8_t type;
    uint8_t flag;
    uint8_t not_zero;
    uint32_t packets;
} rules[NMQ_PROP_COUNT] = {
    [NMQ_PROP_PAYLOAD_FORMAT_INDICATOR] = {BYTE, 1, 0, ON(PUBLISH) | ON(WILL)},
    [NMQ_PROP_MESSAGE_EXPIRY_INTERVAL] = {U32, 0, 0, ON(PUBLISH) | ON(WILL)},
    [NMQ_PROP_CONTENT_TYPE] = {TEXT, 0, 0, ON(PUBLISH) | ON(WILL)},
    [NMQ_PROP_RESPONSE_TOPIC] = {TEXT, 0, 0, ON(PUBLISH) | ON(WILL)},
    [NMQ_PROP_CORRELATION_DATA] = {BINARY, 0, 0, ON(PUBLISH) | ON(WILL)},
    [NMQ_PROP_SUBSCRIPTION_IDENTIFIER] = {VARINT, 0, 1, ON(PUBLISH) | ON(SUBSCRIBE)},
    [NMQ_PROP_SESSION_EXPIRY_INTERVAL] = {U32, 0, 0,
                                          ON(CONNECT) | ON(CONNACK) | ON(DISCONNECT)},
    [NMQ_PROP_ASSIGNED_CLIENT_IDENTIFIER] = {TEXT, 0, 0, ON(CONNACK)},
    [NMQ_PROP_SERVER_KEEP_ALIVE] = {U16, 0, 0, ON(CONNACK)},
    [NMQ_PROP_AUTHENTICATION_METHOD] = {TEXT, 0, 0, ON(CONNECT) | ON(CONNACK) | ON(AUTH)},
    [NMQ_PROP_AUTHENTICATION_DATA] = {BINARY, 0, 0, ON(CONNECT) | ON(CONNACK) | ON(AUTH)},
    [NMQ_PROP_REQUEST_PROBLEM_INFORMATION] = {BYTE, 1, 0, ON(CONNECT)},
    [NMQ_PROP_WILL_DELAY_INTERVAL] = {U32, 0, 0, ON(WILL)},
    [NMQ_PROP_REQUEST_RESPONSE_INFORMATION] = {BYTE, 1, 0, ON(CONNECT)},
    [NMQ_PROP_RESPONSE_INFORMATION] = {TEXT, 0, 0, ON(CONNACK)},
    [NMQ_PROP_SERVER_REFERENCE] = {TEXT, 0, 0, ON(CONNACK) | ON(DISCONNECT)},
    [NMQ_PROP_REASON_STRING] = {TEXT, 0, 0, ON_CODES},
    [NMQ_PROP_RECEIVE_MAXIMUM] = {U16, 0, 1, ON(CONNECT) | ON(CONNACK)},
    [NMQ_PROP_TOPIC_ALIAS_MAXIMUM] = {U16, 0, 0, ON(CONNECT) | ON(CONNACK)},
    [NMQ_PROP_TOPIC_ALIAS] = {U16, 0, 0, ON(PUBLISH)},
    [NMQ_PROP_MAXIMUM_QOS] = {BYTE, 1, 0, ON(CONNACK)},
    [NMQ_PROP_RETAIN_AVAILABLE] = {BYTE, 1, 0, ON(CONNACK)},
    [NMQ_PROP_USER_PROPERTY] = {PAIR, 0, 0,
                                ON_CODES | ON(CONNECT) | ON(PUBLISH) | ON(WILL) |
                                    ON(SUBSCRIBE) | ON(UNSUBSCRIBE)},
    [NMQ_PROP_MAXIMUM_PACKET_SIZE] = {U32, 0, 1, ON(CONNECT) | ON(CONNACK)},
    [NMQ_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE] = {BYTE, 1, 0, ON(CONNACK)},
    [NMQ_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE] = {BYTE, 1, 0, ON(CONNACK)},
    [NMQ_PROP_SHARED_SUBSCRIPTION_AVAILABLE] = {BYTE, 1, 0, ON(CONNACK)},
};

bool
nmq_props_has(const nmq_props *props, unsigned id)
{
    return (props->present >> id & 1) != 0;
}

uint32_t
nmq_props_number(const nmq_props *props, unsigned id, uint32_t otherwise)
{
    return nmq_props_has(props, id) ? props->number[id] : otherwise;
}

void
nmq_props_set_number(nmq_props *props, unsigned id, uint32_t value)
{
    props->present |= UINT64_C(1) << id;
    props->number[id] = value;
}

void
nmq_props_set_text(nmq_props *props, unsigned id, nmq_bytes value)
{
    props->present |= UINT64_C(1) << id;
    props->text[id] = value;
}

// Reads identifier and value. Where the bytes are no property, the wire has failed. Texts
// are checked, Content Type [MQTT-3.3.2-19] and Response Topic [MQTT-3.3.2-13] among them.
static void
read_one(nmq_wire *wire, nmq_prop *out)
{
    const uint8_t *start = wire->rest.at;

    *out = (nmq_prop){.id = nmq_wire_varint(wire)};
    switch (out->id < NMQ_PROP_COUNT ? rules[out->id].type : NONE) {
    case BYTE: out->number = nmq_wire_u8(wire); break;
    case U16: out->number = nmq_wire_u16(wire); break;
    case U32: out->number = nmq_wire_u32(wire); break;
    case VARINT: out->number = nmq_wire_varint(wire); break;
    case TEXT: out->text = nmq_wire_text(wire); break;
    case BINARY: out->text = nmq_wire_binary(wire); break;
    case PAIR:
        out->text = nmq_wire_text(wire);
        out->value = nmq_wire_text(wire); // [MQTT-1.5.7-1]
        break;
    default: wire->failed = true; break;
    }
    out->wire = (nmq_bytes){start, (size_t) (wire->rest.at - start)};
}

bool
nmq_props_next(nmq_bytes *block, nmq_prop *out)
{
    nmq_wire wire = {.rest = *block};

    if (block->len == 0) {
        return false;
    }
    read_one(&wire, out);
    *block = wire.rest;
    return !wire.failed;
}

static bool
may_repeat(uint32_t id, unsigned packet_type)
{
    return id == NMQ_PROP_USER_PROPERTY ||
           (id == NMQ_PROP_SUBSCRIPTION_IDENTIFIER && packet_type == NMQ_PUBLISH);
}

static int
check_one(const nmq_props *props, const nmq_prop *prop, unsigned packet_type)
{
    const struct rule *rule = &rules[prop->id];

    if ((rule->packets >> packet_type & 1) == 0) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    if (nmq_props_has(props, prop->id) && !may_repeat(prop->id, packet_type)) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    if ((rule->flag && prop->number > 1) || (rule->not_zero && prop->number == 0)) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    return 0;
}

int
nmq_props_read(nmq_wire *wire, unsigned packet_type, nmq_props *out)
{
    uint32_t length = nmq_wire_varint(wire);
    nmq_wire block = {.rest = nmq_wire_take(wire, length)};
    nmq_prop prop;

    out->present = 0;
    out->user_properties = 0;
    out->raw = block.rest;
    if (wire->failed) {
        return NMQ_RC_MALFORMED_PACKET;
    }
    while (block.rest.len > 0) {
        read_one(&block, &prop);
        if (block.failed) {
            return NMQ_RC_MALFORMED_PACKET;
        }
        int refused = check_one(out, &prop, packet_type);
        if (refused != 0) {
            return refused;
        }
        out->present |= UINT64_C(1) << prop.id;
        out->number[prop.id] = prop.number;
        out->text[prop.id] = prop.text;
        out->user_properties += prop.id == NMQ_PROP_USER_PROPERTY;
    }
    return 0;
}

bool
nmq_props_response_topic_fits(const nmq_props *props)
{
    return !nmq_props_has(props, NMQ_PROP_RESPONSE_TOPIC) ||
           nmq_topic_check(props->text[NMQ_PROP_RESPONSE_TOPIC]);
}

static size_t
single_size(const nmq_props *props, unsigned id)
{
    switch (rules[id].type) {
    case BYTE: return 2;
    case U16: return 3;
    case U32: return 5;
    case VARINT: return 1 + nmq_varint_size(props->number[id]);
    case TEXT:
    case BINARY: return 3 + props->text[id].len;
    default: return 0;
    }
}

// Whether the property is written from its array slot. Those that repeat come from `raw`,
// unless a caller set a Subscription Identifier by hand and left `raw` empty.
static bool
is_single(const nmq_props *props, unsigned id)
{
    return nmq_props_has(props, id) && id != NMQ_PROP_USER_PROPERTY &&
           (id != NMQ_PROP_SUBSCRIPTION_IDENTIFIER || props->raw.len == 0);
}

static bool
next_repeated(nmq_bytes *block, nmq_prop *prop)
{
    while (nmq_props_next(block, prop)) {
        if (prop->id == NMQ_PROP_USER_PROPERTY ||
            prop->id == NMQ_PROP_SUBSCRIPTION_IDENTIFIER) {
            return true;
        }
    }
    return false;
}

size_t
nmq_props_size(const nmq_props *props)
{
    size_t size = 0;
    nmq_bytes block = props->raw;
    nmq_prop prop;

    for (unsigned id = 1; id < NMQ_PROP_COUNT; id++) {
        size += is_single(props, id) ? single_size(props, id) : 0;
    }
    while (next_repeated(&block, &prop)) {
        size += prop.wire.len;
    }
    return size;
}

static uint8_t *
write_single(uint8_t *to, const nmq_props *props, unsigned id)
{
    *to++ = (uint8_t) id;
    switch (rules[id].type) {
    case BYTE: *to++ = (uint8_t) props->number[id]; return to;
    case U16: return nmq_wire_put_u16(to, (uint16_t) props->number[id]);
    case U32: return nmq_wire_put_u32(to, props->number[id]);
    case VARINT: return nmq_varint_write(to, props->number[id]);
    default: return nmq_wire_put_text(to, props->text[id]);
    }
}

uint8_t *
nmq_props_write(uint8_t *to, const nmq_props *props)
{
    nmq_bytes block = props->raw;
    nmq_prop prop;

    to = nmq_varint_write(to, (uint32_t) nmq_props_size(props));
    for (unsigned id = 1; id < NMQ_PROP_COUNT; id++) {
        if (is_single(props, id)) {
            to = write_single(to, props, id);
        }
    }
    while (next_repeated(&block, &prop)) {
        to = nmq_wire_put_raw(to, prop.wire);
    }
    return to;
}
