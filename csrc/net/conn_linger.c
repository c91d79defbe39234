#include "net/conn_linger.h"

#include "base/descriptors.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "net/acceptor.h"

enum {
    LINGERING_MAX = 256,            // connections of one broker
    DROPPED_MAX = 16 << 20,         // bytes of a client that was in: a packet too large
    DROPPED_STRANGER_MAX = 1 << 18, // of any other
    BUFFER_BYTES = 1 << 14,
    AT_THE_END_MS = 200, // instead, when the broker stops
};

void
nmq_conn_finish(nmq_conn *conn)
{
    conn->stream->ops->finish(conn->stream);
    if (__atomic_load_n(&conn->conns->closing, __ATOMIC_RELAXED)) {
        // a restart does not wait long for clients that do not move
        nmq_conn_arm(conn, &conn->timer, nmq_clock_now_ms() + AT_THE_END_MS);
    }
}

void
nmq_conn_let_linger(nmq_conn *conn)
{
    conn->lingers = NMQ_LIVE(conn->conns->router->memory) == NMQ_MEMORY_FINE;
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
    conn->drops_left = conn->client != NULL ? DROPPED_MAX : DROPPED_STRANGER_MAX;
    return true;
}

bool
nmq_conn_begin_linger(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool lingers = conn->lingers;
    (void) pthread_mutex_unlock(&conn->link.lock);
    if (lingers && !take_place(conn)) {
        lingers = false;
        (void) pthread_mutex_lock(&conn->link.lock);
        conn->lingers = false; // it is closed as soon as all is sent
        (void) pthread_mutex_unlock(&conn->link.lock);
    }
    return lingers;
}

static void
end(nmq_conn *conn)
{
    (void) __atomic_sub_fetch(&conn->conns->lingering, 1, __ATOMIC_RELAXED);
    conn->stream->ops->close(conn->stream);
    nmq_conn_cancel(conn, &conn->timer);
    nmq_link_unref(&conn->link); // the receive side's
}

void
nmq_conn_drop_more(nmq_conn *conn)
{
    (void) nmq_link_ref(&conn->link); // it may all be over before recv returns
    if (conn->stream->ops->recv(conn->stream, conn->in.at, conn->in.cap) != NMQ_OK) {
        end(conn);
    }
    nmq_link_unref(&conn->link);
}

void
nmq_conn_dropped(nmq_conn *conn, int status, size_t count)
{
    if (status != NMQ_OK || count == 0 || count >= conn->drops_left) {
        end(conn);
        return;
    }
    conn->drops_left -= count;
    nmq_conn_drop_more(conn);
}
