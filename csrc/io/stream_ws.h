// stream_ws.h - WebSocket over a stream that was dialled: whoever uses it sees MQTT alone.
//
//     send ──> [ head, mask | bytes ] ──> below        below ──> frames ──> recv
//
// What a server sends and takes is net/'s business (net/wrap.h, net/intake.h): it frames
// packets that many receivers share. What a client sends is masked, so it is copied.
//
// Owner    the stream owns the one below. When it is freed, a pong may still be under way:
//          then the last of it goes a moment later.
// Threads  as stream.h says.
// Source   RFC 6455; MQTT 5.0, 6
#pragma once
#include "io/stream.h"
#include "io/ws_client.h"

// A stream over `below`, whose upgrade has not begun; takes it, unless it returns NULL:
// memory is out.
nmq_stream *nmq_stream_ws_new(nmq_stream *below);

// Called once, and perhaps from within nmq_stream_ws_upgrade: NMQ_OK; or what
// nmq_ws_answer returns, NMQ_ECLOSED, NMQ_EINVAL or NMQ_ENOMEM, with the status of HTTP, 0
// where there was none, and why, borrowed.
typedef void nmq_stream_upgraded(void *arg, int status, unsigned http_status,
                                 const char *why);

// Asks for the upgrade and reads the answer. Once, before recv and send.
void nmq_stream_ws_upgrade(nmq_stream *stream, const nmq_ws_request *request,
                           nmq_stream_upgraded *upgraded, void *arg);
