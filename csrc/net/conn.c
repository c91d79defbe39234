#include "net/conn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "route/event.h"

enum {
    IN_CAP_MIN = 512, // an idle connection holds this much
    IN_CAP_MAX = 65536,
    QUIET_READS = 8, // reads of less than a quarter before the buffer shrinks
    LINGER_MS = 1000,
    OUTBOX_KEEP_BYTES = 0,
    BACKLOG_FACTOR = 4, // times outbox_max_bytes: a peer that never reads is closed
};

static void conn_flush(nmq_link *link);
static void conn_resume(nmq_link *link);
static void conn_disconnect(nmq_link *link, uint8_t reason_code);
static void conn_free(nmq_link *link);
static void conn_process(nmq_conn *conn);
static void start_sending(nmq_conn *conn, bool from_batch);
static void fire_timer(nmq_timer *timer);
static void fire_hold(nmq_timer *timer);

static const nmq_link_ops link_ops = {
    .flush = conn_flush,
    .resume = conn_resume,
    .disconnect = conn_disconnect,
    .free = conn_free,
};

static nmq_conn *
conn_of(nmq_link *link)
{
    return (nmq_conn *) link;
}

static uint8_t
version_of(const nmq_conn *conn)
{
    return __atomic_load_n(&conn->version, __ATOMIC_RELAXED);
}

static nmq_bytes
number_key(const nmq_conn *conn)
{
    return (nmq_bytes){(const uint8_t *) &conn->number, sizeof conn->number};
}

// --- timers ------------------------------------------------------------------------------

static void
arm(nmq_conn *conn, int64_t due_ms)
{
    (void) nmq_link_ref(&conn->link);
    if (!nmq_clock_arm(conn->conns->router->clock, &conn->timer, due_ms)) {
        nmq_link_unref(&conn->link); // armed already: it has its reference
    }
}

static void
cancel(nmq_conn *conn, nmq_timer *timer)
{
    if (nmq_clock_cancel(conn->conns->router->clock, timer)) {
        nmq_link_unref(&conn->link);
    }
}

// 5.0 sends again at a new connection only [MQTT-4.4.0-1].
static uint32_t
retry_interval_ms(const nmq_conn *conn, bool open)
{
    return open && version_of(conn) != NMQ_V5
               ? conn->conns->options->retry_interval_s * 1000
               : 0;
}

void
nmq_conn_set_idle(nmq_conn *conn, uint32_t idle_ms)
{
    int64_t now_ms = nmq_clock_now_ms();

    __atomic_store_n(&conn->last_packet_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&conn->idle_ms, idle_ms, __ATOMIC_RELAXED);
    uint32_t retry_ms = retry_interval_ms(conn, conn->client != NULL);
    if (idle_ms == 0 || (retry_ms != 0 && retry_ms < idle_ms)) {
        idle_ms = retry_ms;
    }
    if (idle_ms != 0) {
        arm(conn, now_ms + idle_ms);
    }
}

// Before 5.0: sends everything in flight again when a whole interval brought no
// acknowledgement.
static void
retry(nmq_conn *conn)
{
    const nmq_router *router = conn->conns->router;
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    (void) pthread_mutex_lock(&conn->link.lock);
    nmq_session *session = client->session;
    uint64_t progress = session->inflight.next_order - session->inflight.count;
    bool stalled = client->link == &conn->link && session->inflight.count > 0 &&
                   session->resend == NULL && conn->retry_acks == progress + 1;
    conn->retry_acks = progress + 1;
    if (stalled && nmq_session_resume(session) == NMQ_OK) {
        (void) nmq_session_pump(session, &conn->link.outbox,
                                router->limits.outbox_max_bytes, nmq_clock_now_ms());
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    (void) pthread_mutex_unlock(&client->lock);
    if (stalled) {
        start_sending(conn, false);
    }
}

static void
timed_out(nmq_conn *conn)
{
    if (version_of(conn) == 0) { // no CONNECT in time: nothing to say it with
        conn->stream->ops->close(conn->stream);
        return;
    }
    nmq_log_write(&conn->conns->router->log, NMQ_LOG_INFO, "%s: keep alive timeout",
                  conn->peer);
    conn_disconnect(&conn->link, NMQ_RC_KEEP_ALIVE_TIMEOUT); // [MQTT-3.1.2-22]
}

// The idle connection is looked at again when its silence could be too long. The receive
// side may end meanwhile: it then finds the timer armed, or we find it closing.
static void
rearm(nmq_conn *conn, int64_t due_ms)
{
    arm(conn, due_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        arm(conn, nmq_clock_now_ms() + LINGER_MS);
    }
}

static void
silence(nmq_conn *conn, bool asking)
{
    if (asking) {
        (void) nmq_conns_answer(conn->conns, conn->number, NMQ_RC_SERVER_UNAVAILABLE);
    } else {
        timed_out(conn);
    }
}

static void
fire_timer(nmq_timer *timer)
{
    nmq_conn *conn = (nmq_conn *) (void *) ((uint8_t *) timer - offsetof(nmq_conn, timer));
    int64_t now_ms = nmq_clock_now_ms();

    (void) pthread_mutex_lock(&conn->link.lock);
    bool lingers = conn->closing;
    bool asking = conn->asking;
    bool open = conn->client != NULL;
    (void) pthread_mutex_unlock(&conn->link.lock);
    uint32_t idle_ms = __atomic_load_n(&conn->idle_ms, __ATOMIC_RELAXED);
    int64_t last_ms = __atomic_load_n(&conn->last_packet_ms, __ATOMIC_RELAXED);
    uint32_t retry_ms = retry_interval_ms(conn, open);
    int64_t due_ms = idle_ms != 0 ? last_ms + idle_ms : INT64_MAX;

    if (lingers) {
        conn->stream->ops->close(conn->stream);
    } else if (due_ms <= now_ms) {
        silence(conn, asking);
    } else {
        if (retry_ms != 0) {
            retry(conn);
            due_ms = now_ms + retry_ms < due_ms ? now_ms + retry_ms : due_ms;
        }
        if (due_ms != INT64_MAX) {
            rearm(conn, due_ms);
        }
    }
    nmq_link_unref(&conn->link); // the timer's
}

// The time to wait for a slow subscriber is over: nobody waits for it until it has drained.
static void
fire_hold(nmq_timer *timer)
{
    nmq_link *link =
        (nmq_link *) (void *) ((uint8_t *) timer - offsetof(nmq_link, hold_timer));
    nmq_conn *conn = conn_of(link);
    size_t max = conn->conns->router->limits.outbox_max_bytes;

    (void) pthread_mutex_lock(&link->lock);
    bool stuck = link->held != NULL && nmq_link_is_congested(link, max);
    if (stuck) {
        link->stuck = true;
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (stuck) {
        nmq_log_write(&conn->conns->router->log, NMQ_LOG_WARNING,
                      "%s: reads too slowly; QoS 0 to it is dropped until it catches up",
                      conn->peer);
    }
    nmq_link_relieve(link, max, true);
    nmq_link_unref(link); // the timer's
}

// --- the send side -----------------------------------------------------------------------

// The session has more than fitted: fills the outbox again.
static void
pump(nmq_conn *conn, nmq_client *client)
{
    const nmq_limits *limits = &conn->conns->router->limits;
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&client->lock);
    (void) pthread_mutex_lock(&link->lock);
    link->pump_due = false;
    if (client->link == link && !link->closed) {
        nmq_session *session = client->session;
        int rv = nmq_session_pump(session, &link->outbox, limits->outbox_max_bytes,
                                  nmq_clock_now_ms());
        link->pump_due = rv == NMQ_OK && link->outbox.total >= limits->outbox_max_bytes;
        link->queue_full = session->queue.count >= limits->queue_max;
    }
    (void) pthread_mutex_unlock(&link->lock);
    (void) pthread_mutex_unlock(&client->lock);
}

// Takes the next load from the outbox, or ends the send side. Returns whether there is one.
static bool
next_load(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    for (;;) {
        (void) pthread_mutex_lock(&link->lock);
        nmq_outbox_reset(&conn->sending, OUTBOX_KEEP_BYTES);
        link->sending_bytes = 0;
        bool more = link->outbox.total > 0;
        bool wants_pump = !more && link->pump_due && conn->client != NULL && !link->closed;
        nmq_client *client = conn->client;
        if (more) {
            nmq_outbox empty = conn->sending;
            conn->sending = link->outbox;
            link->outbox = empty;
            link->sending_bytes = conn->sending.total;
        } else if (!wants_pump) {
            conn->is_sending = false;
        }
        (void) pthread_mutex_unlock(&link->lock);
        if (!wants_pump) {
            return more;
        }
        pump(conn, client);
    }
}

// After the last byte: whoever waited goes on; a connection that was to close does.
static void
sends_done(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    bool relieve = link->held != NULL || link->stuck;
    bool close = conn->closing && !conn->is_sending;
    (void) pthread_mutex_unlock(&link->lock);
    if (relieve) {
        nmq_link_relieve(link, conn->conns->router->limits.outbox_max_bytes, false);
    }
    if (close) {
        conn->stream->ops->close(conn->stream);
        cancel(conn, &conn->timer);
    }
}

static void
send_failed(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->is_sending = false;
    conn->link.closed = true;
    conn->link.sending_bytes = 0;
    nmq_outbox_reset(&conn->sending, 0);
    nmq_outbox_reset(&conn->link.outbox, 0);
    (void) pthread_mutex_unlock(&conn->link.lock);
    conn->stream->ops->close(conn->stream);
    cancel(conn, &conn->timer); // the receive side is over, or hears of it now
    nmq_link_relieve(&conn->link, 0, true);
}

static void
count_sent(nmq_conn *conn, uint64_t bytes)
{
    (void) __atomic_add_fetch(&conn->conns->router->counters.bytes_out, bytes,
                              __ATOMIC_RELAXED);
}

// Sends until all is sent or the transport takes its time. Gives the send's reference back.
static void
send_on(nmq_conn *conn)
{
    nmq_bytes parts[NMQ_OUTBOX_PARTS];

    for (;;) {
        unsigned n = nmq_outbox_parts(&conn->sending, parts);
        if (n == 0) {
            if (next_load(conn)) {
                continue;
            }
            sends_done(conn);
            break;
        }
        (void) nmq_link_ref(
            &conn->link); // on_sent may come, and end it all, before send ends
        int64_t taken = conn->stream->ops->send(conn->stream, parts, n);
        nmq_link_unref(&conn->link);
        if (taken == 0) {
            return; // on_sent goes on
        }
        if (taken < 0) {
            send_failed(conn);
            break;
        }
        count_sent(conn, (uint64_t) taken);
        nmq_outbox_advance(&conn->sending, (size_t) taken);
    }
    nmq_link_unref(&conn->link);
}

static void
on_sent(void *arg, int status, size_t count)
{
    nmq_conn *conn = arg;

    if (status != NMQ_OK) {
        send_failed(conn);
        nmq_link_unref(&conn->link);
        return;
    }
    count_sent(conn, count);
    nmq_outbox_advance(&conn->sending, count);
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->link.sending_bytes = conn->sending.total;
    (void) pthread_mutex_unlock(&conn->link.lock);
    send_on(conn);
}

// Starts the send side if it rests. `from_batch`: the link leaves that batch's list, and so
// may enter another; nobody else may say so.
static void
start_sending(nmq_conn *conn, bool from_batch)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    link->flush_due = link->flush_due && !from_batch;
    bool start = !conn->is_sending && (link->outbox.total > 0 || conn->closing);
    if (start) {
        conn->is_sending = true;
        (void) nmq_link_ref(link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (start) {
        send_on(conn);
    }
}

static void
conn_flush(nmq_link *link)
{
    start_sending(conn_of(link), true);
}

static void
put_disconnect(nmq_conn *conn, uint8_t reason_code)
{
    uint8_t bytes[3] = {NMQ_DISCONNECT << 4, 1, reason_code};

    if (version_of(conn) == NMQ_V5 && conn->client != NULL) {
        (void) nmq_outbox_put(&conn->link.outbox, (nmq_bytes){bytes, sizeof bytes});
    }
}

static void
conn_disconnect(nmq_link *link, uint8_t reason_code)
{
    nmq_conn *conn = conn_of(link);

    (void) pthread_mutex_lock(&link->lock);
    bool asking = conn->asking;
    bool first = !conn->closing && !asking;
    if (first) {
        conn->closing = true;
        link->closed = true;
        put_disconnect(conn, reason_code); // [MQTT-3.14.0-1]: after CONNACK only
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (asking) {
        (void) nmq_conns_answer(conn->conns, conn->number, reason_code);
    }
    if (first) {
        arm(conn, nmq_clock_now_ms() + LINGER_MS);
        start_sending(conn, false);
    }
}

// --- the receive side --------------------------------------------------------------------

// The end of the receive side; `lost` when the peer is gone and what waits has no receiver.
static void
conn_end(nmq_conn *conn, bool lost)
{
    nmq_conns *conns = conn->conns;
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&conns->lock);
    (void) nmq_map_del(&conns->by_number, number_key(conn));
    (void) pthread_mutex_unlock(&conns->lock);
    (void) pthread_mutex_lock(&link->lock);
    conn->closing = true;
    link->closed = true;
    (void) pthread_mutex_unlock(&link->lock);
    nmq_link_relieve(link, 0, true);
    cancel(conn, &link->hold_timer);
    if (conn->client != NULL) {
        nmq_registry_detach(conns->router, conn->client, link, conn->send_will);
    }
    nmq_buf_free(&conn->in);
    if (lost) {
        conn->stream->ops->close(conn->stream);
        cancel(conn, &conn->timer);
    } else {
        arm(conn, nmq_clock_now_ms() + LINGER_MS);
        start_sending(conn, false);
    }
    nmq_link_unref(link); // the receive side's
}

// Chooses the buffer for the next read: small while idle, doubled while reads fill it. A
// packet that has begun gets its whole size at once: what is not written to yet costs no
// memory. A large buffer stays while reads make use of it.
static int
prepare_in(nmq_conn *conn)
{
    nmq_buf *in = &conn->in;
    size_t size = 0;
    size_t want = conn->in_cap_next;

    if (in->len > 0) {
        (void) nmq_decode_size((nmq_bytes){in->at, in->len}, &size);
        want = size > want ? size : want;
    }
    if (in->cap == want || (in->cap > want && (in->len > 0 || conn->quiet_reads == 0))) {
        return NMQ_OK;
    }
    uint8_t *at = nmq_resize(in->at, want);
    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    in->at = at;
    in->cap = want;
    return NMQ_OK;
}

static void
post_recv(nmq_conn *conn)
{
    if (prepare_in(conn) != NMQ_OK) {
        conn_end(conn, true);
        return;
    }
    (void) nmq_link_ref(&conn->link); // on_recv may come, and end it all, before recv ends
    conn->stream->ops->recv(conn->stream, conn->in.at + conn->in.len,
                            conn->in.cap - conn->in.len);
    nmq_link_unref(&conn->link);
}

static void
adapt_in(nmq_conn *conn, size_t count)
{
    if (conn->in.len == conn->in.cap) {
        conn->quiet_reads = 0;
        if (conn->in_cap_next < IN_CAP_MAX) {
            conn->in_cap_next *= 2;
        }
    } else if (count < conn->in.cap / 4) {
        if (++conn->quiet_reads % QUIET_READS == 0 && conn->in_cap_next > IN_CAP_MIN) {
            conn->in_cap_next /= 2;
        }
    } else {
        conn->quiet_reads = 0;
    }
}

static void
on_recv(void *arg, int status, size_t count)
{
    nmq_conn *conn = arg;

    if (status != NMQ_OK || count == 0) {
        conn_end(conn, true);
        return;
    }
    (void) __atomic_add_fetch(&conn->conns->router->counters.bytes_in, count,
                              __ATOMIC_RELAXED);
    conn->in.len += count;
    adapt_in(conn, count);
    conn_process(conn);
}

static void
conn_resume(nmq_link *link)
{
    post_recv(conn_of(link));
}

int
nmq_conn_put(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    int rv = conn->link.closed ? NMQ_OK : nmq_outbox_put(&conn->link.outbox, bytes);
    nmq_batch_touch(batch, &conn->link);
    (void) pthread_mutex_unlock(&conn->link.lock);
    return rv;
}

// Reads one packet at `at`. Returns what to do next; *taken is 0 when it is not whole.
static enum nmq_next
one_packet(nmq_conn *conn, nmq_batch *batch, nmq_bytes rest, size_t *taken)
{
    nmq_packet packet;
    size_t size = 0;
    int header = nmq_decode_size(rest, &size);

    *taken = 0;
    if (header < 0) {
        return nmq_conn_refuse(conn, batch, NMQ_RC_MALFORMED_PACKET);
    }
    // The first byte alone tells a stranger: no waiting for more of it.
    uint8_t type = rest.at[0] >> 4;
    uint8_t reason = conn->state == NMQ_CONN_DECIDING
                         ? NMQ_RC_SUCCESS
                         : nmq_conn_state_check(conn->state, type);
    if (reason != NMQ_RC_SUCCESS) {
        return nmq_conn_refuse(conn, batch, reason);
    }
    if (header == 0) {
        return NMQ_NEXT_PACKET;
    }
    if (size >
        conn->conns->options->packet_max_bytes) { // [MQTT-3.2.2-15]: before it is read
        return nmq_conn_refuse(conn, batch, NMQ_RC_PACKET_TOO_LARGE);
    }
    if (size > rest.len) {
        return NMQ_NEXT_PACKET;
    }
    packet.connect.version = 0; // set as soon as it is known, for the refusal
    int got = nmq_decode(rest, conn->version, &packet);
    if (got < 0) {
        if (conn->version == 0 && packet.connect.version == NMQ_V5) {
            __atomic_store_n(&conn->version, NMQ_V5, __ATOMIC_RELAXED);
        }
        return nmq_conn_refuse(conn, batch, (uint8_t) -got);
    }
    *taken = (size_t) got;
    return nmq_conn_handle(conn, batch, &packet);
}

static enum nmq_next
all_packets(nmq_conn *conn, nmq_batch *batch)
{
    enum nmq_next next = NMQ_NEXT_PACKET;
    size_t at = 0;
    size_t taken = 0;

    while (at < conn->in.len) {
        next = one_packet(conn, batch, (nmq_bytes){conn->in.at + at, conn->in.len - at},
                          &taken);
        if (next != NMQ_NEXT_PACKET || taken == 0) {
            break;
        }
        at += taken;
    }
    conn->in.len -= at;
    if (conn->in.len > 0 && at > 0) {
        memmove(conn->in.at, conn->in.at + at, conn->in.len);
    }
    if (at > 0) {
        __atomic_store_n(&conn->last_packet_ms, batch->now_ms, __ATOMIC_RELAXED);
    }
    return next;
}

// Waits for the subscriber that the batch found over its bound. After it returns true the
// connection may already read on in another thread.
static bool
hold(nmq_conn *conn, nmq_link *congested, int64_t now_ms)
{
    const nmq_limits *limits = &conn->conns->router->limits;
    nmq_clock *clock =
        conn->conns->router->clock; // the connection may be gone further down
    bool first = false;

    if (congested == NULL) {
        return false;
    }
    if (congested == &conn->link) {
        // Waiting for its own acknowledgements would wait for ever.
        (void) pthread_mutex_lock(&congested->lock);
        bool bytes = nmq_link_backlog(congested) > limits->outbox_max_bytes;
        (void) pthread_mutex_unlock(&congested->lock);
        if (!bytes) {
            return false;
        }
    }
    bool held = nmq_link_hold(congested, &conn->link, limits->outbox_max_bytes, &first);
    if (first) {
        congested->hold_timer.fire = fire_hold;
        (void) nmq_link_ref(congested);
        if (!nmq_clock_arm(clock, &congested->hold_timer, now_ms + limits->hold_ms)) {
            nmq_link_unref(congested);
        }
    }
    return held;
}

// Counts and settles what one batch did. A peer that does not read its own answers is
// waited for like any other. Returns whether it is past waiting for.
static bool
settle(nmq_conn *conn, nmq_batch *batch)
{
    const nmq_router *router = conn->conns->router;
    size_t max = router->limits.outbox_max_bytes;
    nmq_link *link = &conn->link;

    if (conn->messages_in > 0) {
        (void) __atomic_add_fetch(&conn->conns->router->counters.messages_in,
                                  conn->messages_in, __ATOMIC_RELAXED);
        (void) __atomic_add_fetch(&conn->client->messages_received, conn->messages_in,
                                  __ATOMIC_RELAXED);
        conn->messages_in = 0;
    }
    (void) pthread_mutex_lock(&link->lock);
    bool relieve = conn->acked && (link->held != NULL || link->stuck);
    bool deaf = nmq_link_backlog(link) > max * BACKLOG_FACTOR && link->stuck;
    if (batch->congested == NULL && nmq_link_backlog(link) > max) {
        batch->congested = nmq_link_ref(link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    conn->acked = false;
    if (relieve) {
        nmq_link_relieve(link, max, false);
    }
    return deaf;
}

// Puts the question of the CONNECT at the front of the input to Python, as the last thing
// the receive side does: the answer may come before this returns.
static void
ask(nmq_conn *conn)
{
    nmq_packet packet;
    nmq_buf text = {0};

    (void) nmq_decode((nmq_bytes){conn->in.at, conn->in.len}, 0, &packet); // it did before
    const nmq_connect *c = &packet.connect;
    const nmq_bytes texts[3] = {c->client_id, c->user_name, c->password};
    const bool has[3] = {true, c->has_user_name, c->has_password};
    bool put = true;
    // Three times a length (UINT32_MAX: absent) and the bytes; nmq_event_auth reads it.
    for (int i = 0; i < 3 && put; i++) {
        uint32_t len = has[i] ? (uint32_t) texts[i].len : UINT32_MAX;
        put =
            nmq_buf_put(&text, (nmq_bytes){(const uint8_t *) &len, sizeof len}) == NMQ_OK &&
            (!has[i] || nmq_buf_put(&text, texts[i]) == NMQ_OK);
    }
    uint64_t number = conn->number;
    nmq_conns *conns = conn->conns;
    nmq_conn_set_idle(conn, conns->options->answer_timeout_ms);
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->asking = true;
    (void) pthread_mutex_unlock(&conn->link.lock);
    nmq_event event = {.kind = NMQ_EVENT_AUTH, .number = number};
    put = put && nmq_event_put(conns->router, &event, (nmq_bytes){text.at, text.len});
    if (text.at != NULL) {
        explicit_bzero(text.at, text.cap);
    }
    nmq_buf_free(&text);
    if (!put) {
        (void) nmq_conns_answer(conns, number, NMQ_RC_SERVER_BUSY);
    }
}

static void
conn_process(nmq_conn *conn)
{
    nmq_router *router = conn->conns->router;
    nmq_batch batch;

    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        conn_end(conn, false);
        return;
    }
    nmq_batch_begin(&batch, router, nmq_clock_now_ms());
    enum nmq_next next = all_packets(conn, &batch);
    nmq_batch_end(&batch);
    bool deaf = settle(conn, &batch);
    nmq_link *congested = batch.congested;
    if (deaf) {
        nmq_log_write(&router->log, NMQ_LOG_WARNING, "%s: closed, it does not read",
                      conn->peer);
        conn_end(conn, true);
    } else if (next == NMQ_NEXT_END) {
        conn_end(conn, false);
    } else if (next == NMQ_NEXT_WAIT) {
        ask(conn);
    } else if (!hold(conn, congested, batch.now_ms)) {
        post_recv(conn);
    }
    nmq_link_unref(congested);
}

// --- questions ---------------------------------------------------------------------------

int
nmq_conns_answer(nmq_conns *conns, uint64_t number, uint8_t reason_code)
{
    nmq_bytes key = {(const uint8_t *) &number, sizeof number};
    bool mine = false;

    (void) pthread_mutex_lock(&conns->lock);
    nmq_conn *conn = nmq_map_get(&conns->by_number, key);
    if (conn != NULL) {
        (void) nmq_link_ref(&conn->link);
    }
    (void) pthread_mutex_unlock(&conns->lock);
    if (conn == NULL) {
        return NMQ_ENOENT;
    }
    (void) pthread_mutex_lock(&conn->link.lock);
    mine = conn->asking; // whoever takes it back is the receive side now
    conn->asking = false;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (mine) {
        conn->answered = true;
        conn->answer = reason_code;
        conn_process(conn);
    }
    nmq_link_unref(&conn->link);
    return mine ? NMQ_OK : NMQ_ENOENT;
}

// --- birth and death ---------------------------------------------------------------------

static void
conn_free(nmq_link *link)
{
    nmq_conn *conn = conn_of(link);
    nmq_conns *conns = conn->conns;

    nmq_client_unref(conn->client);
    conn->stream->ops->free(conn->stream);
    nmq_outbox_reset(&conn->sending, 0);
    nmq_buf_free(&conn->in);
    nmq_link_fini(link);
    nmq_free(conn);
    (void) __atomic_sub_fetch(&conns->router->counters.connections_open, 1,
                              __ATOMIC_RELAXED);
    (void) pthread_mutex_lock(&conns->lock);
    if (--conns->open == 0) {
        (void) pthread_cond_broadcast(&conns->freed);
    }
    (void) pthread_mutex_unlock(&conns->lock);
}

// Adds the connection to the set; false when none is taken any more or memory is out.
static bool
enter(nmq_conns *conns, nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conns->lock);
    conn->number = ++conns->next_number;
    bool in =
        !conns->closing && nmq_map_put(&conns->by_number, number_key(conn), conn) == NMQ_OK;
    conns->open++;
    (void) pthread_mutex_unlock(&conns->lock);
    (void) __atomic_add_fetch(&conns->router->counters.connections_open, 1,
                              __ATOMIC_RELAXED);
    (void) __atomic_add_fetch(&conns->router->counters.connections_accepted, 1,
                              __ATOMIC_RELAXED);
    return in;
}

void
nmq_conn_accept(void *arg, nmq_stream *stream)
{
    nmq_conns *conns = arg;
    nmq_conn *conn = nmq_zalloc(sizeof *conn);

    if (conn == NULL) {
        stream->ops->close(stream);
        stream->ops->free(stream);
        return;
    }
    nmq_link_init(&conn->link, &link_ops);
    conn->conns = conns;
    conn->stream = stream;
    conn->in_cap_next = IN_CAP_MIN;
    conn->send_will = true;
    conn->timer.fire = fire_timer;
    stream->on_recv = on_recv;
    stream->on_sent = on_sent;
    stream->arg = conn;
    stream->ops->peer(stream, conn->peer, sizeof conn->peer);
    if (!enter(conns, conn)) {
        stream->ops->close(stream);
        nmq_link_unref(&conn->link);
        return;
    }
    nmq_conn_set_idle(conn, conns->options->connect_timeout_ms);
    post_recv(conn);
}

void
nmq_conns_init(nmq_conns *conns, nmq_router *router, const nmq_options *options)
{
    *conns = (nmq_conns){.router = router, .options = options};
    (void) pthread_mutex_init(&conns->lock, NULL);
    (void) pthread_cond_init(&conns->freed, NULL);
}

// References to all connections; NULL when memory is out or there is none.
static nmq_conn **
all_conns(nmq_conns *conns, size_t *count)
{
    nmq_conn **all = nmq_alloc(conns->by_number.count * sizeof *all);

    *count = 0;
    for (size_t i = 0; all != NULL && i < conns->by_number.cap; i++) {
        nmq_conn *conn = conns->by_number.slots[i].value;
        if (conn != NULL) {
            (void) nmq_link_ref(&conn->link);
            all[(*count)++] = conn;
        }
    }
    return all;
}

static bool
wait_freed(nmq_conns *conns, uint32_t timeout_ms)
{
    struct timespec until;
    int rv = 0;

    (void) clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long) (timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void) pthread_mutex_lock(&conns->lock);
    while (conns->open > 0 && rv == 0) {
        rv = pthread_cond_timedwait(&conns->freed, &conns->lock, &until);
    }
    bool done = conns->open == 0;
    (void) pthread_mutex_unlock(&conns->lock);
    return done;
}

void
nmq_conns_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms)
{
    size_t count;

    for (int hard = 0; hard < 2; hard++) {
        (void) pthread_mutex_lock(&conns->lock);
        conns->closing = true;
        nmq_conn **all = all_conns(conns, &count);
        (void) pthread_mutex_unlock(&conns->lock);
        for (size_t i = 0; i < count; i++) {
            conn_disconnect(&all[i]->link, reason_code);
            if (hard) {
                all[i]->stream->ops->close(all[i]->stream);
                nmq_link_relieve(&all[i]->link, 0, true);
            }
            nmq_link_unref(&all[i]->link);
        }
        nmq_free(all);
        if (wait_freed(conns, hard ? LINGER_MS * 2 : timeout_ms)) {
            return;
        }
    }
}

void
nmq_conns_fini(nmq_conns *conns)
{
    nmq_map_free(&conns->by_number);
    (void) pthread_cond_destroy(&conns->freed);
    (void) pthread_mutex_destroy(&conns->lock);
}
