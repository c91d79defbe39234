// stream.h - what the broker needs of a transport: a byte stream, and who accepts it.
//
//     listen ──> acceptor ──admit? accept──> stream ──recv, send, close──> freed
//
// A transport embeds nmq_stream and nmq_acceptor first in its own structs and fills `ops`.
//
// Owner    the connection owns its stream from accept on, and frees it once, after both
//          directions have come to rest; it stays alive until a call on it returns.
// Threads  one recv and one send may be under way at once; close may come at any time.
//          Callbacks come on the transport's threads, never from within the call that
//          started them.
// Source   MQTT 5.0, 4.2: ordered and lossless both ways [MQTT-4.2.0-1].
#pragma once
#include "base/bytes.h"
#include "base/peer.h"
#include "base/worker.h"
#include "io/certificate.h"
#include "io/endpoint.h"

typedef struct nmq_stream nmq_stream;

// status is NMQ_OK with count > 0, or a negative nmq_status and the operation is over.
typedef void nmq_stream_sent(void *arg, int status, size_t count);

// The same for bytes that have come. worker: the calling thread's; NULL: it is not ours.
typedef void nmq_stream_received(void *arg, nmq_worker *worker, int status, size_t count);

enum { NMQ_STREAM_REFUSAL_BYTES = 80 };

typedef struct {
    // Reads once, up to cap bytes; on_recv tells. Returns NMQ_OK, or NMQ_ENOMEM and on_recv
    // does not come.
    int (*recv)(nmq_stream *stream, uint8_t *to, size_t cap);

    // Sends from up to 8 parts. Returns the bytes taken at once, 1 or more; or 0 when
    // on_sent will tell, and the parts must stay until then; or a negative nmq_status.
    int64_t (*send)(nmq_stream *stream, const nmq_bytes *parts, unsigned count);

    // Ends sending alone, once all that was sent has gone: the peer reads the end of the
    // stream, and recv goes on. Does nothing where that is not possible (TLS).
    void (*finish)(nmq_stream *stream);

    // Ends both directions; a recv or send under way fails. May be called again.
    void (*close)(nmq_stream *stream);

    void (*free)(nmq_stream *stream);

    // Once bytes have come: writes the name of that kind that the peer has proved,
    // NUL-terminated; its bytes are as they came. Returns NMQ_OK, NMQ_ENOENT where it has
    // none, or NMQ_EACCESS for a certificate that no known CA signed (whatever the kind),
    // and for a name that cannot be had whole.
    int (*peer_name)(nmq_stream *stream, enum nmq_peer_name kind,
                     char to[NMQ_PEER_NAME_BYTES]);

    // Once recv has failed: writes why the transport refused its peer. Returns NMQ_OK, or
    // NMQ_ENOENT where it did not.
    int (*refusal)(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES]);
} nmq_stream_ops;

struct nmq_stream {
    const nmq_stream_ops *ops;
    nmq_stream_received *on_recv;
    nmq_stream_sent *on_sent;
    void *arg;
    // Who is at the other end; the connection may correct it (PROXY protocol).
    nmq_peer peer;
};

// Who takes the streams of an acceptor. All are thread-safe.
typedef struct {
    // Whether a connection from there is taken at all; then either accept or leave follows.
    bool (*admit)(void *arg, nmq_peer *peer);
    void (*accept)(void *arg, nmq_stream *stream);  // takes the stream
    void (*leave)(void *arg, const nmq_peer *peer); // it could not be made
    void (*starved)(void *arg); // the process is out of descriptors or memory
    void *arg;
} nmq_accept;

typedef struct nmq_acceptor nmq_acceptor;

typedef struct {
    // From the next handshake on. Returns NMQ_OK, NMQ_EIO, or NMQ_EINVAL where there is no
    // TLS.
    int (*set_tls)(nmq_acceptor *acceptor, const nmq_tls *tls);

    // Begins to accept; until then connections wait in the backlog. Once.
    void (*start)(nmq_acceptor *acceptor);

    // Stops accepting; when it returns, nobody is called again. Frees the acceptor.
    void (*stop)(nmq_acceptor *acceptor);
} nmq_acceptor_ops;

struct nmq_acceptor {
    const nmq_acceptor_ops *ops;
};

// Listens there. Returns NMQ_OK, and takes the descriptor, or a negative nmq_status. *port
// is set to the port in use, 0 where there is none.
typedef int nmq_listen_fn(const nmq_endpoint *endpoint, const nmq_accept *to,
                          nmq_acceptor **out, uint32_t *port);
