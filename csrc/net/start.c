#include "net/start.h"

#include "base/mem.h"
#include "base/status.h"
#include "net/commit.h"
#include "net/recv.h"
#include "net/send.h"
#include "net/slow.h"
#include "net/timers.h"
#include "route/held.h"

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
    nmq_held_free(link);
    nmq_link_fini(link);
    nmq_free(conn);
    nmq_conns_count_freed(conns);
}

static const nmq_link_ops link_ops = {
    .flush = nmq_send_flush,
    .resume = nmq_recv_resume,
    .committed = nmq_commit_over,
    .disconnect = nmq_send_disconnect,
    .look = nmq_slow_look,
    .arm = nmq_slow_arm,
    .free = conn_free,
};

nmq_conn *
nmq_start_new(nmq_conns *conns, nmq_stream *stream)
{
    nmq_conn *conn = nmq_zalloc(conns->role->size);

    if (conn == NULL) {
        stream->ops->close(stream);
        stream->ops->free(stream);
        return NULL;
    }
    nmq_link_init(&conn->link, &link_ops);
    conn->conns = conns;
    conn->stream = stream;
    conn->intake = NMQ_INTAKE_PLAIN;
    conn->in_cap_next = NMQ_CONN_IN_MIN;
    conn->timer.fire = nmq_timers_fire;
    conn->job.run = nmq_recv_run_job;
    stream->on_recv = nmq_recv_on_recv;
    stream->on_sent = nmq_send_on_sent;
    stream->arg = conn;
    return conn;
}

void
nmq_start_refused(nmq_conn *conn)
{
    nmq_conns_remove(conn);
    conn->stream->ops->close(conn->stream);
    nmq_link_unref(&conn->link);
}

void
nmq_start_begin(nmq_conn *conn, void *arg)
{
    conn->conns->role->open(conn, arg);
    nmq_recv_read(conn);
}

int
nmq_start_dialled(nmq_conns *conns, nmq_stream *stream, void *arg)
{
    nmq_conn *conn = nmq_start_new(conns, stream);

    if (conn == NULL) {
        return NMQ_ENOMEM;
    }
    if (!nmq_conns_add(conns, conn)) {
        nmq_start_refused(conn);
        return NMQ_ECLOSED;
    }
    nmq_start_begin(conn, arg);
    return NMQ_OK;
}
