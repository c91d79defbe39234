// handle.c - what the broker does with each packet a client may send (MQTT 5.0, chapter 3).
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/conn.h"

typedef enum nmq_next handler(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

enum nmq_next
nmq_conn_no_memory(nmq_conn *conn)
{
    nmq_log_write(&conn->conns->router->log, NMQ_LOG_ERROR, "%s: closed, out of memory",
                  conn->peer);
    return NMQ_NEXT_END;
}

enum nmq_next
nmq_conn_put_packet(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_buf bytes = {0};
    int rv = nmq_encode(&bytes, conn->version, packet);

    if (rv == NMQ_OK) {
        rv = nmq_conn_put(conn, batch, (nmq_bytes){bytes.at, bytes.len});
    }
    nmq_buf_free(&bytes);
    return rv == NMQ_OK ? NMQ_NEXT_PACKET : nmq_conn_no_memory(conn);
}

static enum nmq_next
put_ack(nmq_conn *conn, nmq_batch *batch, uint8_t type, uint16_t packet_id,
        uint8_t reason_code)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];
    uint8_t *end = nmq_encode_ack(bytes, conn->version, type, packet_id, reason_code);
    int rv = nmq_conn_put(conn, batch, (nmq_bytes){bytes, (size_t) (end - bytes)});

    return rv == NMQ_OK ? NMQ_NEXT_PACKET : nmq_conn_no_memory(conn);
}

enum nmq_next
nmq_conn_refuse_connect(nmq_conn *conn, nmq_batch *batch, uint8_t reason_code)
{
    nmq_packet connack = {.type = NMQ_CONNACK, .reason_code = reason_code};

    (void) nmq_conn_put_packet(conn, batch, &connack);
    return NMQ_NEXT_END;
}

enum nmq_next
nmq_conn_refuse(nmq_conn *conn, nmq_batch *batch, uint8_t reason_code)
{
    nmq_packet disconnect = {.type = NMQ_DISCONNECT, .reason_code = reason_code};

    nmq_log_write(&conn->conns->router->log, NMQ_LOG_INFO, "%s: closed: %s", conn->peer,
                  nmq_reason_text(reason_code));
    if (conn->state == NMQ_CONN_OPEN) {
        if (conn->version == NMQ_V5) { // [MQTT-4.13.2-1]
            (void) nmq_conn_put_packet(conn, batch, &disconnect);
        }
    } else if (conn->version == NMQ_V5 ||
               reason_code == NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION) {
        // Before 5.0 only this fault of a CONNECT has an answer [MQTT-3.1.2-2].
        (void) nmq_conn_refuse_connect(conn, batch, reason_code);
    }
    conn->state = NMQ_CONN_CLOSING;
    return NMQ_NEXT_END;
}

// The level count is one more than the separators.
bool
nmq_conn_levels_fit(const nmq_conn *conn, nmq_bytes topic)
{
    uint32_t left = conn->conns->options->topic_levels_max;

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
    uint32_t max = conn->conns->options->user_properties_max;

    return max == 0 || props->user_properties <= max;
}

int
nmq_conn_forwarded(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out)
{
    const uint64_t hop = UINT64_C(1) << NMQ_PROP_TOPIC_ALIAS |
                         UINT64_C(1) << NMQ_PROP_MESSAGE_EXPIRY_INTERVAL |
                         UINT64_C(1) << NMQ_PROP_WILL_DELAY_INTERVAL;
    nmq_bytes block = props->raw;
    nmq_prop prop;

    *out = props->raw;
    if ((props->present & hop) == 0) {
        return NMQ_OK;
    }
    while (nmq_props_next(&block, &prop)) {
        if ((hop >> prop.id & 1) == 0 && nmq_buf_put(scratch, prop.wire) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    *out = (nmq_bytes){scratch->at, scratch->len};
    return NMQ_OK;
}

int64_t
nmq_conn_expires_at(const nmq_props *props, int64_t now_ms)
{
    return nmq_props_has(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL)
               ? now_ms + (int64_t) props->number[NMQ_PROP_MESSAGE_EXPIRY_INTERVAL] * 1000
               : 0;
}

// --- PUBLISH

// Returns 0, or the Reason Code to close the connection with.
static uint8_t
check_publish(const nmq_conn *conn, const nmq_packet *packet)
{
    if (packet->props.present != 0) {
        if (nmq_props_has(&packet->props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER)) {
            return NMQ_RC_PROTOCOL_ERROR; // [MQTT-3.3.4-6]
        }
        if (!nmq_conn_properties_fit(conn, &packet->props)) {
            return NMQ_RC_QUOTA_EXCEEDED;
        }
    }
    return nmq_conn_levels_fit(conn, packet->publish.topic_name)
               ? 0
               : NMQ_RC_TOPIC_NAME_INVALID;
}

// Puts the topic in place of its Topic Alias, or learns the alias (3.3.2.3.4). Aliases
// belong to the Network Connection [MQTT-3.3.2-7]. Returns 0, or the Reason Code to close
// with; NMQ_ENOMEM.
static int
resolve_alias(nmq_conn *conn, nmq_packet *packet)
{
    uint32_t max = conn->conns->options->topic_alias_max;
    uint32_t alias = packet->props.number[NMQ_PROP_TOPIC_ALIAS];
    nmq_bytes *topic = &packet->publish.topic_name;

    if (alias == 0 || alias > max) {
        return NMQ_RC_TOPIC_ALIAS_INVALID; // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    }
    if (conn->aliases == NULL) {
        conn->aliases = nmq_zalloc(max * sizeof *conn->aliases);
    }
    if (conn->aliases == NULL) {
        return NMQ_ENOMEM;
    }
    nmq_bytes *known = &conn->aliases[alias - 1];
    if (topic->len > 0) {
        nmq_free((void *) (uintptr_t) known->at);
        *known = (nmq_bytes){0};
        return nmq_bytes_copy(*topic, known);
    }
    if (known->at == NULL) {
        return NMQ_RC_PROTOCOL_ERROR; // 3.3.2.3.4: never set on this connection
    }
    *topic = *known;
    return 0;
}

// Routes the message. Returns the Reason Code of its acknowledgement, or NMQ_ENOMEM.
static int
route(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_message *message = NULL;
    nmq_buf scratch = {0};
    nmq_message_parts parts = {
        .topic_name = packet->publish.topic_name,
        .payload = packet->publish.payload,
        .qos = packet->publish.qos,
        .retain = packet->publish.retain,
    };

    if (packet->props.present != 0) {
        parts.expires_at_ms = nmq_conn_expires_at(&packet->props, batch->now_ms);
        if (nmq_conn_forwarded(&packet->props, &scratch, &parts.props) != NMQ_OK) {
            nmq_buf_free(&scratch);
            return NMQ_ENOMEM;
        }
    }
    unsigned taken = nmq_router_publish(batch, conn->client, &parts, &message);
    nmq_message_unref(message);
    nmq_buf_free(&scratch);
    return taken > 0 ? NMQ_RC_SUCCESS : NMQ_RC_NO_MATCHING_SUBSCRIBERS;
}

// QoS 2: the message goes out at its first coming, its identifier stays until PUBREL
// (4.3.3, method A). Returns what to do, and in *fresh whether to route.
static enum nmq_next
receive_qos2(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet, bool *fresh)
{
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    uint32_t open = client->session->unreleased.count;
    int rv = nmq_session_receive(client->session, packet->packet_id);
    (void) pthread_mutex_unlock(&client->lock);
    *fresh = rv == 1;
    if (rv < 0) {
        return nmq_conn_no_memory(conn);
    }
    if (*fresh && conn->version == NMQ_V5 && open >= conn->conns->options->window) {
        return nmq_conn_refuse(conn, batch,
                               NMQ_RC_RECEIVE_MAXIMUM_EXCEEDED); // [MQTT-3.3.4-9]
    }
    return NMQ_NEXT_PACKET;
}

static enum nmq_next
handle_publish(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    uint8_t qos = packet->publish.qos;
    bool fresh = true;
    int code = NMQ_RC_SUCCESS;
    uint8_t refused = check_publish(conn, packet);

    conn->messages_in++;
    if (refused == 0 && nmq_props_has(&packet->props, NMQ_PROP_TOPIC_ALIAS)) {
        int rv = resolve_alias(conn, packet);
        if (rv < 0) {
            return nmq_conn_no_memory(conn);
        }
        refused = (uint8_t) rv;
    }
    if (refused != 0) {
        return nmq_conn_refuse(conn, batch, refused);
    }
    if (qos == 2) {
        enum nmq_next next = receive_qos2(conn, batch, packet, &fresh);
        if (next != NMQ_NEXT_PACKET) {
            return next;
        }
    }
    if (fresh) { // [MQTT-4.3.3-10]
        code = route(conn, batch, packet);
        if (code < 0) {
            return nmq_conn_no_memory(conn);
        }
    }
    if (qos == 0) {
        return NMQ_NEXT_PACKET;
    }
    return put_ack(conn, batch, qos == 1 ? NMQ_PUBACK : NMQ_PUBREC, // [MQTT-4.3.2-4]
                   packet->packet_id, (uint8_t) code);
}

static enum nmq_next
handle_pubrel(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_client *client = conn->client;

    (void) pthread_mutex_lock(&client->lock);
    bool known = nmq_session_released(client->session, packet->packet_id);
    (void) pthread_mutex_unlock(&client->lock);
    return put_ack(conn, batch, NMQ_PUBCOMP, packet->packet_id, // [MQTT-4.3.3-11]
                   known ? NMQ_RC_SUCCESS : NMQ_RC_PACKET_ID_NOT_FOUND);
}

// PUBACK, PUBREC, PUBCOMP.
static enum nmq_next
handle_ack(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_client *client = conn->client;
    nmq_link *link = &conn->link;
    uint32_t queue_max = conn->conns->router->limits.queue_max;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link == link) { // else taken over: the state is another connection's now
        nmq_session *session = client->session;
        (void) pthread_mutex_lock(&link->lock);
        rv = nmq_session_acked(session, &link->outbox, packet->type, packet->packet_id,
                               packet->reason_code, batch->now_ms);
        batch->messages_out += nmq_client_take_sent(client);
        link->queue_full = link->queue_full && session->queue.count > queue_max / 2;
        if (link->outbox.total > 0) {
            nmq_batch_touch(batch, link);
        }
        (void) pthread_mutex_unlock(&link->lock);
        conn->acked = true;
    }
    (void) pthread_mutex_unlock(&client->lock);
    // An unknown identifier is no fault: the state may be gone since (4.3.2, 4.3.3).
    return rv == NMQ_ENOMEM ? nmq_conn_no_memory(conn) : NMQ_NEXT_PACKET;
}

// --- SUBSCRIBE, UNSUBSCRIBE

static uint8_t
code_of(int rv, uint8_t options)
{
    switch (rv) {
    case 0:
    case 1: return options & NMQ_SUB_QOS; // [MQTT-3.9.3-1]
    case NMQ_EFILTER: return NMQ_RC_TOPIC_FILTER_INVALID;
    default: return NMQ_RC_UNSPECIFIED_ERROR;
    }
}

static enum nmq_next
put_codes(nmq_conn *conn, nmq_batch *batch, uint8_t type, uint16_t packet_id,
          nmq_bytes codes)
{
    nmq_packet ack = {.type = type, .packet_id = packet_id, .list = codes};

    return nmq_conn_put_packet(conn, batch, &ack); // [MQTT-3.8.4-2] [MQTT-3.8.4-6]
}

// Before 5.0 every failure is 0x80.
static uint8_t
code_for(const nmq_conn *conn, uint8_t code)
{
    return conn->version == NMQ_V5 || code < NMQ_RC_UNSPECIFIED_ERROR
               ? code
               : (uint8_t) NMQ_RC_UNSPECIFIED_ERROR;
}

// Subscribes to each filter; results gets nmq_router_subscribe's answers, one byte each.
static int
subscribe_all(nmq_conn *conn, nmq_bytes list, uint32_t identifier, nmq_buf *codes,
              nmq_buf *results)
{
    nmq_bytes filter;
    uint8_t options;

    while (nmq_packet_next_subscription(&list, &filter, &options)) {
        int rv = nmq_conn_levels_fit(conn, filter)
                     ? nmq_router_subscribe(conn->conns->router, conn->client, filter,
                                            options, identifier)
                     : NMQ_EFILTER;
        uint8_t code = code_for(conn, code_of(rv, options));
        uint8_t result = (uint8_t) (rv >= 0 ? rv : 0xff);
        if (nmq_buf_put(codes, (nmq_bytes){&code, 1}) != NMQ_OK ||
            nmq_buf_put(results, (nmq_bytes){&result, 1}) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    return NMQ_OK;
}

static void
send_retained(nmq_conn *conn, nmq_batch *batch, nmq_bytes list, uint32_t identifier,
              const nmq_buf *results)
{
    nmq_bytes filter;
    uint8_t options;

    for (size_t i = 0; nmq_packet_next_subscription(&list, &filter, &options); i++) {
        if (results->at[i] != 0xff) {
            nmq_router_send_retained(batch, conn->client, filter, options, identifier,
                                     results->at[i] == 1);
        }
    }
}

static enum nmq_next
handle_subscribe(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    uint32_t identifier =
        nmq_props_number(&packet->props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER, 0);
    nmq_buf codes = {0};
    nmq_buf results = {0};
    enum nmq_next next;

    if (!nmq_conn_properties_fit(conn, &packet->props)) {
        return nmq_conn_refuse(conn, batch, NMQ_RC_QUOTA_EXCEEDED);
    }
    nmq_batch_end(batch); // the tree changes: not inside a lane
    int rv = subscribe_all(conn, packet->list, identifier, &codes, &results);
    nmq_batch_again(batch);
    if (rv == NMQ_OK) {
        next = put_codes(conn, batch, NMQ_SUBACK, packet->packet_id,
                         (nmq_bytes){codes.at, codes.len});
        send_retained(conn, batch, packet->list, identifier, &results);
    } else {
        next = nmq_conn_no_memory(conn);
    }
    nmq_buf_free(&codes);
    nmq_buf_free(&results);
    return next;
}

static enum nmq_next
handle_unsubscribe(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    nmq_router *router = conn->conns->router;
    nmq_bytes list = packet->list;
    nmq_bytes filter;
    nmq_buf codes = {0};
    int put = NMQ_OK;

    if (!nmq_conn_properties_fit(conn, &packet->props)) {
        return nmq_conn_refuse(conn, batch, NMQ_RC_QUOTA_EXCEEDED);
    }
    nmq_batch_end(batch); // the tree changes: not inside a lane
    while (put == NMQ_OK && nmq_packet_next_filter(&list, &filter)) {
        int rv = nmq_router_unsubscribe(router, conn->client, filter); // [MQTT-3.10.4-1]
        uint8_t code = rv == NMQ_OK        ? NMQ_RC_SUCCESS
                       : rv == NMQ_EFILTER ? NMQ_RC_TOPIC_FILTER_INVALID
                                           : NMQ_RC_NO_SUBSCRIPTION_EXISTED;
        put = nmq_buf_put(&codes, (nmq_bytes){&code, 1});
    }
    nmq_batch_again(batch);
    enum nmq_next next =
        put == NMQ_OK ? put_codes(conn, batch, NMQ_UNSUBACK, // [MQTT-3.10.4-4]
                                  packet->packet_id, (nmq_bytes){codes.at, codes.len})
                      : nmq_conn_no_memory(conn);
    nmq_buf_free(&codes);
    return next;
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

    if (nmq_props_has(&packet->props, NMQ_PROP_SESSION_EXPIRY_INTERVAL)) {
        uint32_t asked = packet->props.number[NMQ_PROP_SESSION_EXPIRY_INTERVAL];
        uint32_t max_s = conn->conns->options->expiry_max_s;
        (void) pthread_mutex_lock(&client->lock);
        bool was_zero = client->expiry_interval_s == 0;
        if (client->link == &conn->link && (!was_zero || asked == 0)) {
            client->expiry_interval_s = asked < max_s ? asked : max_s;
        }
        (void) pthread_mutex_unlock(&client->lock);
        if (was_zero && asked != 0) { // [MQTT-3.14.2-2]
            return nmq_conn_refuse(conn, batch, NMQ_RC_PROTOCOL_ERROR);
        }
    }
    conn->send_will = packet->reason_code != NMQ_RC_SUCCESS; // [MQTT-3.14.4-3]
    conn->state = NMQ_CONN_CLOSING;
    return NMQ_NEXT_END; // [MQTT-3.14.4-1]
}

static enum nmq_next
handle_auth(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    (void) packet; // no CONNECT with a method was let in [MQTT-4.12.0-6]
    return nmq_conn_refuse(conn, batch, NMQ_RC_PROTOCOL_ERROR);
}

static handler *const handlers[16] = {
    [NMQ_CONNECT] = nmq_conn_handle_connect,
    [NMQ_PUBLISH] = handle_publish,
    [NMQ_PUBACK] = handle_ack,
    [NMQ_PUBREC] = handle_ack,
    [NMQ_PUBREL] = handle_pubrel,
    [NMQ_PUBCOMP] = handle_ack,
    [NMQ_SUBSCRIBE] = handle_subscribe,
    [NMQ_UNSUBSCRIBE] = handle_unsubscribe,
    [NMQ_PINGREQ] = handle_pingreq,
    [NMQ_DISCONNECT] = handle_disconnect,
    [NMQ_AUTH] = handle_auth,
};

enum nmq_next
nmq_conn_handle(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    return handlers[packet->type](conn, batch, packet); // conn_state let it through
}
