// sha1.h - SHA-1 and Base64, as the WebSocket upgrade wants them (RFC 6455, 4.2.2). Not for
// secrets.
//
// Source   RFC 3174; RFC 4648, 4.
#pragma once
#include "base/bytes.h"

enum { NMQ_SHA1_BYTES = 20 };

void nmq_sha1(nmq_bytes in, uint8_t digest[20]);

// Writes the Base64 text of `in`, NUL-terminated: 4 characters for each 3 bytes begun.
void nmq_base64(nmq_bytes in, char *to);
