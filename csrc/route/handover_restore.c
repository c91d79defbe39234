#include "route/handover_restore.h"

#include <string.h>

#include "base/mem.h"
#include "base/moment.h"
#include "base/status.h"
#include "base/vec.h"
#include "mqtt/sys_topic.h"
#include "mqtt/topic.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/records.h"
#include "store/session_subs.h"

// Objects by their number, which is their place, from 1.
typedef struct {
    void **at;
    uint32_t count;
    uint32_t cap;
} numbered;

typedef struct {
    nmq_sessions *sessions;
    nmq_moment written; // when the records were
    nmq_moment now;
    numbered origins;  // nmq_origin; a reference each
    numbered messages; // nmq_message; a reference each
    numbered clients;  // nmq_client; owned until nmq_sessions_restore takes them
} reader;

// The object of that number, which has to come before; NULL: none.
static void *
get(const numbered *list, uint64_t number)
{
    return number - 1 < list->count ? list->at[number - 1] : NULL;
}

// Puts the object at the next place. Returns NMQ_OK or NMQ_ENOMEM.
static int
add(numbered *list, void *object)
{
    void **grown =
        nmq_vec_grow(list->at, &list->cap, (size_t) list->count + 1, 64, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    list->at = grown;
    list->at[list->count++] = object;
    return NMQ_OK;
}

// --- values

static bool
is_time(int64_t at_ms)
{
    return at_ms >= 0 && at_ms <= NMQ_MOMENT_MAX_MS;
}

static int64_t
due_of(const reader *r, int64_t at_ms)
{
    return nmq_moment_to_due(&r->written, &r->now, at_ms);
}

static bool
get_peer(nmq_bytes address, uint16_t port, nmq_peer *out)
{
    if (address.len > sizeof out->address) {
        return false;
    }
    *out = (nmq_peer){.port = port, .address_len = (uint8_t) address.len};
    if (address.len > 0) {
        memcpy(out->address, address.at, address.len);
    }
    return true;
}

static int
copy(nmq_bytes text, nmq_bytes *out)
{
    return text.at != NULL ? nmq_bytes_copy(text, out) : NMQ_OK;
}

// --- what all sessions share

static int
take_begin(reader *r, const nmq_begin_record *begin)
{
    if (begin->format == 0 || begin->format > NMQ_RECORDS_FORMAT ||
        begin->boot.len > sizeof r->written.boot || !is_time(begin->wall_ms) ||
        !is_time(begin->clock_ms)) {
        return NMQ_EMALFORMED;
    }
    r->written = (nmq_moment){.wall_ms = begin->wall_ms,
                              .clock_ms = begin->clock_ms,
                              .boot_len = (uint8_t) begin->boot.len};
    if (begin->boot.len > 0) {
        memcpy(r->written.boot, begin->boot.at, begin->boot.len);
    }
    nmq_groups_begin_after(begin->latest_group);
    return NMQ_OK;
}

static int
take_origin(reader *r, const nmq_origin_record *record)
{
    nmq_peer peer;

    if (record->number != r->origins.count + UINT64_C(1) ||
        !get_peer(record->address, record->port, &peer) ||
        record->client_id.len > UINT16_MAX || record->user_name.len > UINT16_MAX) {
        return NMQ_EMALFORMED;
    }
    nmq_origin *origin = nmq_origin_new(record->client_id, record->user_name, &peer,
                                        record->mount_len, record->listener_key);
    if (origin == NULL || add(&r->origins, origin) != NMQ_OK) {
        nmq_origin_unref(origin);
        return NMQ_ENOMEM;
    }
    return NMQ_OK;
}

static int
take_message(reader *r, const nmq_message_record *record)
{
    nmq_origin *origin = get(&r->origins, record->origin);
    nmq_message_parts parts = {
        .topic_name = record->topic_name,
        .props = record->props,
        .payload = record->payload,
        .published_ms = record->published_at_ms,
        .origin = origin,
        .qos = record->qos,
        .retain = record->retain != 0,
    };

    if (record->number != r->messages.count + UINT64_C(1) ||
        (record->origin != 0 && origin == NULL) || record->qos > 2 ||
        !nmq_topic_check(record->topic_name) || !is_time(record->expires_at_ms) ||
        !is_time(record->published_at_ms) ||
        (origin != NULL && origin->mount_len > record->topic_name.len)) {
        return NMQ_EMALFORMED;
    }
    parts.expires_at_ms = due_of(r, record->expires_at_ms);
    nmq_message *message = nmq_message_new(&parts);
    if (message == NULL || add(&r->messages, message) != NMQ_OK) {
        nmq_message_unref(message);
        return NMQ_ENOMEM;
    }
    return NMQ_OK;
}

static int
take_retained(reader *r, const nmq_retained_record *record)
{
    nmq_retained *retained = r->sessions->router->retained;
    nmq_message *message = get(&r->messages, record->message);

    if (message == NULL) {
        return NMQ_EMALFORMED;
    }
    nmq_bytes topic_name = nmq_message_topic(message);
    if (nmq_topic_is_sys(topic_name)) {
        return NMQ_OK; // this process publishes its own
    }
    (void) nmq_retained_keep(retained, message, false);
    (void) pthread_mutex_lock(&retained->lock);
    nmq_retain_set_order(retained->store, topic_name, record->order);
    (void) pthread_mutex_unlock(&retained->lock);
    return NMQ_OK;
}

// --- a session

static void
fill_client(const reader *r, nmq_client *c, const nmq_session_record *record)
{
    c->expiry_due_ms = due_of(r, record->expires_at_ms);
    c->connected_at_ms = record->connected_at_ms;
    c->disconnected_at_ms = record->disconnected_at_ms;
    c->messages_received = record->messages_received;
    c->messages_sent = record->messages_sent;
    c->messages_dropped = record->messages_dropped;
    c->expiry_interval_s = record->expiry_interval_s;
    c->keep_alive_s = record->keep_alive_s;
    c->version = record->version;
    c->clean_start = record->clean_start != 0;
    c->proof = record->proof;
    c->listener_key = record->listener_key;
    c->session->version = record->version;
    c->session->client_packet_max = record->client_packet_max;
    c->session->receive_maximum = record->receive_maximum;
    c->session->inflight.next_order = record->next_order;
    c->session->inflight.last_id = record->last_id;
}

static int
take_session(reader *r, const nmq_session_record *record)
{
    if (record->number != r->clients.count + UINT64_C(1) ||
        !is_time(record->expires_at_ms)) {
        return NMQ_EMALFORMED;
    }
    nmq_client *client = nmq_client_new(&r->sessions->registry.counts, record->client_id);
    if (client == NULL || add(&r->clients, client) != NMQ_OK) {
        nmq_client_unref(client);
        return NMQ_ENOMEM;
    }
    fill_client(r, client, record);
    if (!get_peer(record->address, record->port, &client->peer)) {
        return NMQ_EMALFORMED;
    }
    return copy(record->user_name, &client->user_name) == NMQ_OK &&
                   copy(record->mount, &client->session->mount) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

static int
take_will(reader *r, nmq_client *client, const nmq_will_record *record)
{
    nmq_message *message = get(&r->messages, record->message);

    if (message == NULL || client->will.message != NULL || !is_time(record->due_at_ms)) {
        return NMQ_EMALFORMED;
    }
    (void) nmq_client_set_will(client, (nmq_will){.message = nmq_message_ref(message),
                                                  .delay_s = record->delay_s,
                                                  .expiry_s = record->expiry_s,
                                                  .expires = record->expires != 0});
    client->will_due_ms = due_of(r, record->due_at_ms);
    return NMQ_OK;
}

static bool
is_subscription(const nmq_session_sub *sub)
{
    return sub->text.len > 0 &&
           (sub->group_len == 0 ||
            (nmq_filter_is_shared(sub->text) &&
             sub->text.len > NMQ_SHARE_BYTES + (size_t) sub->group_len)) &&
           nmq_filter_check(nmq_session_sub_filter(sub).filter);
}

static int
take_subscription(reader *r, nmq_client *client, const nmq_subscription_record *record)
{
    nmq_router *router = r->sessions->router;
    const nmq_session_sub sub = {.text = record->filter,
                                 .identifier = record->identifier,
                                 .group_len = record->group_len,
                                 .options = record->options};

    if (!is_subscription(&sub)) {
        return NMQ_EMALFORMED;
    }
    const nmq_filter filter = nmq_session_sub_filter(&sub);
    int rv = nmq_subscriptions_put(router, client, &filter, sub.options, sub.identifier);
    if (rv >= 0 && record->group != 0) {
        nmq_subscriptions_number_group(router, &filter, record->group);
    }
    // one over a bound that was lowered since is left out
    return rv >= 0 || rv == NMQ_ETOOBIG ? NMQ_OK : rv;
}

// Takes the Subscription Identifiers over. Returns NMQ_OK or NMQ_ENOMEM.
static int
take_ids(nmq_delivery *d, nmq_bytes list)
{
    uint32_t count = (uint32_t) (list.len / sizeof(uint32_t));
    uint32_t *ids = &d->subscription.id;

    if (count > 1) {
        ids = d->subscription.ids = nmq_alloc(count * sizeof *ids);
        if (ids == NULL) {
            return NMQ_ENOMEM;
        }
    }
    d->subscription_id_count = count & NMQ_DELIVERY_IDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = nmq_record_u32_at(list.at + i * sizeof *ids);
    }
    return NMQ_OK;
}

// Takes the delivery over. Returns NMQ_OK, or what nmq_inflight_put and nmq_queue_push do.
static int
put_delivery(nmq_session *s, const nmq_delivery_record *record, const nmq_delivery *d)
{
    if (record->packet_id == 0) {
        return d->message != NULL ? nmq_queue_push(&s->queue, d) : NMQ_EMALFORMED;
    }
    return nmq_inflight_put(&s->inflight, &(nmq_inflight_entry){
                                              .delivery = *d,
                                              .order = record->order,
                                              .packet_id = record->packet_id,
                                              .state = record->state,
                                          });
}

static int
take_delivery(reader *r, nmq_client *client, const nmq_delivery_record *record)
{
    nmq_message *message = get(&r->messages, record->message);
    nmq_delivery d = {
        .group = record->group, .qos = record->qos & 3u, .retain = record->retain != 0};

    if (record->qos > 2 || (record->message != 0 && message == NULL) ||
        record->subscription_ids.len / sizeof(uint32_t) > NMQ_DELIVERY_IDS_MAX) {
        return NMQ_EMALFORMED;
    }
    d.message = message != NULL ? nmq_message_ref(message) : NULL;
    int rv = take_ids(&d, record->subscription_ids);
    if (rv == NMQ_OK) {
        rv = put_delivery(client->session, record, &d);
    }
    if (rv != NMQ_OK) {
        nmq_delivery_fini(&d);
    }
    return rv;
}

static int
take_unreleased(nmq_client *client, const nmq_unreleased_record *record)
{
    nmq_id_set *unreleased = &client->session->unreleased;

    return record->packet_id != 0 && !nmq_id_set_has(unreleased, record->packet_id)
               ? nmq_id_set_put(unreleased, record->packet_id)
               : NMQ_EMALFORMED;
}

static int
take_owed(reader *r, nmq_client *client, const nmq_owed_record *record)
{
    const nmq_replay_place place = {
        .filter = record->filter,
        .topic_name = record->topic_name,
        .order = record->order,
        .queued = record->queued,
        .identifier = record->identifier,
        .options = record->options,
    };

    if (!nmq_filter_check(place.filter)) {
        return NMQ_EMALFORMED;
    }
    // without its subscription, which was left out, nothing is owed; nor without a topic
    return place.topic_name.at == NULL ||
                   nmq_session_sub_find(client->session, place.filter) == NULL
               ? NMQ_OK
               : nmq_replay_go_on(r->sessions->router->retained, client, &place);
}

// --- the run

// Takes a record of a session, whose number is the first field of each.
static int
take_of_session(reader *r, const nmq_record *record)
{
    nmq_client *client = get(&r->clients, record->will.session);

    if (client == NULL) {
        return NMQ_EMALFORMED;
    }
    switch (record->kind) {
    case NMQ_RECORD_WILL: return take_will(r, client, &record->will);
    case NMQ_RECORD_SUBSCRIPTION:
        return take_subscription(r, client, &record->subscription);
    case NMQ_RECORD_DELIVERY: return take_delivery(r, client, &record->delivery);
    case NMQ_RECORD_UNRELEASED: return take_unreleased(client, &record->unreleased);
    case NMQ_RECORD_OWED: return take_owed(r, client, &record->owed);
    default: return NMQ_EMALFORMED; // a second BEGIN
    }
}

static int
take(reader *r, const nmq_record *record)
{
    switch (record->kind) {
    case NMQ_RECORD_ORIGIN: return take_origin(r, &record->origin);
    case NMQ_RECORD_MESSAGE: return take_message(r, &record->message);
    case NMQ_RECORD_RETAINED: return take_retained(r, &record->retained);
    case NMQ_RECORD_SESSION: return take_session(r, &record->session);
    default: return take_of_session(r, record);
    }
}

static int
take_all(reader *r, nmq_bytes in)
{
    nmq_record record;
    int rv = nmq_record_get(&in, &record);

    if (rv == NMQ_OK) {
        rv =
            record.kind == NMQ_RECORD_BEGIN ? take_begin(r, &record.begin) : NMQ_EMALFORMED;
    }
    while (rv == NMQ_OK) {
        rv = nmq_record_get(&in, &record);
        if (rv == NMQ_OK && record.kind == NMQ_RECORD_END) {
            return record.end.sessions == r->clients.count ? NMQ_OK : NMQ_EMALFORMED;
        }
        rv = rv == NMQ_OK ? take(r, &record) : rv;
    }
    return rv;
}

// Lets the clients in. After a fault the last of them is not whole, and ends. Returns how
// many came in, or the first fault.
static int
let_in(reader *r, int fault)
{
    int restored = 0;

    for (uint32_t i = 0; i < r->clients.count; i++) {
        nmq_client *client = r->clients.at[i];
        bool is_whole = fault == NMQ_OK || i + 1 < r->clients.count;
        int rv = is_whole ? nmq_sessions_restore(r->sessions, client) : fault;
        if (rv != NMQ_OK) {
            nmq_will_drop(client); // it must not go out
            nmq_sessions_end(r->sessions, client);
            fault = fault == NMQ_OK ? rv : fault;
        }
        restored += rv == NMQ_OK;
    }
    return fault != NMQ_OK ? fault : restored;
}

int
nmq_handover_restore(nmq_sessions *sessions, nmq_bytes in)
{
    reader r = {.sessions = sessions, .now = nmq_moment_now()};
    int rv = let_in(&r, take_all(&r, in));

    for (uint32_t i = 0; i < r.messages.count; i++) {
        nmq_message_unref(r.messages.at[i]);
    }
    for (uint32_t i = 0; i < r.origins.count; i++) {
        nmq_origin_unref(r.origins.at[i]);
    }
    nmq_free(r.messages.at);
    nmq_free(r.origins.at);
    nmq_free(r.clients.at);
    return rv;
}
