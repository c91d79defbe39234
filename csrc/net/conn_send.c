// conn_send.c - the send side: from the outbox to the stream, and the close behind it.
#include "base/live.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/conn_linger.h"
#include "route/deliver.h"
#include "route/replay.h"

enum { OUTBOX_KEEP_BYTES = 0 }; // an idle connection holds no outbox

// The session has more than fitted: fills the outbox again. Returns whether a walk over
// retained messages has found nothing for so long that others have their turn.
static bool
pump(nmq_conn *conn, nmq_client *client)
{
    nmq_router *router = conn->conns->router;
    nmq_link *link = &conn->link;
    nmq_batch batch = {.router = router, .now_ms = nmq_clock_now_ms()};
    bool yields = false;

    (void) pthread_mutex_lock(&client->lock);
    (void) pthread_mutex_lock(&link->lock);
    link->pump_due = false;
    if (client->link == link && !link->closed) {
        nmq_session *session = client->session;
        int rv =
            nmq_session_pump(session, &link->outbox,
                             NMQ_LIVE(router->options->outbox_max_bytes), batch.now_ms);
        if (rv == NMQ_OK && session->owed != NULL) {
            yields = nmq_replay_pump(&batch, client, link) && link->outbox.total == 0;
            nmq_counters_add(router->counters, NMQ_COUNT_MESSAGES_DROPPED,
                             batch.messages_dropped);
        }
        if (rv == NMQ_OK) {
            nmq_deliver_note(session, link);
        }
        nmq_client_count_sent(client, router->counters);
    }
    (void) pthread_mutex_unlock(&link->lock);
    (void) pthread_mutex_unlock(&client->lock);
    return yields;
}

static void
count_packets(nmq_conn *conn)
{
    nmq_counters *counters = conn->conns->counters;

    nmq_counters_add(counters, NMQ_COUNT_PACKETS_OUT, conn->sending.packets);
    if (conn->sending.payloads > 0) {
        nmq_counters_add(counters, NMQ_COUNT_PAYLOAD_OUT, conn->sending.payloads);
    }
}

enum { LOAD_NONE, LOAD_TAKEN, LOAD_LATER };

// Takes the next load from the outbox, or ends the send side: LOAD_LATER, when a job goes
// on with it. Returns one of those, or NMQ_ENOMEM.
static int
next_load(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    for (;;) {
        (void) pthread_mutex_lock(&link->lock);
        nmq_outbox_reset(&conn->sending, OUTBOX_KEEP_BYTES);
        link->sending_bytes = link->sending_loose = link->sending_answers = 0;
        size_t load = link->outbox.total;
        int rv = nmq_conn_wrap(conn, conn->closing && load == 0);
        bool more = load > 0 || nmq_conn_prefix(conn).len > 0;
        bool wants_pump = !more && link->pump_due && conn->client != NULL && !link->closed;
        nmq_client *client = conn->client;
        if (load > 0 && rv == NMQ_OK) {
            nmq_outbox empty = conn->sending;
            conn->sending = link->outbox;
            link->outbox = empty;
            link->sending_bytes = conn->sending.total;
            link->sending_loose = conn->sending.loose;
            link->sending_answers = conn->sending.answers;
            count_packets(conn);
        } else if (!more && !wants_pump) {
            conn->is_sending = false;
        }
        (void) pthread_mutex_unlock(&link->lock);
        if (rv != NMQ_OK || !wants_pump) {
            return rv != NMQ_OK ? rv : more ? LOAD_TAKEN : LOAD_NONE;
        }
        if (pump(conn, client)) {
            (void) pthread_mutex_lock(&link->lock);
            conn->is_sending = false;
            (void) pthread_mutex_unlock(&link->lock);
            nmq_conn_post_job(conn, NMQ_CONN_JOB_SEND);
            return LOAD_LATER;
        }
    }
}

// After the last byte: whoever waited goes on; a connection that was to close does.
static void
sends_done(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    bool relieve = link->stuck || (link->wait != NULL && link->wait->held != NULL);
    bool close = conn->closing && !conn->is_sending;
    bool lingers = conn->lingers;
    (void) pthread_mutex_unlock(&link->lock);
    if (relieve) {
        nmq_link_relieve(link, NMQ_LIVE(conn->conns->options->outbox_max_bytes), false);
    }
    if (close && lingers) {
        nmq_conn_finish(conn);
    } else if (close) {
        nmq_conn_close(conn);
    }
}

// The peer takes nothing more. What it sent before it went is still read, for a while.
static void
send_failed(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->closing;
    conn->is_sending = false;
    conn->link.closed = true;
    conn->link.sending_bytes = conn->link.sending_loose = 0;
    conn->link.sending_answers = 0;
    nmq_outbox_reset(&conn->sending, 0);
    nmq_outbox_reset(&conn->link.outbox, 0);
    nmq_conn_advance_prefix(conn, SIZE_MAX);
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_conn_close(conn); // the receive side is over, or hears of it now
    } else {
        nmq_conn_arm_end(conn);
    }
    nmq_link_relieve(&conn->link, 0, true);
    nmq_conn_answered_all(conn, true);
}

// What of it has gone out.
static void
advance(nmq_conn *conn, size_t count)
{
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_BYTES_OUT, count);
    nmq_link_moved(&conn->link, count, nmq_clock_now_ms());
    nmq_outbox_advance(&conn->sending, count - nmq_conn_advance_prefix(conn, count));
}

static unsigned
next_parts(const nmq_conn *conn, nmq_bytes parts[NMQ_OUTBOX_PARTS])
{
    nmq_bytes prefix = nmq_conn_prefix(conn);
    unsigned n = prefix.len > 0;

    parts[0] = prefix;
    return n + nmq_outbox_parts(&conn->sending, parts + n, NMQ_OUTBOX_PARTS - n);
}

// Sends until all is sent or the transport takes its time. Gives the send's reference back.
static void
send_on(nmq_conn *conn)
{
    nmq_bytes parts[NMQ_OUTBOX_PARTS];

    for (;;) {
        unsigned n = next_parts(conn, parts);
        if (n == 0) {
            int rv = next_load(conn);
            if (__atomic_load_n(&conn->waits_for_itself, __ATOMIC_RELAXED)) {
                nmq_conn_answered_all(conn, false);
            }
            if (rv == LOAD_TAKEN) {
                continue;
            }
            if (rv == LOAD_NONE) {
                sends_done(conn);
            } else if (rv < 0) {
                send_failed(conn);
            }
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
        advance(conn, (size_t) taken);
    }
    nmq_link_unref(&conn->link);
}

void
nmq_conn_on_sent(void *arg, int status, size_t count)
{
    nmq_conn *conn = arg;

    if (status != NMQ_OK) {
        send_failed(conn);
        nmq_link_unref(&conn->link);
        return;
    }
    advance(conn, count);
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->link.sending_bytes = conn->sending.total;
    (void) pthread_mutex_unlock(&conn->link.lock);
    send_on(conn);
}

void
nmq_conn_start_sending(nmq_conn *conn, bool from_batch)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    link->flush_due = link->flush_due && !from_batch;
    bool start = !conn->is_sending && (link->outbox.total > 0 || conn->closing ||
                                       link->pump_due || nmq_conn_has_reply(conn));
    if (start) {
        conn->is_sending = true;
        (void) nmq_link_ref(link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (start) {
        send_on(conn);
    }
}

void
nmq_conn_flush(nmq_link *link)
{
    nmq_conn_start_sending(nmq_conn_of(link), true);
}

static void
put_disconnect(nmq_conn *conn, uint8_t reason_code)
{
    uint8_t bytes[3] = {NMQ_DISCONNECT << 4, 1, reason_code};

    if (nmq_conn_version(conn) == NMQ_V5 && conn->client != NULL) {
        (void) nmq_outbox_put(&conn->link.outbox, (nmq_bytes){bytes, sizeof bytes});
        if (reason_code != NMQ_RC_KEEP_ALIVE_TIMEOUT) { // who is silent is not writing
            nmq_conn_let_linger(conn);
        }
    }
}

void
nmq_conn_disconnect(nmq_link *link, uint8_t reason_code)
{
    nmq_conn *conn = nmq_conn_of(link);

    (void) pthread_mutex_lock(&link->lock);
    bool asking = conn->asking;
    bool first = !conn->closing && !asking;
    if (first) {
        conn->closing = true;
        link->closed = true;
        nmq_conn_note_end(conn, (nmq_fault){reason_code, NULL});
        put_disconnect(conn, reason_code); // [MQTT-3.14.0-1]: after CONNACK only
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (asking) {
        (void) nmq_conns_answer(
            conn->conns, &(nmq_answer){.number = conn->number, .reason_code = reason_code});
    }
    if (first) {
        nmq_conn_arm_end(conn);
        nmq_conn_start_sending(conn, false);
        nmq_conn_hurry(conn);
        nmq_conn_answered_all(conn, true);
    }
}
