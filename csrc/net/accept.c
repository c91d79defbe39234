#include "net/accept.h"

#include "base/mem.h"
#include "base/status.h"
#include "net/start.h"

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
    nmq_peer peer = stream->peer;
    nmq_conn *conn = nmq_start_new(conns, stream);

    if (conn == NULL) {
        leave(listener, &peer);
        return;
    }
    conn->listener = nmq_listener_ref(listener);
    nmq_counters_add(conns->counters, NMQ_COUNT_CONNECTIONS_ACCEPTED, 1);
    bool in = nmq_conns_add(conns, conn);
    if (!in || make_parts(conn) != NMQ_OK) {
        nmq_start_refused(conn);
        return;
    }
    nmq_start_begin(conn, NULL);
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
