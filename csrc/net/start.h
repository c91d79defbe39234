// start.h - from a stream to a connection, whoever began it.
//
//     acceptor ──> accept.h ──┐
//                             ├──> new ──> add ──> role->open ──> it is read
//     dial ──────> dialled ───┘
//
// Owner    the connection owns its stream, and frees it.
// Threads  whoever brings the stream; the connection may be another thread's, or be gone,
//          once it has begun.
#pragma once
#include "net/conns.h"

// Makes a connection of the stream, which it takes in any case. NULL: memory is out. Then
// nmq_conns_add, and begin or refused.
nmq_conn *nmq_start_new(nmq_conns *conns, nmq_stream *stream);
void nmq_start_begin(nmq_conn *conn, void *arg); // arg: of role->open
void nmq_start_refused(nmq_conn *conn);

// All of it for a stream that was dialled (io/dialer.h). Takes the stream in any case.
// Returns NMQ_OK, and the role has been opened with `arg`; or NMQ_ENOMEM or NMQ_ECLOSED.
int nmq_start_dialled(nmq_conns *conns, nmq_stream *stream, void *arg);
