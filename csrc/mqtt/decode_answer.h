// decode_answer.h - the bodies of CONNACK, SUBACK and UNSUBACK (MQTT 5.0, 3.2, 3.9 and
// 3.11), which a server sends, for decode.c.
//
// Each returns 0, or the Reason Code that refuses the packet. The caller checks
// wire->failed and that nothing is left over.
#pragma once
#include "mqtt/packet.h"
#include "mqtt/wire.h"

// A return code of 3.1.1 becomes the Reason Code that says the same.
int nmq_decode_connack(nmq_wire *wire, uint8_t version, nmq_packet *out);

// `list` has at least one code. Before 5.0 that of UNSUBACK is empty.
int nmq_decode_suback(nmq_wire *wire, uint8_t version, nmq_packet *out);
int nmq_decode_unsuback(nmq_wire *wire, uint8_t version, nmq_packet *out);
