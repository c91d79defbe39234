#include "io/acceptor_tls.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptors.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/acceptor.h"
#include "io/poller.h"
#include "io/stream_nng.h"
#include "io/tls_config.h"

enum { ACCEPTS = 32 };

typedef struct tls_acceptor tls_acceptor;

typedef struct {
    tls_acceptor *acceptor;
    nng_aio *aio;
    bool rests; // after an error, before the next attempt
} accept_slot;

struct tls_acceptor {
    nmq_acceptor base; // first
    nmq_accept to;
    nng_stream_listener *listener;
    bool started;
    bool stopping; // atomic
    accept_slot slots[ACCEPTS];
};

static nmq_peer
peer_of(nng_stream *raw)
{
    nng_sockaddr sa;

    memset(&sa, 0, sizeof sa);
    (void) nng.stream_get_addr(raw, "remote-address", &sa);
    if (sa.s_family == NNG_AF_INET) {
        return nmq_peer_ip4((const uint8_t *) &sa.s_in.sa_addr, ntohs(sa.s_in.sa_port));
    }
    if (sa.s_family == NNG_AF_INET6) {
        return nmq_peer_ip6(sa.s_in6.sa_addr, ntohs(sa.s_in6.sa_port));
    }
    return (nmq_peer){0};
}

static void
take(tls_acceptor *a, nng_stream *raw)
{
    nmq_peer peer = peer_of(raw);

    if (!a->to.admit(a->to.arg, &peer)) {
        nng.stream_free(raw);
        return;
    }
    nmq_stream *stream = nmq_stream_new(raw, -1, peer);
    if (stream != NULL) {
        a->to.accept(a->to.arg, stream);
        return;
    }
    nng.stream_free(raw);
    a->to.leave(a->to.arg, &peer);
}

static void
accepted(void *arg)
{
    accept_slot *slot = arg;
    tls_acceptor *a = slot->acceptor;
    int rv = nng.aio_result(slot->aio);

    if (__atomic_load_n(&a->stopping, __ATOMIC_ACQUIRE)) {
        if (rv == 0 && !slot->rests) {
            nng.stream_free(nng.aio_get_output(slot->aio, 0));
        }
        return;
    }
    if (slot->rests) {
        slot->rests = false;
    } else if (rv == 0 && nmq_descriptors_left(NMQ_ACCEPT_KEEP)) {
        take(a, nng.aio_get_output(slot->aio, 0));
    } else if (rv != NNG_ECANCELED) { // out of descriptors or memory: no busy loop
        if (rv == 0) {                // it got one of the descriptors that are kept back
            nng.stream_free(nng.aio_get_output(slot->aio, 0));
        }
        a->to.starved(a->to.arg);
        slot->rests = true;
        nng.sleep_aio(NMQ_ACCEPT_PAUSE_MS, slot->aio);
        return;
    }
    nng.stream_listener_accept(a->listener, slot->aio);
}

static uint32_t
listening_port(int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t at_len = sizeof at;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening ||
        getsockname(fd, (struct sockaddr *) &at, &at_len) != 0) {
        return 0;
    }
    return nmq_peer_of((const struct sockaddr *) &at).port;
}

// nng listens with a backlog of 128, too short for a storm of connections, and its keep
// alive asks after two hours. Its descriptor is not handed out, so it is found by its port;
// a second listen() only changes the backlog.
static void
tune_socket(uint32_t port)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd > 0 && port > 0 && listening_port(fd) == port) {
            (void) listen(fd, NMQ_ACCEPT_BACKLOG);
            nmq_acceptor_keep_alive(fd);
        }
    }
    if (dir != NULL) {
        (void) closedir(dir);
    }
}

static void
acceptor_free(tls_acceptor *a)
{
    for (int i = 0; i < ACCEPTS; i++) {
        if (a->slots[i].aio != NULL) {
            nng.aio_free(a->slots[i].aio);
        }
    }
    if (a->listener != NULL) {
        nng.stream_listener_free(a->listener);
    }
    nmq_free(a);
}

static void
stop(nmq_acceptor *acceptor)
{
    tls_acceptor *a = (tls_acceptor *) acceptor;

    __atomic_store_n(&a->stopping, true, __ATOMIC_RELEASE);
    nng.stream_listener_close(a->listener);
    // Each accept ends by itself now. To stop an aio whose callback is about to begin it
    // again would free it under nng's hands.
    for (int i = 0; i < ACCEPTS; i++) {
        nng.aio_wait(a->slots[i].aio);
    }
    acceptor_free(a);
}

// An accept that is under way has the certificates of its beginning: it begins again.
static void
accept_again(tls_acceptor *a)
{
    for (int i = 0; i < ACCEPTS; i++) {
        nng.aio_cancel(a->slots[i].aio);
    }
}

static int
set_config(tls_acceptor *a, const nmq_tls *tls)
{
    return nmq_nng_status(
        nng.stream_listener_set_ptr(a->listener, "tls-config", tls->config));
}

static int
set_tls(nmq_acceptor *acceptor, const nmq_tls *tls)
{
    tls_acceptor *a = (tls_acceptor *) acceptor;
    int rv = set_config(a, tls);

    if (rv == NMQ_OK && a->started) {
        accept_again(a);
    }
    return rv;
}

static void
start(nmq_acceptor *acceptor)
{
    tls_acceptor *a = (tls_acceptor *) acceptor;

    a->started = true;
    for (int i = 0; i < ACCEPTS; i++) {
        nng.stream_listener_accept(a->listener, a->slots[i].aio);
    }
}

static const nmq_acceptor_ops ops = {.set_tls = set_tls, .start = start, .stop = stop};

static int
open_listener(tls_acceptor *a, const nmq_endpoint *endpoint)
{
    char url[512];
    int n = snprintf(url, sizeof url, "tls+tcp://%s", endpoint->address);

    if (n < 0 || (size_t) n >= sizeof url) {
        return NMQ_EADDR;
    }
    int rv = nmq_nng_status(nng.stream_listener_alloc(&a->listener, url));
    if (rv != NMQ_OK) {
        return rv;
    }
    (void) nng.stream_listener_set_bool(a->listener, "tcp-nodelay", true);
    (void) nng.stream_listener_set_bool(a->listener, "tcp-keepalive", true);
    rv = set_config(a, endpoint->tls);
    return rv == NMQ_OK ? nmq_nng_status(nng.stream_listener_listen(a->listener)) : rv;
}

int
nmq_acceptor_tls(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
                 uint32_t *port)
{
    tls_acceptor *a = nmq_zalloc(sizeof *a);
    int bound = 0;

    if (a == NULL) {
        return NMQ_ENOMEM;
    }
    a->base.ops = &ops;
    a->to = *to;
    int rv = nmq_poller_start(); // for jobs of connections
    if (rv == NMQ_OK) {
        rv = open_listener(a, endpoint);
    }
    for (int i = 0; rv == NMQ_OK && i < ACCEPTS; i++) {
        a->slots[i].acceptor = a;
        rv = nmq_nng_status(nng.aio_alloc(&a->slots[i].aio, accepted, &a->slots[i]));
    }
    if (rv != NMQ_OK) {
        acceptor_free(a);
        return rv;
    }
    (void) nng.stream_listener_get_int(a->listener, "tcp-bound-port", &bound);
    *port = (uint32_t) bound;
    tune_socket(*port);
    *out = &a->base;
    return NMQ_OK;
}
