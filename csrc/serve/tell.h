// tell.h - what a connection tells whoever watches: who came, left, and was refused.
//
// Threads  the receive side.
// Cost     nobody watches: a test.
#pragma once
#include "route/attach.h"
#include "serve/server_conn.h"

// A client is let in, which is counted.
void nmq_tell_connected(const nmq_server_conn *conn, const nmq_attach *attach,
                        bool session_present);

// Its connection is over, and it had a client, which keeps how it ended.
void nmq_tell_disconnected(nmq_server_conn *conn);

// Somebody is refused, in the answer to a CONNECT or an AUTH, for who he is or is not. It
// is counted, too; nmq_reply_refuse logs it.
void nmq_tell_auth_failed(const nmq_server_conn *conn, nmq_fault fault);

// What is not allowed, which is counted: action is NMQ_WHY_PUBLISH, SUBSCRIBE or WILL.
void nmq_tell_denied(const nmq_server_conn *conn, enum nmq_why action, nmq_bytes topic);

// Why a connection ends whose client sent DISCONNECT; who ended it goes by this text.
extern const char nmq_tell_left[];
