#include "net/conn_log.h"

#include "base/status.h"
#include "mqtt/reason.h"

static void
tell_handshake_failed(const nmq_conn *conn, const char *why)
{
    nmq_watch *watch = &conn->conns->router->watch;

    if (!nmq_watch_wants(watch, NMQ_EVENT_HANDSHAKE_FAILED)) {
        return;
    }
    const nmq_who who = {
        .peer = &conn->stream->peer,
        .listener_key = conn->listener != NULL ? conn->listener->key : 0, // else dialled
    };
    const nmq_event event = {
        .kind = NMQ_EVENT_HANDSHAKE_FAILED, .who = &who, .text = nmq_bytes_of(why)};
    nmq_watch_tell(watch, &event);
}

void
nmq_conn_tell_tls_refused(const nmq_conn *conn)
{
    char why[NMQ_STREAM_REFUSAL_BYTES];

    if (conn->client != NULL || conn->stream->ops->refusal(conn->stream, why) != NMQ_OK) {
        return;
    }
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_HANDSHAKES_FAILED, 1);
    nmq_log_write(conn->conns->log,
                  nmq_gate_refusal_level(&conn->conns->gate, NMQ_REFUSAL_TLS),
                  "%s: refused: TLS: %s", nmq_conn_name(conn).text, why);
    tell_handshake_failed(conn, why);
}

void
nmq_conn_log_ended(const nmq_conn *conn)
{
    const nmq_log *log = conn->conns->log;

    if (conn->client == NULL || !nmq_log_wants(log, NMQ_LOG_INFO)) {
        return;
    }
    nmq_bytes id = conn->client->session->client_id;
    const nmq_fault *end = &conn->end;
    bool has_code = end->code != NMQ_RC_SUCCESS;
    nmq_log_write(log, NMQ_LOG_INFO, "%s: client '%s' disconnected: %s%s%s",
                  nmq_conn_name(conn).text, nmq_log_quoted(id).text,
                  has_code ? nmq_reason_text(end->code) : "",
                  has_code && end->why != NULL ? ", " : "",
                  end->why != NULL ? end->why
                  : has_code       ? ""
                                   : "its connection was closed without a DISCONNECT");
}
