#include "base/ws_frame.h"

size_t
nmq_frame_more_length(uint8_t second)
{
    uint8_t length = second & NMQ_FRAME_LENGTH;

    return length == NMQ_FRAME_TWO_BYTES ? 2 : length == NMQ_FRAME_EIGHT_BYTES ? 8 : 0;
}

size_t
nmq_frame_head_size(uint64_t packet_size)
{
    return packet_size <= NMQ_FRAME_SHORT_BYTES ? 2 : packet_size <= UINT16_MAX ? 4 : 10;
}

uint8_t *
nmq_frame_head(uint8_t *to, uint64_t packet_size)
{
    size_t len = nmq_frame_head_size(packet_size);

    to[0] = NMQ_FRAME_FIN | NMQ_FRAME_BINARY;
    to[1] = len == 2   ? (uint8_t) packet_size
            : len == 4 ? NMQ_FRAME_TWO_BYTES
                       : NMQ_FRAME_EIGHT_BYTES;
    for (size_t i = 2; i < len; i++) {
        to[i] = (uint8_t) (packet_size >> 8 * (len - 1 - i));
    }
    return to + len;
}
