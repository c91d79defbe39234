// log.h - the lines that tell who came in, and who was refused and what to do about it.
//
//     ...: client 'a' connected: user 'u', MQTT 5.0, keep alive 60 s, new session, ...
//     ...: refused client 'a', user 'u': bad user name or password; look at ...
//
// Long names are cut, so that the reason has room.
//
// Threads  the connection's receive side.
// Cost     one atomic load where the level is above info.
#pragma once
#include "route/attach.h"
#include "route/sessions.h"
#include "serve/server_conn.h"

// The client was let in. session_present: its session goes on.
void nmq_log_connected(const nmq_server_conn *conn, const nmq_attach *attach,
                       bool session_present);

// Its CONNECT, or what came in place of one, is refused: says who it was, why, and what to
// change to let such a client in.
void nmq_log_refused(const nmq_server_conn *conn, nmq_fault fault);
