#include "net/wrap.h"

#include "base/status.h"

bool
nmq_wrap_has_reply(const nmq_conn *conn)
{
    return conn->ws != NULL && conn->ws->ws.reply.len > 0;
}

nmq_bytes
nmq_wrap_prefix(const nmq_conn *conn)
{
    const nmq_conn_ws *w = conn->ws;

    return w != NULL && w->prefix.len > 0
               ? (nmq_bytes){w->prefix.at + w->prefix_at, w->prefix.len - w->prefix_at}
               : (nmq_bytes){0};
}

size_t
nmq_wrap_advance(nmq_conn *conn, size_t count)
{
    size_t left = nmq_wrap_prefix(conn).len;
    size_t n = count < left ? count : left;

    if (n > 0) {
        conn->ws->prefix_at += n;
    }
    return n;
}

int
nmq_wrap_next(nmq_conn *conn, bool last)
{
    nmq_conn_ws *w = conn->ws;
    int rv = NMQ_OK;

    if (w == NULL || w->close_put) {
        return NMQ_OK;
    }
    w->prefix.len = w->prefix_at = 0; // all of it is sent
    if (w->ws.reply.len > 0) {
        nmq_buf sent = w->prefix;
        w->prefix = w->ws.reply;
        w->ws.reply = sent;
    }
    if (last && nmq_ws_is_open(&w->ws)) {
        w->close_put = true;
        rv = nmq_ws_put_close(&w->prefix, nmq_ws_close_code(&w->ws));
    }
    return rv;
}
