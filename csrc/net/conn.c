// conn.c - the receive side: from the stream to the packets, one batch a read.
#include "net/conn_linger.h"
#include "net/conn_log.h"

#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/deliver.h"

enum {
    IN_CAP_MAX = 1 << 18,
    IN_CAP_STRANGER = 1 << 16, // before CONNECT is accepted
    IN_CAP_LEAST = 1 << 14,    // that any client may have under load
    IN_CAP_SHORT = 1 << 12,    // while memory is short, between packets
    IN_GROWTH = 4,
    IN_GRANT = 1 << 20,   // bytes given to a packet before they have come
    QUIET_READS = 8,      // reads of less than a quarter before the buffer shrinks
    OUT_BYTES = 16 << 20, // written to subscribers before they are flushed
};

void
nmq_conn_end(nmq_conn *conn, bool lost)
{
    nmq_conns *conns = conn->conns;
    nmq_link *link = &conn->link;

    nmq_conn_forget(conn);
    (void) pthread_mutex_lock(&link->lock);
    bool first = !conn->closing;
    conn->closing = true;
    link->closed = true;
    nmq_conn_log_ended(conn);
    (void) pthread_mutex_unlock(&link->lock);
    nmq_link_relieve(link, 0, true);
    nmq_link_wait *wait = __atomic_load_n(&link->wait, __ATOMIC_ACQUIRE);
    if (wait != NULL) {
        nmq_conn_cancel(conn, &wait->timer);
    }
    if (conn->client != NULL) {
        nmq_sessions_detach(conns->sessions, conn->client, link, conn->send_will);
        nmq_conn_leave_mount(conn);
    }
    nmq_buf_free(&conn->in);
    __atomic_store_n(&conn->held_in, 0, __ATOMIC_RELAXED);
    if (lost) {
        nmq_conn_close(conn);
        nmq_link_unref(link); // the receive side's
        return;
    }
    bool lingers = nmq_conn_begin_linger(conn);
    if (first) { // else nmq_conn_disconnect did: its peer gets no more time by sending
        nmq_conn_arm_end(conn);
    }
    nmq_conn_start_sending(conn, false);
    if (lingers) {
        nmq_conn_drop_more(conn);
    } else {
        nmq_link_unref(link); // the receive side's
    }
}

// The room that a packet which has begun needs, as far as it is granted now: a client that
// is in gets the whole of a small one; a stranger, or who announces a large one, gets twice
// what has come.
static size_t
room_for_packet(const nmq_conn *conn)
{
    const nmq_buf *in = &conn->in;
    size_t grant = conn->state == NMQ_CONN_OPEN ? IN_GRANT : 0;
    size_t size = 0;

    (void) nmq_decode_size((nmq_bytes){in->at, conn->plain}, &size);
    if (grant < 2 * in->len) {
        grant = 2 * in->len;
    }
    size += conn->ws != NULL ? NMQ_WS_RAW_BYTES : 0;
    return size < grant ? size : grant;
}

// How large the buffer for the next read shall be, or NMQ_ESHORT. While memory is short a
// packet that needs a large one waits.
static int
choose_in(const nmq_conn *conn, size_t *want)
{
    bool is_short = NMQ_LIVE(*conn->conns->memory) != NMQ_MEMORY_FINE;
    const nmq_buf *in = &conn->in;
    size_t room = conn->plain > 0 ? room_for_packet(conn) : 0;
    size_t least = conn->state == NMQ_CONN_OPEN ? IN_CAP_LEAST : IN_CAP_SHORT;

    *want = conn->in_cap_next;
    if (is_short && *want > in->cap && *want > IN_CAP_SHORT) {
        *want = in->cap > IN_CAP_SHORT ? in->cap : IN_CAP_SHORT;
    }
    if (room > *want) {
        *want = room;
    }
    // all that is there is raw, or the packet has just begun: some room will do
    bool full = in->len == in->cap;
    if (is_short && *want > in->cap && *want > least) {
        *want = in->cap > least ? in->cap : least;
        return full && in->cap >= least ? NMQ_ESHORT : NMQ_OK;
    }
    return NMQ_OK;
}

// Chooses the buffer for the next read: small while idle, four times as large after one
// that filled it. A large buffer stays while reads make use of it. Returns NMQ_OK,
// NMQ_ENOMEM or NMQ_ESHORT.
static int
prepare_in(nmq_conn *conn)
{
    nmq_buf *in = &conn->in;
    size_t want;
    int rv = choose_in(conn, &want);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (in->cap == want ||
        (in->cap > want && (in->len > 0 || conn->quiet_reads == 0 || in->cap / 2 < want))) {
        return NMQ_OK;
    }
    uint8_t *at = nmq_resize(in->at, want);
    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    in->at = at;
    in->cap = want;
    __atomic_store_n(&conn->held_in, (uint32_t) want, __ATOMIC_RELAXED);
    return NMQ_OK;
}

void
nmq_conn_post_recv(nmq_conn *conn)
{
    int rv = prepare_in(conn);

    if (rv == NMQ_ESHORT) {
        nmq_conn_wait_memory(conn);
        return;
    }
    if (rv != NMQ_OK) {
        nmq_conn_end(conn, true);
        return;
    }
    (void) nmq_link_ref(&conn->link); // on_recv may come, and end it all, before recv ends
    rv = conn->stream->ops->recv(conn->stream, conn->in.at + conn->in.len,
                                 conn->in.cap - conn->in.len);
    if (rv != NMQ_OK) {
        nmq_conn_end(conn, true);
    }
    nmq_link_unref(&conn->link);
}

// The largest buffer. One batch must not take a subscriber far over its bound.
static size_t
in_cap_max(const nmq_conn *conn)
{
    size_t part = NMQ_LIVE(conn->conns->options->outbox_max_bytes) / 4;

    if (conn->state != NMQ_CONN_OPEN) {
        return IN_CAP_STRANGER;
    }
    return part < IN_CAP_LEAST ? IN_CAP_LEAST : part < IN_CAP_MAX ? part : IN_CAP_MAX;
}

// After a read: what the buffer holds now tells how large the next one shall be.
static void
adapt_in(nmq_conn *conn)
{
    if (conn->in.len == conn->in.cap) {
        conn->quiet_reads = 0;
        if (conn->in_cap_next * IN_GROWTH <= in_cap_max(conn)) {
            conn->in_cap_next *= IN_GROWTH;
        }
    } else if (conn->in.len < conn->in.cap / 4) {
        if (++conn->quiet_reads % QUIET_READS == 0 && conn->in_cap_next > NMQ_CONN_IN_MIN) {
            conn->in_cap_next /= IN_GROWTH;
        }
    } else {
        conn->quiet_reads = 0;
    }
}

void
nmq_conn_on_recv(void *arg, nmq_worker *worker, int status, size_t count)
{
    nmq_conn *conn = arg;

    if (conn->drops_left > 0) {
        nmq_conn_dropped(conn, status, count);
        return;
    }
    if (status != NMQ_OK || count == 0) {
        nmq_conn_log_tls_refused(conn);
        nmq_conn_end(conn, true);
        return;
    }
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_BYTES_IN, count);
    conn->in.len += count;
    adapt_in(conn);
    nmq_conn_process(conn, worker);
}

void
nmq_conn_resume(nmq_link *link)
{
    nmq_conn *conn = nmq_conn_of(link);

    if (__atomic_load_n(&conn->is_held, __ATOMIC_RELAXED)) {
        // The silence was the broker's doing: it does not count against the keep alive.
        __atomic_store_n(&conn->last_packet_ms, nmq_clock_now_ms(), __ATOMIC_RELAXED);
        __atomic_store_n(&conn->is_held, false, __ATOMIC_RELEASE);
    }
    if (conn->unread) {
        nmq_conn_post_job(conn, NMQ_CONN_JOB_PACKETS);
    } else {
        nmq_conn_post_recv(conn);
    }
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
        return nmq_conn_refuse(
            conn, batch, (nmq_fault){NMQ_RC_MALFORMED_PACKET, "bad Remaining Length"});
    }
    // The first byte alone tells a stranger: no waiting for more of it.
    uint8_t type = rest.at[0] >> 4;
    uint8_t reason = nmq_conn_state_check(conn->state, type);
    if (reason != NMQ_RC_SUCCESS) {
        return nmq_conn_refuse(conn, batch,
                               (nmq_fault){reason, "a packet of a type not allowed now"});
    }
    if (header == 0) {
        return NMQ_NEXT_PACKET;
    }
    if (size > NMQ_CONN_SMALL &&
        !nmq_conn_takes_size(conn, size)) { // [MQTT-3.2.2-15]: before it is read
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, "a packet over Maximum Packet Size"});
    }
    if (size > rest.len) {
        return NMQ_NEXT_PACKET;
    }
    packet.connect.version = 0; // set as soon as it is known, for the refusal
    int got = nmq_decode_whole((nmq_bytes){rest.at, size}, (size_t) header, conn->version,
                               &packet);
    if (got < 0) {
        if (conn->version == 0 && packet.connect.version == NMQ_V5) {
            __atomic_store_n(&conn->version, NMQ_V5, __ATOMIC_RELAXED);
        }
        return nmq_conn_refuse(conn, batch, (nmq_fault){(uint8_t) -got, NULL});
    }
    enum nmq_next next = nmq_conn_handle(conn, batch, &packet);
    if (next == NMQ_NEXT_SHORT) {
        return next;
    }
    *taken = (size_t) got;
    batch->packets_in++;
    if (next == NMQ_NEXT_PACKET && nmq_conns_have_rate(conn->conns) &&
        !nmq_conn_pay(conn, size, type == NMQ_PUBLISH, batch->now_ms)) {
        return NMQ_NEXT_PAUSE;
    }
    return next;
}

// grew: more bytes of MQTT have come.
static enum nmq_next
all_packets(nmq_conn *conn, nmq_batch *batch, bool grew)
{
    enum nmq_next next = NMQ_NEXT_PACKET;
    size_t at = 0;
    size_t taken = 0;
    uint64_t written = 0;

    while (at < conn->plain) {
        uint64_t before = batch->messages_out;
        next = one_packet(conn, batch, (nmq_bytes){conn->in.at + at, conn->plain - at},
                          &taken);
        at += taken;
        if (next != NMQ_NEXT_PACKET || taken == 0) {
            break;
        }
        // a handler may have ended the batch, and begun another
        written +=
            batch->messages_out > before ? taken * (batch->messages_out - before) : 0;
        // thousands of subscribers: their outboxes take memory
        if (written >= OUT_BYTES || batch->work >= NMQ_BATCH_WORK) {
            next = NMQ_NEXT_YIELD;
            break;
        }
        if (nmq_worker_is_full(batch->worker, batch->messages_out)) {
            nmq_batch_end(batch);
            nmq_batch_again(batch);
        } else if (batch->work - batch->stay >= NMQ_LANE_WORK) {
            nmq_batch_breathe(batch);
        }
    }
    conn->in.len -= at;
    conn->plain -= at;
    if (conn->in.len > 0 && at > 0) {
        memmove(conn->in.at, conn->in.at + at, conn->in.len);
    }
    // A large packet on a slow line is no silence [MQTT-3.1.2-22]; before CONNECT is let in
    // only the whole of it counts.
    if (at > 0 || (grew && conn->state == NMQ_CONN_OPEN)) {
        __atomic_store_n(&conn->last_packet_ms, batch->now_ms, __ATOMIC_RELAXED);
    }
    return next;
}

// Waits for the subscriber that the batch found over its bound. After it returns true the
// connection may already read on in another thread.
static bool
hold(nmq_conn *conn, nmq_link *congested, int64_t now_ms)
{
    nmq_patience patience = nmq_deliver_patience(conn->conns->options, now_ms);
    bool first = false;

    if (congested == NULL) {
        return false;
    }
    __atomic_store_n(&conn->is_held, true, __ATOMIC_RELAXED);
    bool held = nmq_link_hold(congested, &conn->link, &patience, &first);
    if (first) {
        nmq_conn_arm(nmq_conn_of(congested), &congested->wait->timer,
                     now_ms + NMQ_LINK_LOOK_MS);
    }
    return held;
}

// Counts and settles what one batch did.
static void
settle(nmq_conn *conn, const nmq_batch *batch)
{
    nmq_router *router = conn->conns->router;
    nmq_counters *counters = router->counters;
    nmq_link *link = &conn->link;

    nmq_counters_add(counters, NMQ_COUNT_PACKETS_IN, batch->packets_in);
    if (batch->messages_in > 0) {
        nmq_counters_add(counters, NMQ_COUNT_PAYLOAD_IN, batch->payload_in);
        nmq_counters_add(counters, NMQ_COUNT_MESSAGES_IN, batch->messages_in);
        (void) __atomic_add_fetch(&conn->client->messages_received, batch->messages_in,
                                  __ATOMIC_RELAXED);
    }
    if (conn->acked) {
        (void) pthread_mutex_lock(&link->lock);
        bool relieve = link->stuck || (link->wait != NULL && link->wait->held != NULL);
        (void) pthread_mutex_unlock(&link->lock);
        if (relieve) {
            nmq_link_relieve(link, NMQ_LIVE(router->options->outbox_max_bytes), false);
        }
        conn->acked = false;
    }
}

// What the receive side does after a batch; it may be another thread's then.
static void
go_on(nmq_conn *conn, enum nmq_next next, nmq_batch *batch)
{
    int64_t now_ms = batch->now_ms;

    conn->unread = next == NMQ_NEXT_YIELD || next == NMQ_NEXT_PAUSE;
    if (next == NMQ_NEXT_END) {
        nmq_conn_end(conn, false);
    } else if (next == NMQ_NEXT_SHORT) {
        nmq_conn_wait_memory(conn);
    } else if (next == NMQ_NEXT_WAIT) {
        nmq_conn_post_question(conn);
    } else if (next == NMQ_NEXT_PAUSE && nmq_conn_wait_rate(conn, now_ms)) {
        return;
    } else if (nmq_conn_wait_for_itself(conn, now_ms) ||
               hold(conn, batch->congested, now_ms)) {
        return;
    } else {
        nmq_conn_resume(&conn->link);
    }
}

void
nmq_conn_process(nmq_conn *conn, nmq_worker *worker)
{
    nmq_conns *conns = conn->conns;
    nmq_router *router = conns->router;
    nmq_batch batch;

    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_conn_end(conn, false);
        return;
    }
    nmq_batch_begin(&batch, router, worker, nmq_clock_now_ms());
    enum nmq_next next =
        conn->answered ? nmq_conn_handle_answer(conn, &batch) : NMQ_NEXT_PACKET;
    if (next == NMQ_NEXT_PACKET) {
        size_t before = conn->plain;
        enum nmq_next then = nmq_conn_intake(conn, &batch);
        next = all_packets(conn, &batch, conn->plain > before);
        next = next == NMQ_NEXT_PACKET ? then : next;
    }
    nmq_batch_end(&batch);
    settle(conn, &batch);
    nmq_conns_relieve(conns); // perhaps of this one; it hears of it
    conn->short_ms = next == NMQ_NEXT_SHORT ? conn->short_ms : 0;
    go_on(conn, next, &batch);
    nmq_link_unref(batch.congested);
}
