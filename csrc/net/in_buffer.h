// in_buffer.h - how large the buffer is that a connection reads into.
//
//     256 bytes while idle ──a read fills it──> x 4 ... ──reads use little──> / 4
//
// A packet that has begun gets more room as it comes. A stranger, whose CONNECT was not
// accepted yet, gets none for what it only announces. While memory is short no buffer grows
// past a small one.
//
// Threads  the receive side.
#pragma once
#include "net/conn.h"

// Chooses the buffer for the next read; a large one stays while reads make use of it.
// Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ESHORT when the packet has to wait for memory.
int nmq_in_buffer_prepare(nmq_conn *conn);

// After a read: what the buffer holds now tells how large the next one shall be.
void nmq_in_buffer_adapt(nmq_conn *conn);

// Nothing more is read: frees the buffer.
void nmq_in_buffer_free(nmq_conn *conn);
