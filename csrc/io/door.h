// door.h - connected sockets as streams: nng's stream over a descriptor of ours.
//
//     a socket that was accepted, or has connected ──adopt──> nmq_stream
//
// Owner    a zeroed door is a closed one. The streams stay when it is closed.
// Threads  one at a time.
#pragma once
#include "io/nng.h"
#include "io/stream.h"

typedef struct {
    nng_stream_listener *listener; // takes descriptors, gives streams
    nng_aio *aio;
} nmq_door;

// Returns NMQ_OK, NMQ_ENOMEM or NMQ_EIO; on failure nmq_door_close still must be called.
int nmq_door_open(nmq_door *door);
void nmq_door_close(nmq_door *door);

// Makes a stream of the descriptor, which it takes in any case. NULL: memory is out, or
// nng does not take it. The poller runs.
nmq_stream *nmq_door_adopt(nmq_door *door, int fd, nmq_peer peer);
