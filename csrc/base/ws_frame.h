// ws_frame.h - the head of a WebSocket frame that carries one Control Packet.
//
//     82 | length: 1, 3 or 9 bytes | packet          not masked: from a server
//
// Threads  pure.
// Source   RFC 6455, 5.2; MQTT 5.0, 6.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { NMQ_FRAME_HEAD_MAX_BYTES = 10 };

size_t nmq_frame_head_size(uint64_t packet_size);

// Writes exactly those bytes, of a whole binary message [MQTT-6.0.0-1]. Returns the place
// behind them.
uint8_t *nmq_frame_head(uint8_t *to, uint64_t packet_size);
