// linger.h - the end of a connection whose peer was told why.
//
//     the reason is sent, sending is shut down ──what comes is dropped──> closed
//
// It is closed when the peer closes, has sent too much, or time is over.
//
// A socket that is closed while its peer still writes resets the connection: the peer's
// write fails before it has read the reason. So the end waits for the peer,
// NMQ_LINGER_MS at most. The connection counts against no bound any more, but holds a
// descriptor and a buffer: only a few may linger at a time.
//
// A broker that stops does not wait that long. A connection that lingers is not told so; it
// looks every fifth of a second.
//
// Owner    a connection that lingers keeps the receive side's reference until it is closed.
// Threads  the receive side, where nothing else is said.
#pragma once
#include "net/conn.h"

enum { NMQ_LINGER_MS = 1000 }; // for what is left to send, before the stream is cut

// The reason is in the outbox: the connection is to linger once it ends, unless memory is
// short. Any thread; call with link.lock.
void nmq_linger_allow(nmq_conn *conn);

// The connection ends: from now on its timer is for nmq_linger_look. A connection that is
// closed already needs no timer. Any thread; call without link.lock.
void nmq_linger_arm(nmq_conn *conn);

// The timer of a connection that ends is due: closes it when its time is over, or sets the
// timer again. wait_ms: when it is to be looked at for what it is parked for; INT64_MAX:
// never. Clock.
void nmq_linger_look(nmq_conn *conn, int64_t now_ms, int64_t wait_ms);

// Ends the connection now: closes the stream, and cancels the timer. Any thread; call
// without link.lock.
void nmq_linger_close(nmq_conn *conn);

// All is sent: shuts down the sending of a connection that lingers. Send side.
void nmq_linger_finish(nmq_conn *conn);

// The receive side is over. Returns whether the connection lingers; if so, the caller calls
// nmq_linger_drop_more, which reads what comes.
bool nmq_linger_begin(nmq_conn *conn);
void nmq_linger_drop_more(nmq_conn *conn);

// Something has come while it lingers: reads on, or closes it.
void nmq_linger_dropped(nmq_conn *conn, int status, size_t count);
