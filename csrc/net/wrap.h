// wrap.h - the way out, between the outbox and the stream: what goes before a load of
// packets on a WebSocket.
//
//     [ answer to the upgrade, or to a ping | packets ... | close frame ]
//
// On other connections each of these does nothing.
//
// Threads  the send side, where nothing else is said.
#pragma once
#include "net/conn.h"

// Whether the send side has something besides the outbox. Call with link.lock.
bool nmq_wrap_has_reply(const nmq_conn *conn);

// What goes before the load and is not sent yet.
nmq_bytes nmq_wrap_prefix(const nmq_conn *conn);
size_t nmq_wrap_advance(nmq_conn *conn, size_t count); // how much of count was its

// Makes the prefix of the next load, with a close frame when nothing is to follow (`last`).
// Call with link.lock. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_wrap_next(nmq_conn *conn, bool last);
