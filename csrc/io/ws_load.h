// ws_load.h - frames of a WebSocket client on their way to the stream below.
//
//     bytes ──> [ head, mask | bytes masked ] [ pong ] ...
//
// Each frame has a mask that nobody can guess: what is sent could else be made to look like
// a request to a proxy on the way.
//
// Owner    a zeroed load is an empty one; its bytes are freed with nmq_buf_free.
// Threads  none of its own.
// Source   RFC 6455, 5.3 and 10.3
#pragma once
#include "base/bytes.h"

// Random bytes, of which the system is asked for many at once. A zeroed one has none yet.
typedef struct {
    uint8_t bytes[256];
    size_t left; // not used yet
} nmq_random;

// Writes `count` of them, 256 at most. Returns NMQ_OK, or NMQ_EIO where the system has
// none.
int nmq_random_take(nmq_random *random, uint8_t *to, size_t count);

typedef struct {
    nmq_buf bytes;
    size_t at;    // of them, sent
    size_t users; // bytes of MQTT that they carry
} nmq_ws_load;

// Appends one frame with the front of the parts, 16 KiB at most. Returns how many bytes of
// them, NMQ_ENOMEM or NMQ_EIO.
int64_t nmq_ws_load_put(nmq_ws_load *load, nmq_random *random, const nmq_bytes *parts,
                        unsigned count);

// Appends a control frame, whose mask is 0 so far. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO.
int nmq_ws_load_put_control(nmq_ws_load *load, nmq_random *random, uint8_t *frame,
                            size_t len);
