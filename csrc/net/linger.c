#include "net/linger.h"

#include "base/descriptors.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/acceptor.h"

enum {
    LINGERING_MAX = 256,            // connections of one broker
    DROPPED_MAX = 16 << 20,         // bytes of a client that was in: a packet too large
    DROPPED_STRANGER_MAX = 1 << 18, // of any other
    BUFFER_BYTES = 1 << 14,
    LOOK_MS = 200, // between two looks, and how long it lingers when the broker stops
};

void
nmq_linger_arm(nmq_conn *conn)
{
    int64_t now_ms = nmq_clock_now_ms();

    (void) pthread_mutex_lock(&conn->link.lock);
    bool lingers = conn->lingers; // nmq_linger_finish may have armed the timer just now
    bool closed = conn->send == NMQ_SEND_CLOSED;
    if (!closed) {
        conn->over_ms = now_ms + NMQ_LINGER_MS;
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (closed) { // there is nothing left to look at
        nmq_conn_cancel(conn, &conn->timer);
    } else {
        nmq_conn_arm(conn, &conn->timer, now_ms + (lingers ? LOOK_MS : NMQ_LINGER_MS));
    }
}

void
nmq_linger_look(nmq_conn *conn, int64_t now_ms, int64_t wait_ms)
{
    bool stops = __atomic_load_n(&conn->conns->closing, __ATOMIC_RELAXED);

    (void) pthread_mutex_lock(&conn->link.lock);
    // a restart does not wait long for clients that do not move
    int64_t due_ms = stops && conn->send == NMQ_SEND_FINISHED ? now_ms : conn->over_ms;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (due_ms <= now_ms) {
        conn->stream->ops->close(conn->stream);
    } else {
        due_ms = now_ms + LOOK_MS < due_ms ? now_ms + LOOK_MS : due_ms;
        wait_ms = wait_ms < due_ms ? wait_ms : due_ms;
    }
    if (wait_ms != INT64_MAX) {
        nmq_conn_arm(conn, &conn->timer, wait_ms);
    }
}

void
nmq_linger_allow(nmq_conn *conn)
{
    conn->lingers = NMQ_LIVE(*conn->conns->memory) == NMQ_MEMORY_FINE;
}

void
nmq_linger_close(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->over_ms = 0; // a look that is under way arms the timer once more at most
    if (conn->send == NMQ_SEND_CLOSING || conn->send == NMQ_SEND_FINISHED) {
        nmq_conn_set_send(conn, NMQ_SEND_CLOSED); // else whoever sends hears of it
    }
    (void) pthread_mutex_unlock(&conn->link.lock);
    conn->stream->ops->close(conn->stream);
    nmq_conn_cancel(conn, &conn->timer);
}

void
nmq_linger_finish(nmq_conn *conn)
{
    conn->stream->ops->finish(conn->stream);
    nmq_conn_arm(conn, &conn->timer, nmq_clock_now_ms() + LOOK_MS);
    (void) pthread_mutex_lock(&conn->link.lock);
    // after arm: the peer has that long to read, at least
    nmq_conn_set_send(conn, NMQ_SEND_FINISHED);
    bool lingers = conn->lingers;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (!lingers) { // there was no place for it, meanwhile
        nmq_linger_close(conn);
    }
}

// Whether there is a place for one more, and a buffer.
static bool
take_place(nmq_conn *conn)
{
    uint32_t *lingering = &conn->conns->lingering;

    if (__atomic_add_fetch(lingering, 1, __ATOMIC_RELAXED) <= LINGERING_MAX &&
        nmq_descriptors_left(NMQ_ACCEPT_KEEP)) {
        conn->in.at = nmq_alloc(BUFFER_BYTES);
    }
    if (conn->in.at == NULL) {
        (void) __atomic_sub_fetch(lingering, 1, __ATOMIC_RELAXED);
        return false;
    }
    conn->in.cap = BUFFER_BYTES;
    conn->drops_left = nmq_conn_is_stranger(conn) ? DROPPED_STRANGER_MAX : DROPPED_MAX;
    return true;
}

bool
nmq_linger_begin(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool lingers = conn->lingers;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (lingers && !take_place(conn)) {
        lingers = false;
        (void) pthread_mutex_lock(&conn->link.lock);
        conn->lingers = false; // it is closed as soon as all is sent
        bool is_sent = conn->send == NMQ_SEND_FINISHED;
        (void) pthread_mutex_unlock(&conn->link.lock);
        if (is_sent) {
            nmq_linger_close(conn);
        }
    }
    return lingers;
}

static void
end(nmq_conn *conn)
{
    (void) __atomic_sub_fetch(&conn->conns->lingering, 1, __ATOMIC_RELAXED);
    nmq_conn_set_recv(conn, NMQ_RECV_OVER);
    nmq_linger_close(conn);
    nmq_link_unref(&conn->link); // the receive side's
}

void
nmq_linger_drop_more(nmq_conn *conn)
{
    (void) nmq_link_ref(&conn->link); // it may all be over before recv returns
    if (conn->stream->ops->recv(conn->stream, conn->in.at, conn->in.cap) != NMQ_OK) {
        end(conn);
    }
    nmq_link_unref(&conn->link);
}

void
nmq_linger_dropped(nmq_conn *conn, int status, size_t count)
{
    if (status != NMQ_OK || count == 0 || count >= conn->drops_left) {
        end(conn);
        return;
    }
    conn->drops_left -= count;
    nmq_linger_drop_more(conn);
}
