#include "net/recv.h"

#include <string.h>

#include "base/container.h"
#include "base/live.h"
#include "base/status.h"
#include "mqtt/decode.h"
#include "mqtt/reason.h"
#include "net/commit.h"
#include "net/conn_log.h"
#include "net/conns.h"
#include "net/in_buffer.h"
#include "net/intake.h"
#include "net/linger.h"
#include "net/memory.h"
#include "net/park.h"
#include "net/rate.h"
#include "net/send.h"
#include "net/slow.h"
#include "route/held.h"

enum { OUT_BYTES = 16 << 20 }; // written to subscribers before they are flushed

void
nmq_recv_end(nmq_conn *conn, bool lost)
{
    nmq_conns *conns = conn->conns;
    nmq_link *link = &conn->link;

    nmq_conns_remove(conn);
    (void) pthread_mutex_lock(&link->lock);
    bool first = nmq_conn_begin_close(conn);
    nmq_conn_log_ended(conn);
    (void) pthread_mutex_unlock(&link->lock);
    nmq_link_relieve(link, 0, true);
    nmq_held_end(link);
    nmq_link_wait *wait = __atomic_load_n(&link->wait, __ATOMIC_ACQUIRE);
    if (wait != NULL) {
        nmq_conn_cancel(conn, &wait->timer);
    }
    conns->role->closed(conn);
    nmq_in_buffer_free(conn);
    if (lost) {
        nmq_conn_set_recv(conn, NMQ_RECV_OVER);
        nmq_linger_close(conn);
        nmq_link_unref(link); // the receive side's
        return;
    }
    bool lingers = nmq_linger_begin(conn);
    nmq_conn_set_recv(conn, lingers ? NMQ_RECV_LINGERING : NMQ_RECV_OVER);
    if (first) { // else nmq_send_disconnect did: its peer gets no more time by sending
        nmq_linger_arm(conn);
    }
    nmq_send_start(conn);
    if (lingers) {
        nmq_linger_drop_more(conn);
    } else {
        nmq_link_unref(link); // the receive side's
    }
}

void
nmq_recv_read(nmq_conn *conn)
{
    int rv = nmq_in_buffer_prepare(conn);

    if (rv == NMQ_ESHORT) {
        nmq_memory_wait(conn);
        nmq_park_rest(conn);
        return;
    }
    if (rv != NMQ_OK) {
        nmq_recv_end(conn, true);
        return;
    }
    (void) nmq_link_ref(&conn->link); // on_recv may come, and end it all, before recv ends
    nmq_conn_set_recv(conn, NMQ_RECV_READING);
    rv = conn->stream->ops->recv(conn->stream, conn->in.at + conn->in.len,
                                 conn->in.cap - conn->in.len);
    if (rv != NMQ_OK) {
        nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
        nmq_recv_end(conn, true);
    }
    nmq_link_unref(&conn->link);
}

// Posts no job for most: hundreds may have waited for one subscriber.
void
nmq_recv_resume(nmq_link *link)
{
    nmq_conn *conn = nmq_conn_of(link);

    if (nmq_park_end_here(conn, NMQ_PARK_SLOW)) {
        nmq_recv_read(conn);
    }
}

// After a batch: handles the rest of what has come, or reads more.
static void
read_on(nmq_conn *conn)
{
    if (conn->has_packets) {
        nmq_park_yield(conn);
    } else {
        nmq_recv_read(conn);
    }
}

// Ends the connection for a packet that may not come, or cannot be read. `packet` may be
// NULL.
static enum nmq_next
refuse(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet, uint8_t code,
       const char *why)
{
    return conn->conns->role->refuse(conn, batch, packet, (nmq_fault){code, why});
}

// Whether the packet was not handled, and is handled later.
static bool
comes_again(enum nmq_next next)
{
    return next == NMQ_NEXT_SHORT || next == NMQ_NEXT_FULL || next == NMQ_NEXT_LATER;
}

// Decodes one packet and has the role handle it.
static enum nmq_next
whole_packet(nmq_conn *conn, nmq_batch *batch, nmq_bytes bytes, size_t header)
{
    nmq_packet packet;

    packet.connect.version = 0; // set as soon as it is known, for the refusal
    int got = nmq_decode_whole(bytes, header, conn->version, &packet);
    if (got < 0) {
        return refuse(conn, batch, &packet, (uint8_t) -got, NULL);
    }
    enum nmq_next next = conn->conns->role->packet[packet.type](conn, batch, &packet);
    if (!comes_again(next)) {
        nmq_batch_count(batch, nmq_packet_kind_of(bytes.at[0]));
    }
    return next;
}

// Reads one packet. Returns what to do next; *taken is 0 when it is not whole.
static enum nmq_next
one_packet(nmq_conn *conn, nmq_batch *batch, nmq_bytes rest, size_t *taken)
{
    size_t size = 0;
    int header = nmq_decode_size(rest, &size);

    *taken = 0;
    if (header < 0) {
        return refuse(conn, batch, NULL, NMQ_RC_MALFORMED_PACKET, "bad Remaining Length");
    }
    // The first byte shows a packet that may not come: do not wait for its rest.
    uint8_t type = rest.at[0] >> 4;
    if ((conn->packet_types >> type & 1) == 0) {
        return refuse(conn, batch, NULL, NMQ_RC_PROTOCOL_ERROR,
                      "a packet of a type not allowed now");
    }
    if (header == 0) {
        return NMQ_NEXT_PACKET;
    }
    if (size > NMQ_CONN_SMALL &&
        !conn->conns->role->takes_size(conn, size)) { // [MQTT-3.2.2-15]: before it is read
        return refuse(conn, batch, NULL, NMQ_RC_PACKET_TOO_LARGE,
                      "a packet over Maximum Packet Size");
    }
    if (size > rest.len) {
        return NMQ_NEXT_PACKET;
    }
    enum nmq_next next =
        whole_packet(conn, batch, (nmq_bytes){rest.at, size}, (size_t) header);
    if (comes_again(next)) {
        return next;
    }
    *taken = size;
    if (next == NMQ_NEXT_PACKET && nmq_rate_is_on(conn) &&
        !nmq_rate_pay(conn, size, type == NMQ_PUBLISH, batch->now_ms)) {
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
        } else if (batch->work - batch->work_before >= NMQ_LANE_WORK) {
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
    if (at > 0 || (grew && !nmq_conn_is_stranger(conn))) {
        __atomic_store_n(&conn->last_packet_ms, batch->now_ms, __ATOMIC_RELAXED);
    }
    return next;
}

// Counts and settles what one batch did.
static void
settle(nmq_conn *conn, const nmq_batch *batch)
{
    nmq_router *router = conn->conns->router;
    nmq_link *link = &conn->link;

    uint64_t packets = nmq_batch_add_in(batch);
    nmq_counters_add(router->counters, NMQ_COUNT_PAYLOAD_IN, batch->payload_in);
    if (conn->client != NULL) {
        nmq_client_count_in(conn->client, conn->uncounted, packets, batch->counts);
        conn->uncounted = 0;
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
    bool waits = next == NMQ_NEXT_ASK || next == NMQ_NEXT_LATER;

    if (next == NMQ_NEXT_END) {
        nmq_recv_end(conn, false);
        return;
    }
    conn->has_packets =
        next == NMQ_NEXT_YIELD || next == NMQ_NEXT_PAUSE || comes_again(next);
    conn->asked = next == NMQ_NEXT_ASK;
    if (next == NMQ_NEXT_SHORT) {
        nmq_memory_wait(conn);
        waits = true;
    } else if (next == NMQ_NEXT_PAUSE) {
        waits = nmq_rate_wait(conn, now_ms);
    }
    waits = nmq_slow_wait(conn, batch->congested, now_ms) || waits;
    if (batch->logged != 0 || next == NMQ_NEXT_FULL) {
        waits = nmq_commit_wait(conn, batch->logged, next == NMQ_NEXT_FULL) || waits;
    }
    if (waits) {
        nmq_park_rest(conn);
    } else {
        read_on(conn);
    }
}

static void
process(nmq_conn *conn, nmq_worker *worker)
{
    nmq_conns *conns = conn->conns;
    enum nmq_next next = NMQ_NEXT_PACKET;
    nmq_batch batch;

    if (nmq_conn_is_closing(conn)) {
        nmq_recv_end(conn, false);
        return;
    }
    nmq_batch_begin(&batch, conns->router, worker, nmq_clock_now_ms());
    if (__atomic_load_n(&conn->link.held, __ATOMIC_ACQUIRE) != NULL) {
        batch.logged = nmq_commit_behind(conn);
    }
    if (conn->asked) {
        next = conns->role->answered(conn, &batch);
    }
    if (next == NMQ_NEXT_PACKET) {
        size_t before = conn->plain;
        enum nmq_next then = nmq_intake_take(conn, &batch);
        next = all_packets(conn, &batch, conn->plain > before);
        next = next == NMQ_NEXT_PACKET ? then : next;
    }
    nmq_batch_end(&batch);
    settle(conn, &batch);
    nmq_memory_check(conns); // perhaps it cuts this one, which hears of it
    conn->short_ms = next == NMQ_NEXT_SHORT ? conn->short_ms : 0;
    go_on(conn, next, &batch);
    nmq_link_unref(batch.congested);
}

void
nmq_recv_run_job(nmq_job *job, nmq_worker *worker)
{
    nmq_conn *conn = NMQ_CONTAINER(job, nmq_conn, job);

    (void) pthread_mutex_lock(&conn->link.lock);
    unsigned what = conn->job_does;
    conn->job_does = 0;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if ((what & NMQ_JOB_SEND) != 0) {
        nmq_send_start(conn);
    }
    if ((what & NMQ_JOB_PACKETS) != 0) {
        nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
        process(conn, worker);
    }
    nmq_link_unref(&conn->link); // the job's
}

void
nmq_recv_on_recv(void *arg, nmq_worker *worker, int status, size_t count)
{
    nmq_conn *conn = arg;

    if (nmq_conn_recv(conn) == NMQ_RECV_LINGERING) {
        nmq_linger_dropped(conn, status, count);
        return;
    }
    nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
    if (status != NMQ_OK || count == 0) {
        nmq_conn_tell_tls_refused(conn);
        nmq_recv_end(conn, true);
        return;
    }
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_BYTES_IN, count);
    conn->uncounted += (uint32_t) count;
    conn->in.len += count;
    nmq_in_buffer_adapt(conn);
    process(conn, worker);
}
