#include "net/conn.h"

#include "mqtt/reason.h"

nmq_conn *
nmq_conn_of(nmq_link *link)
{
    return (nmq_conn *) link;
}

nmq_bytes
nmq_conn_key(const nmq_conn *conn)
{
    return (nmq_bytes){(const uint8_t *) &conn->number, sizeof conn->number};
}

nmq_peer_text
nmq_conn_name(const nmq_conn *conn)
{
    return nmq_peer_name(&conn->stream->peer);
}

uint8_t
nmq_conn_version(const nmq_conn *conn)
{
    return __atomic_load_n(&conn->version, __ATOMIC_RELAXED);
}

void
nmq_conn_arm(nmq_conn *conn, nmq_timer *timer, int64_t due_ms)
{
    (void) nmq_link_ref(&conn->link);
    if (!nmq_clock_arm(conn->conns->clock, timer, due_ms)) {
        nmq_link_unref(&conn->link); // armed already: it has its reference
    }
}

void
nmq_conn_cancel(nmq_conn *conn, nmq_timer *timer)
{
    if (nmq_clock_cancel(conn->conns->clock, timer)) {
        nmq_link_unref(&conn->link);
    }
}

void
nmq_conn_note_end(nmq_conn *conn, nmq_fault why)
{
    if (conn->end.code == NMQ_RC_SUCCESS && conn->end.why == NULL) {
        conn->end = why;
    }
}

void
nmq_conn_set_end(nmq_conn *conn, nmq_fault why)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    nmq_conn_note_end(conn, why);
    (void) pthread_mutex_unlock(&conn->link.lock);
}

void
nmq_conn_forgive_silence(nmq_conn *conn)
{
    __atomic_store_n(&conn->last_packet_ms, nmq_clock_now_ms(), __ATOMIC_RELAXED);
}

bool
nmq_conn_is_closing(nmq_conn *conn)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    bool closing = nmq_send_is_closing(conn->send);
    (void) pthread_mutex_unlock(&conn->link.lock);
    return closing;
}

void
nmq_conn_set_client(nmq_conn *conn, nmq_client *client)
{
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->client = client;
    (void) pthread_mutex_unlock(&conn->link.lock);
}

bool
nmq_conn_begin_close(nmq_conn *conn)
{
    bool first = !nmq_send_is_closing(conn->send);

    if (first) {
        bool sends = conn->send == NMQ_SEND_SENDING;
        nmq_conn_set_send(conn, sends ? NMQ_SEND_ENDING : NMQ_SEND_CLOSING);
        conn->link.closed = true;
    }
    return first;
}
