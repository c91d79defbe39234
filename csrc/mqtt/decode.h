// decode.h - bytes to a Control Packet: strict, without copies, without state.
//
//     in  30 07 00 03 'a' '/' 'b' 'h' 'i' ...   ->   PUBLISH topic a/b payload hi, 9 taken
//
// Threads  pure.
// Source   MQTT 5.0 chapters 2 and 3; MQTT 3.1.1; MQTT V3.1 where version is NMQ_V31.
#pragma once
#include "base/bytes.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

// Reads the fixed header at the front of `in` and so the size of the whole packet.
// Returns the header's bytes (2 to 5) and sets *size to header and body together; 0 if `in`
// is too short to tell; NMQ_EMALFORMED for a length that is no Variable Byte Integer.
int nmq_decode_size(nmq_bytes in, size_t *size);

// Reads one packet from the front of `in`. version is the connection's protocol level, and
// 0 before CONNECT, which brings its own. Returns the bytes it took; 0 if `in` ends before
// the packet does; or the negative of the Reason Code to close the connection with (-0x81
// Malformed Packet, -0x82 Protocol Error, -0x84 Unsupported Protocol Version, -0x90 Topic
// Name invalid, ...). *out is meaningful only when bytes were taken.
int nmq_decode(nmq_bytes in, uint8_t version, nmq_packet *out);

// The same for a packet that is there as a whole; nmq_decode_size has returned `header`,
// the bytes of its fixed header. Never returns 0.
int nmq_decode_whole(nmq_bytes whole, size_t header, uint8_t version, nmq_packet *out);

// Takes the next filter and its options off the front of *list, the list of a SUBSCRIBE
// that was decoded. The filter is split. Returns false when none is left.
bool nmq_packet_next_subscription(nmq_bytes *list, nmq_filter *filter, uint8_t *options);

// The same for the list of an UNSUBSCRIBE, which has no options.
bool nmq_packet_next_filter(nmq_bytes *list, nmq_filter *filter);
