#include "mqtt/wire.h"

#include <string.h>

#include "mqtt/varint.h"

nmq_bytes
nmq_wire_take(nmq_wire *wire, size_t len)
{
    nmq_bytes taken = {wire->rest.at, len};

    if (wire->rest.len < len) {
        wire->failed = true;
        wire->rest.len = 0;
        return (nmq_bytes){0};
    }
    wire->rest.at += len;
    wire->rest.len -= len;
    return taken;
}

uint8_t
nmq_wire_u8(nmq_wire *wire)
{
    nmq_bytes b = nmq_wire_take(wire, 1);

    return b.len == 1 ? b.at[0] : 0;
}

uint16_t
nmq_wire_u16(nmq_wire *wire)
{
    nmq_bytes b = nmq_wire_take(wire, 2);

    return b.len == 2 ? (uint16_t) (b.at[0] << 8 | b.at[1]) : 0;
}

uint32_t
nmq_wire_u32(nmq_wire *wire)
{
    uint32_t high = nmq_wire_u16(wire);

    return high << 16 | nmq_wire_u16(wire);
}

uint32_t
nmq_wire_varint(nmq_wire *wire)
{
    uint32_t value = 0;
    int took = nmq_varint_read(wire->rest, &value);

    if (took <= 0) {
        wire->failed = true;
        return 0;
    }
    (void) nmq_wire_take(wire, (size_t) took);
    return value;
}

nmq_bytes
nmq_wire_binary(nmq_wire *wire)
{
    return nmq_wire_take(wire, nmq_wire_u16(wire));
}

nmq_bytes
nmq_wire_text(nmq_wire *wire)
{
    nmq_bytes text = nmq_wire_binary(wire);

    if (!nmq_utf8_check(text)) { // [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3]
        wire->failed = true;
    }
    return text;
}

// The length of the sequence that a lead byte opens, 0 for a byte that opens none.
static unsigned
sequence_length(uint8_t lead)
{
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        return 3;
    }
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

// The second byte of these leads has a narrower range: it keeps out overlong forms,
// surrogates (U+D800 to U+DFFF) and code points past U+10FFFF.
static bool
second_allowed(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0: return second >= 0xa0;
    case 0xed: return second <= 0x9f; // [MQTT-1.5.4-1]
    case 0xf0: return second >= 0x90;
    case 0xf4: return second <= 0x8f;
    default: return true;
    }
}

bool
nmq_utf8_check(nmq_bytes text)
{
    const uint8_t *at = text.at;
    uint64_t eight;

    if (text.len == 0) { // at may be NULL
        return true;
    }
    const uint8_t *end = at + text.len;
    while (at < end) {
        // Eight ASCII bytes at once, none of them zero.
        while (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (((eight - 0x0101010101010101u) | eight) & 0x8080808080808080u) {
                break;
            }
            at += 8;
        }
        if (at == end) {
            break;
        }
        if (*at < 0x80) {
            if (*at++ == 0) { // [MQTT-1.5.4-2]
                return false;
            }
            continue;
        }
        unsigned len = sequence_length(*at);
        if (len == 0 || end - at < (ptrdiff_t) len || !second_allowed(at[0], at[1])) {
            return false;
        }
        for (unsigned i = 1; i < len; i++) {
            if ((at[i] & 0xc0) != 0x80) {
                return false;
            }
        }
        at += len;
    }
    return true;
}

uint8_t *
nmq_wire_put_u16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t) (value >> 8);
    to[1] = (uint8_t) value;
    return to + 2;
}

uint8_t *
nmq_wire_put_u32(uint8_t *to, uint32_t value)
{
    return nmq_wire_put_u16(nmq_wire_put_u16(to, (uint16_t) (value >> 16)),
                            (uint16_t) value);
}

uint8_t *
nmq_wire_put_raw(uint8_t *to, nmq_bytes raw)
{
    if (raw.len > 0) {
        memcpy(to, raw.at, raw.len);
    }
    return to + raw.len;
}

uint8_t *
nmq_wire_put_text(uint8_t *to, nmq_bytes text)
{
    return nmq_wire_put_raw(nmq_wire_put_u16(to, (uint16_t) text.len), text);
}
