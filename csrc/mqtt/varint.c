#include "mqtt/varint.h"

#include "base/status.h"

int
nmq_varint_read(nmq_bytes in, uint32_t *value)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i == in.len) {
            return 0;
        }
        uint8_t byte = in.at[i];
        v |= (uint32_t) (byte & 0x7f) << (7 * i);
        if ((byte & 0x80) != 0) {
            continue;
        }
        if (i > 0 && byte == 0) {
            return NMQ_EMALFORMED; // not the shortest form [MQTT-1.5.5-1]
        }
        *value = v;
        return (int) i + 1;
    }
    return NMQ_EMALFORMED; // a fifth byte
}

unsigned
nmq_varint_size(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

uint8_t *
nmq_varint_write(uint8_t *to, uint32_t value)
{
    while (value >= 128) {
        *to++ = (uint8_t) (value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t) value;
    return to;
}
