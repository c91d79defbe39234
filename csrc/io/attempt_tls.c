#include "io/attempt_tls.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/poller.h"
#include "io/stream_hello.h"
#include "io/stream_nng.h"
#include "io/tls_config.h"

typedef struct {
    nmq_attempt base; // first
    nng_tls_config *config;
    nng_stream_dialer *dialer; // of what is under way
    nng_aio *aio;              // nng's callback posts the job
    nmq_job job;
    nmq_peer peer;
    int error; // of nng, where it did not begin
    pthread_mutex_t lock;
    nmq_stream *stream; // lock: its handshake is under way
    bool connects;      // lock: nng does
    bool cancelled;     // lock
} tls_attempt;

// What is under way from now on. Returns whether all of it was cancelled: who cancels sees
// what is under way, or whoever puts it there sees this.
static bool
set(tls_attempt *a, bool connects, nmq_stream *stream)
{
    (void) pthread_mutex_lock(&a->lock);
    a->connects = connects;
    a->stream = stream;
    bool cancelled = a->cancelled;
    (void) pthread_mutex_unlock(&a->lock);
    return cancelled;
}

static void
fail(tls_attempt *a, int status, const char *what, const char *why)
{
    (void) snprintf(a->base.why, sizeof a->base.why, "%s%s", what, why);
    a->base.ended(a->base.arg, NULL, status);
}

static void
shaken(void *arg, int status)
{
    tls_attempt *a = arg;
    nmq_stream *stream = a->stream;
    char why[NMQ_STREAM_REFUSAL_BYTES];

    (void) set(a, false, NULL);
    if (status == NMQ_OK) {
        a->base.ended(a->base.arg, stream, NMQ_OK);
        return;
    }
    bool told = stream->ops->refusal(stream, why) == NMQ_OK;
    stream->ops->close(stream);
    stream->ops->free(stream);
    // nng says at times that it has connected before it has
    fail(a, told ? NMQ_ECRYPTO : NMQ_ECLOSED,
         "TLS: ", told ? why : "refused, or closed before the handshake was over");
}

// A stream whose handshake does not begin; NULL: none.
static void
drop(tls_attempt *a, nmq_stream *stream)
{
    (void) set(a, false, NULL);
    if (stream != NULL) {
        stream->ops->close(stream);
        stream->ops->free(stream);
    }
}

static void
shake(tls_attempt *a, nng_stream *raw)
{
    nmq_stream *below = nmq_stream_new(raw, -1, a->peer);
    nmq_stream *stream = below != NULL ? nmq_stream_hello_new(below, raw) : NULL;

    if (stream == NULL && below != NULL) {
        below->ops->free(below);
    } else if (below == NULL) {
        nng.stream_free(raw);
    }
    if (set(a, false, stream)) {
        drop(a, stream);
        fail(a, NMQ_ECLOSED, nmq_status_text(NMQ_ECLOSED), "");
    } else if (stream == NULL || nmq_stream_hello_begin(stream, shaken, a) != NMQ_OK) {
        drop(a, stream);
        fail(a, NMQ_ENOMEM, nmq_status_text(NMQ_ENOMEM), "");
    }
}

// nng's callback has been there, or it did not begin.
static void
connected(nmq_job *job, nmq_worker *worker)
{
    tls_attempt *a = NMQ_CONTAINER(job, tls_attempt, job);
    int rv = a->error != 0 ? a->error : nng.aio_result(a->aio);

    (void) worker;
    (void) set(a, false, NULL);
    if (a->dialer != NULL) {
        nng.stream_dialer_free(a->dialer);
        a->dialer = NULL;
    }
    if (rv == 0) {
        shake(a, nng.aio_get_output(a->aio, 0));
    } else {
        fail(a, nmq_nng_status(rv), nng.strerror(rv), "");
    }
}

static void
post(void *arg)
{
    tls_attempt *a = arg;

    a->job = (nmq_job){.run = connected};
    nmq_poller_post(&a->job);
}

// Makes the dialer for that address. Returns 0 or an error of nng.
static int
make_dialer(tls_attempt *a, const struct sockaddr *address, socklen_t len)
{
    char host[NI_MAXHOST], port[8], url[NI_MAXHOST + 32];
    bool v6 = address->sa_family == AF_INET6;

    if (getnameinfo(address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return NNG_EADDRINVAL;
    }
    (void) snprintf(url, sizeof url, "tls+tcp://%s%s%s:%s", v6 ? "[" : "", host,
                    v6 ? "]" : "", port);
    int rv = nng.stream_dialer_alloc(&a->dialer, url);
    if (rv == 0) {
        (void) nng.stream_dialer_set_bool(a->dialer, "tcp-nodelay", true);
        (void) nng.stream_dialer_set_bool(a->dialer, "tcp-keepalive", true);
        rv = nng.stream_dialer_set_ptr(a->dialer, "tls-config", a->config);
    }
    return rv;
}

static void
begin(nmq_attempt *attempt, const struct sockaddr *address, socklen_t len)
{
    tls_attempt *a = (tls_attempt *) attempt;

    a->peer = nmq_peer_of(address);
    a->error = make_dialer(a, address, len);
    bool begins = a->error == 0;
    (void) set(a, begins, NULL);
    if (!begins) {
        post(a);
        return;
    }
    nng.stream_dialer_dial(a->dialer, a->aio);
    (void) pthread_mutex_lock(&a->lock);
    bool cancelled = a->cancelled; // before nng had begun, perhaps
    (void) pthread_mutex_unlock(&a->lock);
    if (cancelled) {
        nng.aio_cancel(a->aio);
    }
}

// Ends what is under way; `cancels`: and what begins later.
static void
end(tls_attempt *a, bool cancels)
{
    (void) pthread_mutex_lock(&a->lock);
    a->cancelled = a->cancelled || cancels;
    bool connects = a->connects;
    nmq_stream *stream = a->stream;
    if (stream != NULL) {
        nmq_stream_hello_ref(stream);
    }
    (void) pthread_mutex_unlock(&a->lock);
    if (connects) {
        nng.aio_cancel(a->aio);
    }
    if (stream != NULL) {
        stream->ops->close(stream);
        nmq_stream_hello_unref(stream);
    }
}

static void
skip(nmq_attempt *attempt)
{
    end((tls_attempt *) attempt, false);
}

static void
cancel(nmq_attempt *attempt)
{
    end((tls_attempt *) attempt, true);
}

static const char *
doing(nmq_attempt *attempt)
{
    tls_attempt *a = (tls_attempt *) attempt;

    (void) pthread_mutex_lock(&a->lock);
    bool connects = a->connects;
    (void) pthread_mutex_unlock(&a->lock);
    return connects ? "connecting" : "in the TLS handshake";
}

static void
attempt_free(nmq_attempt *attempt)
{
    tls_attempt *a = (tls_attempt *) attempt;

    if (a->aio != NULL) {
        nng.aio_reap(a->aio);
    }
    nng.tls_config_free(a->config);
    (void) pthread_mutex_destroy(&a->lock);
    nmq_free(a);
}

static const nmq_attempt_ops ops = {
    .begin = begin,
    .skip = skip,
    .cancel = cancel,
    .doing = doing,
    .free = attempt_free,
};

nmq_attempt *
nmq_attempt_tls_new(const nmq_tls *tls, nmq_attempt_ended *ended, void *arg)
{
    tls_attempt *a = nmq_zalloc(sizeof *a);

    if (a == NULL) {
        return NULL;
    }
    a->base = (nmq_attempt){.ops = &ops, .ended = ended, .arg = arg};
    (void) pthread_mutex_init(&a->lock, NULL);
    nng.tls_config_hold(tls->config);
    a->config = tls->config;
    if (nng.aio_alloc(&a->aio, post, a) != 0) {
        a->aio = NULL;
        attempt_free(&a->base);
        return NULL;
    }
    return &a->base;
}
