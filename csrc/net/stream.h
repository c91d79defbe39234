// stream.h - what the broker needs of a transport: a byte stream, and who accepts it.
//
// A transport embeds nmq_stream first in its own struct and fills `ops`.
//
// Owner    the connection owns its stream from accept on, and frees it once, after both
//          directions have come to rest; it stays alive until a call on it returns.
// Threads  one recv and one send may be under way at once; close may come at any time.
//          Callbacks come on the transport's threads, never from within the call that
//          started them.
// Source   MQTT 5.0, 4.2: ordered and lossless both ways [MQTT-4.2.0-1].
#pragma once
#include "base/bytes.h"

typedef struct nmq_stream nmq_stream;

// status is NMQ_OK with count > 0, or a negative nmq_status and the operation is over.
typedef void nmq_stream_done(void *arg, int status, size_t count);

typedef struct {
    // Reads once, up to cap bytes; on_recv tells.
    void (*recv)(nmq_stream *stream, uint8_t *to, size_t cap);

    // Sends from up to 8 parts. Returns the bytes taken at once, 1 or more; or 0 when
    // on_sent will tell, and the parts must stay until then; or a negative nmq_status.
    int64_t (*send)(nmq_stream *stream, const nmq_bytes *parts, unsigned count);

    // Ends both directions; a recv or send under way fails. May be called again.
    void (*close)(nmq_stream *stream);

    void (*free)(nmq_stream *stream);

    // Writes the peer's address and port as text, NUL-terminated, cut to cap.
    void (*peer)(nmq_stream *stream, char *to, size_t cap);
} nmq_stream_ops;

struct nmq_stream {
    const nmq_stream_ops *ops;
    nmq_stream_done *on_recv;
    nmq_stream_done *on_sent;
    void *arg;
};

// Called for each stream accepted; takes it. Thread-safe.
typedef void nmq_accept_fn(void *arg, nmq_stream *stream);

typedef struct nmq_acceptor nmq_acceptor;

typedef struct {
    // Starts to accept on the URL. Returns NMQ_OK or a negative nmq_status; *port is set to
    // the port in use, 0 where there is none.
    int (*listen)(const char *url, nmq_accept_fn *fn, void *arg, nmq_acceptor **out,
                  uint32_t *port);

    // Stops accepting; when it returns, fn is not called again. Frees the acceptor.
    void (*stop)(nmq_acceptor *acceptor);
} nmq_transport;
