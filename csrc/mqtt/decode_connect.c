#include "mqtt/decode_connect.h"

#include "mqtt/reason.h"
#include "mqtt/topic.h"

static int
protocol_of(nmq_bytes name, uint8_t level)
{
    if (nmq_bytes_equal(name, nmq_bytes_of("MQTT"))) { // [MQTT-3.1.2-1]
        if (level == NMQ_V311 || level == NMQ_V5) {
            return 0;
        }
        return NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION; // [MQTT-3.1.2-2]
    }
    if (nmq_bytes_equal(name, nmq_bytes_of("MQIsdp"))) { // MQTT V3.1, 3.1
        return level == NMQ_V31 ? 0 : NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION;
    }
    return NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION;
}

static int
check_connect_flags(uint8_t flags, uint8_t version)
{
    bool will = (flags & 0x04) != 0;
    uint8_t will_qos = flags >> 3 & 3;

    // MQTT V3.1 does not use these bits, and ignores those of a will where there is none.
    bool lenient = version == NMQ_V31;

    if ((flags & 0x01) != 0 && !lenient) { // reserved [MQTT-3.1.2-3]
        return NMQ_RC_MALFORMED_PACKET;
    }
    if (will_qos == 3 && (will || !lenient)) { // [MQTT-3.1.2-12]
        return NMQ_RC_MALFORMED_PACKET;
    }
    if (!will && !lenient &&
        (will_qos != 0 || (flags & 0x20) != 0)) { // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
        return NMQ_RC_MALFORMED_PACKET;
    }
    // A password without a user name: 3.1.1 forbids it, 5.0 allows it.
    // [MQTT-3.1.2-22 of 3.1.1]
    if (version != NMQ_V5 && (flags & 0x40) != 0 && (flags & 0x80) == 0) {
        return NMQ_RC_MALFORMED_PACKET;
    }
    return 0;
}

static int
decode_will(nmq_wire *wire, uint8_t flags, nmq_connect *connect)
{
    int refused = 0;

    connect->has_will = true;
    connect->will_qos = flags >> 3 & 3;
    connect->will_retain = (flags & 0x20) != 0;
    if (connect->version == NMQ_V5) {
        refused = nmq_props_read(wire, NMQ_WILL, &connect->will_props);
    }
    if (refused != 0) {
        return refused;
    }
    if (connect->version == NMQ_V5 &&
        !nmq_props_response_topic_fits(&connect->will_props)) {
        return NMQ_RC_PROTOCOL_ERROR; // [MQTT-3.3.2-14], for the message that it becomes
    }
    connect->will_topic = nmq_wire_text(wire); // [MQTT-3.1.3-11]
    connect->will_payload = nmq_wire_binary(wire);
    if (!wire->failed && !nmq_topic_check(connect->will_topic)) {
        return NMQ_RC_TOPIC_NAME_INVALID;
    }
    return 0;
}

int
nmq_decode_connect(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    nmq_connect *connect = &out->connect;
    nmq_bytes name = nmq_wire_text(wire);

    if (version != 0) {
        return NMQ_RC_PROTOCOL_ERROR; // a second CONNECT [MQTT-3.1.0-2]
    }
    uint8_t level = nmq_wire_u8(wire);
    if (wire->failed) {
        return NMQ_RC_MALFORMED_PACKET;
    }
    connect->bridge =
        level == (NMQ_V311 | NMQ_BRIDGE_BIT) || level == (NMQ_V31 | NMQ_BRIDGE_BIT);
    connect->version = connect->bridge ? level & (uint8_t) ~NMQ_BRIDGE_BIT : level;
    int refused = protocol_of(name, connect->version);
    if (refused != 0) {
        return refused;
    }
    if ((out->wire.at[0] & 0x0f) != 0 && connect->version != NMQ_V31) {
        return NMQ_RC_MALFORMED_PACKET; // [MQTT-2.1.3-1]
    }
    uint8_t flags = nmq_wire_u8(wire);
    refused = check_connect_flags(flags, connect->version);
    if (refused != 0) {
        return refused;
    }
    connect->clean_start = (flags & 0x02) != 0;
    connect->keep_alive_s = nmq_wire_u16(wire);
    if (connect->version == NMQ_V5) {
        refused = nmq_props_read(wire, NMQ_CONNECT, &out->props);
        if (refused == 0 && nmq_props_has(&out->props, NMQ_PROP_AUTHENTICATION_DATA) &&
            !nmq_props_has(&out->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
            return NMQ_RC_PROTOCOL_ERROR; // 3.1.2.11.10
        }
    }
    if (refused != 0) {
        return refused;
    }
    connect->client_id = nmq_wire_text(wire); // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
    if ((flags & 0x04) != 0) {                // [MQTT-3.1.2-9]
        refused = decode_will(wire, flags, connect);
        if (refused != 0) {
            return refused;
        }
    }
    connect->has_user_name = (flags & 0x80) != 0;
    connect->has_password = (flags & 0x40) != 0;
    if (connect->has_user_name) { // [MQTT-3.1.2-17]
        connect->user_name = nmq_wire_text(wire);
    }
    if (connect->has_password) { // [MQTT-3.1.2-19]
        connect->password = nmq_wire_binary(wire);
    }
    return 0;
}
