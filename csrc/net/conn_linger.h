// conn_linger.h - the end of a connection whose peer was told why.
//
//     told, way out shut ──what comes is dropped──> peer closes, sent much, or time is over
//
// A socket that is closed while its peer still writes resets the connection: the peer's
// write fails before it has read the reason. So the end waits for the peer,
// NMQ_CONN_LINGER_MS at most. The connection counts nowhere any more, and holds a
// descriptor and a buffer: only a few may do so at a time.
//
// Owner    a connection that lingers keeps the receive side's reference until it is closed.
// Threads  the receive side, where nothing else is said.
#pragma once
#include "net/conn.h"

// The peer is told why it ends, with what is put into the outbox now: the connection is to
// linger, unless memory is short. Any thread; call with link.lock.
void nmq_conn_note_told(nmq_conn *conn);

// All is sent to a peer that is told why: its way in ends. Send side.
void nmq_conn_finish(nmq_conn *conn);

// The receive side is over: whether the connection lingers. If it does, nmq_conn_drop_more
// begins it.
bool nmq_conn_begin_linger(nmq_conn *conn);
void nmq_conn_drop_more(nmq_conn *conn);

// What on_recv comes to while it lingers.
void nmq_conn_drop(nmq_conn *conn, int status, size_t count);
