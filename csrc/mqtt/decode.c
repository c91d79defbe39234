#include "mqtt/decode.h"

#include <string.h>

#include "base/status.h"
#include "mqtt/decode_answer.h"
#include "mqtt/decode_connect.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"
#include "mqtt/varint.h"
#include "mqtt/wire.h"

// Each body decoder returns 0, or the Reason Code that refuses the packet. The caller
// checks wire->failed and that nothing is left over.
typedef int decoder(nmq_wire *wire, uint8_t version, nmq_packet *out);

bool
nmq_packet_next_subscription(nmq_bytes *list, nmq_filter *filter, uint8_t *options)
{
    nmq_wire wire = {.rest = *list};

    if (list->len == 0) {
        return false;
    }
    *filter = nmq_filter_split(nmq_wire_binary(&wire));
    *options = nmq_wire_u8(&wire);
    *list = wire.rest;
    return !wire.failed;
}

bool
nmq_packet_next_filter(nmq_bytes *list, nmq_filter *filter)
{
    nmq_wire wire = {.rest = *list};

    if (list->len == 0) {
        return false;
    }
    *filter = nmq_filter_split(nmq_wire_binary(&wire));
    *list = wire.rest;
    return !wire.failed;
}

static int
decode_publish(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    out->publish.topic_name = nmq_wire_text(wire); // [MQTT-3.3.2-1]
    if (out->publish.qos > 0) {                    // [MQTT-2.2.1-2]
        out->packet_id = nmq_wire_u16(wire);
        if (!wire->failed && out->packet_id == 0) { // [MQTT-2.2.1-3]
            return NMQ_RC_PROTOCOL_ERROR;
        }
    }
    if (version == NMQ_V5) {
        int refused = nmq_props_read(wire, NMQ_PUBLISH, &out->props);
        if (refused != 0) {
            return refused;
        }
        if (!nmq_props_response_topic_fits(&out->props)) {
            return NMQ_RC_PROTOCOL_ERROR; // [MQTT-3.3.2-14]
        }
    }
    out->publish.payload = nmq_wire_take(wire, wire->rest.len);
    if (wire->failed) {
        return NMQ_RC_MALFORMED_PACKET;
    }
    // A Topic Alias may stand for the name, which is then empty (3.3.2.3.4).
    bool aliased = out->publish.topic_name.len == 0 && version == NMQ_V5 &&
                   nmq_props_has(&out->props, NMQ_PROP_TOPIC_ALIAS);
    if (!aliased && !nmq_topic_check(out->publish.topic_name)) { // [MQTT-3.3.2-2]
        return out->publish.topic_name.len == 0 && version == NMQ_V5
                   ? NMQ_RC_PROTOCOL_ERROR
                   : NMQ_RC_TOPIC_NAME_INVALID;
    }
    return 0;
}

// The Reason Codes that a packet may carry, whoever sends it (3.4.2.1, 3.5.2.1, 3.6.2.1,
// 3.7.2.1, 3.14.2.1, 3.15.2.1).
static bool
reason_is_defined(uint8_t type, uint8_t code)
{
    static const uint8_t published[] = {0x00, 0x10, 0x80, 0x83, 0x87,
                                        0x90, 0x91, 0x97, 0x99};
    static const uint8_t released[] = {0x00, 0x92};
    static const uint8_t left[] = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89,
                                   0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
                                   0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d,
                                   0x9e, 0x9f, 0xa0, 0xa1, 0xa2};
    static const uint8_t proved[] = {0x00, 0x18, 0x19};
    static const struct {
        const uint8_t *codes;
        size_t count;
    } defined[16] = {
        [NMQ_PUBACK] = {published, sizeof published}, // [MQTT-3.4.2-1]
        [NMQ_PUBREC] = {published, sizeof published}, // [MQTT-3.5.2-1]
        [NMQ_PUBREL] = {released, sizeof released},   // [MQTT-3.6.2-1]
        [NMQ_PUBCOMP] = {released, sizeof released},  // [MQTT-3.7.2-1]
        [NMQ_DISCONNECT] = {left, sizeof left},       // [MQTT-3.14.2-1]
        [NMQ_AUTH] = {proved, sizeof proved},         // [MQTT-3.15.2-1]
    };

    return code == 0 || memchr(defined[type].codes, code, defined[type].count) != NULL;
}

static int
decode_ack(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    out->packet_id = nmq_wire_u16(wire);
    if (!wire->failed && out->packet_id == 0) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    if (version != NMQ_V5) {
        return 0;
    }
    if (wire->rest.len > 0) { // else Success (3.4.2.1)
        out->reason_code = nmq_wire_u8(wire);
    }
    if (!reason_is_defined(out->type, out->reason_code)) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    return wire->rest.len > 0 ? nmq_props_read(wire, out->type, &out->props) : 0;
}

static int
decode_subscribe(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    uint8_t reserved = version == NMQ_V5 ? 0xc0 : 0xfc;
    int refused = 0;

    out->packet_id = nmq_wire_u16(wire);
    if (!wire->failed && out->packet_id == 0) { // [MQTT-2.2.1-3]
        return NMQ_RC_PROTOCOL_ERROR;
    }
    if (version == NMQ_V5) {
        refused = nmq_props_read(wire, NMQ_SUBSCRIBE, &out->props);
    }
    if (refused != 0) {
        return refused;
    }
    out->list = wire->rest;
    do { // at least one [MQTT-3.8.3-2]
        if (wire->rest.len == 0) {
            return wire->failed ? NMQ_RC_MALFORMED_PACKET : NMQ_RC_PROTOCOL_ERROR;
        }
        nmq_bytes text = nmq_wire_text(wire); // [MQTT-3.8.3-1]
        uint8_t options = nmq_wire_u8(wire);
        nmq_filter filter;
        if (wire->failed || (options & reserved) != 0) {
            return NMQ_RC_MALFORMED_PACKET; // [MQTT-3.8.3-5]
        }
        if ((options & NMQ_SUB_QOS) == 3) {
            return NMQ_RC_PROTOCOL_ERROR; // 3.8.3.1
        }
        // The Reason Code Topic Filter invalid is for a filter that is correctly formed
        // (table 3-8).
        if (nmq_filter_parse(text, &filter) != NMQ_OK) {
            return NMQ_RC_MALFORMED_PACKET; // [MQTT-4.7.3-1] [MQTT-4.8.2-1]
        }
        if ((options & NMQ_SUB_RETAIN_HANDLING) == NMQ_SUB_RETAIN_HANDLING) {
            return NMQ_RC_PROTOCOL_ERROR; // 3.8.3.1
        }
        if ((options & NMQ_SUB_NO_LOCAL) != 0 && filter.group.at != NULL) {
            return NMQ_RC_PROTOCOL_ERROR; // [MQTT-3.8.3-4]
        }
    } while (wire->rest.len > 0);
    return 0;
}

static int
decode_unsubscribe(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    int refused = 0;

    out->packet_id = nmq_wire_u16(wire);
    if (!wire->failed && out->packet_id == 0) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    if (version == NMQ_V5) {
        refused = nmq_props_read(wire, NMQ_UNSUBSCRIBE, &out->props);
    }
    if (refused != 0) {
        return refused;
    }
    out->list = wire->rest;
    do { // at least one [MQTT-3.10.3-2]
        if (wire->rest.len == 0) {
            return wire->failed ? NMQ_RC_MALFORMED_PACKET : NMQ_RC_PROTOCOL_ERROR;
        }
        nmq_bytes text = nmq_wire_text(wire); // [MQTT-3.10.3-1]
        nmq_filter filter;
        if (wire->failed || nmq_filter_parse(text, &filter) != NMQ_OK) {
            return NMQ_RC_MALFORMED_PACKET; // [MQTT-4.7.3-1] [MQTT-4.8.2-1]
        }
    } while (wire->rest.len > 0);
    return 0;
}

static int
decode_empty(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    (void) wire;
    (void) version;
    (void) out;
    return 0;
}

static int
decode_reason(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    if (version != NMQ_V5) {
        return out->type == NMQ_AUTH ? NMQ_RC_PROTOCOL_ERROR : 0;
    }
    if (wire->rest.len > 0) { // else Success (3.14.2.1, 3.15.2.1)
        out->reason_code = nmq_wire_u8(wire);
    }
    if (!reason_is_defined(out->type, out->reason_code)) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    return wire->rest.len > 0 ? nmq_props_read(wire, out->type, &out->props) : 0;
}

// The flag nibble that each packet must have (2.1.3) [MQTT-2.1.3-1]; PUBLISH has its own.
static const struct {
    decoder *body;
    uint8_t flags;
} decoders[16] = {
    [NMQ_CONNECT] = {nmq_decode_connect, 0},
    [NMQ_CONNACK] = {nmq_decode_connack, 0},
    [NMQ_PUBLISH] = {decode_publish, 0},
    [NMQ_PUBACK] = {decode_ack, 0},
    [NMQ_PUBREC] = {decode_ack, 0},
    [NMQ_PUBREL] = {decode_ack, 2}, // [MQTT-3.6.1-1]
    [NMQ_PUBCOMP] = {decode_ack, 0},
    [NMQ_SUBSCRIBE] = {decode_subscribe, 2}, // [MQTT-3.8.1-1]
    [NMQ_SUBACK] = {nmq_decode_suback, 0},
    [NMQ_UNSUBSCRIBE] = {decode_unsubscribe, 2}, // [MQTT-3.10.1-1]
    [NMQ_UNSUBACK] = {nmq_decode_unsuback, 0},
    [NMQ_PINGREQ] = {decode_empty, 0},
    [NMQ_PINGRESP] = {decode_empty, 0},
    [NMQ_DISCONNECT] = {decode_reason, 0}, // [MQTT-3.14.1-1]
    [NMQ_AUTH] = {decode_reason, 0},       // [MQTT-3.15.1-1]
};

// MQTT V3.1 has a QoS in SUBSCRIBE, UNSUBSCRIBE and PUBREL, and sets DUP when it sends them
// again; it uses no other flag. The version of a CONNECT is in its body, so its flags are
// checked there.
static bool
flags_fit(uint8_t head, uint8_t version)
{
    uint8_t wanted = decoders[head >> 4].flags;
    uint8_t used = version == NMQ_V31 ? (wanted != 0 ? 0x06 : 0) : 0x0f;

    return head >> 4 == NMQ_CONNECT || (head & used) == wanted;
}

static int
check_publish_flags(uint8_t head, nmq_publish *out)
{
    out->dup = (head & 0x08) != 0;
    out->qos = head >> 1 & 3;
    out->retain = (head & 0x01) != 0;
    if (out->qos == 3 || (out->qos == 0 && out->dup)) { // [MQTT-3.3.1-4] [MQTT-3.3.1-2]
        return NMQ_RC_MALFORMED_PACKET;
    }
    return 0;
}

int
nmq_decode_size(nmq_bytes in, size_t *size)
{
    uint32_t length = 0;

    if (in.len < 2) {
        return 0;
    }
    int took = nmq_varint_read((nmq_bytes){in.at + 1, in.len - 1}, &length);
    if (took <= 0) {
        return took;
    }
    *size = 1 + (size_t) took + length;
    return 1 + took;
}

int
nmq_decode(nmq_bytes in, uint8_t version, nmq_packet *out)
{
    size_t size = 0;
    int header = nmq_decode_size(in, &size);

    if (header < 0) {
        return -NMQ_RC_MALFORMED_PACKET;
    }
    if (header == 0 || in.len < size) {
        return 0;
    }
    return nmq_decode_whole((nmq_bytes){in.at, size}, (size_t) header, version, out);
}

int
nmq_decode_whole(nmq_bytes whole, size_t header, uint8_t version, nmq_packet *out)
{
    uint8_t head = whole.at[0];

    out->wire = whole;
    out->type = head >> 4;
    out->packet_id = 0;
    out->reason_code = 0;
    out->props.present = 0;
    out->props.user_properties = 0;
    out->props.raw = (nmq_bytes){0};
    if (out->type == NMQ_PUBLISH) {
        if (check_publish_flags(head, &out->publish) != 0) {
            return -NMQ_RC_MALFORMED_PACKET;
        }
    } else if (decoders[out->type].body == NULL || !flags_fit(head, version)) {
        return -NMQ_RC_MALFORMED_PACKET; // [MQTT-2.1.3-1]
    } else if (out->type == NMQ_CONNECT) {
        memset(&out->connect, 0, offsetof(nmq_connect, will_props));
        out->connect.will_props.present = 0;
        out->connect.will_props.raw = (nmq_bytes){0};
        out->connect.will_props.user_properties = 0;
    }
    nmq_wire wire = {.rest = {whole.at + header, whole.len - header}};
    int refused = decoders[out->type].body(&wire, version, out);
    if (refused != 0) {
        return -refused;
    }
    if (wire.failed || wire.rest.len > 0) {
        return -NMQ_RC_MALFORMED_PACKET; // [MQTT-4.13.1-1]
    }
    return (int) whole.len;
}
