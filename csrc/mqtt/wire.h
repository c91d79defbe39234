// wire.h - a cursor over bytes from the network, and the writes that mirror its reads.
//
// A read that runs past the end, or finds text that is not MQTT UTF-8, marks the cursor
// failed and returns a zero value; one check of `failed` at the end covers a whole packet.
// Source  MQTT 5.0, 1.5 Data representation.
#pragma once
#include "base/bytes.h"

typedef struct {
    nmq_bytes rest;
    bool failed;
} nmq_wire;

uint8_t nmq_wire_u8(nmq_wire *wire);
uint16_t nmq_wire_u16(nmq_wire *wire);
uint32_t nmq_wire_u32(nmq_wire *wire);
uint32_t nmq_wire_varint(nmq_wire *wire);

// Takes exactly len bytes.
nmq_bytes nmq_wire_take(nmq_wire *wire, size_t len);

// Binary Data and UTF-8 Encoded String: two length bytes, then the content.
nmq_bytes nmq_wire_binary(nmq_wire *wire);
nmq_bytes nmq_wire_text(nmq_wire *wire);

// Whether the bytes are well-formed UTF-8 without U+0000 and without surrogates. Control
// characters and non-characters are allowed, as the specification leaves them to receivers.
bool nmq_utf8_check(nmq_bytes text);

// Each writes and returns the place behind; text is at most 65,535 bytes long.
uint8_t *nmq_wire_put_u16(uint8_t *to, uint16_t value);
uint8_t *nmq_wire_put_u32(uint8_t *to, uint32_t value);
uint8_t *nmq_wire_put_raw(uint8_t *to, nmq_bytes raw);
uint8_t *nmq_wire_put_text(uint8_t *to, nmq_bytes text);
