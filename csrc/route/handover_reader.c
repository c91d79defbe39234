#include "route/handover_reader.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "mqtt/sys_topic.h"
#include "mqtt/topic.h"
#include "route/handover_changes.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_subs.h"

enum { GAP_MAX = 1 << 20 }; // sessions that may be lost between two

static nmq_reader_client *
find(const nmq_handover_reader *r, uint64_t number)
{
    uint64_t place = number - 1 - r->clients.base;

    return place < r->clients.count ? &r->clients.at[place] : NULL;
}

// Whether that number was given so far.
static bool
was_given(const nmq_handover_reader *r, uint64_t number)
{
    return number != 0 && number <= nmq_reader_sessions(&r->clients);
}

static int
copy(nmq_bytes text, nmq_bytes *out)
{
    return text.at != NULL ? nmq_bytes_copy(text, out) : NMQ_OK;
}

static int
take_retained(nmq_handover_reader *r, const nmq_retained_record *record)
{
    nmq_retained *retained = r->sessions->router->retained;
    nmq_message *message = nmq_known_get(&r->objects.messages, record->message);

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

// What is left of the messages once those at QoS 1 and 2 are taken off.
static uint64_t
at_qos0(uint64_t all, uint64_t qos1, uint64_t qos2)
{
    uint64_t others = qos1 + qos2;

    return all > others ? all - others : 0;
}

static nmq_client_traffic
traffic_of(const nmq_session_record *r)
{
    return (nmq_client_traffic){
        .bytes_in = r->bytes_in,
        .bytes_out = r->bytes_out,
        .packets_in = r->packets_in,
        .packets_out = r->packets_out,
        .messages_in = {at_qos0(r->messages_received, r->qos1_in, r->qos2_in), r->qos1_in,
                        r->qos2_in},
        .messages_out = {at_qos0(r->messages_sent, r->qos1_out, r->qos2_out), r->qos1_out,
                         r->qos2_out},
        .dropped = r->messages_dropped,
        .dropped_full = r->dropped_full,
        .dropped_expired = r->dropped_expired,
        .dropped_too_large = r->dropped_too_large,
    };
}

static void
fill_client(const nmq_handover_reader *r, nmq_client *c, const nmq_session_record *record)
{
    c->expiry_due_ms = nmq_handover_due(&r->objects, record->expires_at_ms);
    c->created_at_ms =
        record->created_at_ms != 0 ? record->created_at_ms : record->connected_at_ms;
    c->connected_at_ms = record->connected_at_ms;
    c->disconnected_at_ms = record->disconnected_at_ms;
    c->traffic = traffic_of(record);
    c->expiry_interval_s = record->expiry_interval_s;
    c->keep_alive_s = record->keep_alive_s;
    c->version = record->version;
    c->clean_start = record->clean_start != 0;
    c->proof = record->proof;
    c->superuser = record->superuser != 0;
    c->listener_key = record->listener_key;
    c->session->version = record->version;
    c->session->client_packet_max = record->client_packet_max;
    c->session->receive_maximum = record->receive_maximum;
    c->session->queue_max = record->queue_max;
    c->session->queue_max_bytes = record->queue_max_bytes;
    c->session->inflight.next_order = record->next_order;
    c->session->inflight.last_id = record->last_id;
}

// The rest of a record of a session. Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM.
static int
fill(const nmq_handover_reader *r, nmq_client *client, const nmq_session_record *record)
{
    fill_client(r, client, record);
    if (!nmq_handover_peer(record->address, record->port, &client->peer)) {
        return NMQ_EMALFORMED;
    }
    return copy(record->user_name, &client->user_name) == NMQ_OK &&
                   copy(record->mount, &client->session->mount) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

// A session that came before has another connection: what belongs to the one before goes.
static int
take_session_again(nmq_handover_reader *r, nmq_client *client,
                   const nmq_session_record *record)
{
    nmq_will_drop(client);
    nmq_bytes_free(&client->user_name);
    nmq_bytes_free(&client->session->mount);
    return fill(r, client, record);
}

// Whether a new session may have that number. Where records are missing, so are sessions.
static bool
is_next(nmq_handover_reader *r, uint64_t number)
{
    nmq_reader_clients *clients = &r->clients;
    uint64_t before = number - 1 - nmq_reader_sessions(clients);

    if (r->objects.lenient && clients->count == 0 && number != 0 && before > GAP_MAX) {
        clients->base = number - 1; // BEGIN is lost
        before = 0;
    }
    return before == 0 || (r->objects.lenient && before <= GAP_MAX);
}

// Puts the client at the place of its number; those before it that are lost are none.
static int
add_client(nmq_handover_reader *r, uint64_t number, const nmq_reader_client *client)
{
    nmq_reader_clients *clients = &r->clients;
    size_t count = (size_t) (number - clients->base);
    nmq_reader_client *grown =
        nmq_vec_grow(clients->at, &clients->cap, count, 64, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    clients->at = grown;
    while (clients->count + 1 < count) {
        clients->at[clients->count++] = (nmq_reader_client){0};
    }
    clients->at[clients->count++] = *client;
    return NMQ_OK;
}

// Whether its client was there when the record was written.
static bool
is_connected(const nmq_session_record *record)
{
    return record->expires_at_ms == 0 &&
           (record->expiry_interval_s != UINT32_MAX ||
            record->disconnected_at_ms < record->connected_at_ms);
}

static int
take_new_session(nmq_handover_reader *r, const nmq_session_record *record)
{
    nmq_reader_client one = {
        .was = record->was, .taken = record->taken, .connected = is_connected(record)};

    if (!is_next(r, record->number)) {
        return NMQ_EMALFORMED;
    }
    one.client = nmq_client_new(&r->sessions->registry.counts, record->client_id);
    if (one.client == NULL || add_client(r, record->number, &one) != NMQ_OK) {
        nmq_client_unref(one.client);
        return NMQ_ENOMEM;
    }
    one.client->bridges = record->bridges != 0;
    one.client->consumes = record->consumes != 0 && !one.client->bridges;
    return fill(r, one.client, record);
}

static int
take_session(nmq_handover_reader *r, const nmq_session_record *record)
{
    nmq_reader_client *known = find(r, record->number);

    if (!nmq_handover_is_time(record->expires_at_ms)) {
        return NMQ_EMALFORMED;
    }
    if (known != NULL && known->client != NULL) {
        known->connected = is_connected(record);
        return take_session_again(r, known->client, record);
    }
    if (known == NULL && record->number != 0 && record->number <= r->clients.base) {
        return NMQ_OK; // the session is told again
    }
    return take_new_session(r, record);
}

static int
end_session(nmq_handover_reader *r, uint64_t number)
{
    nmq_reader_client *one = find(r, number);

    if (one != NULL && one->client != NULL) {
        nmq_handover_end(r->sessions, one->client);
        one->client = NULL;
    }
    return was_given(r, number) ? NMQ_OK : NMQ_EMALFORMED;
}

static int
take_will(nmq_handover_reader *r, nmq_client *client, const nmq_will_record *record)
{
    nmq_message *message = nmq_known_get(&r->objects.messages, record->message);

    if (message == NULL || client->will.message != NULL ||
        !nmq_handover_is_time(record->due_at_ms)) {
        return NMQ_EMALFORMED;
    }
    (void) nmq_client_set_will(client, (nmq_will){.message = nmq_message_ref(message),
                                                  .delay_s = record->delay_s,
                                                  .expiry_s = record->expiry_s,
                                                  .expires = record->expires != 0});
    client->will_due_ms = nmq_handover_due(&r->objects, record->due_at_ms);
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
take_subscription(nmq_handover_reader *r, nmq_client *client,
                  const nmq_subscription_record *record)
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
        ids[i] = nmq_journal_u32_at(list.at + i * sizeof *ids);
    }
    return NMQ_OK;
}

// Takes the delivery over. Returns NMQ_OK, NMQ_EMALFORMED or NMQ_ENOMEM.
static int
put_delivery(const nmq_objects *objects, nmq_session *s, const nmq_delivery_record *record,
             const nmq_delivery *d)
{
    if (record->packet_id == 0) {
        return d->message != NULL ? nmq_queue_push(&s->queue, d) : NMQ_EMALFORMED;
    }
    if (record->order >= s->inflight.next_order) { // it was launched since its session came
        s->inflight.next_order = record->order + 1;
        s->inflight.last_id = record->packet_id;
    }
    return nmq_handover_put_entry(objects, s,
                                  &(nmq_inflight_entry){
                                      .delivery = *d,
                                      .order = record->order,
                                      .packet_id = record->packet_id,
                                      .state = record->state,
                                  });
}

static int
take_delivery(nmq_handover_reader *r, nmq_client *client, const nmq_delivery_record *record)
{
    nmq_message *message = nmq_known_get(&r->objects.messages, record->message);
    nmq_delivery d = {
        .group = record->group, .qos = record->qos & 3u, .retain = record->retain != 0};

    if (record->qos > 2 || (record->message != 0 && message == NULL) ||
        record->subscription_ids.len / sizeof(uint32_t) > NMQ_DELIVERY_IDS_MAX) {
        return NMQ_EMALFORMED;
    }
    d.message = message != NULL ? nmq_message_ref(message) : NULL;
    int rv = take_ids(&d, record->subscription_ids);
    if (rv == NMQ_OK) {
        rv = put_delivery(&r->objects, client->session, record, &d);
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
take_owed(nmq_handover_reader *r, nmq_client *client, const nmq_owed_record *record)
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
    // a walk that begins anew takes the place of the one before
    nmq_replay_cancel(r->sessions->router->retained, client, place.filter);
    // without its subscription, which was left out, nothing is owed; nor without a topic
    return place.topic_name.at == NULL ||
                   nmq_session_sub_find(client->session, place.filter) == NULL
               ? NMQ_OK
               : nmq_replay_go_on(r->sessions->router->retained, client, &place);
}

// --- a record

static int
take_begin(nmq_handover_reader *r, const nmq_begin_record *record)
{
    int rv = nmq_handover_take_begin(&r->objects, record);

    if (rv == NMQ_OK && !r->begun) {
        r->objects.messages.base = record->messages;
        r->objects.origins.base = record->origins;
        r->clients.base = record->sessions;
        r->begun = true;
    }
    return rv;
}

// Takes a record of a session, whose number is the first field of each.
static int
take_of_session(nmq_handover_reader *r, const nmq_journal_record *record)
{
    uint64_t number = record->will.session;
    nmq_reader_client *one = find(r, number);
    nmq_client *client = one != NULL ? one->client : NULL;

    if (client == NULL) { // its session has ended, or is told again
        return was_given(r, number) ? NMQ_OK : NMQ_EMALFORMED;
    }
    switch (record->kind) {
    case NMQ_JOURNAL_WILL: return take_will(r, client, &record->will);
    case NMQ_JOURNAL_SUBSCRIPTION:
        return take_subscription(r, client, &record->subscription);
    case NMQ_JOURNAL_DELIVERY: return take_delivery(r, client, &record->delivery);
    case NMQ_JOURNAL_UNRELEASED: return take_unreleased(client, &record->unreleased);
    case NMQ_JOURNAL_OWED: return take_owed(r, client, &record->owed);
    case NMQ_JOURNAL_DETACHED: one->connected = false; break;
    default: break;
    }
    return nmq_handover_change(r->sessions, &r->objects, client, record);
}

static int
take(nmq_handover_reader *r, const nmq_journal_record *record)
{
    switch (record->kind) {
    case NMQ_JOURNAL_ORIGIN: return nmq_handover_take_origin(&r->objects, &record->origin);
    case NMQ_JOURNAL_MESSAGE:
        return nmq_handover_take_message(&r->objects, &record->message);
    case NMQ_JOURNAL_RETAINED: return take_retained(r, &record->retained);
    case NMQ_JOURNAL_SESSION: return take_session(r, &record->session);
    case NMQ_JOURNAL_SESSION_END: return end_session(r, record->session_end.session);
    case NMQ_JOURNAL_RETAIN_DROPPED:
        nmq_retained_drop(r->sessions->router->retained, record->retain_dropped.topic_name);
        return NMQ_OK;
    case NMQ_JOURNAL_BEGIN: return take_begin(r, &record->begin);
    default: return take_of_session(r, record);
    }
}

int
nmq_handover_read(nmq_handover_reader *r, const nmq_journal_record *record)
{
    bool fits = r->begun || r->objects.lenient || record->kind == NMQ_JOURNAL_BEGIN;
    int rv = fits ? take(r, record) : NMQ_EMALFORMED;

    nmq_objects_named(&r->objects, record);
    if (rv != NMQ_OK && rv != NMQ_ENOMEM) {
        r->passed += r->objects.lenient;
        rv = r->objects.lenient ? NMQ_OK : NMQ_EMALFORMED;
    }
    return rv;
}

void
nmq_handover_reader_fini(nmq_handover_reader *reader)
{
    nmq_objects_fini(&reader->objects);
    nmq_free(reader->clients.at);
}
