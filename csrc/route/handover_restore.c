#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "mqtt/topic.h"
#include "route/handover_format.h"
#include "route/handover_restore.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_subs.h"

typedef struct {
    nmq_bytes in;
    int rv;                // the first failure; then everything reads as zero
    nmq_messages messages; // by number; a reference each
    nmq_buf origins;       // nmq_origin * by number; a reference each
} reader;

// Returns the next bytes; NULL past the end.
static const uint8_t *
get_run(reader *r, size_t len)
{
    const uint8_t *at = r->in.at;

    if (r->rv == NMQ_OK && r->in.len < len) {
        r->rv = NMQ_EMALFORMED;
    }
    if (r->rv != NMQ_OK) {
        return NULL;
    }
    r->in.at += len;
    r->in.len -= len;
    return at;
}

static void
get(reader *r, void *to, size_t len)
{
    const uint8_t *at = get_run(r, len);

    if (at != NULL) {
        memcpy(to, at, len);
    } else {
        memset(to, 0, len);
    }
}

static nmq_bytes
get_text(reader *r)
{
    uint32_t len;

    get(r, &len, sizeof len);
    if (len == NMQ_HANDOVER_NONE || r->rv != NMQ_OK) {
        return (nmq_bytes){0};
    }
    const uint8_t *at = get_run(r, len);
    return (nmq_bytes){at, at != NULL ? len : 0};
}

static nmq_origin *
read_origin(reader *r)
{
    nmq_handover_origin fixed;

    get(r, &fixed, sizeof fixed);
    nmq_bytes client_id = get_text(r);
    nmq_bytes user_name = get_text(r);
    if (fixed.peer.address_len > sizeof fixed.peer.address || client_id.len > UINT16_MAX ||
        user_name.len > UINT16_MAX) {
        r->rv = r->rv == NMQ_OK ? NMQ_EMALFORMED : r->rv;
    }
    return r->rv == NMQ_OK
               ? nmq_origin_new(client_id, user_name, &fixed.peer, fixed.mount_len)
               : NULL;
}

// Returns a borrowed origin, or NULL for none.
static nmq_origin *
get_origin(reader *r)
{
    uint32_t number;
    nmq_origin *origin = NULL;
    size_t count = r->origins.len / sizeof origin;

    get(r, &number, sizeof number);
    if (number == NMQ_HANDOVER_NONE || r->rv != NMQ_OK) {
        return NULL;
    }
    if (number > count) {
        r->rv = NMQ_EMALFORMED;
        return NULL;
    }
    if (number < count) {
        memcpy(&origin, r->origins.at + number * sizeof origin, sizeof origin);
        return origin;
    }
    origin = read_origin(r);
    if (origin == NULL || nmq_buf_put(&r->origins, (nmq_bytes){(const uint8_t *) &origin,
                                                               sizeof origin}) != NMQ_OK) {
        nmq_origin_unref(origin);
        r->rv = r->rv == NMQ_OK ? NMQ_ENOMEM : r->rv;
        return NULL;
    }
    return origin;
}

static void
forget_origins(reader *r)
{
    nmq_origin *origin;

    for (size_t at = 0; at < r->origins.len; at += sizeof origin) {
        memcpy(&origin, r->origins.at + at, sizeof origin);
        nmq_origin_unref(origin);
    }
    nmq_buf_free(&r->origins);
}

static nmq_message *
read_message(reader *r)
{
    nmq_handover_message fixed;

    get(r, &fixed, sizeof fixed);
    nmq_bytes topic = {get_run(r, fixed.topic_len), fixed.topic_len};
    nmq_bytes props = {get_run(r, fixed.props_len), fixed.props_len};
    nmq_bytes payload = {get_run(r, fixed.payload_len), fixed.payload_len};
    nmq_message_parts parts = {
        .topic_name = topic,
        .props = props,
        .payload = payload,
        .expires_at_ms = fixed.expires_at_ms,
        .qos = fixed.qos,
        .retain = fixed.retain != 0,
        .origin = get_origin(r),
    };
    if (r->rv == NMQ_OK &&
        (fixed.qos > 2 || !nmq_topic_check(topic) ||
         (parts.origin != NULL && parts.origin->mount_len > topic.len))) {
        r->rv = NMQ_EMALFORMED;
    }
    return r->rv == NMQ_OK ? nmq_message_new(&parts) : NULL;
}

// Returns a borrowed message, or NULL for none.
static nmq_message *
get_message(reader *r)
{
    uint32_t number;

    get(r, &number, sizeof number);
    if (number == NMQ_HANDOVER_NONE || r->rv != NMQ_OK) {
        return NULL;
    }
    if (number < r->messages.count) {
        return r->messages.at[number];
    }
    if (number > r->messages.count) {
        r->rv = NMQ_EMALFORMED;
        return NULL;
    }
    nmq_message *message = read_message(r);
    if (message == NULL || nmq_messages_put(&r->messages, message) != NMQ_OK) {
        r->rv = r->rv == NMQ_OK ? NMQ_ENOMEM : r->rv;
    }
    nmq_message_unref(message); // the list has its own
    return r->rv == NMQ_OK ? message : NULL;
}

// The caller owns the delivery; empty on failure.
static nmq_delivery
get_delivery(reader *r)
{
    nmq_handover_delivery fixed;

    get(r, &fixed, sizeof fixed);
    nmq_delivery d = {
        .group = fixed.group,
        .subscription_id_count = fixed.ids & NMQ_DELIVERY_IDS_MAX,
        .qos = fixed.qos & 3u,
        .retain = fixed.retain != 0,
    };
    if (fixed.qos > 2) {
        r->rv = NMQ_EMALFORMED;
    }
    if (fixed.ids > NMQ_DELIVERY_IDS_MAX) {
        r->rv = NMQ_EMALFORMED;
    }
    size_t size = (size_t) fixed.ids * sizeof(uint32_t);
    const uint8_t *ids = get_run(r, size);
    if (fixed.ids > 1 && ids != NULL) {
        d.subscription.ids = nmq_alloc(size);
        r->rv = d.subscription.ids == NULL ? NMQ_ENOMEM : r->rv;
    }
    if (r->rv != NMQ_OK || ids == NULL) {
        return (nmq_delivery){0};
    }
    if (fixed.ids > 0) {
        memcpy(fixed.ids == 1 ? &d.subscription.id : d.subscription.ids, ids, size);
    }
    nmq_message *message = get_message(r);
    d.message = message != NULL ? nmq_message_ref(message) : NULL;
    return d;
}

static void
get_in_flight(reader *r, nmq_session *s, const nmq_handover_client *fixed)
{
    for (uint32_t i = 0; i < fixed->in_flight && r->rv == NMQ_OK; i++) {
        nmq_inflight_entry entry = {0};
        get(r, &entry.order, sizeof entry.order);
        get(r, &entry.packet_id, sizeof entry.packet_id);
        get(r, &entry.state, sizeof entry.state);
        entry.delivery = get_delivery(r);
        if (r->rv == NMQ_OK) {
            r->rv = nmq_inflight_put(&s->inflight, &entry);
        }
        if (r->rv != NMQ_OK) {
            nmq_delivery_fini(&entry.delivery);
        }
    }
    s->inflight.next_order = fixed->next_order;
    s->inflight.last_id = fixed->last_id;
}

static void
get_queue(reader *r, nmq_session *s, const nmq_handover_client *fixed)
{
    for (uint32_t i = 0; i < fixed->unreleased && r->rv == NMQ_OK; i++) {
        uint16_t packet_id;
        get(r, &packet_id, sizeof packet_id);
        r->rv = r->rv != NMQ_OK  ? r->rv
                : packet_id == 0 ? NMQ_EMALFORMED
                                 : nmq_id_set_put(&s->unreleased, packet_id);
    }
    for (uint32_t i = 0; i < fixed->queued && r->rv == NMQ_OK; i++) {
        nmq_delivery d = get_delivery(r);
        if (r->rv == NMQ_OK && d.message == NULL) {
            r->rv = NMQ_EMALFORMED;
        }
        if (r->rv == NMQ_OK) {
            r->rv = nmq_queue_push(&s->queue, &d);
        }
        if (r->rv != NMQ_OK) {
            nmq_delivery_fini(&d);
        }
    }
}

// The subscription's filter, if it is one.
static nmq_filter
get_filter(reader *r, const nmq_session_sub *sub)
{
    nmq_filter filter = {0};

    bool whole =
        sub->text.len > 0 && (sub->group_len == 0 ||
                              (nmq_filter_is_shared(sub->text) &&
                               sub->text.len > NMQ_SHARE_BYTES + (size_t) sub->group_len));
    if (r->rv == NMQ_OK && !whole) {
        r->rv = NMQ_EMALFORMED;
    }
    if (r->rv == NMQ_OK) {
        filter = nmq_session_sub_filter(sub);
        r->rv = nmq_filter_check(filter.filter) ? r->rv : NMQ_EMALFORMED;
    }
    return filter;
}

static void
get_subs(reader *r, nmq_sessions *sessions, nmq_client *client, uint32_t count)
{
    for (uint32_t i = 0; i < count && r->rv == NMQ_OK; i++) {
        nmq_session_sub sub = {.text = get_text(r)};
        uint32_t group;
        get(r, &group, sizeof group);
        get(r, &sub.group_len, sizeof sub.group_len);
        get(r, &sub.identifier, sizeof sub.identifier);
        get(r, &sub.options, sizeof sub.options);
        nmq_filter filter = get_filter(r, &sub);
        int rv = r->rv == NMQ_OK ? nmq_subscriptions_put(sessions->router, client, &filter,
                                                         sub.options, sub.identifier)
                                 : r->rv;
        // one over a bound that has sunk since is left out
        r->rv = rv >= 0 || rv == NMQ_ETOOBIG ? r->rv : rv;
        if (rv >= 0 && group != 0) {
            nmq_subscriptions_number_group(sessions->router, &filter, group);
        }
    }
}

static void
get_owed(reader *r, nmq_sessions *sessions, nmq_client *client, uint32_t count)
{
    for (uint32_t i = 0; i < count && r->rv == NMQ_OK; i++) {
        nmq_handover_owed fixed;
        get(r, &fixed, sizeof fixed);
        nmq_bytes filter = get_text(r);
        nmq_bytes topic_name = get_text(r);
        const nmq_replay_place place = {
            .filter = filter,
            .topic_name = topic_name,
            .order = fixed.order,
            .queued = fixed.queued,
            .identifier = fixed.identifier,
            .options = fixed.options,
        };
        if (r->rv == NMQ_OK && !nmq_filter_check(place.filter)) {
            r->rv = NMQ_EMALFORMED;
        }
        // without its subscription, which was left out, nothing is owed; nor without a
        // topic
        if (r->rv == NMQ_OK && topic_name.at != NULL &&
            nmq_session_sub_find(client->session, place.filter) != NULL) {
            r->rv = nmq_replay_go_on(sessions->router->retained, client, &place);
        }
    }
}

static void
fill_client(nmq_client *c, const nmq_handover_client *fixed)
{
    c->peer = fixed->peer;
    c->will_due_ms = fixed->will_due_ms;
    c->expiry_due_ms = fixed->expiry_due_ms;
    c->connected_at_ms = fixed->connected_at_ms;
    c->disconnected_at_ms = fixed->disconnected_at_ms;
    c->messages_received = fixed->messages_received;
    c->messages_sent = fixed->messages_sent;
    c->messages_dropped = fixed->messages_dropped;
    c->expiry_interval_s = fixed->expiry_interval_s;
    c->keep_alive_s = fixed->keep_alive_s;
    c->version = fixed->version;
    c->clean_start = fixed->clean_start != 0;
    c->proof = fixed->proof;
    c->listener_key = fixed->listener_key;
    c->session->version = fixed->version;
    c->session->client_packet_max = fixed->packet_max;
    c->session->receive_maximum = (uint16_t) fixed->receive_maximum;
}

static int
copy(nmq_bytes text, nmq_bytes *out)
{
    return text.at != NULL ? nmq_bytes_copy(text, out) : NMQ_OK;
}

static void
get_client(reader *r, nmq_sessions *sessions)
{
    nmq_handover_client fixed;

    get(r, &fixed, sizeof fixed);
    if (fixed.peer.address_len > sizeof fixed.peer.address) {
        r->rv = NMQ_EMALFORMED;
    }
    nmq_bytes client_id = get_text(r);
    nmq_bytes user_name = get_text(r);
    nmq_bytes mount = get_text(r);
    nmq_message *will = get_message(r);
    nmq_client *client =
        r->rv == NMQ_OK ? nmq_client_new(&sessions->registry.counts, client_id) : NULL;
    if (client == NULL) {
        r->rv = r->rv == NMQ_OK ? NMQ_ENOMEM : r->rv;
        return;
    }
    fill_client(client, &fixed);
    (void) nmq_client_set_will(
        client, (nmq_will){.message = will != NULL ? nmq_message_ref(will) : NULL,
                           .delay_s = fixed.will_delay_s,
                           .expiry_s = fixed.will_expiry_s,
                           .expires = fixed.will_expires != 0});
    if (copy(user_name, &client->user_name) != NMQ_OK ||
        copy(mount, &client->session->mount) != NMQ_OK) {
        r->rv = NMQ_ENOMEM;
    }
    get_subs(r, sessions, client, fixed.subs);
    get_in_flight(r, client->session, &fixed);
    get_queue(r, client->session, &fixed);
    get_owed(r, sessions, client, fixed.owed);
    if (r->rv == NMQ_OK) {
        r->rv = nmq_sessions_restore(sessions, client);
    }
    if (r->rv != NMQ_OK) {
        nmq_will_drop(client); // it must not go out
        nmq_sessions_end(sessions, client);
    }
}

static void
get_retained(reader *r, nmq_retained *retained)
{
    uint64_t order;
    nmq_message *message = get_message(r);

    get(r, &order, sizeof order);
    if (message == NULL || nmq_topic_is_sys(nmq_message_topic(message))) {
        return; // the next process tells its own
    }
    (void) nmq_retained_keep(retained, message, false);
    (void) pthread_mutex_lock(&retained->lock);
    nmq_retain_set_order(retained->store, nmq_message_topic(message), order);
    (void) pthread_mutex_unlock(&retained->lock);
}

int
nmq_handover_restore(nmq_sessions *sessions, nmq_bytes in)
{
    reader r = {.in = in};
    nmq_handover_header head;
    int restored = 0;

    get(&r, &head, sizeof head);
    if (memcmp(head.magic, NMQ_HANDOVER_MAGIC, sizeof head.magic) != 0 ||
        head.client_bytes != sizeof(nmq_handover_client) ||
        head.message_bytes != sizeof(nmq_handover_message)) {
        return NMQ_EMALFORMED;
    }
    nmq_groups_begin_after(head.latest_group);
    for (uint64_t i = 0; i < head.retained && r.rv == NMQ_OK; i++) {
        get_retained(&r, sessions->router->retained);
    }
    while (r.rv == NMQ_OK && r.in.len > 0) {
        get_client(&r, sessions);
        restored += r.rv == NMQ_OK;
    }
    nmq_messages_free(&r.messages);
    forget_origins(&r);
    return r.rv != NMQ_OK ? r.rv : restored;
}
