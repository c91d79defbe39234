#include "net/send.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/linger.h"
#include "net/park.h"
#include "net/slow.h"
#include "net/wrap.h"
#include "route/deliver.h"
#include "route/durable.h"
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
            nmq_batch_add_rest(&batch);
        }
        if (rv == NMQ_OK) {
            nmq_deliver_note(session, link);
            nmq_durable_await(client, link);
        }
        nmq_client_count_fresh(client, router->counters);
    }
    (void) pthread_mutex_unlock(&link->lock);
    (void) pthread_mutex_unlock(&client->lock);
    return yields;
}

// Counts a load that is given to the transport. Call with link.lock.
static void
count_load(nmq_conn *conn)
{
    nmq_counters *counters = conn->conns->counters;

    nmq_counters_add(counters, NMQ_COUNT_PAYLOAD_OUT, conn->sending.payloads);
    if (conn->client != NULL) {
        nmq_client_count_out(conn->client, conn->sending.total, conn->sending.packets);
    }
}

// Counts what waits for a peer that does not take it at once. What is taken at once is not
// counted. Call with link.lock.
static void
count_waiting(nmq_conn *conn)
{
    size_t bytes = nmq_link_backlog(&conn->link);

    if (bytes != conn->held_out) {
        nmq_counters_add(conn->conns->counters, NMQ_COUNT_BUFFER_BYTES,
                         (uint64_t) bytes - conn->held_out);
        conn->held_out = bytes;
    }
}

// Makes the side idle. Returns false when the connection is to close: then what is left is
// sent first.
static bool
rest(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool rests = conn->send == NMQ_SEND_SENDING;
    if (rests) {
        nmq_conn_set_send(conn, NMQ_SEND_IDLE);
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    return rests;
}

enum {
    LOAD_TAKEN,
    LOAD_NONE,  // the send side rests
    LOAD_LATER, // it rests, and a job goes on with it
    LOAD_LAST,  // all is sent, and the connection is to close: the caller still sends
};

// Takes the next load from the outbox. Returns one of those, or NMQ_ENOMEM.
static int
next_load(nmq_conn *conn)
{
    nmq_link *link = &conn->link;

    for (;;) {
        (void) pthread_mutex_lock(&link->lock);
        nmq_outbox_reset(&conn->sending, OUTBOX_KEEP_BYTES);
        link->sending_bytes = link->sending_unkept = link->sending_answers = 0;
        size_t load = link->shut ? 0 : link->outbox.total;
        bool ends = conn->send == NMQ_SEND_ENDING;
        int rv = nmq_wrap_next(conn, ends && load == 0);
        bool more = load > 0 || nmq_wrap_prefix(conn).len > 0;
        bool wants_pump =
            !more && link->pump_due && conn->client != NULL && !link->closed && !link->shut;
        nmq_client *client = conn->client;
        if (load > 0 && rv == NMQ_OK) {
            nmq_outbox empty = conn->sending;
            conn->sending = link->outbox;
            link->outbox = empty;
            link->sending_bytes = conn->sending.total;
            link->sending_unkept = conn->sending.unkept;
            link->sending_answers = conn->sending.answers;
            count_load(conn);
        } else if (rv == NMQ_OK && !more && !wants_pump && !ends) {
            nmq_conn_set_send(conn, NMQ_SEND_IDLE);
        }
        if (load == 0 && conn->held_out > 0) {
            count_waiting(conn);
        }
        (void) pthread_mutex_unlock(&link->lock);
        if (rv != NMQ_OK || !wants_pump) {
            return rv != NMQ_OK ? rv : more ? LOAD_TAKEN : ends ? LOAD_LAST : LOAD_NONE;
        }
        if (pump(conn, client) && rest(conn)) {
            nmq_park_post_job(conn, NMQ_JOB_SEND);
            return LOAD_LATER;
        }
    }
}

// The last byte is sent: whoever waited goes on; a connection that was to close does.
static void
sends_done(nmq_conn *conn, bool last)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    bool relieve = link->stuck || (link->wait != NULL && link->wait->held != NULL);
    bool lingers = last && conn->lingers;
    if (last && !lingers) {
        nmq_conn_set_send(conn, NMQ_SEND_CLOSED);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (relieve) {
        nmq_link_relieve(link, NMQ_LIVE(conn->conns->options->outbox_max_bytes), false);
    }
    if (lingers) {
        nmq_linger_finish(conn);
    } else if (last) {
        nmq_linger_close(conn);
    }
}

// The peer takes nothing more. What it sent before it went is still read, for a while.
static void
send_failed(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = conn->send == NMQ_SEND_ENDING;
    nmq_conn_set_send(conn, closing ? NMQ_SEND_CLOSED : NMQ_SEND_FAILED);
    conn->link.closed = true;
    conn->link.sending_bytes = conn->link.sending_unkept = 0;
    conn->link.sending_answers = 0;
    nmq_outbox_reset(&conn->sending, 0);
    nmq_outbox_reset(&conn->link.outbox, 0);
    nmq_wrap_advance(conn, SIZE_MAX);
    count_waiting(conn);
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closing) {
        nmq_linger_close(conn); // the receive side is over, or hears of it now
    } else {
        nmq_linger_arm(conn);
    }
    nmq_link_relieve(&conn->link, 0, true);
    nmq_slow_answers_gone(conn);
}

// Takes off what has gone out.
static void
advance(nmq_conn *conn, size_t count)
{
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_BYTES_OUT, count);
    nmq_link_moved(&conn->link, count, nmq_clock_now_ms());
    nmq_outbox_advance(&conn->sending, count - nmq_wrap_advance(conn, count));
}

static unsigned
next_parts(const nmq_conn *conn, nmq_bytes parts[NMQ_OUTBOX_PARTS])
{
    nmq_bytes prefix = nmq_wrap_prefix(conn);
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
            nmq_slow_answers_gone(conn);
            if (rv == LOAD_TAKEN) {
                continue;
            }
            if (rv == LOAD_NONE || rv == LOAD_LAST) {
                sends_done(conn, rv == LOAD_LAST);
            } else if (rv < 0) {
                send_failed(conn);
            }
            break;
        }
        // on_sent may come, and end it all, before send ends
        (void) nmq_link_ref(&conn->link);
        int64_t taken = conn->stream->ops->send(conn->stream, parts, n);
        if (taken == 0) { // on_sent goes on, perhaps has already
            (void) pthread_mutex_lock(&conn->link.lock);
            count_waiting(conn);
            (void) pthread_mutex_unlock(&conn->link.lock);
        }
        nmq_link_unref(&conn->link);
        if (taken == 0) {
            return;
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
nmq_send_on_sent(void *arg, int status, size_t count)
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
    count_waiting(conn);
    (void) pthread_mutex_unlock(&conn->link.lock);
    send_on(conn);
}

// flushed: the link has been taken off the list of what is to be flushed, and may enter
// another.
static void
start(nmq_conn *conn, bool flushed)
{
    nmq_link *link = &conn->link;

    (void) pthread_mutex_lock(&link->lock);
    link->flush_due = link->flush_due && !flushed;
    bool ends = conn->send == NMQ_SEND_CLOSING;
    bool is_busy = conn->send == NMQ_SEND_SENDING || conn->send == NMQ_SEND_ENDING;
    bool has_load = (link->outbox.total > 0 || link->pump_due) && !link->shut;
    bool starts =
        ends || (conn->send == NMQ_SEND_IDLE && (has_load || nmq_wrap_has_reply(conn)));
    if (starts) {
        nmq_conn_set_send(conn, ends ? NMQ_SEND_ENDING : NMQ_SEND_SENDING);
        (void) nmq_link_ref(link);
    } else if (is_busy) {
        count_waiting(conn);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (starts) {
        send_on(conn);
    }
}

void
nmq_send_start(nmq_conn *conn)
{
    start(conn, false);
}

void
nmq_send_flush(nmq_link *link)
{
    start(nmq_conn_of(link), true);
}

void
nmq_send_disconnect(nmq_link *link, uint8_t reason_code)
{
    nmq_conn *conn = nmq_conn_of(link);
    const nmq_role *role = conn->conns->role;

    (void) pthread_mutex_lock(&link->lock);
    bool stranger = conn->client == NULL && !nmq_send_is_closing(conn->send);
    (void) pthread_mutex_unlock(&link->lock);
    if (stranger && role->unanswered != NULL && role->unanswered(conn, reason_code)) {
        return; // the role tells it, and ends it
    }
    (void) pthread_mutex_lock(&link->lock);
    bool first = nmq_conn_begin_close(conn);
    if (first) {
        nmq_conn_note_end(conn, (nmq_fault){reason_code, NULL});
        role->farewell(conn, reason_code);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (first) {
        nmq_linger_arm(conn);
        nmq_send_start(conn);
        nmq_park_end(conn, NMQ_PARK_ALL);
    }
}
