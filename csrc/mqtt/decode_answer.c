#include "mqtt/decode_answer.h"

#include <string.h>

#include "mqtt/reason.h"

typedef struct {
    const uint8_t *at;
    size_t count;
} codes;

#define CODES(array) ((codes){array, sizeof array})

static bool
has(codes defined, uint8_t code)
{
    return memchr(defined.at, code, defined.count) != NULL;
}

int
nmq_decode_connack(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    uint8_t flags = nmq_wire_u8(wire);
    uint8_t code = nmq_wire_u8(wire);

    if ((flags & 0xfe) != 0) { // [MQTT-3.2.2-1]
        return NMQ_RC_MALFORMED_PACKET;
    }
    if (flags != 0 && code != NMQ_RC_SUCCESS) { // [MQTT-3.2.2-6]
        return NMQ_RC_PROTOCOL_ERROR;
    }
    out->session_present = flags != 0;
    if (version != NMQ_V5) {
        if (code > NMQ_CONNACK_V3_LAST) {
            return NMQ_RC_PROTOCOL_ERROR;
        }
        out->reason_code = nmq_reason_of_connack_v3(code);
        return 0;
    }
    if (!nmq_reason_is_of_connack(code)) { // [MQTT-3.2.2-8]
        return NMQ_RC_PROTOCOL_ERROR;
    }
    out->reason_code = code;
    return nmq_props_read(wire, NMQ_CONNACK, &out->props);
}

// Reads the identifier, the properties and the codes, of which each is a defined one.
static int
read_codes(nmq_wire *wire, uint8_t version, nmq_packet *out, codes defined)
{
    out->packet_id = nmq_wire_u16(wire);
    if (!wire->failed && out->packet_id == 0) {
        return NMQ_RC_PROTOCOL_ERROR;
    }
    int refused = version == NMQ_V5 ? nmq_props_read(wire, out->type, &out->props) : 0;
    if (refused != 0) {
        return refused;
    }
    out->list = nmq_wire_take(wire, wire->rest.len);
    if (out->list.len == 0 && !wire->failed) { // one for each filter
        return NMQ_RC_PROTOCOL_ERROR;
    }
    for (size_t i = 0; i < out->list.len; i++) {
        if (!has(defined, out->list.at[i])) {
            return NMQ_RC_PROTOCOL_ERROR;
        }
    }
    return 0;
}

int
nmq_decode_suback(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    static const uint8_t before_5[] = {0x00, 0x01, 0x02, 0x80}; // [MQTT-3.9.3-2 of 3.1.1]
    static const uint8_t of_5[] = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87,
                                   0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2};

    return read_codes(wire, version, out,
                      version == NMQ_V5 ? CODES(of_5) : CODES(before_5)); // [MQTT-3.9.3-2]
}

int
nmq_decode_unsuback(nmq_wire *wire, uint8_t version, nmq_packet *out)
{
    static const uint8_t of_5[] = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91};

    if (version == NMQ_V5) {
        return read_codes(wire, version, out, CODES(of_5)); // [MQTT-3.11.3-2]
    }
    out->list = (nmq_bytes){0};
    out->packet_id = nmq_wire_u16(wire);
    return !wire->failed && out->packet_id == 0 ? NMQ_RC_PROTOCOL_ERROR : 0;
}
