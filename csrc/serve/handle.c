// handle.c - acknowledgements, PINGREQ, DISCONNECT; which packet goes to which handler; and
// how packets of our own are put (MQTT 5.0, chapter 3).
#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/conn_linger.h"
#include "net/conn_log.h"
#include "route/deliver.h"
#include "store/session_acks.h"

typedef enum nmq_next handler(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

// A transient error ends the connection whose packet met it [MQTT-4.8.0-2 of 3.1.1].
enum nmq_next
nmq_conn_no_memory(nmq_conn *conn)
{
    nmq_log_write(conn->conns->log, NMQ_LOG_ERROR, "%s: closed, out of memory",
                  nmq_conn_name(conn).text);
    nmq_conn_set_end(conn, (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, "out of memory"});
    return NMQ_NEXT_END;
}

uint32_t
nmq_conn_packet_max(const nmq_conn *conn)
{
    uint32_t bound = NMQ_LIVE(conn->conns->options->send_packet_max_bytes);

    return conn->packet_max < bound ? conn->packet_max : bound;
}

// Encodes the packet, without its Reason String if that must not be sent. Returns NMQ_OK,
// NMQ_ENOMEM or NMQ_ETOOBIG.
static int
encode(const nmq_conn *conn, nmq_packet *packet, nmq_buf *out)
{
    const uint32_t packet_max = nmq_conn_packet_max(conn);
    const uint64_t reason_string = UINT64_C(1) << NMQ_PROP_REASON_STRING;

    if (!conn->problem_info && packet->type != NMQ_CONNACK &&
        packet->type != NMQ_DISCONNECT) { // [MQTT-3.1.2-29]
        packet->props.present &= ~reason_string;
    }
    int rv = nmq_encode(out, conn->version, packet);
    if (rv == NMQ_OK && out->len > packet_max) {
        // There are no User Properties of our own [MQTT-3.2.2-20] [MQTT-3.4.2-3]
        // [MQTT-3.5.2-3] [MQTT-3.6.2-3] [MQTT-3.7.2-3] [MQTT-3.9.2-2] [MQTT-3.11.2-2]
        // [MQTT-3.14.2-4] [MQTT-3.15.2-3], and PUBREL, PUBCOMP and AUTH have no Reason
        // String [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.15.2-2]. The others:
        // [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1]
        // [MQTT-3.14.2-3] and [MQTT-3.1.2-24] for what is left
        out->len = 0;
        packet->props.present &= ~reason_string;
        rv = nmq_encode(out, conn->version, packet);
    }
    return rv == NMQ_OK && out->len > packet_max ? NMQ_ETOOBIG : rv;
}

enum nmq_next
nmq_conn_put_packet(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_buf bytes = {0};
    int rv = encode(conn, packet, &bytes);

    if (rv == NMQ_OK) {
        rv = nmq_conn_put(conn, batch, (nmq_bytes){bytes.at, bytes.len});
    }
    nmq_buf_free(&bytes);
    if (rv == NMQ_ETOOBIG && packet->reason_code < NMQ_RC_UNSPECIFIED_ERROR) {
        return nmq_conn_refuse(conn, batch, (nmq_fault){NMQ_RC_PACKET_TOO_LARGE, NULL});
    }
    return rv == NMQ_OK || rv == NMQ_ETOOBIG ? NMQ_NEXT_PACKET : nmq_conn_no_memory(conn);
}

enum nmq_next
nmq_conn_put_ack(nmq_conn *conn, nmq_batch *batch, uint8_t type, uint16_t packet_id,
                 nmq_fault how)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];

    if (how.why != NULL) {
        nmq_packet ack = {.type = type, .packet_id = packet_id, .reason_code = how.code};
        nmq_props_set_text(&ack.props, NMQ_PROP_REASON_STRING, nmq_bytes_of(how.why));
        return nmq_conn_put_packet(conn, batch, &ack);
    }
    // It fits any Maximum Packet Size that the CONNACK did.
    uint8_t *end = nmq_encode_ack(bytes, conn->version, type, packet_id, how.code);
    int rv = nmq_conn_put(conn, batch, (nmq_bytes){bytes, (size_t) (end - bytes)});
    return rv == NMQ_OK ? NMQ_NEXT_PACKET : nmq_conn_no_memory(conn);
}

// Before 5.0 the faults of a CONNECT that have an answer are those that a return code
// stands for (3.1.1, 3.2.2.3).
// Where none fits, the connection is only closed [MQTT-3.2.2-6 of 3.1.1].
static bool
may_say(const nmq_conn *conn, uint8_t reason_code)
{
    if (conn->version == NMQ_V5) {
        return true;
    }
    return conn->state != NMQ_CONN_OPEN && reason_code != NMQ_RC_MALFORMED_PACKET &&
           reason_code != NMQ_RC_PROTOCOL_ERROR &&
           (conn->version != 0 || reason_code == NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION);
}

enum nmq_next
nmq_conn_refuse(nmq_conn *conn, nmq_batch *batch, nmq_fault fault)
{
    bool open = conn->state == NMQ_CONN_OPEN;
    // Session Present is 0 [MQTT-3.2.2-6], the code one that CONNACK or DISCONNECT has
    // [MQTT-3.2.2-8]; no Session Expiry Interval [MQTT-3.14.2-2]
    nmq_packet packet = {
        .type = open ? NMQ_DISCONNECT : NMQ_CONNACK, // [MQTT-3.14.0-1]
        .reason_code = fault.code,
    };

    if (open) {
        nmq_conn_set_end(conn, fault);
    } else {
        nmq_conn_log_refused(conn, fault);
    }
    if (fault.why != NULL) {
        nmq_props_set_text(&packet.props, NMQ_PROP_REASON_STRING, nmq_bytes_of(fault.why));
    }
    if (may_say(conn, fault.code)) { // [MQTT-4.13.2-1] [MQTT-3.1.4-2]
        (void) nmq_conn_put_packet(conn, batch, &packet);
        (void) pthread_mutex_lock(&conn->link.lock);
        nmq_conn_let_linger(conn);
        (void) pthread_mutex_unlock(&conn->link.lock);
    }
    // Nothing more is read [MQTT-3.1.4-6], and the connection is closed [MQTT-3.1.4-1]
    // [MQTT-3.2.2-7] [MQTT-3.14.4-2].
    conn->state = NMQ_CONN_CLOSING;
    return NMQ_NEXT_END;
}

// The level count is one more than the separators.
bool
nmq_conn_levels_fit(const nmq_conn *conn, nmq_bytes topic)
{
    uint32_t left = NMQ_LIVE(conn->conns->options->topic_levels_max);

    for (const uint8_t *at = topic.at; at != NULL && left > 0; left--) {
        size_t rest = topic.len - (size_t) (at - topic.at);
        at = rest > 0 ? memchr(at, '/', rest) : NULL;
        if (at == NULL) {
            return true;
        }
        at++;
    }
    return topic.len == 0;
}

bool
nmq_conn_properties_fit(const nmq_conn *conn, const nmq_props *props)
{
    uint32_t max = NMQ_LIVE(conn->conns->options->user_properties_max);

    return max == 0 || props->user_properties <= max;
}

// --- PUBREL and acknowledgements

static enum nmq_next
handle_pubrel(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    bool known = nmq_session_released(client->session, packet->packet_id);
    (void) pthread_mutex_unlock(&client->lock);
    return nmq_conn_put_ack(
        conn, batch, NMQ_PUBCOMP, packet->packet_id, // [MQTT-4.3.3-11]
        (nmq_fault){known ? NMQ_RC_SUCCESS : NMQ_RC_PACKET_ID_NOT_FOUND, NULL});
}

// PUBACK, PUBREC, PUBCOMP.
static enum nmq_next
handle_ack(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_client *client = conn->client;
    nmq_link *link = &conn->link;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link == link) { // else taken over: the state is another connection's now
        nmq_session *session = client->session;
        (void) pthread_mutex_lock(&link->lock);
        rv = nmq_session_acked(
            session, &link->outbox, packet->type, packet->packet_id, packet->reason_code,
            NMQ_LIVE(conn->conns->options->outbox_max_bytes), batch->now_ms);
        batch->messages_out += nmq_client_take_sent(client);
        nmq_deliver_note(session, link);
        if (link->outbox.total > 0 || link->pump_due) {
            nmq_batch_touch(batch, link);
        }
        (void) pthread_mutex_unlock(&link->lock);
        conn->acked = true;
        nmq_link_moved(link, 0, batch->now_ms);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (rv == NMQ_EINVAL) { // a Protocol Error [MQTT-4.13.1-1]
        return nmq_conn_refuse(
            conn, batch,
            (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "an acknowledgement of the wrong kind"});
    }
    // An unknown identifier is no fault: the state may be gone since (4.3.2, 4.3.3).
    return rv == NMQ_ENOMEM ? nmq_conn_no_memory(conn) : NMQ_NEXT_PACKET;
}

// --- the rest

static enum nmq_next
handle_pingreq(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    static const uint8_t pingresp[2] = {NMQ_PINGRESP << 4, 0};

    (void) packet;
    return nmq_conn_put(conn, batch, (nmq_bytes){pingresp, 2}) == NMQ_OK // [MQTT-3.12.4-1]
               ? NMQ_NEXT_PACKET
               : nmq_conn_no_memory(conn);
}

static enum nmq_next
handle_disconnect(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_client *client = conn->client;

    if (client == NULL) { // it gave up while it proved who it is
        return NMQ_NEXT_END;
    }
    if (nmq_props_has(&packet->props, NMQ_PROP_SESSION_EXPIRY_INTERVAL)) {
        uint32_t asked = packet->props.number[NMQ_PROP_SESSION_EXPIRY_INTERVAL];
        uint32_t max_s = NMQ_LIVE(conn->conns->options->expiry_max_s);
        (void) pthread_mutex_lock(&client->lock);
        bool was_zero = client->expiry_interval_s == 0;
        if (client->link == &conn->link && (!was_zero || asked == 0)) {
            client->expiry_interval_s = asked < max_s ? asked : max_s;
        }
        (void) pthread_mutex_unlock(&client->lock);
        if (was_zero && asked != 0) { // [MQTT-3.14.2-2]
            return nmq_conn_refuse(
                conn, batch,
                (nmq_fault){NMQ_RC_PROTOCOL_ERROR, "a Session Expiry of 0 stays 0"});
        }
    }
    nmq_conn_set_end(conn, (nmq_fault){packet->reason_code, "it sent DISCONNECT"});
    conn->send_will = packet->reason_code != NMQ_RC_SUCCESS; // [MQTT-3.14.4-3]
    conn->state = NMQ_CONN_CLOSING;
    return NMQ_NEXT_END; // [MQTT-3.14.4-1]
}

static handler *const handlers[16] = {
    [NMQ_CONNECT] = nmq_conn_handle_connect,
    [NMQ_PUBLISH] = nmq_conn_handle_publish,
    [NMQ_PUBACK] = handle_ack,
    [NMQ_PUBREC] = handle_ack,
    [NMQ_PUBREL] = handle_pubrel,
    [NMQ_PUBCOMP] = handle_ack,
    [NMQ_SUBSCRIBE] = nmq_conn_handle_subscribe,
    [NMQ_UNSUBSCRIBE] = nmq_conn_handle_unsubscribe,
    [NMQ_PINGREQ] = handle_pingreq,
    [NMQ_DISCONNECT] = handle_disconnect,
    [NMQ_AUTH] = nmq_conn_handle_auth,
};

enum nmq_next
nmq_conn_handle(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    return handlers[packet->type](conn, batch, packet); // conn_state let it through
}
