// varint.h - the Variable Byte Integer (MQTT 5.0, 1.5.5; 3.1.1, 2.2.3).
#pragma once
#include "base/bytes.h"

enum { NMQ_VARINT_MAX = 268435455 };

// Reads one from the front of `in`. Returns the bytes it took (1 to 4), 0 if `in` ends
// before the last of them, or NMQ_EMALFORMED. *value is set only when bytes were taken.
int nmq_varint_read(nmq_bytes in, uint32_t *value);

// The bytes that `value` (at most NMQ_VARINT_MAX) takes: 1 to 4.
unsigned nmq_varint_size(uint32_t value);

// Writes nmq_varint_size(value) bytes and returns the place behind them.
uint8_t *nmq_varint_write(uint8_t *to, uint32_t value);
