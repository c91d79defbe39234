#include "base/ws_frame.h"

enum {
    FIN_BINARY = 0x82,
    SHORT_BYTES = 125, // the most that the second byte says
    TWO_BYTES = 126,   // the length is in two bytes, or in eight
    EIGHT_BYTES = 127,
};

size_t
nmq_frame_head_size(uint64_t packet_size)
{
    return packet_size <= SHORT_BYTES ? 2 : packet_size <= UINT16_MAX ? 4 : 10;
}

uint8_t *
nmq_frame_head(uint8_t *to, uint64_t packet_size)
{
    size_t len = nmq_frame_head_size(packet_size);

    to[0] = FIN_BINARY;
    to[1] = len == 2 ? (uint8_t) packet_size : len == 4 ? TWO_BYTES : EIGHT_BYTES;
    for (size_t i = 2; i < len; i++) {
        to[i] = (uint8_t) (packet_size >> 8 * (len - 1 - i));
    }
    return to + len;
}
