#include "io/stream_hello.h"

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/poller.h"
#include "io/tls_guard.h"

// The first byte.
enum early {
    EARLY_AWAITED,   // it is read
    EARLY_HERE,      // it has come, or will not
    EARLY_WANTED,    // it is read, and recv waits for it
    EARLY_DELIVERED, // from now on reads go below
};

typedef struct {
    nmq_stream base; // first: see stream.h
    nmq_stream *below;
    uint32_t refs; // atomic: whose it is, and who has just begun
    nmq_stream_shaken *shaken;
    void *arg; // of shaken
    nmq_tls_waiter waiter;
    nmq_job tells; // shaken
    int status;    // of the handshake; whoever set `told`
    bool told;     // atomic: somebody tells
    uint8_t early; // atomic: enum early
    uint8_t byte;
    int early_status;   // of the first read
    size_t early_count; // of the first read
    uint8_t *to;        // of the recv that wants the byte
    nmq_job delivers;   // the byte
} hello_stream;

static void
unref(hello_stream *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_tls_guard_forget(&s->waiter);
        s->below->ops->free(s->below);
        nmq_free(s);
    }
}

static void
tell(nmq_job *job, nmq_worker *worker)
{
    hello_stream *s = NMQ_CONTAINER(job, hello_stream, tells);

    (void) worker;
    s->shaken(s->arg, s->status);
}

// The first who knows how it went has it told.
static void
know(hello_stream *s, int status)
{
    if (!__atomic_exchange_n(&s->told, true, __ATOMIC_ACQ_REL)) {
        s->status = status;
        s->tells = (nmq_job){.run = tell};
        nmq_poller_post(&s->tells);
    }
}

static void
is_shaken(nmq_tls_waiter *waiter)
{
    know(NMQ_CONTAINER(waiter, hello_stream, waiter), NMQ_OK);
}

static void
deliver(hello_stream *s, nmq_worker *worker)
{
    __atomic_store_n(&s->early, EARLY_DELIVERED, __ATOMIC_RELAXED);
    if (s->early_count > 0) {
        *s->to = s->byte;
    }
    s->base.on_recv(s->base.arg, worker, s->early_status, s->early_count);
}

static void
deliver_later(nmq_job *job, nmq_worker *worker)
{
    deliver(NMQ_CONTAINER(job, hello_stream, delivers), worker);
}

static void
came(void *arg, nmq_worker *worker, int status, size_t count)
{
    hello_stream *s = arg;

    if (__atomic_load_n(&s->early, __ATOMIC_RELAXED) == EARLY_DELIVERED) {
        s->base.on_recv(s->base.arg, worker, status, count);
        return;
    }
    s->early_status = status;
    s->early_count = count;
    if (__atomic_exchange_n(&s->early, EARLY_HERE, __ATOMIC_ACQ_REL) == EARLY_WANTED) {
        deliver(s, worker);
    } else {
        know(s, status); // a byte comes after the handshake
    }
}

int
nmq_stream_hello_begin(nmq_stream *stream, nmq_stream_shaken *shaken, void *arg)
{
    hello_stream *s = (hello_stream *) stream;

    s->shaken = shaken;
    s->arg = arg;
    bool guarded = nmq_tls_guard_wait(&s->waiter);
    // it may be over, and freed, before recv returns
    (void) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    int rv = s->below->ops->recv(s->below, &s->byte, 1);
    if (rv == NMQ_OK && !guarded) {
        know(s, NMQ_OK);
    }
    unref(s);
    return rv;
}

void
nmq_stream_hello_ref(nmq_stream *stream)
{
    (void) __atomic_add_fetch(&((hello_stream *) stream)->refs, 1, __ATOMIC_RELAXED);
}

void
nmq_stream_hello_unref(nmq_stream *stream)
{
    unref((hello_stream *) stream);
}

static int
hello_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    hello_stream *s = (hello_stream *) stream;

    if (__atomic_load_n(&s->early, __ATOMIC_RELAXED) == EARLY_DELIVERED) {
        return s->below->ops->recv(s->below, to, cap);
    }
    s->to = to;
    if (__atomic_exchange_n(&s->early, EARLY_WANTED, __ATOMIC_ACQ_REL) == EARLY_HERE) {
        s->delivers = (nmq_job){.run = deliver_later};
        nmq_poller_post(&s->delivers);
    }
    return NMQ_OK;
}

static void
sent(void *arg, int status, size_t count)
{
    hello_stream *s = arg;

    s->base.on_sent(s->base.arg, status, count);
}

static int64_t
hello_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    hello_stream *s = (hello_stream *) stream;

    return s->below->ops->send(s->below, parts, count);
}

static void
hello_finish(nmq_stream *stream)
{
    hello_stream *s = (hello_stream *) stream;

    s->below->ops->finish(s->below);
}

static void
hello_close(nmq_stream *stream)
{
    hello_stream *s = (hello_stream *) stream;

    s->below->ops->close(s->below);
}

static void
hello_free(nmq_stream *stream)
{
    unref((hello_stream *) stream);
}

static int
hello_peer_name(nmq_stream *stream, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    hello_stream *s = (hello_stream *) stream;

    return s->below->ops->peer_name(s->below, kind, to);
}

static int
hello_refusal(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES])
{
    hello_stream *s = (hello_stream *) stream;

    return s->below->ops->refusal(s->below, to);
}

static const nmq_stream_ops ops = {
    .recv = hello_recv,
    .send = hello_send,
    .finish = hello_finish,
    .close = hello_close,
    .free = hello_free,
    .peer_name = hello_peer_name,
    .refusal = hello_refusal,
};

nmq_stream *
nmq_stream_hello_new(nmq_stream *below, const void *raw)
{
    hello_stream *s = nmq_zalloc(sizeof *s);

    if (s == NULL) {
        return NULL;
    }
    s->base.ops = &ops;
    s->base.peer = below->peer;
    s->below = below;
    s->waiter = (nmq_tls_waiter){.stream = raw, .shaken = is_shaken};
    s->refs = 1;
    below->on_recv = came;
    below->on_sent = sent;
    below->arg = s;
    return &s->base;
}
