// ws_client.h - the client's side of an upgrade to WebSocket, without I/O.
//
//     ask ──> "GET /mqtt HTTP/1.1 ..."      "HTTP/1.1 101 ..." ──answer──> frames
//
// Threads  pure.
// Source   RFC 6455, 4.1; MQTT 5.0, 6.
#pragma once
#include "base/bytes.h"

enum {
    NMQ_WS_NONCE_BYTES = 16,
    NMQ_WS_ACCEPT_BYTES = 29,   // with the NUL
    NMQ_WS_ANSWER_BYTES = 8192, // the longest answer
};

// What to ask for, and where. Texts are NUL-terminated.
typedef struct {
    const char *host; // with port 0 the path of a Unix socket
    uint16_t port;
    bool tls;
    const char *path; // NULL: no WebSocket, and nothing is asked for
} nmq_ws_request;

// Appends the request, and writes what the answer must show. Returns NMQ_OK, NMQ_ENOMEM, or
// NMQ_EINVAL for a host or path that no request can hold.
int nmq_ws_ask(nmq_buf *out, const nmq_ws_request *request,
               const uint8_t nonce[NMQ_WS_NONCE_BYTES], char accept[NMQ_WS_ACCEPT_BYTES]);

// Why an answer is none that frames may follow.
typedef struct {
    unsigned http_status; // 0: it is no HTTP
    char text[96];
} nmq_ws_refusal;

// Reads the answer at the front of `in`. Returns the bytes it took; 0 if more are needed;
// NMQ_EREFUSED for another status than 101; or NMQ_EMALFORMED for what is no answer to that
// request, or chooses another subprotocol than "mqtt" [MQTT-6.0.0-3]. With the last two
// *why is set.
int nmq_ws_answer(nmq_bytes in, const char *accept, nmq_ws_refusal *why);
