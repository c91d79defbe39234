// stream_hello.h - a TLS stream that was dialled: its handshake, and the stream after it.
//
//     begin ──reads one byte: nng shakes hands──> shaken ──> send, recv: as any stream
//
// nng begins the handshake with the first read or send, tells nobody when it is done, and
// to cancel a read ends the connection. So one byte is read from the beginning on. If it
// fails, the handshake has failed; that all went well the guard knows (tls_guard.h). The
// first recv takes that byte over.
//
// Owner    the stream owns the one below.
// Threads  as stream.h says.
#pragma once
#include "io/stream.h"

// A stream over nng's `below`, whose handshake has not begun; takes it, unless it returns
// NULL: memory is out. `raw` is nng's stream, as the guard knows it.
nmq_stream *nmq_stream_hello_new(nmq_stream *below, const void *raw);

// One reference more for whoever closes it while another may free it; gives it back.
void nmq_stream_hello_ref(nmq_stream *stream);
void nmq_stream_hello_unref(nmq_stream *stream);

// Called once, by one of the threads that read sockets: NMQ_OK, or NMQ_ECLOSED when the
// handshake has failed; then the stream's refusal says why, if the peer did not just go.
typedef void nmq_stream_shaken(void *arg, int status);

// Begins the handshake. Where there is no guard it counts as done when it has begun.
// Returns NMQ_OK, or NMQ_ENOMEM and shaken is not called.
int nmq_stream_hello_begin(nmq_stream *stream, nmq_stream_shaken *shaken, void *arg);
