#include "serve/auth.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/decode.h"
#include "mqtt/reason.h"
#include "net/conns.h"
#include "net/timers.h"
#include "serve/admit.h"
#include "serve/ask.h"
#include "serve/exchange.h"
#include "serve/reply.h"
#include "serve/tell.h"

int
nmq_auth_answer(nmq_conns *conns, const nmq_answer *answer)
{
    nmq_conn *net = nmq_conns_find(conns, answer->number);

    if (net == NULL) {
        return NMQ_ENOENT;
    }
    bool waits = nmq_exchange_answer(nmq_server_conn_of(net), answer);
    nmq_link_unref(&net->link);
    return waits ? NMQ_OK : NMQ_ENOENT;
}

static enum nmq_next
put_auth(nmq_server_conn *conn, nmq_batch *batch, uint8_t reason_code)
{
    nmq_packet packet = {.type = NMQ_AUTH, .reason_code = reason_code};

    nmq_exchange_properties(conn->exchange, &packet.props);
    return nmq_reply_packet(conn, batch, &packet);
}

static enum nmq_next
refuse_login(nmq_server_conn *conn, nmq_batch *batch, uint8_t code)
{
    nmq_tell_auth_failed(conn, (nmq_fault){code, NULL});
    return nmq_reply_refuse(conn, batch, (nmq_fault){code, NULL});
}

// The answer to a CONNECT, or to an AUTH before CONNACK.
static enum nmq_next
connect_answered(nmq_server_conn *conn, nmq_batch *batch)
{
    nmq_exchange *exchange = conn->exchange;
    nmq_packet packet;
    enum nmq_next next;

    if (exchange->reason_code == NMQ_RC_CONTINUE_AUTHENTICATION) {
        nmq_server_conn_set_state(conn, NMQ_CONN_AUTHENTICATING);
        nmq_timers_set_idle(&conn->net,
                            NMQ_LIVE(conn->net.conns->options->connect_timeout_ms));
        return put_auth(conn, batch, NMQ_RC_CONTINUE_AUTHENTICATION); // [MQTT-4.12.0-2]
    }
    (void) nmq_decode((nmq_bytes){exchange->connect.at, exchange->connect.len}, 0, &packet);
    conn->connect = &packet.connect;
    if (exchange->reason_code != NMQ_RC_SUCCESS) { // [MQTT-3.1.4-2] [MQTT-4.12.0-4]
        next = refuse_login(conn, batch, exchange->reason_code);
    } else {
        next = nmq_admit(conn, batch, &packet);
    }
    conn->connect = NULL;
    if (next == NMQ_NEXT_LATER) { // about its will: this is run again
        return NMQ_NEXT_ASK;
    }
    nmq_ask_end(conn);
    if (exchange->method.at == NULL) {
        nmq_exchange_free(exchange);
        conn->exchange = NULL;
    } else {
        nmq_exchange_wipe(exchange);
    }
    return next;
}

// The answer to an AUTH of a client that is in (4.12.1).
static enum nmq_next
again_answered(nmq_server_conn *conn, nmq_batch *batch)
{
    nmq_exchange *exchange = conn->exchange;
    uint8_t code = exchange->reason_code;
    bool goes_on = code == NMQ_RC_CONTINUE_AUTHENTICATION;

    if (code == NMQ_RC_SUCCESS && exchange->has_user_name &&
        !nmq_bytes_equal((nmq_bytes){exchange->user_name.at, exchange->user_name.len},
                         conn->net.client->user_name)) {
        code = NMQ_RC_NOT_AUTHORIZED; // the session is another user's
    }
    if (!goes_on && code != NMQ_RC_SUCCESS) { // [MQTT-4.12.1-2]
        return refuse_login(conn, batch, code);
    }
    nmq_server_conn_set_state(conn, goes_on ? NMQ_CONN_OPEN_AUTHENTICATING : NMQ_CONN_OPEN);
    enum nmq_next next = put_auth(conn, batch, code);
    nmq_exchange_wipe(exchange);
    return next;
}

enum nmq_next
nmq_auth_handle_answer(nmq_conn *net, nmq_batch *batch)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);

    return net->client == NULL ? connect_answered(conn, batch)
                               : again_answered(conn, batch);
}

enum nmq_next
nmq_auth_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    const nmq_exchange *exchange = conn->exchange;
    bool open = nmq_conn_state_is_open(conn->state);

    if (exchange == NULL || exchange->method.at == NULL) {
        return nmq_reply_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH, but CONNECT had no method"});
    }
    if (!nmq_props_has(&packet->props, NMQ_PROP_AUTHENTICATION_METHOD)) {
        return nmq_reply_refuse(
            conn, batch, (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH without a method"});
    }
    if (!nmq_bytes_equal(packet->props.text[NMQ_PROP_AUTHENTICATION_METHOD],
                         exchange->method)) { // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
        uint8_t code = open ? NMQ_RC_PROTOCOL_ERROR : NMQ_RC_BAD_AUTHENTICATION_METHOD;
        const nmq_fault fault = {code, "AUTH with another method than CONNECT"};
        nmq_tell_auth_failed(conn, fault);
        return nmq_reply_refuse(conn, batch, fault);
    }
    bool goes_on = conn->state != NMQ_CONN_OPEN;
    if (packet->reason_code != (goes_on ? NMQ_RC_CONTINUE_AUTHENTICATION
                                        : NMQ_RC_REAUTHENTICATE)) { // [MQTT-4.12.0-3]
        return nmq_reply_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "AUTH with a reason code out of turn"});
    }
    return nmq_exchange_ask(conn, batch, packet);
}
