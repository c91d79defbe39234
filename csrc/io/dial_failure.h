// dial_failure.h - what was tried, and why it failed.
//
//     wss://broker.example:8084/mqtt: no answer in time, in the TLS handshake
//
// Threads  pure.
#pragma once
#include "io/ws_client.h"

enum { NMQ_DIAL_TEXT_BYTES = 512 };

typedef struct {
    int status;           // enum nmq_status: NMQ_ENOENT for an unknown name, NMQ_EREFUSED,
                          // NMQ_ETIMEOUT, NMQ_ECRYPTO, NMQ_EMALFORMED, NMQ_ECLOSED ...
    uint16_t http_status; // that answered the upgrade; 0: none did
    char text[NMQ_DIAL_TEXT_BYTES];
} nmq_dial_failure;

// Writes where it went, and then what was wrong, as printf does. `why` may be cut.
void nmq_dial_failure_set(nmq_dial_failure *failure, const nmq_ws_request *where,
                          int status, const char *why, ...)
    __attribute__((format(printf, 4, 5)));
