#include "serve/server.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "net/linger.h"
#include "net/send.h"
#include "net/timers.h"
#include "route/sessions.h"
#include "serve/access.h"
#include "serve/acks.h"
#include "serve/ask.h"
#include "serve/auth.h"
#include "serve/bounds.h"
#include "serve/connect.h"
#include "serve/exchange.h"
#include "serve/kept.h"
#include "serve/mount.h"
#include "serve/negotiated.h"
#include "serve/publish.h"
#include "serve/reply.h"
#include "serve/subscribe.h"
#include "serve/tell.h"

void
nmq_server_init(nmq_server *server)
{
    *server = (nmq_server){0};
    (void) pthread_mutex_init(&server->lock, NULL);
}

void
nmq_server_fini(nmq_server *server)
{
    nmq_free((void *) (uintptr_t) server->response_information.at);
    (void) pthread_mutex_destroy(&server->lock);
}

void
nmq_server_set_response_information(nmq_server *server, nmq_bytes text)
{
    (void) pthread_mutex_lock(&server->lock);
    nmq_bytes old = server->response_information;
    server->response_information = text;
    (void) pthread_mutex_unlock(&server->lock);
    nmq_free((void *) (uintptr_t) old.at);
}

static enum nmq_next
handle_pingreq(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    static const uint8_t pingresp[2] = {NMQ_PINGRESP << 4, 0};
    nmq_server_conn *conn = nmq_server_conn_of(net);

    (void) packet;
    return nmq_reply_put(conn, batch, (nmq_bytes){pingresp, 2}) == NMQ_OK // [MQTT-3.12.4-1]
               ? NMQ_NEXT_PACKET
               : nmq_reply_no_memory(conn);
}

static enum nmq_next
handle_disconnect(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    nmq_client *client = net->client;

    if (client == NULL) { // it gave up while it proved who it is
        return NMQ_NEXT_END;
    }
    if (nmq_props_has(&packet->props, NMQ_PROP_SESSION_EXPIRY_INTERVAL)) {
        uint32_t asked = packet->props.number[NMQ_PROP_SESSION_EXPIRY_INTERVAL];
        uint32_t max_s = NMQ_LIVE(conn->net.conns->options->expiry_max_s);
        (void) pthread_mutex_lock(&client->lock);
        bool was_zero = client->expiry_interval_s == 0;
        if (client->link == &conn->net.link && (!was_zero || asked == 0)) {
            client->expiry_interval_s = asked < max_s ? asked : max_s;
        }
        (void) pthread_mutex_unlock(&client->lock);
        if (was_zero && asked != 0) { // [MQTT-3.14.2-2]
            return nmq_reply_refuse(
                conn, batch,
                (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "a Session Expiry of 0 stays 0"});
        }
    }
    nmq_conn_set_end(net, (nmq_fault){packet->reason_code, nmq_tell_left});
    conn->send_will = packet->reason_code != NMQ_RC_SUCCESS; // [MQTT-3.14.4-3]
    nmq_server_conn_set_state(conn, NMQ_CONN_CLOSING);
    return NMQ_NEXT_END; // [MQTT-3.14.4-1]
}

// --- what is no packet

static void
open_conn(nmq_conn *net, void *arg)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);

    (void) arg;

    conn->send_will = true;
    conn->client_max_bytes = UINT32_MAX;
    net->packet_types = nmq_conn_state_types(conn->state);
    nmq_negotiated_set(conn);
    nmq_timers_set_idle(net, NMQ_LIVE(net->conns->options->connect_timeout_ms));
}

static bool
takes_size(const nmq_conn *net, size_t size)
{
    return nmq_bounds_takes_size((const nmq_server_conn *) (const void *) net, size);
}

static enum nmq_next
refuse(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet, nmq_fault fault)
{
    if (packet != NULL && net->version == 0 && packet->connect.version == NMQ_V5) {
        __atomic_store_n(&net->version, NMQ_V5, __ATOMIC_RELAXED);
    }
    return nmq_reply_refuse(nmq_server_conn_of(net), batch, fault);
}

static bool
unanswered(nmq_conn *net, uint8_t reason_code)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    const nmq_answer answer = {.reason_code = reason_code};

    return nmq_exchange_answer(conn, &answer) || nmq_ask_unanswered(conn, reason_code);
}

static void
silent(nmq_conn *net)
{
    nmq_counters *counters = net->conns->counters;

    (void) pthread_mutex_lock(&net->link.lock);
    bool open = net->client != NULL;
    (void) pthread_mutex_unlock(&net->link.lock);
    nmq_counters_add(counters,
                     open ? NMQ_COUNT_KEEP_ALIVE_TIMEOUTS : NMQ_COUNT_CONNECT_TIMEOUTS, 1);
    if (open) {
        nmq_send_disconnect(&net->link, NMQ_RC_KEEP_ALIVE_TIMEOUT); // [MQTT-3.1.2-22]
        return;
    }
    // no CONNECT or AUTH in time: nothing to say it with
    nmq_log_write(net->conns->log, NMQ_LOG_INFO,
                  "%s: closed, no CONNECT came in time (connect_timeout)",
                  nmq_conn_name(net).text);
    net->stream->ops->close(net->stream);
}

static void
ended(nmq_conn *net)
{
    nmq_counters_add(net->conns->counters, NMQ_COUNT_LOGINS_ENDED, 1);
    nmq_send_disconnect(&net->link, NMQ_RC_MAXIMUM_CONNECT_TIME);
}

static void
farewell(nmq_conn *net, uint8_t reason_code)
{
    uint8_t bytes[3] = {NMQ_DISCONNECT << 4, 1, reason_code};

    // [MQTT-3.14.0-1]: after CONNACK only
    if (nmq_conn_version(net) == NMQ_V5 && net->client != NULL) {
        (void) nmq_outbox_put(&net->link.outbox, (nmq_bytes){bytes, sizeof bytes});
        nmq_counters_add(net->conns->counters, NMQ_COUNT_DISCONNECT_OUT, 1);
        if (reason_code != NMQ_RC_KEEP_ALIVE_TIMEOUT) { // a silent peer does not write
            nmq_linger_allow(net);
        }
    }
}

static void
closed(nmq_conn *net)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);

    nmq_exchange_end(conn);
    if (net->client != NULL) {
        nmq_tell_disconnected(conn);
        nmq_sessions_detach(net->conns->sessions, net->client, &net->link, conn->send_will);
        nmq_mount_leave(conn);
    }
}

static void
fini(nmq_conn *net)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);

    nmq_alias_names_free(&conn->aliases);
    nmq_exchange_free(conn->exchange);
    nmq_ask_free(conn);
    nmq_kept_free(conn);
    nmq_access_forget(conn);
    nmq_acl_unref(conn->own);
    nmq_origin_unref(conn->origin);
    nmq_mount_free(conn);
}

const nmq_role nmq_server_role = {
    .size = sizeof(nmq_server_conn),
    .packet =
        {
            [NMQ_CONNECT] = nmq_connect_handle,
            [NMQ_PUBLISH] = nmq_publish_handle,
            [NMQ_PUBACK] = nmq_acks_handle,
            [NMQ_PUBREC] = nmq_acks_handle,
            [NMQ_PUBREL] = nmq_acks_handle_pubrel,
            [NMQ_PUBCOMP] = nmq_acks_handle,
            [NMQ_SUBSCRIBE] = nmq_subscribe_handle,
            [NMQ_UNSUBSCRIBE] = nmq_subscribe_handle_unsubscribe,
            [NMQ_PINGREQ] = handle_pingreq,
            [NMQ_DISCONNECT] = handle_disconnect,
            [NMQ_AUTH] = nmq_auth_handle,
        },
    .open = open_conn,
    .takes_size = takes_size,
    .refuse = refuse,
    .answered = nmq_auth_handle_answer,
    .unanswered = unanswered,
    .silent = silent,
    .ended = ended,
    .farewell = farewell,
    .closed = closed,
    .fini = fini,
};
