#include "bridge/arrive.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "mqtt/sys_topic.h"
#include "net/acks.h"
#include "net/answer.h"
#include "net/memory.h"
#include "route/arrival.h"
#include "route/durable.h"
#include "route/fanout.h"
#include "route/memory_level.h"
#include "store/journal_topics.h"
#include "store/session_acks.h"

static enum nmq_next
refuse(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet, uint8_t code,
       const char *why)
{
    return net->conns->role->refuse(net, batch, packet, (nmq_fault){code, why});
}

static enum nmq_next
no_memory(nmq_conn *net)
{
    nmq_conn_set_end(net, (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, "out of memory"});
    return NMQ_NEXT_END;
}

static enum nmq_next
answer(nmq_conn *net, nmq_batch *batch, uint8_t type, uint16_t packet_id, uint8_t code)
{
    uint8_t bytes[NMQ_ACK_MAX_BYTES];
    uint8_t *end = nmq_encode_ack(bytes, net->version, type, packet_id, code);
    int rv = nmq_answer_put(net, batch, (nmq_bytes){bytes, (size_t) (end - bytes)}, true);

    return rv == NMQ_OK ? NMQ_NEXT_PACKET : no_memory(net);
}

// --- acknowledgements

enum nmq_next
nmq_arrive_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    bool known = nmq_acks_release(net, batch, packet->packet_id);

    return answer(net, batch, NMQ_PUBCOMP, packet->packet_id,
                  known ? NMQ_RC_SUCCESS : NMQ_RC_PACKET_ID_NOT_FOUND);
}

enum nmq_next
nmq_arrive_ack(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_bridge *bridge = nmq_bridge_conn_of(net)->bridge;
    bool is_over =
        packet->type != NMQ_PUBREC && packet->reason_code < NMQ_RC_UNSPECIFIED_ERROR;
    int rv = nmq_acks_take(net, batch, packet);

    if (rv == NMQ_EINVAL) { // [MQTT-4.13.1-1]
        return refuse(net, batch, packet, NMQ_RC_PROTOCOL_ERROR,
                      "an acknowledgement of the wrong kind");
    }
    if (rv == NMQ_OK && is_over) {
        (void) __atomic_add_fetch(&bridge->acked, 1, __ATOMIC_RELAXED);
    }
    return rv == NMQ_ENOMEM ? no_memory(net) : NMQ_NEXT_PACKET;
}

// --- messages

// Takes the settings in force.
static void
use_settings_of_now(nmq_bridge_conn *conn)
{
    nmq_bridge *bridge = conn->bridge;

    if (__atomic_load_n(&bridge->settings, __ATOMIC_ACQUIRE) != conn->settings) {
        nmq_bridge_settings *old = conn->settings;
        conn->settings = nmq_bridge_now(bridge);
        nmq_bridge_settings_unref(old);
    }
}

// Fills in topic and RETAIN as they are here. Returns NMQ_OK, NMQ_ETOPIC for a message that
// has no place here, or was here before, or NMQ_ENOMEM.
static int
place(nmq_bridge_conn *conn, const nmq_packet *packet, nmq_message_parts *parts)
{
    const nmq_options *options = conn->net.conns->options;
    const nmq_publish *p = &packet->publish;

    use_settings_of_now(conn);
    const nmq_bridge_rule *rule = nmq_bridge_settings_from(conn->settings, p->topic_name);
    if (rule == NULL) {
        return NMQ_ETOPIC;
    }
    int rv = nmq_bridge_rule_map(rule, p->topic_name, &conn->topic, &parts->topic_name);
    if (rv != NMQ_OK) {
        return rv;
    }
    uint32_t properties_max = NMQ_LIVE(options->user_properties_max);
    nmq_bytes trail =
        packet->props.present != 0 ? nmq_trail_of(packet->props.raw) : (nmq_bytes){0};
    if (trail.len > 0 && nmq_trail_ends(trail, nmq_router_id(conn->net.conns->router))) {
        return NMQ_ETOPIC;
    }
    if (nmq_topic_is_sys(parts->topic_name) ||
        !nmq_topic_levels_fit(parts->topic_name, NMQ_LIVE(options->topic_levels_max)) ||
        (packet->props.present != 0 && properties_max != 0 &&
         nmq_trail_user_properties(&packet->props) > properties_max)) {
        return NMQ_ETOPIC;
    }
    parts->retain =
        nmq_bridge_rule_retain(rule, p->retain) && NMQ_LIVE(options->retain_available);
    return NMQ_OK;
}

// Who publishes is the bridge: no access rule counts for it.
static int
use_origin(nmq_bridge_conn *conn, nmq_message_parts *parts)
{
    const nmq_client *client = conn->net.client;

    if (conn->origin == NULL) {
        conn->origin = nmq_origin_new(client->session->client_id, (nmq_bytes){0},
                                      &conn->net.stream->peer, 0, 0);
        if (conn->origin == NULL) {
            return NMQ_ENOMEM;
        }
        conn->origin->superuser = true;
    }
    parts->origin = conn->origin;
    parts->published_ms = nmq_clock_wall_ms();
    return NMQ_OK;
}

// Routes the message. Returns NMQ_OK, NMQ_ESHORT for one that is to come again later,
// NMQ_ESTORE for one that will never be taken, or NMQ_ENOMEM.
static int
route(nmq_conn *net, nmq_batch *batch, const nmq_message_parts *parts)
{
    uint8_t memory = NMQ_LIVE(*net->conns->memory);
    nmq_message *message = NULL;
    int why = NMQ_OK;
    bool may_be_refused =
        memory != NMQ_MEMORY_FINE ||
        (parts->qos > 0 && (parts->retain || batch->router->journal != NULL));

    if (may_be_refused) {
        nmq_arrival_meet_memory(batch, parts, memory, false);
    }
    (void) nmq_fanout_publish(batch, net->client, parts, &message);
    if (message != NULL) {
        nmq_message_unref(message);
        if (nmq_mem_due()) {
            nmq_memory_look(net->conns);
        }
    }
    if (may_be_refused && nmq_arrival_was_refused(batch, &why)) {
        return why == NMQ_ESTORE ? NMQ_ESTORE : NMQ_ESHORT;
    }
    return NMQ_OK;
}

static int
route_packet(nmq_bridge_conn *conn, nmq_batch *batch, const nmq_packet *packet,
             nmq_message_parts *parts)
{
    nmq_buf scratch = {0};
    int rv = NMQ_OK;

    if (parts->retain || (batch->wanted & NMQ_WATCH_PUBLISHERS) != 0) {
        rv = use_origin(conn, parts);
    }
    if (rv == NMQ_OK && packet->props.present != 0) {
        parts->expires_at_ms = nmq_arrival_expires_at(&packet->props, batch->now_ms);
        rv = nmq_arrival_properties(&packet->props, &scratch, &parts->props);
    }
    if (rv == NMQ_OK && conn->peer_len > 0) {
        rv = nmq_trail_put(&conn->props, parts->props,
                           (nmq_bytes){conn->peer, conn->peer_len});
        parts->props = (nmq_bytes){conn->props.at, conn->props.len};
    }
    rv = rv == NMQ_OK ? route(&conn->net, batch, parts) : rv;
    nmq_buf_free(&scratch);
    return rv;
}

// The first coming of a message at QoS 2. Returns 1; 0: it came before [MQTT-4.3.3-10];
// NMQ_ENOMEM, NMQ_ETOOBIG for more than our Receive Maximum, or as nmq_arrival_may_log.
static int
receive_qos2(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet,
             const nmq_message_parts *parts)
{
    nmq_client *client = net->client;
    uint16_t id = packet->packet_id;
    uint32_t max = NMQ_LIVE(net->conns->options->receive_maximum);
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    nmq_session *session = client->session;
    bool known = nmq_id_set_has(&session->unreleased, id);
    if (!known && session->unreleased.count >= max && net->version == NMQ_V5) {
        rv = NMQ_ETOOBIG; // [MQTT-3.3.4-7]
    } else if (!known && session->log != NULL) {
        rv = nmq_arrival_may_log(batch, parts->topic_name, parts->payload.len);
    }
    rv = rv == NMQ_OK ? nmq_session_receive(session, id) : rv;
    if (rv >= 0 && nmq_journal_wants_topic(batch->router->journal, parts->topic_name)) {
        nmq_durable_answer(batch, client);
    }
    (void) pthread_mutex_unlock(&client->lock);
    return rv;
}

// The message did not get in: its identifier means a new one the next time.
static void
forget_qos2(nmq_conn *net, uint16_t packet_id)
{
    nmq_client *client = net->client;

    (void) pthread_mutex_lock(&client->lock);
    (void) nmq_session_released(client->session, packet_id);
    (void) pthread_mutex_unlock(&client->lock);
}

static int
take_in(nmq_bridge_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_message_parts parts = {.payload = packet->publish.payload,
                               .qos = packet->publish.qos};
    int rv = place(conn, packet, &parts);

    if (rv == NMQ_ETOPIC) {
        (void) __atomic_add_fetch(&conn->bridge->refused, 1, __ATOMIC_RELAXED);
        nmq_batch_count(batch, NMQ_DROP_REFUSED);
        return NMQ_OK;
    }
    if (rv != NMQ_OK || parts.qos < 2) {
        return rv != NMQ_OK ? rv : route_packet(conn, batch, packet, &parts);
    }
    rv = receive_qos2(&conn->net, batch, packet, &parts);
    if (rv == 1) {
        rv = route_packet(conn, batch, packet, &parts);
        if (rv != NMQ_OK) {
            forget_qos2(&conn->net, packet->packet_id);
        }
    }
    return rv;
}

static enum nmq_next
not_taken(nmq_conn *net, nmq_batch *batch, const nmq_packet *packet, int how)
{
    switch (how) {
    case NMQ_ESHORT:
    case NMQ_ENOSPC:
        batch->payload_in -= packet->publish.payload.len;
        return NMQ_NEXT_SHORT;
    case NMQ_ESTORE:
        return refuse(net, batch, packet, NMQ_RC_IMPLEMENTATION_SPECIFIC,
                      "what is to be kept cannot be written any more");
    case NMQ_ETOOBIG:
        return refuse(net, batch, packet, NMQ_RC_RECEIVE_MAXIMUM_EXCEEDED,
                      "more PUBLISH packets than Receive Maximum");
    default: return no_memory(net);
    }
}

enum nmq_next
nmq_arrive_publish(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_bridge_conn *conn = nmq_bridge_conn_of(net);
    uint8_t qos = packet->publish.qos;
    nmq_journal_group group;

    if (nmq_props_has(&packet->props, NMQ_PROP_TOPIC_ALIAS)) { // we allow none
        return refuse(net, batch, packet, NMQ_RC_TOPIC_ALIAS_INVALID,
                      "a Topic Alias, of which none is allowed");
    }
    batch->payload_in += packet->publish.payload.len;
    if (qos == 2) { // its identifier is in use, and it is on its way; or neither is
        nmq_durable_open(batch->router, &group);
    }
    int rv = take_in(conn, batch, packet);
    if (qos == 2) {
        nmq_durable_close(batch->router, &group);
    }
    if (rv != NMQ_OK) {
        return not_taken(net, batch, packet, rv);
    }
    (void) __atomic_add_fetch(&conn->bridge->received, 1, __ATOMIC_RELAXED);
    if (qos == 0) {
        return NMQ_NEXT_PACKET;
    }
    return answer(net, batch, qos == 1 ? NMQ_PUBACK : NMQ_PUBREC, packet->packet_id,
                  NMQ_RC_SUCCESS);
}
