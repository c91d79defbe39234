#include "net/intake.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/proxy.h"
#include "net/linger.h"

// Drops bytes off the front of the raw part.
static void
drop(nmq_conn *conn, size_t count)
{
    nmq_buf *in = &conn->in;

    in->len -= count;
    memmove(in->at, in->at + count, in->len);
}

static void
refuse(const nmq_conn *conn, const char *why)
{
    nmq_log_write(conn->conns->log, NMQ_LOG_INFO, "%s: refused: %s",
                  nmq_conn_name(conn).text, why);
}

// Returns 1 when the header is taken, 0 if more of it is to come, or NMQ_EMALFORMED or
// NMQ_ETOOBIG to end the connection.
static int
take_proxy(nmq_conn *conn)
{
    nmq_peer peer = conn->stream->peer;
    int taken = nmq_proxy_read((nmq_bytes){conn->in.at, conn->in.len}, &peer);

    if (taken < 0) {
        refuse(conn, "not a PROXY header");
    }
    if (taken <= 0) {
        return taken;
    }
    drop(conn, (size_t) taken);
    bool room = nmq_listener_admit_address(conn->listener, &peer);
    nmq_listener_leave_address(conn->listener, &conn->stream->peer);
    conn->stream->peer = peer;
    if (!room) {
        refuse(conn, "its address is banned, or has too many connections");
        return NMQ_ETOOBIG;
    }
    nmq_conn_set_intake(conn, conn->ws != NULL ? NMQ_INTAKE_UPGRADE : NMQ_INTAKE_PLAIN);
    return 1;
}

// Hands an answer to the send side. A pong that still waits there is out of date.
static int
put_reply(nmq_conn *conn, nmq_batch *batch, const nmq_buf *reply)
{
    nmq_buf *waiting = &conn->ws->ws.reply;
    int rv = NMQ_OK;

    if (reply->len > 0) {
        (void) pthread_mutex_lock(&conn->link.lock);
        if (nmq_ws_is_pong(waiting)) {
            waiting->len = 0;
        }
        rv = nmq_buf_put(waiting, (nmq_bytes){reply->at, reply->len});
        nmq_batch_touch(batch, &conn->link);
        (void) pthread_mutex_unlock(&conn->link.lock);
    }
    return rv;
}

static int
upgrade(nmq_conn *conn, nmq_buf *reply)
{
    nmq_bytes in = {conn->in.at, conn->in.len};
    int taken = nmq_ws_upgrade(&conn->ws->ws, in, conn->settings->path, reply);

    if (taken > 0) {
        drop(conn, (size_t) taken);
    }
    return taken < 0 ? taken : NMQ_OK;
}

// Logs a wrong path: most clients do not show the answer, so whoever runs the broker has to
// hear of it here.
static void
tell_path(nmq_conn *conn)
{
    nmq_bytes asked = nmq_ws_path((nmq_bytes){conn->in.at, conn->in.len});
    nmq_bytes path = conn->settings->path;

    nmq_log_write(
        conn->conns->log, nmq_gate_refusal_level(&conn->conns->gate, NMQ_REFUSAL_PATH),
        "%s: refused: WebSocket path '%s', expected '%.*s'", nmq_conn_name(conn).text,
        nmq_log_quoted(asked).text, (int) path.len, (const char *) path.at);
}

// What comes before a fault or a close frame is still handled.
static void
unwrap(nmq_conn *conn, nmq_batch *batch)
{
    nmq_ws *ws = &conn->ws->ws;
    nmq_buf reply = {0};
    int rv = conn->intake == NMQ_INTAKE_UPGRADE ? upgrade(conn, &reply) : NMQ_OK;

    if (ws->upgraded && conn->intake == NMQ_INTAKE_UPGRADE) {
        nmq_conn_set_intake(conn, NMQ_INTAKE_FRAMES);
    }
    if (ws->upgraded && rv == NMQ_OK) {
        rv = nmq_ws_unframe(ws, conn->in.at, &conn->plain, &conn->in.len, &reply);
    }
    if (put_reply(conn, batch, &reply) != NMQ_OK) {
        rv = NMQ_ENOMEM;
    }
    nmq_buf_free(&reply);
    if (rv == NMQ_EMALFORMED) {
        refuse(conn, ws->upgraded ? "not a WebSocket frame that MQTT allows"
                                  : "not a WebSocket upgrade for MQTT");
    }
    if (rv == NMQ_ENOENT) {
        tell_path(conn);
    }
    if (rv == NMQ_EMALFORMED || rv == NMQ_ENOENT) { // told by HTTP, or a close frame
        (void) pthread_mutex_lock(&conn->link.lock);
        nmq_linger_allow(conn);
        (void) pthread_mutex_unlock(&conn->link.lock);
    }
    if (rv != NMQ_OK) {
        nmq_conn_set_intake(conn, NMQ_INTAKE_SHUT);
    }
}

enum nmq_next
nmq_intake_take(nmq_conn *conn, nmq_batch *batch)
{
    int rv = conn->intake == NMQ_INTAKE_PROXY ? take_proxy(conn) : 1;

    if (rv < 0) {
        nmq_conn_set_intake(conn, NMQ_INTAKE_SHUT);
    }
    if (rv == 0) {
        return NMQ_NEXT_PACKET;
    }
    if (conn->intake == NMQ_INTAKE_PLAIN) {
        conn->plain = conn->in.len;
    } else if (conn->intake != NMQ_INTAKE_SHUT) {
        unwrap(conn, batch);
    }
    return conn->intake == NMQ_INTAKE_SHUT ? NMQ_NEXT_END : NMQ_NEXT_PACKET;
}
