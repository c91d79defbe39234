// conn_log.h - the lines that a connection leaves in the log, most at level info.
//
//     ...: client 'a' connected: user 'u', MQTT 5.0, keep alive 60 s, new session, ...
//     ...: client 'a' disconnected: keep alive timeout
//     ...: refused client 'a', user 'u': bad user name or password; look at ...
//
// Of long names they have the beginning: the reason is to fit in.
//
// Threads  the connection's receive side.
// Cost     one atomic load where the level is above info.
#pragma once
#include "net/conn.h"

// It was let in. session_present: its session goes on.
void nmq_conn_log_connected(const nmq_conn *conn, const nmq_attach *attach,
                            bool session_present);

// Its CONNECT, or what came in place of one, is refused: says who it was, why, and what to
// change to let such a client in.
void nmq_conn_log_refused(const nmq_conn *conn, nmq_fault fault);

// After a recv that failed: if TLS refused the peer, says why, as often as
// nmq_gate_refusal_level lets it be a warning.
void nmq_conn_log_tls_refused(const nmq_conn *conn);

// It has ended, for the reason in conn->end. Does nothing for one that was not let in. Call
// with link.lock.
void nmq_conn_log_ended(const nmq_conn *conn);
