#include "net/stream_nng.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/status.h"

typedef struct {
    nmq_stream base; // first: see stream.h
    nng_stream *stream;
    nng_aio *recv_aio;
    nng_aio *send_aio; // atomic; made at the first send that has to wait
    uint8_t *to;       // of the recv under way
    size_t cap;
    int fd;      // -1: nng does not tell
    bool hung;   // receive side: nng reads no more, we do what is left
    bool closed; // atomic
} nng_conn;

static nng_conn *
conn_of(nmq_stream *stream)
{
    return (nng_conn *) stream;
}

// nng fails a read as soon as the peer has hung up, and leaves what it sent before unread.
static ssize_t
read_rest(nng_conn *c)
{
    c->hung = true;
    if (c->fd < 0 || __atomic_load_n(&c->closed, __ATOMIC_SEQ_CST)) {
        return -1;
    }
    return recv(c->fd, c->to, c->cap, MSG_DONTWAIT);
}

static void
recv_done(void *arg)
{
    nng_conn *c = arg;
    int rv = nng.aio_result(c->recv_aio);

    if (rv == 0 && !c->hung) {
        c->base.on_recv(c->base.arg, NMQ_OK, nng.aio_count(c->recv_aio));
        return;
    }
    ssize_t rest = read_rest(c);
    c->base.on_recv(c->base.arg, rest > 0 ? NMQ_OK : NMQ_ECLOSED,
                    rest > 0 ? (size_t) rest : 0);
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

static void
stream_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    nng_conn *c = conn_of(stream);
    nng_iov iov = {to, cap};

    c->to = to;
    c->cap = cap;
    if (c->hung) {
        nng.sleep_aio(0, c->recv_aio); // for its callback
        end_if_closed(c, c->recv_aio);
        return;
    }
    (void) nng.aio_set_iov(c->recv_aio, 1, &iov); // one fits inline: it cannot fail
    nng.stream_recv(c->stream, c->recv_aio);
    end_if_closed(c, c->recv_aio);
}

// Returns the bytes that the socket takes at once, 0 when it takes none now.
static int64_t
send_now(const nng_conn *c, const nmq_bytes *parts, unsigned count)
{
    struct iovec iov[8];
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};

    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
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
    int64_t taken = c->fd >= 0 ? send_now(c, parts, count) : 0;
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
    nng.stream_send(c->stream, aio); // an error of the attempt comes again
    end_if_closed(c, aio);
    return 0;
}

static void
stream_close(nmq_stream *stream)
{
    nng_conn *c = conn_of(stream);

    __atomic_store_n(&c->closed, true, __ATOMIC_SEQ_CST);
    nng.stream_close(c->stream);
    nng.aio_cancel(c->recv_aio);
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
    nng.aio_reap(c->recv_aio);
    if (c->send_aio != NULL) {
        nng.aio_reap(c->send_aio);
    }
    nng.stream_free(c->stream);
    nmq_free(c);
}

static int
stream_common_name(nmq_stream *stream, char to[NMQ_COMMON_NAME_BYTES])
{
    nng_conn *c = conn_of(stream);
    char *name = NULL;
    bool verified = false;

    if (c->fd >= 0 || nng.stream_get_string(c->stream, "tls-peer-cn", &name) != 0 ||
        name == NULL) {
        return NMQ_ENOENT;
    }
    (void) nng.stream_get_bool(c->stream, "tls-verified", &verified);
    // A name that is cut would be another's.
    bool whole = snprintf(to, NMQ_COMMON_NAME_BYTES, "%s", name) < NMQ_COMMON_NAME_BYTES;
    nng.strfree(name);
    return verified && whole ? NMQ_OK : NMQ_EACCESS;
}

static const nmq_stream_ops stream_ops = {
    .recv = stream_recv,
    .send = stream_send,
    .close = stream_close,
    .free = stream_free,
    .common_name = stream_common_name,
};

nmq_stream *
nmq_stream_new(nng_stream *raw, int fd, nmq_peer peer)
{
    nng_conn *c = nmq_zalloc(sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    if (nng.aio_alloc(&c->recv_aio, recv_done, c) != 0) {
        nmq_free(c);
        return NULL;
    }
    c->base.ops = &stream_ops;
    c->base.peer = peer;
    c->stream = raw;
    c->fd = fd;
    return &c->base;
}
