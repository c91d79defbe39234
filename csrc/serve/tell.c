#include "serve/tell.h"

#include "mqtt/reason.h"

const char nmq_tell_left[] = "it sent DISCONNECT";

static nmq_watch *
watch_of(const nmq_server_conn *conn)
{
    return &conn->net.conns->router->watch;
}

// Who the client is, or says it is. What a client that is in has here is fixed.
static nmq_who
who_of(const nmq_server_conn *conn)
{
    const nmq_client *client = conn->net.client;
    nmq_who who = {
        .peer = &conn->net.stream->peer,
        .listener_key = conn->net.listener->key,
    };

    if (client != NULL) {
        who.client_id = client->session->client_id;
        who.user_name = client->user_name;
    } else if (conn->connect != NULL) {
        who.client_id = conn->connect->client_id;
        who.user_name = nmq_server_conn_said_name(conn, conn->connect);
    }
    return who;
}

void
nmq_tell_connected(const nmq_server_conn *conn, const nmq_attach *attach,
                   bool session_present)
{
    nmq_counters *counters = conn->net.conns->counters;
    bool proved = attach->proof != NMQ_PROOF_WORD && attach->user_name.at != NULL;
    nmq_counters_add(counters, NMQ_COUNT_CLIENTS_CONNECTED, 1);
    nmq_counters_add(counters, NMQ_COUNT_LOGINS_ACCEPTED, proved);
    nmq_counters_add(counters, NMQ_COUNT_LOGINS_ANONYMOUS, !proved);
    const nmq_who who = who_of(conn);
    const nmq_event event = {
        .kind = NMQ_EVENT_CONNECTED,
        .who = &who,
        .numbers = {attach->version, attach->keep_alive_s, attach->expiry_interval_s,
                    attach->clean_start, session_present},
    };

    nmq_watch_tell(watch_of(conn), &event);
}

static enum nmq_why
why_of(nmq_fault end)
{
    bool lost = end.code == NMQ_RC_SUCCESS && end.why == NULL;

    return end.why == nmq_tell_left ? NMQ_WHY_CLIENT
           : lost                   ? NMQ_WHY_NETWORK
                                    : NMQ_WHY_BROKER;
}

// For whoever asks for the client while it is away.
static void
note_end(const nmq_server_conn *conn, nmq_fault end)
{
    nmq_client *client = conn->net.client;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link == &conn->net.link) { // else another connection has taken it over
        client->end_code = end.code;
        client->end_why = (uint8_t) why_of(end);
    }
    (void) pthread_mutex_unlock(&client->lock);
}

void
nmq_tell_disconnected(nmq_server_conn *conn)
{
    (void) pthread_mutex_lock(&conn->net.link.lock);
    const nmq_fault end = conn->net.end;
    (void) pthread_mutex_unlock(&conn->net.link.lock);
    note_end(conn, end);
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_CLIENTS_DISCONNECTED, 1);
    if (!nmq_watch_wants(watch_of(conn), NMQ_EVENT_DISCONNECTED)) {
        return;
    }
    const nmq_who who = who_of(conn);
    const nmq_event event = {
        .kind = NMQ_EVENT_DISCONNECTED,
        .why = why_of(end),
        .who = &who,
        .text = nmq_bytes_of(end.why != NULL              ? end.why
                             : end.code != NMQ_RC_SUCCESS ? nmq_reason_text(end.code)
                                                          : ""),
        .numbers = {end.code},
    };
    nmq_watch_tell(watch_of(conn), &event);
}

void
nmq_tell_auth_failed(const nmq_server_conn *conn, nmq_fault fault)
{
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_LOGINS_REFUSED, 1);
    if (!nmq_watch_wants(watch_of(conn), NMQ_EVENT_AUTH_FAILED)) {
        return;
    }
    const nmq_who who = who_of(conn);
    const nmq_connect *connect = conn->connect; // NULL: it is in, or an AUTH goes on
    const nmq_event event = {
        .kind = NMQ_EVENT_AUTH_FAILED,
        .who = &who,
        .text = nmq_bytes_of(fault.why != NULL ? fault.why : nmq_reason_text(fault.code)),
        .numbers = {fault.code, connect != NULL ? connect->version : 0,
                    connect != NULL ? connect->keep_alive_s : 0},
    };
    nmq_watch_tell(watch_of(conn), &event);
}

void
nmq_tell_denied(const nmq_server_conn *conn, enum nmq_why action, nmq_bytes topic)
{
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_ACCESS_DENIED, 1);
    if (!nmq_watch_wants(watch_of(conn), NMQ_EVENT_ACCESS_DENIED)) {
        return;
    }
    const nmq_who who = who_of(conn);
    const nmq_event event = {
        .kind = NMQ_EVENT_ACCESS_DENIED, .why = action, .who = &who, .text = topic};
    nmq_watch_tell(watch_of(conn), &event);
}
