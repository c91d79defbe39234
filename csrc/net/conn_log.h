// conn_log.h - the lines that a connection leaves in the log at level info.
//
//     127.0.0.1:5000: client 'a' connected: user 'u', MQTT 5.0, keep alive 60 s, new
//     session,
//         listener 'nmq-tcp://0.0.0.0:1883'
//     127.0.0.1:5000: client 'a' disconnected: keep alive timeout
//     127.0.0.1:5000: refused client 'a', user 'u': bad user name or password; ...
//
// Threads  the connection's receive side. Cost: a load where the level is above info.
#pragma once
#include "net/conn.h"

// It has its client. session_present: it took up a session.
void nmq_conn_log_connected(const nmq_conn *conn, const nmq_attach *attach,
                            bool session_present);

// Its CONNECT, or what came instead of one, is refused: who it was, why, and what to
// change.
void nmq_conn_log_refused(const nmq_conn *conn, nmq_fault fault);

// It is over: conn.end says why. Does nothing for one without a client.
void nmq_conn_log_ended(const nmq_conn *conn);
