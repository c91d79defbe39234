#include "io/stream_ws.h"

#include <pthread.h>
#include <string.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/ws_frame.h"
#include "io/poller.h"
#include "io/ws.h"
#include "io/ws_load.h"

enum {
    IN_BYTES = 1 << 14, // of frames that are read at once; more than an answer has
};

typedef struct {
    nmq_stream base; // first: see stream.h
    nmq_stream *below;
    uint32_t refs; // atomic: whose it is, who sends, and who has just begun to read

    // the receive side
    nmq_ws ws;
    nmq_buf in;    // bytes of MQTT, then raw ones
    size_t plain;  // of `in`, MQTT
    int in_status; // what follows them: NMQ_OK, or the stream has ended
    uint8_t *to;   // of the recv under way
    size_t cap;
    nmq_job delivers; // what came with something before

    // until the upgrade is over
    nmq_stream_upgraded *upgraded;
    void *arg;
    char accept[NMQ_WS_ACCEPT_BYTES];

    pthread_mutex_t lock;
    nmq_random random;   // lock
    nmq_ws_load next;    // lock
    nmq_ws_load sending; // whoever set busy
    bool busy;           // lock: somebody sends, and has a reference
    bool finishing;      // lock: and then the way out ends
} ws_stream;

static ws_stream *
ref(ws_stream *s)
{
    (void) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

static void
unref(ws_stream *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        s->below->ops->free(s->below);
        nmq_ws_fini(&s->ws);
        nmq_buf_free(&s->in);
        nmq_buf_free(&s->next.bytes);
        nmq_buf_free(&s->sending.bytes);
        (void) pthread_mutex_destroy(&s->lock);
        nmq_free(s);
    }
}

// --- the send side

// Takes what is to be sent next. Returns false, and nobody sends any more, when there is
// nothing; then the way out ends, if it is to.
static bool
take_load(ws_stream *s)
{
    (void) pthread_mutex_lock(&s->lock);
    s->sending.bytes.len = s->sending.at = s->sending.users = 0;
    bool more = s->next.bytes.len > 0;
    if (more) {
        nmq_ws_load empty = s->sending;
        s->sending = s->next;
        s->next = empty;
    }
    s->busy = more;
    bool ends = !more && s->finishing;
    (void) pthread_mutex_unlock(&s->lock);
    if (ends) {
        s->below->ops->finish(s->below);
    }
    return more;
}

// Sends the load. Returns 1 when all of it is sent, 0 when `sent` will tell, or a negative
// nmq_status.
static int
send_load(ws_stream *s)
{
    while (s->sending.at < s->sending.bytes.len) {
        nmq_bytes rest = {s->sending.bytes.at + s->sending.at,
                          s->sending.bytes.len - s->sending.at};
        int64_t taken = s->below->ops->send(s->below, &rest, 1);
        if (taken <= 0) {
            return (int) taken;
        }
        s->sending.at += (size_t) taken;
    }
    return 1;
}

// Nothing more goes out. Gives the sender's reference back.
static void
send_failed(ws_stream *s, int status)
{
    (void) pthread_mutex_lock(&s->lock);
    bool tells = s->sending.users + s->next.users > 0;
    s->sending.bytes.len = s->sending.at = s->sending.users = 0;
    s->next.bytes.len = s->next.users = 0;
    s->busy = false;
    (void) pthread_mutex_unlock(&s->lock);
    if (tells) {
        s->base.on_sent(s->base.arg, status, 0);
    }
    unref(s);
}

// Sends load after load. Whoever set busy, and has its reference.
static void
send_all(ws_stream *s)
{
    for (bool more = true; more;) {
        int rv = send_load(s);
        if (rv == 0) {
            return;
        }
        if (rv < 0) {
            send_failed(s, rv);
            return;
        }
        size_t users = s->sending.users;
        more = take_load(s);
        if (users > 0) {
            s->base.on_sent(s->base.arg, NMQ_OK, users);
        }
    }
    unref(s);
}

static void
sent(void *arg, int status, size_t count)
{
    ws_stream *s = arg;

    if (status != NMQ_OK) {
        send_failed(s, status);
        return;
    }
    s->sending.at += count;
    send_all(s);
}

// A pong, or a close frame.
static void
send_control(ws_stream *s, uint8_t *frame, size_t len)
{
    (void) pthread_mutex_lock(&s->lock);
    // a flood of pings gathers nothing: one is answered when the last answer has gone
    bool put = s->next.bytes.len < NMQ_WS_RAW_BYTES &&
               nmq_ws_load_put_control(&s->next, &s->random, frame, len) == NMQ_OK;
    bool starts = put && !s->busy;
    s->busy = s->busy || starts;
    (void) pthread_mutex_unlock(&s->lock);
    if (starts && take_load(ref(s))) {
        send_all(s);
    }
}

static int64_t
ws_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    ws_stream *s = (ws_stream *) stream;

    (void) pthread_mutex_lock(&s->lock);
    int64_t size = nmq_ws_load_put(&s->next, &s->random, parts, count);
    bool starts = size > 0 && !s->busy;
    if (starts) {
        nmq_ws_load empty = s->sending;
        s->sending = s->next;
        s->next = empty;
        s->busy = true;
    }
    (void) pthread_mutex_unlock(&s->lock);
    if (size < 0) {
        return size;
    }
    if (!starts) {
        return 0; // it goes behind what is under way
    }
    int rv = send_load(ref(s));
    if (rv == 0) {
        return 0;
    }
    s->sending.users = 0; // whoever sends is told now
    if (rv < 0) {
        send_failed(s, rv);
        return rv;
    }
    if (take_load(s)) {
        send_all(s);
    } else {
        unref(s);
    }
    return size;
}

static void
ws_finish(nmq_stream *stream)
{
    ws_stream *s = (ws_stream *) stream;
    uint8_t frame[8] = {NMQ_FRAME_FIN | NMQ_FRAME_CLOSE, NMQ_FRAME_MASKED | 2};
    uint16_t code = nmq_ws_close_code(&s->ws);

    frame[6] = (uint8_t) (code >> 8);
    frame[7] = (uint8_t) code;
    (void) pthread_mutex_lock(&s->lock);
    s->finishing = true;
    (void) pthread_mutex_unlock(&s->lock);
    send_control(s, frame, sizeof frame);
}

// --- the receive side

static int read_below(ws_stream *s);

// Hands out what there is of MQTT, or the end.
static void
deliver(ws_stream *s, nmq_worker *worker)
{
    size_t n = s->plain < s->cap ? s->plain : s->cap;
    int status = n > 0 ? NMQ_OK : NMQ_ECLOSED;

    memcpy(s->to, s->in.at, n);
    s->plain -= n;
    s->in.len -= n;
    memmove(s->in.at, s->in.at + n, s->in.len);
    s->base.on_recv(s->base.arg, worker, status, n);
}

static void
deliver_later(nmq_job *job, nmq_worker *worker)
{
    deliver(NMQ_CONTAINER(job, ws_stream, delivers), worker);
}

// Takes frames apart. What came before a fault or a close frame is still handed out.
static void
unframe(ws_stream *s)
{
    nmq_buf reply = {0};

    s->in_status = nmq_ws_unframe(&s->ws, s->in.at, &s->plain, &s->in.len, &reply);
    if (reply.len > 0) {
        send_control(s, reply.at, reply.len);
    }
    nmq_buf_free(&reply);
}

static void
frames_came(void *arg, nmq_worker *worker, int status, size_t count)
{
    ws_stream *s = arg;

    s->in.len += count;
    if (status != NMQ_OK) {
        s->in_status = status;
    } else {
        unframe(s);
    }
    if (s->plain > 0 || s->in_status != NMQ_OK || read_below(s) != NMQ_OK) {
        deliver(s, worker);
    }
}

// Whoever hears of what comes may end it all before this returns.
static int
read_below(ws_stream *s)
{
    (void) ref(s);
    int rv = s->below->ops->recv(s->below, s->in.at + s->in.len, s->in.cap - s->in.len);
    unref(s);
    return rv;
}

static int
ws_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    ws_stream *s = (ws_stream *) stream;

    s->to = to;
    s->cap = cap;
    if (s->plain == 0 && s->in.len > 0 && s->in_status == NMQ_OK) {
        unframe(s); // it came with the answer to the upgrade
    }
    if (s->plain == 0 && s->in_status == NMQ_OK) {
        return read_below(s);
    }
    s->delivers = (nmq_job){.run = deliver_later};
    nmq_poller_post(&s->delivers);
    return NMQ_OK;
}

// --- the upgrade

static void
upgrade_over(ws_stream *s, int status, unsigned http_status, const char *why)
{
    s->below->on_recv = frames_came;
    s->upgraded(s->arg, status, http_status, why);
}

static void
answer_came(void *arg, nmq_worker *worker, int status, size_t count)
{
    ws_stream *s = arg;
    nmq_ws_refusal why = {0};

    (void) worker;
    if (status != NMQ_OK) {
        upgrade_over(s, NMQ_ECLOSED, 0, "the connection was closed during the upgrade");
        return;
    }
    s->in.len += count;
    int taken = nmq_ws_answer((nmq_bytes){s->in.at, s->in.len}, s->accept, &why);
    if (taken > 0) {
        s->in.len -= (size_t) taken;
        memmove(s->in.at, s->in.at + taken, s->in.len);
        s->ws.upgraded = true;
        upgrade_over(s, NMQ_OK, 101, NULL);
    } else if (taken < 0) {
        upgrade_over(s, taken, why.http_status, why.text);
    } else if (read_below(s) != NMQ_OK) {
        upgrade_over(s, NMQ_ENOMEM, 0, nmq_status_text(NMQ_ENOMEM));
    }
}

// If it cannot be sent, the read fails.
static int
send_request(ws_stream *s, const nmq_ws_request *request)
{
    uint8_t nonce[NMQ_WS_NONCE_BYTES];

    (void) pthread_mutex_lock(&s->lock);
    int rv = nmq_random_take(&s->random, nonce, sizeof nonce);
    if (rv == NMQ_OK) {
        rv = nmq_ws_ask(&s->next.bytes, request, nonce, s->accept);
    }
    s->busy = rv == NMQ_OK;
    (void) pthread_mutex_unlock(&s->lock);
    if (rv == NMQ_OK && take_load(ref(s))) {
        send_all(s);
    }
    return rv;
}

void
nmq_stream_ws_upgrade(nmq_stream *stream, const nmq_ws_request *request,
                      nmq_stream_upgraded *upgraded, void *arg)
{
    ws_stream *s = (ws_stream *) stream;

    s->upgraded = upgraded;
    s->arg = arg;
    s->below->on_recv = answer_came;
    s->below->on_sent = sent;
    s->below->arg = s;
    int rv = send_request(s, request);
    if (rv == NMQ_OK) {
        rv = read_below(s);
    }
    if (rv != NMQ_OK) {
        upgraded(arg, rv, 0, nmq_status_text(rv));
    }
}

// --- the rest

static void
ws_close(nmq_stream *stream)
{
    ws_stream *s = (ws_stream *) stream;

    s->below->ops->close(s->below);
}

static void
ws_free(nmq_stream *stream)
{
    unref((ws_stream *) stream);
}

static int
ws_peer_name(nmq_stream *stream, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    ws_stream *s = (ws_stream *) stream;

    return s->below->ops->peer_name(s->below, kind, to);
}

static int
ws_refusal(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES])
{
    ws_stream *s = (ws_stream *) stream;

    return s->below->ops->refusal(s->below, to);
}

static const nmq_stream_ops ops = {
    .recv = ws_recv,
    .send = ws_send,
    .finish = ws_finish,
    .close = ws_close,
    .free = ws_free,
    .peer_name = ws_peer_name,
    .refusal = ws_refusal,
};

nmq_stream *
nmq_stream_ws_new(nmq_stream *below)
{
    ws_stream *s = nmq_zalloc(sizeof *s);

    if (s == NULL) {
        return NULL;
    }
    (void) pthread_mutex_init(&s->lock, NULL);
    s->in.at = nmq_alloc(IN_BYTES);
    if (s->in.at == NULL) {
        (void) pthread_mutex_destroy(&s->lock);
        nmq_free(s);
        return NULL;
    }
    s->in.cap = IN_BYTES;
    s->refs = 1;
    s->base.ops = &ops;
    s->base.peer = below->peer;
    s->below = below;
    s->ws.is_client = true;
    return &s->base;
}
