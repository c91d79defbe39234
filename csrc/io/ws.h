// ws.h - WebSocket without I/O: the upgrade, and frames to bytes and back.
//
//     "GET /mqtt ..." ──upgrade──> "HTTP/1.1 101 ..."      then, in one buffer
//     [ bytes | frame | frame ]  ──unframe──>  [ bytes of both | rest of a frame ]
//
// Frames and packets of a client need not begin or end together [MQTT-6.0.0-2]. On the way
// out each packet is a frame: store/outbox.h.
//
// Owner    a zeroed nmq_ws is one that waits for its upgrade; nmq_ws_fini empties it.
// Threads  none of its own, but nmq_ws_is_open and nmq_ws_close_code, which are
//          thread-safe.
// Source   RFC 6455; MQTT 5.0, 6.
#pragma once
#include "base/bytes.h"

enum {
    NMQ_WS_UPGRADE_BYTES = 8192, // the longest request
    NMQ_WS_RAW_BYTES = 131,      // that may wait: a control frame, or the head of another
};

typedef struct {
    bool is_client;      // fixed: we dialled; the peer's frames have no mask, ours have
    bool upgraded;       // atomic
    uint16_t close_code; // atomic; what to close with, 0: not known yet
    bool fragmented;     // the message goes on in the next frame
    uint8_t mask[4];
    uint8_t mask_at; // next byte of it
    uint64_t left;   // payload of the frame that is still to come
    nmq_buf reply;   // for the peer, ready to send: the answer to the upgrade, pong, close
} nmq_ws;

void nmq_ws_fini(nmq_ws *ws);

// Answers the request at the front of `in`; the answer goes to `reply`. It chooses the
// first subprotocol of the client's offers that is "mqtt" or "mqttv3.1" [MQTT-6.0.0-4]; a
// client that offers only others is refused [MQTT-6.0.0-3]. `path` is the one to ask for,
// "*" any. Returns the bytes it took, 0 if more are needed, or NMQ_ENOMEM. When the answer
// is an error and the connection is to close, returns NMQ_ENOENT for another path, and
// otherwise NMQ_EMALFORMED.
int nmq_ws_upgrade(nmq_ws *ws, nmq_bytes in, nmq_bytes path, nmq_buf *reply);

// The path that the request at the front of `in` asks for; at NULL: it is no request.
nmq_bytes nmq_ws_path(nmq_bytes in);

// Takes the frames apart in place. Of the *len bytes at `at` the first *plain are payload
// already; both are brought up to date. A ping's answer goes to `reply`, in place of one
// that has not been sent; a client's has a mask of 0, which nmq_ws_mask replaces. Returns
// NMQ_OK, NMQ_ECLOSED after a close frame, NMQ_EMALFORMED for what the peer may not send,
// such as a text frame [MQTT-6.0.0-1], or NMQ_ENOMEM; from then on there is a close code.
int nmq_ws_unframe(nmq_ws *ws, uint8_t *at, size_t *plain, size_t *len, nmq_buf *reply);

// Masks a frame that is whole, and has a mask of 0 (RFC 6455, 5.3).
void nmq_ws_mask(uint8_t *frame, const uint8_t mask[4]);

// Appends a close frame. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_ws_put_close(nmq_buf *to, uint16_t code);

bool nmq_ws_is_open(const nmq_ws *ws);        // upgraded: a close frame can be sent
uint16_t nmq_ws_close_code(const nmq_ws *ws); // what to close with
bool nmq_ws_is_pong(const nmq_buf *reply);    // it begins with a pong: all of it may go
