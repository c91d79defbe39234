// decode_connect.h - the body of a CONNECT (MQTT 5.0, 3.1), for decode.c.
#pragma once
#include "mqtt/packet.h"
#include "mqtt/wire.h"

// Returns 0, or the Reason Code that refuses the packet. version is 0 for the first of a
// connection. The caller checks wire->failed and that nothing is left over.
int nmq_decode_connect(nmq_wire *wire, uint8_t version, nmq_packet *out);
