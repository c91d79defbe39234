#include "serve/publish.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "mqtt/sys_topic.h"
#include "net/memory.h"
#include "route/arrival.h"
#include "route/durable.h"
#include "route/fanout.h"
#include "serve/access.h"
#include "serve/ask.h"
#include "serve/bounds.h"
#include "serve/inbound.h"
#include "serve/mount.h"
#include "serve/reply.h"
#include "serve/tell.h"
#include "store/journal_topics.h"
#include "store/session_acks.h"

// Returns what closes the connection; code 0: nothing.
static nmq_fault
check_publish(const nmq_server_conn *conn, const nmq_packet *packet)
{
    const nmq_publish *p = &packet->publish;

    if (packet->props.present != 0) {
        if (nmq_props_has(&packet->props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER)) {
            return (nmq_fault){
                NMQ_RC_PROTOCOL_ERROR, // [MQTT-3.3.4-6]
                "a client's PUBLISH has no Subscription Identifier",
            };
        }
        if (!nmq_bounds_properties_fit(conn, &packet->props)) {
            return (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many User Properties"};
        }
    }
    return nmq_inbound_check(conn, p->topic_name, p->qos, p->retain);
}

// Puts the topic in place of its Topic Alias, or learns the alias (3.3.2.3.4). Aliases
// belong to the Network Connection [MQTT-3.3.2-7]; any from 1 to the maximum is taken
// [MQTT-3.3.2-12]. Returns 0, or the Reason Code to close with; NMQ_ENOMEM.
static int
resolve_alias(nmq_server_conn *conn, nmq_packet *packet)
{
    uint32_t max = conn->negotiated.topic_alias_max;
    uint32_t alias = packet->props.number[NMQ_PROP_TOPIC_ALIAS];
    nmq_bytes *topic = &packet->publish.topic_name;

    if (alias == 0 || alias > max) {
        return NMQ_RC_TOPIC_ALIAS_INVALID; // [MQTT-3.3.2-8] [MQTT-3.3.2-9]
    }
    if (topic->len > 0) {
        return nmq_alias_names_put(&conn->aliases, (uint16_t) alias, *topic);
    }
    nmq_bytes known = nmq_alias_names_get(&conn->aliases, (uint16_t) alias);
    if (known.at == NULL) {
        return NMQ_RC_PROTOCOL_ERROR; // 3.3.2.3.4: never set on this connection
    }
    *topic = known;
    return 0;
}

// What becomes of the publisher of a message that was refused. Returns the Reason Code of
// its acknowledgement, NMQ_ESHORT for one that is to be tried again later, or NMQ_ESTORE
// for one that will never be taken. Only 5.0 can refuse a message.
static int
refusal(const nmq_server_conn *conn, int unlogged)
{
    bool v5 = conn->net.version == NMQ_V5;

    if (unlogged == NMQ_ESHORT || (!v5 && unlogged != NMQ_ESTORE)) {
        return NMQ_ESHORT;
    }
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_DURABILITY_REFUSED,
                     unlogged != NMQ_OK);
    if (!v5) {
        return NMQ_ESTORE;
    }
    return unlogged == NMQ_ESTORE ? NMQ_RC_IMPLEMENTATION_SPECIFIC : NMQ_RC_QUOTA_EXCEEDED;
}

// Routes the message. Returns the Reason Code of its acknowledgement, NMQ_ENOMEM, or what
// `refusal` does.
static int
route(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_message *message = NULL;
    nmq_buf scratch = {0};
    nmq_message_parts parts = {
        .topic_name = packet->publish.topic_name,
        .payload = packet->publish.payload,
        .qos = packet->publish.qos,
        .retain = packet->publish.retain,
    };

    int rv = nmq_mount_topic(conn, parts.topic_name, &parts.topic_name);
    if (rv != NMQ_OK) {
        return rv == NMQ_ETOPIC ? NMQ_RC_TOPIC_NAME_INVALID : rv;
    }
    if (parts.retain || (batch->wanted & NMQ_WATCH_PUBLISHERS) != 0) {
        const nmq_client *client = conn->net.client;
        parts.published_ms = nmq_clock_wall_ms();
        parts.origin =
            nmq_access_origin(conn, client->session->client_id, client->user_name);
        if (parts.origin == NULL) {
            return NMQ_ENOMEM;
        }
    }
    if (packet->props.present != 0) {
        parts.expires_at_ms = nmq_arrival_expires_at(&packet->props, batch->now_ms);
        if (nmq_arrival_properties(&packet->props, &scratch, &parts.props) != NMQ_OK) {
            nmq_buf_free(&scratch);
            return NMQ_ENOMEM;
        }
    }
    uint8_t memory = NMQ_LIVE(*conn->net.conns->memory);
    // Otherwise nothing refuses it: without a shortage only a retained message may be one
    // too many.
    bool may_be_refused =
        memory != NMQ_MEMORY_FINE ||
        (parts.qos > 0 && (parts.retain || batch->router->journal != NULL));
    if (may_be_refused) {
        nmq_arrival_meet_memory(batch, &parts, memory, conn->net.version == NMQ_V5);
    }
    (void) nmq_fanout_publish(batch, conn->net.client, &parts, &message);
    if (message != NULL) { // somebody may have kept it
        nmq_message_unref(message);
        if (nmq_mem_due()) {
            nmq_memory_look(conn->net.conns);
        }
    }
    nmq_buf_free(&scratch);
    int unlogged;
    if (may_be_refused && nmq_arrival_was_refused(batch, &unlogged)) {
        return refusal(conn, unlogged);
    }
    // not for a message that its subscriber did not want or had no room for (table 3-4)
    return batch->matched ? NMQ_RC_SUCCESS : NMQ_RC_NO_MATCHING_SUBSCRIBERS;
}

// Known or not, DUP or not: at QoS 1 each is a new message [MQTT-4.3.2-5].
static enum nmq_next
acknowledge(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet, uint8_t code)
{
    uint8_t type = packet->publish.qos == 1 ? NMQ_PUBACK : NMQ_PUBREC; // [MQTT-4.3.2-4]

    // [MQTT-3.3.4-1] [MQTT-4.3.3-8]
    return nmq_reply_ack(conn, batch, type, packet->packet_id, (nmq_fault){code, NULL});
}

// Ends with a message that did not get in: `how` is what `refusal` has said, or NMQ_ENOMEM.
static enum nmq_next
not_taken(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet, int how)
{
    if (how == NMQ_ESHORT) {
        batch->payload_in -= packet->publish.payload.len; // it comes again
        return NMQ_NEXT_SHORT;
    }
    if (how == NMQ_ESTORE) {
        return nmq_reply_refuse(conn, batch, nmq_reply_unlogged(how));
    }
    if (how < 0) {
        return nmq_reply_no_memory(conn);
    }
    nmq_ask_end(conn);
    return acknowledge(conn, batch, packet, (uint8_t) how);
}

// Whether the identifier of a message at QoS 2 may be logged, which is done before it is
// known whether the message has to be: as nmq_arrival_may_log. Call with the client's lock.
static int
may_receive(const nmq_batch *batch, const nmq_client *client, const nmq_packet *packet)
{
    const nmq_session *session = client->session;
    bool logs = nmq_session_is_logged(session) &&
                !nmq_id_set_has(&session->unreleased, packet->packet_id);

    return logs ? nmq_arrival_may_log(batch, packet->publish.topic_name,
                                      packet->publish.payload.len)
                : NMQ_OK;
}

// QoS 2: the message goes out at its first coming, its identifier stays until PUBREL
// (4.3.3, method A). Returns what to do, and in *fresh whether to route; of
// what is refused, in *code what `refusal` says.
static enum nmq_next
receive_qos2(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet, bool *fresh,
             int *code)
{
    nmq_client *client = conn->net.client;
    uint32_t max = conn->negotiated.receive_maximum;

    (void) pthread_mutex_lock(&client->lock);
    const nmq_id_set *open = &client->session->unreleased;
    bool over = conn->net.version == NMQ_V5 && open->count >= max &&
                !nmq_id_set_has(open, packet->packet_id); // [MQTT-3.3.4-7]
    int may = client->session->log != NULL ? may_receive(batch, client, packet) : NMQ_OK;
    if (may != NMQ_OK && !over) {
        (void) pthread_mutex_unlock(&client->lock);
        *fresh = false;
        *code = refusal(conn, may);
        return NMQ_NEXT_PACKET;
    }
    int rv = over ? 0 : nmq_session_receive(client->session, packet->packet_id);
    if (nmq_journal_wants_topic(batch->router->journal, packet->publish.topic_name)) {
        nmq_durable_answer(batch, client); // else the identifier is known soon enough
    }
    (void) pthread_mutex_unlock(&client->lock);
    *fresh = rv == 1;
    if (rv == 0 && !over) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_PUBLISH_IN_USE, 1);
    }
    if (rv < 0) {
        return nmq_reply_no_memory(conn);
    }
    if (over) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_RECEIVE_MAX_EXCEEDED, 1);
        return nmq_reply_refuse(conn, batch,
                                (nmq_fault){NMQ_RC_RECEIVE_MAXIMUM_EXCEEDED,
                                            "more PUBLISH packets than Receive Maximum"});
    }
    return NMQ_NEXT_PACKET;
}

// The message did not get in: its identifier means a new one the next time [MQTT-4.3.3-9].
static void
forget_qos2(nmq_server_conn *conn, const nmq_packet *packet)
{
    nmq_client *client = conn->net.client;

    (void) pthread_mutex_lock(&client->lock);
    (void) nmq_session_released(client->session, packet->packet_id);
    (void) pthread_mutex_unlock(&client->lock);
}

// Acknowledges a message that goes nowhere.
// Before 5.0 it is acknowledged all the same [MQTT-3.3.5-2 of 3.1.1].
static enum nmq_next
refuse_message(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet,
               nmq_fault fault)
{
    uint8_t qos = packet->publish.qos;

    nmq_batch_count(batch, NMQ_DROP_REFUSED);
    if (qos == 0) {
        return NMQ_NEXT_PACKET;
    }
    if (conn->net.version != NMQ_V5) { // it can only be acknowledged (3.1.1: 3.3.5)
        fault = (nmq_fault){0};
    } else if (qos == 2) {
        forget_qos2(conn, packet);
    }
    return nmq_reply_ack(conn, batch, qos == 1 ? NMQ_PUBACK : NMQ_PUBREC, packet->packet_id,
                         fault);
}

static enum nmq_next
deny(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    const nmq_fault fault = {NMQ_RC_NOT_AUTHORIZED, "an access rule denies it"};

    nmq_tell_denied(conn, NMQ_WHY_PUBLISH, packet->publish.topic_name);
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_PUBLISH_DENIED, 1);
    nmq_ask_end(conn);
    return nmq_access_disconnects(conn) ? nmq_reply_refuse(conn, batch, fault)
                                        : refuse_message(conn, batch, packet, fault);
}

static enum nmq_access
may_publish(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    if (nmq_access_is_free(conn)) {
        return NMQ_ACCESS_ALLOW;
    }
    uint16_t act = nmq_acl_publish(packet->publish.qos, packet->publish.retain);
    enum nmq_access may = nmq_access_decide(conn, act, packet->publish.topic_name, 0);
    if (may == NMQ_ACCESS_ALLOW) {
        nmq_batch_count(batch, NMQ_BATCH_ALLOWED);
    }
    return may;
}

static enum nmq_next
ask(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    batch->payload_in -= packet->publish.payload.len; // it comes again
    return nmq_ask_one(conn, NMQ_ACL_PUBLISH, packet->publish.topic_name);
}

// Routes it, unless it came before. Returns what to do, and in *code as route.
static enum nmq_next
take_in(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet, int *code)
{
    bool fresh = true;

    if (packet->publish.qos == 2) {
        enum nmq_next next = receive_qos2(conn, batch, packet, &fresh, code);
        if (next != NMQ_NEXT_PACKET) {
            return next;
        }
    }
    if (fresh) { // [MQTT-4.3.3-10]
        *code = route(conn, batch, packet);
        if (packet->publish.qos == 2 && (*code < 0 || *code >= NMQ_RC_UNSPECIFIED_ERROR)) {
            forget_qos2(conn, packet);
        }
    }
    return NMQ_NEXT_PACKET;
}

enum nmq_next
nmq_publish_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    uint8_t qos = packet->publish.qos;
    int code = NMQ_RC_SUCCESS;
    nmq_journal_group group;
    nmq_fault fault = check_publish(conn, packet);

    batch->payload_in += packet->publish.payload.len;
    if (fault.code == 0 && nmq_props_has(&packet->props, NMQ_PROP_TOPIC_ALIAS)) {
        int rv = resolve_alias(conn, packet);
        if (rv < 0) {
            return nmq_reply_no_memory(conn);
        }
        fault = (nmq_fault){(uint8_t) rv, rv != 0 ? "unknown Topic Alias" : NULL};
    }
    if (fault.code != 0) {
        nmq_counters_add(net->conns->counters, NMQ_COUNT_PUBLISH_ERRORS, 1);
        return nmq_reply_refuse(conn, batch, fault);
    }
    if (nmq_topic_is_sys(packet->publish.topic_name)) {
        nmq_counters_add(net->conns->counters, NMQ_COUNT_PUBLISH_DENIED, 1);
        nmq_tell_denied(conn, NMQ_WHY_PUBLISH, packet->publish.topic_name);
        return refuse_message(
            conn, batch, packet,
            (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "$SYS topics are the broker's"});
    }
    enum nmq_access may = may_publish(conn, batch, packet);
    if (may != NMQ_ACCESS_ALLOW) {
        return may == NMQ_ACCESS_DENY ? deny(conn, batch, packet)
                                      : ask(conn, batch, packet);
    }
    if (qos == 2) { // its identifier is in use, and it is on its way; or neither is
        nmq_durable_open(batch->router, &group);
    }
    enum nmq_next next = take_in(conn, batch, packet, &code);
    if (qos == 2) {
        nmq_durable_close(batch->router, &group);
    }
    if (next != NMQ_NEXT_PACKET) {
        return next;
    }
    if (code < 0) {
        return not_taken(conn, batch, packet, code);
    }
    nmq_ask_end(conn);
    return qos == 0 ? NMQ_NEXT_PACKET : acknowledge(conn, batch, packet, (uint8_t) code);
}
