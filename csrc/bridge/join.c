#include "bridge/join.h"

#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "bridge/mapped.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/send.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/held.h"
#include "route/own.h"
#include "store/session_acks.h"
#include "store/session_log.h"

enum {
    ALIASES_MAX = 64,             // Topic Aliases that we set
    HANDLING_NEW = 1 << 4,        // Retain Handling: for a new subscription alone
    TYPICAL_FILTERS_BYTES = 1024, // of a SUBSCRIBE
};

// --- forwards: from here

static bool
is_forward(const void *arg, nmq_bytes filter)
{
    const nmq_bridge_settings *settings = arg;

    for (size_t i = 0; i < settings->options.forward_count; i++) {
        if (nmq_bytes_equal(settings->forwards[i].filter.text, filter)) {
            return true;
        }
    }
    return false;
}

// No Local: what comes from the other broker does not go back [MQTT-3.8.3-3].
static uint8_t
options_of(const nmq_bridge *bridge, const nmq_bridge_rule *rule)
{
    uint8_t qos = rule->qos < bridge->qos_max ? rule->qos : bridge->qos_max;

    return (uint8_t) (qos | (rule->filter.group.at == NULL ? NMQ_SUB_NO_LOCAL : 0) |
                      NMQ_SUB_RETAIN_AS_PUBLISHED | HANDLING_NEW);
}

// Whether an earlier one has its filter: there is one subscription of each.
static bool
is_repeated(const nmq_bridge_settings *settings, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (nmq_bytes_equal(settings->forwards[i].filter.text,
                            settings->forwards[at].filter.text)) {
            return true;
        }
    }
    return false;
}

int
nmq_join_forwards(nmq_bridge *bridge, const nmq_bridge_settings *settings)
{
    nmq_consumers *consumers = bridge->bridges->consumers;
    int rv = nmq_own_unsubscribe(consumers, bridge->client, is_forward, settings);

    for (size_t i = 0; i < settings->options.forward_count && rv == NMQ_OK; i++) {
        const nmq_bridge_rule *rule = &settings->forwards[i];
        if (!is_repeated(settings, i)) {
            rv = nmq_own_subscribe(consumers, bridge->client, &rule->filter,
                                   options_of(bridge, rule), rule->identifier);
        }
    }
    return rv;
}

// --- subscriptions: from there

static const nmq_bridge_rule *
find(const nmq_bridge_settings *settings, nmq_bytes filter)
{
    size_t count = settings != NULL ? settings->options.subscription_count : 0;

    for (size_t i = 0; i < count; i++) {
        if (nmq_bytes_equal(settings->subscriptions[i].filter.text, filter)) {
            return &settings->subscriptions[i];
        }
    }
    return NULL;
}

// At QoS 0 what was retained while the bridge was down is not known otherwise.
static uint8_t
options_there(uint8_t version, const nmq_bridge_rule *rule)
{
    bool shared = rule->filter.group.at != NULL; // has no No Local [MQTT-3.8.3-4]

    if (version != NMQ_V5) {
        return rule->qos;
    }
    return (uint8_t) (rule->qos | (shared ? 0 : NMQ_SUB_NO_LOCAL) |
                      NMQ_SUB_RETAIN_AS_PUBLISHED | (rule->qos > 0 ? HANDLING_NEW : 0));
}

// Appends a packet with that list of filters, if there is any.
static int
put_list(nmq_bridge_conn *conn, uint8_t type, const nmq_buf *list)
{
    nmq_inflight *inflight = &conn->bridge->client->session->inflight;
    nmq_buf bytes = {0};
    int rv = NMQ_OK;

    if (list->len > 0) {
        const nmq_packet packet = {.type = type,
                                   .packet_id = nmq_inflight_draw(inflight),
                                   .list = {list->at, list->len}};
        rv = nmq_encode(&bytes, nmq_conn_version(&conn->net), &packet);
    }
    if (rv == NMQ_OK && bytes.len > conn->bridge->client->session->client_packet_max) {
        rv = NMQ_ETOOBIG;
    }
    if (rv == NMQ_OK && bytes.len > 0) {
        rv = nmq_outbox_put(&conn->net.link.outbox, (nmq_bytes){bytes.at, bytes.len});
    }
    nmq_buf_free(&bytes);
    return rv;
}

static int
subscribe_there(nmq_bridge_conn *conn, const nmq_bridge_settings *settings,
                const nmq_bridge_settings *before)
{
    uint8_t version = nmq_conn_version(&conn->net);
    nmq_buf list = {0};
    int rv = NMQ_OK;

    for (size_t i = 0; i < settings->options.subscription_count && rv == NMQ_OK; i++) {
        const nmq_bridge_rule *rule = &settings->subscriptions[i];
        const nmq_bridge_rule *was = find(before, rule->filter.text);
        if (was == NULL || was->qos != rule->qos) {
            rv = nmq_encode_subscription(&list, rule->filter.text,
                                         options_there(version, rule));
        }
        if (rv == NMQ_OK && list.len > TYPICAL_FILTERS_BYTES) {
            rv = put_list(conn, NMQ_SUBSCRIBE, &list);
            list.len = 0;
        }
    }
    rv = rv == NMQ_OK ? put_list(conn, NMQ_SUBSCRIBE, &list) : rv;
    nmq_buf_free(&list);
    return rv;
}

int
nmq_join_subscribe(nmq_bridge_conn *conn, const nmq_bridge_settings *settings,
                   const nmq_bridge_settings *before)
{
    size_t count = before != NULL ? before->options.subscription_count : 0;
    nmq_buf list = {0};
    int rv = NMQ_OK;

    for (size_t i = 0; i < count && rv == NMQ_OK; i++) {
        nmq_bytes filter = before->subscriptions[i].filter.text;
        if (find(settings, filter) == NULL) {
            rv = nmq_encode_filter(&list, filter);
        }
    }
    rv = rv == NMQ_OK ? put_list(conn, NMQ_UNSUBSCRIBE, &list) : rv;
    nmq_buf_free(&list);
    return rv == NMQ_OK ? subscribe_there(conn, settings, before) : rv;
}

// --- the session

// The other broker knows nothing of the session: what it did not acknowledge goes as new,
// and what it acknowledged with PUBREC is over. What it sent at QoS 2 is over too
// [MQTT-3.2.2-5]. Call with the client's lock.
static int
begin_anew(nmq_session *session)
{
    uint16_t *ids = NULL;
    int count =
        session->inflight.count > 0 ? nmq_inflight_sorted(&session->inflight, &ids) : 0;

    for (int i = 0; i < count; i++) {
        nmq_inflight_entry *entry = nmq_inflight_find(&session->inflight, ids[i]);
        if (entry->state == NMQ_INFLIGHT_PUBCOMP) {
            nmq_session_end_entry(session, entry);
        }
    }
    nmq_free(ids);
    for (uint32_t id = 1; count >= 0 && session->unreleased.count > 0; id++) {
        (void) nmq_session_released(session, (uint16_t) id);
    }
    return count < 0 ? count : NMQ_OK;
}

// What waits and is in flight is at QoS 1 at most from here on. Call with the client's
// lock.
static int
lower_qos(nmq_session *session)
{
    uint16_t *ids = NULL;
    int count =
        session->inflight.count > 0 ? nmq_inflight_sorted(&session->inflight, &ids) : 0;

    for (int i = 0; i < count; i++) {
        nmq_inflight_entry *entry = nmq_inflight_find(&session->inflight, ids[i]);
        if (entry->state == NMQ_INFLIGHT_PUBREC) {
            entry->state = NMQ_INFLIGHT_PUBACK;
            entry->delivery.qos = 1;
        }
    }
    nmq_free(ids);
    nmq_queue_lower_qos(&session->queue, 1);
    return count < 0 ? count : NMQ_OK;
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// Takes what CONNACK says of this connection. Call with the client's lock.
static int
negotiate(nmq_bridge_conn *conn, const nmq_packet *connack)
{
    nmq_client *client = conn->bridge->client;
    nmq_session *session = client->session;
    const nmq_props *props = &connack->props;
    uint32_t window = nmq_props_number(props, NMQ_PROP_RECEIVE_MAXIMUM, UINT16_MAX);
    int rv = connack->session_present ? NMQ_OK : begin_anew(session);

    if (rv == NMQ_OK && nmq_props_number(props, NMQ_PROP_MAXIMUM_QOS, 2) == 1) {
        rv = lower_qos(session);
    }
    session->version = client->version = conn->net.version;
    session->receive_maximum = (uint16_t) window;
    session->window = (uint16_t) smaller(window, conn->settings->options.receive_maximum);
    session->client_packet_max = session->packet_max =
        nmq_props_number(props, NMQ_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    nmq_mapped_set_retain_available(
        session, nmq_props_number(props, NMQ_PROP_RETAIN_AVAILABLE, 1) == 1);
    nmq_bytes peer = nmq_trail_of(props->raw);
    conn->peer_len = peer.len == sizeof conn->peer ? peer.len : 0;
    if (conn->peer_len > 0) {
        memcpy(conn->peer, peer.at, peer.len);
    }
    nmq_mapped_set_peer(session, peer);
    if (conn->peer_len > 0) {
        session->packet_max = nmq_trail_allow(session->packet_max);
    }
    nmq_aliases_reset(
        &session->aliases,
        (uint16_t) smaller(nmq_props_number(props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, 0),
                           ALIASES_MAX));
    rv = rv == NMQ_OK ? nmq_session_resume(session) : rv;
    session->resends_as_new = !connack->session_present;
    return rv;
}

// Sends what there is to send, once all that was logged is durable. Call with the client's
// lock and the link's.
static int
begin_to_send(nmq_bridge_conn *conn)
{
    const nmq_router *router = conn->net.conns->router;
    nmq_client *client = conn->bridge->client;
    nmq_link *link = &conn->net.link;
    int rv = nmq_join_subscribe(conn, conn->settings, NULL);

    link->shut = client->session->log != NULL;
    if (rv == NMQ_OK) {
        rv = nmq_session_pump(client->session, &link->outbox,
                              NMQ_LIVE(router->options->outbox_max_bytes),
                              nmq_clock_now_ms());
        nmq_deliver_note(client->session, link);
        nmq_client_count_fresh(client, router->counters);
    }
    if (rv == NMQ_OK && link->shut) {
        nmq_held *held = nmq_held_of(link, router->journal);
        rv = held != NULL ? NMQ_OK : NMQ_ENOMEM;
        if (held != NULL) {
            (void) nmq_held_open_at(held, nmq_journal_appended(router->journal));
        }
    }
    return rv;
}

// Returns the link that it had, whose reference is the caller's; NULL: none.
static nmq_link *
swap_link(nmq_client *client, nmq_conn *net)
{
    nmq_link *old = client->link;

    client->link = nmq_link_ref(&net->link);
    client->peer = net->stream->peer;
    client->connected_at_ms = nmq_clock_wall_ms();
    return old;
}

static int
give_session(nmq_bridge_conn *conn, nmq_batch *batch, const nmq_packet *connack)
{
    nmq_client *client = conn->bridge->client;
    nmq_conn *net = &conn->net;

    (void) pthread_mutex_lock(&client->lock);
    int rv = client->forgotten ? NMQ_ECLOSED : negotiate(conn, connack);
    nmq_link *old = NULL;
    if (rv == NMQ_OK) {
        old = swap_link(client, net);
        (void) pthread_mutex_lock(&net->link.lock);
        rv = begin_to_send(conn);
        net->client = nmq_client_ref(client);
        nmq_batch_touch(batch, &net->link);
        (void) pthread_mutex_unlock(&net->link.lock);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (old != NULL) {
        old->ops->disconnect(old, NMQ_RC_SUCCESS);
        nmq_link_unref(old);
    }
    return rv;
}

// Has forwards no QoS that the other broker does not take [MQTT-3.2.2-11]. The tree
// changes: not inside a lane.
static int
meet_qos(nmq_bridge_conn *conn, nmq_batch *batch, uint8_t qos_max)
{
    nmq_bridge *bridge = conn->bridge;
    int rv = NMQ_OK;

    nmq_batch_end(batch);
    (void) pthread_mutex_lock(&bridge->client->moving);
    if (bridge->qos_max != qos_max) {
        bridge->qos_max = qos_max;
        rv = nmq_join_forwards(bridge, conn->settings);
    }
    (void) pthread_mutex_unlock(&bridge->client->moving);
    nmq_batch_again(batch);
    return rv;
}

// Whether a forward, or what waits, is above QoS 0.
static bool
wants_qos(const nmq_bridge *bridge, const nmq_bridge_settings *settings)
{
    nmq_client *client = bridge->client;

    (void) pthread_mutex_lock(&client->lock);
    const nmq_session *session = client->session;
    bool wants =
        session->inflight.count > 0 || session->queue.count > session->queue.qos0_count;
    (void) pthread_mutex_unlock(&client->lock);
    for (size_t i = 0; i < settings->options.forward_count; i++) {
        wants = wants || settings->forwards[i].qos > 0;
    }
    return wants;
}

enum nmq_next
nmq_join(nmq_bridge_conn *conn, nmq_batch *batch, const nmq_packet *connack)
{
    uint8_t qos_max = (uint8_t) nmq_props_number(&connack->props, NMQ_PROP_MAXIMUM_QOS, 2);

    if (qos_max == 0 && wants_qos(conn->bridge, conn->settings)) {
        nmq_conn_set_end(&conn->net,
                         (nmq_fault){NMQ_RC_QOS_NOT_SUPPORTED,
                                     "the other broker takes QoS 0 alone, and there is "
                                     "more to send"});
        return NMQ_NEXT_END;
    }
    int rv = meet_qos(conn, batch, qos_max);
    rv = rv == NMQ_OK ? give_session(conn, batch, connack) : rv;
    if (rv != NMQ_OK) {
        nmq_conn_set_end(&conn->net,
                         (nmq_fault){NMQ_RC_UNSPECIFIED_ERROR, nmq_status_text(rv)});
        return NMQ_NEXT_END;
    }
    return NMQ_NEXT_PACKET;
}
