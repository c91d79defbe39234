#include "net/conn_log.h"

#include "base/status.h"
#include "mqtt/reason.h"

void
nmq_conn_log_tls_refused(const nmq_conn *conn)
{
    char why[NMQ_STREAM_REFUSAL_BYTES];

    if (conn->client == NULL && conn->stream->ops->refusal(conn->stream, why) == NMQ_OK) {
        nmq_log_write(conn->conns->log,
                      nmq_gate_refusal_level(&conn->conns->gate, NMQ_REFUSAL_TLS),
                      "%s: refused: TLS: %s", nmq_conn_name(conn).text, why);
    }
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
