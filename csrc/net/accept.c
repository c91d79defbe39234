#include "net/accept.h"

#include "base/mem.h"
#include "base/status.h"
#include "net/recv.h"
#include "net/send.h"
#include "net/slow.h"
#include "net/timers.h"

static void
conn_free(nmq_link *link)
{
    nmq_conn *conn = nmq_conn_of(link);
    nmq_conns *conns = conn->conns;

    conns->role->fini(conn);
    nmq_client_unref(conn->client);
    nmq_listener_settings_unref(conn->settings);
    nmq_listener_unref(conn->listener);
    conn->stream->ops->free(conn->stream);
    if (conn->ws != NULL) {
        nmq_ws_fini(&conn->ws->ws);
        nmq_buf_free(&conn->ws->prefix);
        nmq_free(conn->ws);
    }
    nmq_free(conn->rate);
    nmq_outbox_reset(&conn->sending, 0);
    nmq_buf_free(&conn->in);
    nmq_counters_add(conns->counters, NMQ_COUNT_BUFFER_BYTES, -(uint64_t) conn->held_out);
    nmq_link_fini(link);
    nmq_free(conn);
    nmq_conns_count_freed(conns);
}

static const nmq_link_ops link_ops = {
    .flush = nmq_send_flush,
    .resume = nmq_recv_resume,
    .disconnect = nmq_send_disconnect,
    .look = nmq_slow_look,
    .arm = nmq_slow_arm,
    .free = conn_free,
};

// Makes what only some connections have. Returns NMQ_OK or NMQ_ENOMEM.
static int
make_parts(nmq_conn *conn)
{
    conn->settings = nmq_listener_now(conn->listener);
    conn->intake = NMQ_INTAKE_PLAIN;
    if (conn->settings->path.at != NULL) {
        conn->intake = NMQ_INTAKE_UPGRADE;
        conn->ws = nmq_zalloc(sizeof *conn->ws);
        conn->link.outbox.framed = conn->sending.framed = true;
    }
    if (conn->settings->proxy) {
        conn->intake = NMQ_INTAKE_PROXY;
    }
    return conn->settings->path.at != NULL && conn->ws == NULL ? NMQ_ENOMEM : NMQ_OK;
}

// A stream that was admitted has gone before it was a connection.
static void
leave(void *arg, const nmq_peer *peer)
{
    nmq_listener_leave(arg, peer);
}

static void
accept_stream(void *arg, nmq_stream *stream)
{
    nmq_listener *listener = arg;
    nmq_conns *conns = listener->arg;
    nmq_conn *conn = nmq_zalloc(conns->role->size);

    if (conn == NULL) {
        leave(listener, &stream->peer);
        stream->ops->close(stream);
        stream->ops->free(stream);
        return;
    }
    nmq_link_init(&conn->link, &link_ops);
    conn->conns = conns;
    conn->listener = nmq_listener_ref(listener);
    conn->stream = stream;
    conn->in_cap_next = NMQ_CONN_IN_MIN;
    conn->timer.fire = nmq_timers_fire;
    conn->job.run = nmq_recv_run_job;
    stream->on_recv = nmq_recv_on_recv;
    stream->on_sent = nmq_send_on_sent;
    stream->arg = conn;
    bool in = nmq_conns_add(conns, conn);
    if (!in || make_parts(conn) != NMQ_OK) {
        nmq_conns_remove(conn);
        stream->ops->close(stream);
        nmq_link_unref(&conn->link);
        return;
    }
    conns->role->open(conn);
    nmq_recv_read(conn);
}

static bool
admit(void *arg, nmq_peer *peer)
{
    return nmq_listener_admit(arg, peer);
}

static void
starved(void *arg)
{
    nmq_listener *listener = arg;

    nmq_gate_starved(listener->gate);
}

nmq_accept
nmq_accept_for(nmq_listener *listener)
{
    return (nmq_accept){
        .admit = admit,
        .accept = accept_stream,
        .leave = leave,
        .starved = starved,
        .arg = listener,
    };
}
