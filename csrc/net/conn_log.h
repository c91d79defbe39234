// conn_log.h - what a connection leaves of its end: lines in the log, and of a handshake
// that failed, a count and an event.
//
//     ...: client 'a' disconnected: keep alive timeout
//
// Threads  the connection's receive side.
// Cost     one atomic load where the level is above info.
#pragma once
#include "net/conn.h"

// After a recv that failed: if TLS refused the peer, counts it, and says why to the log, as
// often as nmq_gate_refusal_level lets it be a warning, and to whoever watches.
void nmq_conn_tell_tls_refused(const nmq_conn *conn);

// The connection has ended, for the reason in conn->end. Does nothing for one that was not
// let in. Call with link.lock.
void nmq_conn_log_ended(const nmq_conn *conn);
