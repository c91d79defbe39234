// ws_frame.h - WebSocket frames: their numbers, and the head of one that carries a packet.
//
//     82 | length: 1, 3 or 9 bytes | packet          not masked: from a server
//
// Threads  pure.
// Source   RFC 6455, 5.2; MQTT 5.0, 6.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    // the first byte
    NMQ_FRAME_FIN = 0x80, // the message ends here
    NMQ_FRAME_RESERVED = 0x70,
    NMQ_FRAME_OP = 0x0f, // one of the opcodes
    NMQ_FRAME_CONTINUATION = 0,
    NMQ_FRAME_TEXT = 1,
    NMQ_FRAME_BINARY = 2,
    NMQ_FRAME_CLOSE = 8, // from here on control frames
    NMQ_FRAME_PING = 9,
    NMQ_FRAME_PONG = 10,
    // the second byte
    NMQ_FRAME_MASKED = 0x80,     // four bytes of mask follow the length
    NMQ_FRAME_LENGTH = 0x7f,     // the length, or how many bytes it has
    NMQ_FRAME_SHORT_BYTES = 125, // the most that it says, and that a control frame carries
    NMQ_FRAME_TWO_BYTES = 126,
    NMQ_FRAME_EIGHT_BYTES = 127,

    NMQ_FRAME_HEAD_MAX_BYTES = 10, // without a mask
};

// How many bytes of length follow a second byte: 0, 2 or 8.
size_t nmq_frame_more_length(uint8_t second);

size_t nmq_frame_head_size(uint64_t packet_size);

// Writes the head of a whole binary message [MQTT-6.0.0-1] that carries the packet: exactly
// nmq_frame_head_size bytes. Returns the place behind them.
uint8_t *nmq_frame_head(uint8_t *to, uint64_t packet_size);
