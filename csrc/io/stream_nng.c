#include "io/stream_nng.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/poller.h"
#include "io/tls_peer.h"
#include "io/tls_psk.h"
#include "io/tls_refusal.h"

typedef struct {
    nmq_stream base;   // first: see stream.h
    nmq_source source; // of a socket
    nng_stream *stream;
    nng_aio *recv_aio; // NULL for a socket
    nng_aio *send_aio; // atomic; made at the first send that has to wait
    uint8_t *to;       // socket: of the recv under way
    size_t cap;
    bool closed; // atomic
} nng_conn;

static nng_conn *
conn_of(nmq_stream *stream)
{
    return (nng_conn *) stream;
}

// What a connection takes of nng and its Mbed TLS, as measured.
enum { TLS_BYTES = 56 * 1024 };

static bool
is_socket(const nng_conn *c)
{
    return c->recv_aio == NULL;
}

static void
recv_done(void *arg)
{
    nng_conn *c = arg;
    bool ok = nng.aio_result(c->recv_aio) == 0;

    c->base.on_recv(c->base.arg, NULL, ok ? NMQ_OK : NMQ_ECLOSED,
                    ok ? nng.aio_count(c->recv_aio) : 0);
}

static void
send_done(void *arg)
{
    nng_conn *c = arg;
    int rv = nng.aio_result(c->send_aio);

    c->base.on_sent(c->base.arg, nmq_nng_status(rv),
                    rv == 0 ? nng.aio_count(c->send_aio) : 0);
}

// nng 1.11 keeps an operation that is started on a closed stream waiting for ever. So close
// cancels what is under way, and whoever starts something looks afterwards whether close
// has been there: one of the two sees the other.
static void
end_if_closed(nng_conn *c, nng_aio *aio)
{
    if (__atomic_load_n(&c->closed, __ATOMIC_SEQ_CST)) {
        nng.aio_cancel(aio);
    }
}

static int
tls_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    nng_conn *c = conn_of(stream);
    nng_iov iov = {to, cap};

    (void) nng.aio_set_iov(c->recv_aio, 1, &iov); // one fits inline: it cannot fail
    nng.stream_recv(c->stream, c->recv_aio);
    end_if_closed(c, c->recv_aio);
    return NMQ_OK;
}

// The socket has something: reads it. A stream that is closed was shut down by nng, and
// reads as one whose peer has gone.
static void
socket_ready(nmq_source *source, nmq_worker *worker)
{
    nng_conn *c = NMQ_CONTAINER(source, nng_conn, source);
    ssize_t n = recv(source->fd, c->to, c->cap, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN && nmq_poller_wait(source) == NMQ_OK) {
        return;
    }
    c->base.on_recv(c->base.arg, worker, n > 0 ? NMQ_OK : NMQ_ECLOSED,
                    n > 0 ? (size_t) n : 0);
}

static int
socket_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    nng_conn *c = conn_of(stream);

    c->to = to;
    c->cap = cap;
    return nmq_poller_wait(&c->source);
}

// Returns the bytes that the socket takes at once, 0 when it takes none now.
static int64_t
send_now(const nng_conn *c, const nmq_bytes *parts, unsigned count)
{
    struct iovec iov[8];
    // msg_iovlen is a size_t with glibc and an int with musl.
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = (uint8_t) count};

    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    ssize_t n = sendmsg(c->source.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n > 0 ? n : 0;
}

// Most connections never send more than their socket takes, and need no aio for it.
static nng_aio *
send_aio(nng_conn *c)
{
    nng_aio *aio = __atomic_load_n(&c->send_aio, __ATOMIC_SEQ_CST);

    if (aio == NULL && nng.aio_alloc(&aio, send_done, c) == 0) {
        __atomic_store_n(&c->send_aio, aio, __ATOMIC_SEQ_CST);
    }
    return aio;
}

static int64_t
stream_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    nng_conn *c = conn_of(stream);
    int64_t taken = is_socket(c) ? send_now(c, parts, count) : 0;
    nng_iov iov[8];

    if (taken > 0) {
        return taken;
    }
    nng_aio *aio = send_aio(c);
    if (aio == NULL) {
        return NMQ_ENOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        iov[i] = (nng_iov){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    if (nng.aio_set_iov(aio, count, iov) != 0) {
        return NMQ_ENOMEM;
    }
    nng.stream_send(c->stream, aio); // if send_now failed, this fails too
    end_if_closed(c, aio);
    return 0;
}

static void
socket_finish(nmq_stream *stream)
{
    (void) shutdown(conn_of(stream)->source.fd, SHUT_WR);
}

// nng hands out no descriptor, and closes TLS both ways.
static void
tls_finish(nmq_stream *stream)
{
    (void) stream;
}

static void
stream_close(nmq_stream *stream)
{
    nng_conn *c = conn_of(stream);

    __atomic_store_n(&c->closed, true, __ATOMIC_SEQ_CST);
    nng.stream_close(c->stream); // shuts the socket down: the poller hears of it
    if (!is_socket(c)) {
        nng.aio_cancel(c->recv_aio);
    }
    nng_aio *aio = __atomic_load_n(&c->send_aio, __ATOMIC_SEQ_CST);
    if (aio != NULL) {
        nng.aio_cancel(aio);
    }
}

static void
stream_free(nmq_stream *stream)
{
    nng_conn *c = conn_of(stream);

    // The last reference may go in an aio's own callback: reap waits for it elsewhere.
    if (!is_socket(c)) {
        nng.aio_reap(c->recv_aio);
        nmq_mem_foreign(-TLS_BYTES);
    }
    if (c->send_aio != NULL) {
        nng.aio_reap(c->send_aio);
    }
    nng.stream_free(c->stream);
    nmq_free(c);
}

static int
stream_peer_name(nmq_stream *stream, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    nng_conn *c = conn_of(stream);
    nmq_bytes der;
    bool verified = false;

    if (is_socket(c)) {
        return NMQ_ENOENT;
    }
    if (kind == NMQ_PEER_PSK_IDENTITY) { // without one it could not have come
        int rv = nmq_tls_psk_identity(c->stream, to, NMQ_PEER_NAME_BYTES);
        return rv == NMQ_OK ? rv : NMQ_EACCESS;
    }
    if (!nmq_tls_peer_certificate(c->stream, &der)) {
        return NMQ_ENOENT;
    }
    (void) nng.stream_get_bool(c->stream, "tls-verified", &verified);
    if (!verified) {
        return NMQ_EACCESS;
    }
    return kind == NMQ_PEER_NO_NAME ? NMQ_ENOENT : nmq_certificate_name(der, kind, to);
}

static int
stream_refusal(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES])
{
    nng_conn *c = conn_of(stream);

    return is_socket(c) ? NMQ_ENOENT
                        : nmq_tls_refusal_text(c->stream, to, NMQ_STREAM_REFUSAL_BYTES);
}

static const nmq_stream_ops socket_ops = {
    .recv = socket_recv,
    .send = stream_send,
    .finish = socket_finish,
    .close = stream_close,
    .free = stream_free,
    .peer_name = stream_peer_name,
    .refusal = stream_refusal,
};

static const nmq_stream_ops tls_ops = {
    .recv = tls_recv,
    .send = stream_send,
    .finish = tls_finish,
    .close = stream_close,
    .free = stream_free,
    .peer_name = stream_peer_name,
    .refusal = stream_refusal,
};

nmq_stream *
nmq_stream_new(nng_stream *raw, int fd, nmq_peer peer)
{
    nng_conn *c = nmq_zalloc(sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    if (fd < 0 && nng.aio_alloc(&c->recv_aio, recv_done, c) != 0) {
        nmq_free(c);
        return NULL;
    }
    c->base.ops = fd < 0 ? &tls_ops : &socket_ops;
    c->base.peer = peer;
    c->source = (nmq_source){.ready = socket_ready, .fd = fd};
    c->stream = raw;
    if (fd < 0) {
        nmq_mem_foreign(TLS_BYTES);
    }
    return &c->base;
}
