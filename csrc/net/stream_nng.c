#include "net/stream_nng.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/status.h"
#include "nmq.h"

// nng's own types and numbers (nng.h of 1.11), as far as they are used here.
typedef struct nng_aio nng_aio;
typedef struct nng_stream nng_stream;
typedef struct nng_stream_listener nng_stream_listener;

typedef struct {
    void *iov_buf;
    size_t iov_len;
} nng_iov;

typedef union {
    uint16_t s_family;
    struct {
        uint16_t sa_family;
        uint16_t sa_port; // network order
        uint32_t sa_addr; // network order
    } s_in;
    struct {
        uint16_t sa_family;
        uint16_t sa_port;
        uint8_t sa_addr[16];
        uint32_t sa_scope;
    } s_in6;
    uint8_t room[256]; // at least as large as nng's union
} nng_sockaddr;

enum { NNG_ENOMEM = 2, NNG_EADDRINUSE = 10, NNG_EADDRINVAL = 15, NNG_EPERM = 16 };
enum { NNG_AF_INET = 3, NNG_AF_INET6 = 4 };
enum {
    NNG_INIT_NUM_TASK_THREADS = 1,
    NNG_INIT_NUM_EXPIRE_THREADS = 2,
    NNG_INIT_NUM_POLLER_THREADS = 3,
    NNG_INIT_NUM_RESOLVER_THREADS = 4,
    NNG_INIT_MAX_TASK_THREADS = 5,
};

// The table of functions: one line each, in the order of nmq_nng_name.
#define NNG_FUNCTIONS(X)                                                                   \
    X(void, init_set_parameter, (int, uint64_t) )                                          \
    X(int, aio_alloc, (nng_aio **, void (*)(void *), void *) )                             \
    X(void, aio_free, (nng_aio *) )                                                        \
    X(void, aio_reap, (nng_aio *) )                                                        \
    X(void, aio_stop, (nng_aio *) )                                                        \
    X(void, aio_cancel, (nng_aio *) )                                                      \
    X(void, aio_wait, (nng_aio *) )                                                        \
    X(bool, aio_busy, (nng_aio *) )                                                        \
    X(int, aio_result, (nng_aio *) )                                                       \
    X(size_t, aio_count, (nng_aio *) )                                                     \
    X(int, aio_set_iov, (nng_aio *, unsigned, const nng_iov *) )                           \
    X(void *, aio_get_output, (nng_aio *, unsigned) )                                      \
    X(void, sleep_aio, (int32_t, nng_aio *) )                                              \
    X(void, stream_recv, (nng_stream *, nng_aio *) )                                       \
    X(void, stream_send, (nng_stream *, nng_aio *) )                                       \
    X(void, stream_close, (nng_stream *) )                                                 \
    X(void, stream_free, (nng_stream *) )                                                  \
    X(int, stream_get_addr, (nng_stream *, const char *, nng_sockaddr *) )                 \
    X(int, stream_listener_alloc, (nng_stream_listener **, const char *) )                 \
    X(int, stream_listener_listen, (nng_stream_listener *) )                               \
    X(void, stream_listener_accept, (nng_stream_listener *, nng_aio *) )                   \
    X(void, stream_listener_close, (nng_stream_listener *) )                               \
    X(void, stream_listener_free, (nng_stream_listener *) )                                \
    X(int, stream_listener_get_int, (nng_stream_listener *, const char *, int *) )         \
    X(int, stream_listener_set_bool, (nng_stream_listener *, const char *, bool) )         \
    X(int, stream_listener_set_string, (nng_stream_listener *, const char *, const char *) )

#define DECLARE(result, name, args) result(*name) args;
#define NAME(result, name, args)    "nng_" #name,

static struct {
    NNG_FUNCTIONS(DECLARE)
} nng;

static const char *const names[] = {NNG_FUNCTIONS(NAME)};

size_t
nmq_nng_count(void)
{
    return sizeof names / sizeof *names;
}

const char *
nmq_nng_name(size_t index)
{
    return index < nmq_nng_count() ? names[index] : NULL;
}

void
nmq_nng_bind(size_t index, void *function)
{
    // All members are function pointers; POSIX lets a void pointer carry one.
    if (index < nmq_nng_count()) {
        memcpy((char *) &nng + index * sizeof(void *), &function, sizeof function);
    }
}

void
nmq_nng_threads(uint32_t task_threads)
{
    nng.init_set_parameter(NNG_INIT_NUM_TASK_THREADS, task_threads);
    nng.init_set_parameter(NNG_INIT_MAX_TASK_THREADS, task_threads);
    nng.init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
}

static int
status_of(int rv)
{
    switch (rv) {
    case 0: return NMQ_OK;
    case NNG_ENOMEM: return NMQ_ENOMEM;
    case NNG_EADDRINUSE: return NMQ_EADDRINUSE;
    case NNG_EADDRINVAL: return NMQ_EADDR;
    case NNG_EPERM: return NMQ_EACCESS;
    default: return NMQ_EIO;
    }
}

// --- streams

typedef struct {
    nmq_stream base; // first: see stream.h
    nng_stream *stream;
    nng_aio *recv_aio;
    nng_aio *send_aio;
    bool tries;  // an attempt to send can be called off (plain TCP and IPC)
    bool closed; // atomic
} nng_conn;

static nng_conn *
conn_of(nmq_stream *stream)
{
    return (nng_conn *) stream;
}

static void
recv_done(void *arg)
{
    nng_conn *c = arg;
    int rv = nng.aio_result(c->recv_aio);

    c->base.on_recv(c->base.arg, status_of(rv), rv == 0 ? nng.aio_count(c->recv_aio) : 0);
}

static void
send_done(void *arg)
{
    nng_conn *c = arg;
    int rv = nng.aio_result(c->send_aio);

    c->base.on_sent(c->base.arg, status_of(rv), rv == 0 ? nng.aio_count(c->send_aio) : 0);
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

    (void) nng.aio_set_iov(c->recv_aio, 1, &iov); // one fits inline: it cannot fail
    nng.stream_recv(c->stream, c->recv_aio);
    end_if_closed(c, c->recv_aio);
}

// An aio without a callback finishes in the call that starts it when the socket takes the
// bytes at once: no task, no other thread. A few serve all connections: each thread takes
// the one of its place, or makes one, and puts it back.
enum { TRIALS = 64 };
static nng_aio *trials[TRIALS]; // atomic

static nng_aio **
trial_place(void)
{
    static unsigned next;
    static _Thread_local unsigned mine; // 0: none yet

    if (mine == 0) {
        mine = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
    }
    return &trials[mine % TRIALS];
}

static nng_aio *
take_trial(nng_aio **place)
{
    nng_aio *aio = __atomic_exchange_n(place, NULL, __ATOMIC_ACQUIRE);

    return aio != NULL || nng.aio_alloc(&aio, NULL, NULL) == 0 ? aio : NULL;
}

static void
give_trial(nng_aio **place, nng_aio *aio)
{
    nng_aio *other = __atomic_exchange_n(place, aio, __ATOMIC_RELEASE);

    if (other != NULL) { // two threads share the place
        nng.aio_free(other);
    }
}

// Returns the bytes taken, 0 when the socket takes none now.
static int64_t
try_send(nng_conn *c, const nng_iov *iov, unsigned count)
{
    nng_aio **place = trial_place();
    nng_aio *aio = take_trial(place);
    int64_t taken = 0;

    if (aio == NULL) {
        return 0;
    }
    if (nng.aio_set_iov(aio, count, iov) == 0) {
        nng.stream_send(c->stream, aio);
        if (nng.aio_busy(aio)) { // the socket is full: take the attempt back
            nng.aio_cancel(aio);
            nng.aio_wait(aio);
        }
        // Cancelled means that nothing was taken; a send is never undone in part.
        taken = nng.aio_result(aio) == 0 ? (int64_t) nng.aio_count(aio) : 0;
    }
    give_trial(place, aio);
    return taken;
}

static int64_t
stream_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    nng_conn *c = conn_of(stream);
    nng_iov iov[8];

    for (unsigned i = 0; i < count; i++) {
        iov[i] = (nng_iov){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    int64_t taken = c->tries ? try_send(c, iov, count) : 0;
    if (taken > 0) {
        return taken;
    }
    if (nng.aio_set_iov(c->send_aio, count, iov) != 0) {
        return NMQ_ENOMEM;
    }
    nng.stream_send(c->stream, c->send_aio);
    end_if_closed(c, c->send_aio);
    // nng closes by itself when the peer is gone, perhaps between the attempt and here.
    if (c->tries &&
        nng.stream_get_addr(c->stream, "remote-address", &(nng_sockaddr){0}) != 0) {
        nng.aio_cancel(c->send_aio);
    }
    return 0;
}

static void
stream_close(nmq_stream *stream)
{
    nng_conn *c = conn_of(stream);

    __atomic_store_n(&c->closed, true, __ATOMIC_SEQ_CST);
    nng.stream_close(c->stream);
    nng.aio_cancel(c->recv_aio);
    nng.aio_cancel(c->send_aio);
}

static void
stream_free(nmq_stream *stream)
{
    nng_conn *c = conn_of(stream);

    // The last reference may go in an aio's own callback: reap waits for it elsewhere.
    nng.aio_reap(c->recv_aio);
    nng.aio_reap(c->send_aio);
    nng.stream_free(c->stream);
    nmq_free(c);
}

static void
stream_peer(nmq_stream *stream, char *to, size_t cap)
{
    nng_sockaddr sa;
    char host[INET6_ADDRSTRLEN] = "";

    memset(&sa, 0, sizeof sa);
    (void) nng.stream_get_addr(conn_of(stream)->stream, "remote-address", &sa);
    if (sa.s_family == NNG_AF_INET) {
        (void) inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof host);
        (void) snprintf(to, cap, "%s:%u", host, ntohs(sa.s_in.sa_port));
    } else if (sa.s_family == NNG_AF_INET6) {
        (void) inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof host);
        (void) snprintf(to, cap, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
    } else {
        (void) snprintf(to, cap, "local");
    }
}

static const nmq_stream_ops stream_ops = {
    .recv = stream_recv,
    .send = stream_send,
    .close = stream_close,
    .free = stream_free,
    .peer = stream_peer,
};

static nmq_stream *
conn_new(nng_stream *stream, bool tries)
{
    nng_conn *c = nmq_zalloc(sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->base.ops = &stream_ops;
    c->stream = stream;
    c->tries = tries;
    if (nng.aio_alloc(&c->recv_aio, recv_done, c) != 0) {
        nmq_free(c);
        return NULL;
    }
    if (nng.aio_alloc(&c->send_aio, send_done, c) != 0) {
        nng.aio_free(c->recv_aio);
        nmq_free(c);
        return NULL;
    }
    return &c->base;
}

// --- listeners

enum { ACCEPTS = 32, BACKLOG = 4096, ACCEPT_PAUSE_MS = 20 };

typedef struct {
    nmq_acceptor *acceptor;
    nng_aio *aio;
    bool rests; // after an error, before the next attempt
} accept_slot;

struct nmq_acceptor {
    nng_stream_listener *listener;
    nmq_accept_fn *fn;
    void *arg;
    bool tries;
    bool stopping; // atomic
    accept_slot slots[ACCEPTS];
};

// Our schemes and nng's, and whether a send may be tried (see try_send).
static const struct {
    const char *ours;
    const char *theirs;
    bool tries;
} schemes[] = {
    {"nmq-tcp://", "tcp://", true},
    {"nmq-ipc://", "ipc://", true},
    {"nmq-ws://", "ws://", false},
};

static int
translate(const char *url, char *to, size_t cap, bool *tries)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i].ours);
        if (strncmp(url, schemes[i].ours, len) == 0) {
            int n = snprintf(to, cap, "%s%s", schemes[i].theirs, url + len);
            *tries = schemes[i].tries;
            return n > 0 && (size_t) n < cap ? NMQ_OK : NMQ_EADDR;
        }
    }
    return NMQ_EADDR;
}

static void
accepted(void *arg)
{
    accept_slot *slot = arg;
    nmq_acceptor *a = slot->acceptor;
    int rv = nng.aio_result(slot->aio);

    if (__atomic_load_n(&a->stopping, __ATOMIC_ACQUIRE)) {
        if (rv == 0 && !slot->rests) {
            nng.stream_free(nng.aio_get_output(slot->aio, 0));
        }
        return;
    }
    if (slot->rests) {
        slot->rests = false;
    } else if (rv == 0) {
        nng_stream *raw = nng.aio_get_output(slot->aio, 0);
        nmq_stream *stream = conn_new(raw, a->tries);
        if (stream != NULL) {
            a->fn(a->arg, stream);
        } else {
            nng.stream_free(raw);
        }
    } else {
        // Out of descriptors or memory: a short rest, so that the error is no busy loop.
        slot->rests = true;
        nng.sleep_aio(ACCEPT_PAUSE_MS, slot->aio);
        return;
    }
    nng.stream_listener_accept(a->listener, slot->aio);
}

// nng listens with a backlog of 128, too short for a storm of connections. Its descriptor
// is not handed out, so it is found by its address; a second listen() only changes the
// backlog.
static void
raise_backlog(int port)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        int listening = 0;
        socklen_t len = sizeof listening;
        struct sockaddr_storage at;
        socklen_t at_len = sizeof at;
        if (fd <= 0 || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 ||
            !listening || getsockname(fd, (struct sockaddr *) &at, &at_len) != 0) {
            continue;
        }
        in_port_t bound = at.ss_family == AF_INET ? ((struct sockaddr_in *) &at)->sin_port
                          : at.ss_family == AF_INET6
                              ? ((struct sockaddr_in6 *) &at)->sin6_port
                              : 0;
        if (port > 0 && ntohs(bound) == port) {
            (void) listen(fd, BACKLOG);
        }
    }
    if (dir != NULL) {
        (void) closedir(dir);
    }
}

static void
acceptor_free(nmq_acceptor *a)
{
    for (int i = 0; i < ACCEPTS; i++) {
        if (a->slots[i].aio != NULL) {
            nng.aio_stop(a->slots[i].aio);
            nng.aio_free(a->slots[i].aio);
        }
    }
    if (a->listener != NULL) {
        nng.stream_listener_free(a->listener);
    }
    nmq_free(a);
}

static int
open_listener(nmq_acceptor *a, const char *url)
{
    char nng_url[512];
    int rv = translate(url, nng_url, sizeof nng_url, &a->tries);

    if (rv != NMQ_OK) {
        return rv;
    }
    if ((rv = nng.stream_listener_alloc(&a->listener, nng_url)) != 0) {
        return status_of(rv);
    }
    // A batch is flushed whole: Nagle's algorithm would hold the next one back until the
    // peer's delayed acknowledgement, some 40 ms. IPC has no such option.
    (void) nng.stream_listener_set_bool(a->listener, "tcp-nodelay", true);
    if (strncmp(nng_url, "ws", 2) == 0) {
        // [MQTT-6.0.0-4]; nng closes on a text frame [MQTT-6.0.0-1] and gives the bytes of
        // frames as one stream [MQTT-6.0.0-2].
        (void) nng.stream_listener_set_string(a->listener, "ws:protocol", "mqtt");
    }
    return status_of(nng.stream_listener_listen(a->listener));
}

static int
nng_listen(const char *url, nmq_accept_fn *fn, void *arg, nmq_acceptor **out,
           uint32_t *port)
{
    nmq_acceptor *a = nmq_zalloc(sizeof *a);
    int bound = 0;

    if (a == NULL) {
        return NMQ_ENOMEM;
    }
    a->fn = fn;
    a->arg = arg;
    int rv = open_listener(a, url);
    for (int i = 0; rv == NMQ_OK && i < ACCEPTS; i++) {
        a->slots[i].acceptor = a;
        rv = status_of(nng.aio_alloc(&a->slots[i].aio, accepted, &a->slots[i]));
    }
    if (rv != NMQ_OK) {
        acceptor_free(a);
        return rv;
    }
    (void) nng.stream_listener_get_int(a->listener, "tcp-bound-port", &bound);
    raise_backlog(bound);
    *port = (uint32_t) bound;
    *out = a;
    for (int i = 0; i < ACCEPTS; i++) {
        nng.stream_listener_accept(a->listener, a->slots[i].aio);
    }
    return NMQ_OK;
}

static void
nng_stop(nmq_acceptor *acceptor)
{
    __atomic_store_n(&acceptor->stopping, true, __ATOMIC_RELEASE);
    nng.stream_listener_close(acceptor->listener);
    acceptor_free(acceptor);
}

const nmq_transport *
nmq_nng_transport(void)
{
    static const nmq_transport transport = {.listen = nng_listen, .stop = nng_stop};

    return &transport;
}
