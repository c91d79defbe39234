#include "route/handover_restore.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "mqtt/topic.h"
#include "route/handover_changes.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_subs.h"

typedef struct {
    nmq_sessions *sessions;
    nmq_consumers *consumers;
    nmq_objects objects;
    nmq_numbered clients; // nmq_client; owned until they are let in
    nmq_buf taken;        // uint32_t of each: messages that were handed out
} reader;

static int
copy(nmq_bytes text, nmq_bytes *out)
{
    return text.at != NULL ? nmq_bytes_copy(text, out) : NMQ_OK;
}

static int
take_retained(reader *r, const nmq_retained_record *record)
{
    nmq_retained *retained = r->sessions->router->retained;
    nmq_message *message = nmq_numbered_get(&r->objects.messages, record->message);

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
fill_client(const reader *r, nmq_client *c, const nmq_session_record *record)
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
fill(const reader *r, nmq_client *client, const nmq_session_record *record)
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
take_session_again(reader *r, nmq_client *client, const nmq_session_record *record)
{
    nmq_will_drop(client);
    nmq_bytes_free(&client->user_name);
    nmq_bytes_free(&client->session->mount);
    return fill(r, client, record);
}

static int
take_session(reader *r, const nmq_session_record *record)
{
    nmq_client *known = nmq_numbered_get(&r->clients, record->number);

    if (known != NULL && nmq_handover_is_time(record->expires_at_ms)) {
        return take_session_again(r, known, record);
    }
    if (record->number != r->clients.count + UINT64_C(1) ||
        !nmq_handover_is_time(record->expires_at_ms)) {
        return NMQ_EMALFORMED;
    }
    nmq_client *client = nmq_client_new(&r->sessions->registry.counts, record->client_id);
    if (client == NULL || nmq_numbered_add(&r->clients, client) != NMQ_OK) {
        nmq_client_unref(client);
        return NMQ_ENOMEM;
    }
    client->consumes = record->consumes != 0;
    nmq_bytes taken = {(const uint8_t *) &record->taken, sizeof record->taken};
    return nmq_buf_put(&r->taken, taken) == NMQ_OK ? fill(r, client, record) : NMQ_ENOMEM;
}

static int
end_session(reader *r, uint64_t number)
{
    nmq_client *client = nmq_numbered_get(&r->clients, number);

    if (client != NULL) {
        r->clients.at[number - 1] = NULL;
        nmq_handover_end(r->sessions, client);
    }
    return number - 1 < r->clients.count ? NMQ_OK : NMQ_EMALFORMED;
}

static int
take_will(reader *r, nmq_client *client, const nmq_will_record *record)
{
    nmq_message *message = nmq_numbered_get(&r->objects.messages, record->message);

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
        ids[i] = nmq_journal_u32_at(list.at + i * sizeof *ids);
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
    if (record->order >= s->inflight.next_order) { // it was launched since its session came
        s->inflight.next_order = record->order + 1;
        s->inflight.last_id = record->packet_id;
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
    nmq_message *message = nmq_numbered_get(&r->objects.messages, record->message);
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
    // a walk that begins anew takes the place of the one before
    nmq_replay_cancel(r->sessions->router->retained, client, place.filter);
    // without its subscription, which was left out, nothing is owed; nor without a topic
    return place.topic_name.at == NULL ||
                   nmq_session_sub_find(client->session, place.filter) == NULL
               ? NMQ_OK
               : nmq_replay_go_on(r->sessions->router->retained, client, &place);
}

// --- the run

// Takes a record of a session, whose number is the first field of each.
static int
take_of_session(reader *r, const nmq_journal_record *record)
{
    uint64_t number = record->will.session;
    nmq_client *client = nmq_numbered_get(&r->clients, number);

    if (client == NULL) { // its session has ended
        return number - 1 < r->clients.count ? NMQ_OK : NMQ_EMALFORMED;
    }
    switch (record->kind) {
    case NMQ_JOURNAL_WILL: return take_will(r, client, &record->will);
    case NMQ_JOURNAL_SUBSCRIPTION:
        return take_subscription(r, client, &record->subscription);
    case NMQ_JOURNAL_DELIVERY: return take_delivery(r, client, &record->delivery);
    case NMQ_JOURNAL_UNRELEASED: return take_unreleased(client, &record->unreleased);
    case NMQ_JOURNAL_OWED: return take_owed(r, client, &record->owed);
    default: return nmq_handover_change(r->sessions, &r->objects, client, record);
    }
}

static int
take(reader *r, const nmq_journal_record *record)
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
    case NMQ_JOURNAL_BEGIN: return NMQ_EMALFORMED; // a second one
    default: return take_of_session(r, record);
    }
}

static int
take_all(reader *r, nmq_bytes in)
{
    nmq_journal_record record;
    int rv = nmq_journal_get(&in, &record);

    if (rv == NMQ_OK) {
        rv = record.kind == NMQ_JOURNAL_BEGIN
                 ? nmq_handover_take_begin(&r->objects, &record.begin)
                 : NMQ_EMALFORMED;
    }
    while (rv == NMQ_OK) {
        rv = nmq_journal_get(&in, &record);
        if (rv == NMQ_OK && record.kind == NMQ_JOURNAL_END) {
            return record.end.sessions == r->clients.count ? NMQ_OK : NMQ_EMALFORMED;
        }
        rv = rv == NMQ_OK ? take(r, &record) : rv;
    }
    return rv;
}

// A client that was connected when the records ended is away from now on.
static void
leave(const reader *r, nmq_client *client)
{
    int64_t now_ms = r->objects.now.clock_ms;

    if (client->expiry_due_ms == 0 && client->expiry_interval_s != UINT32_MAX) {
        client->expiry_due_ms = now_ms + (int64_t) client->expiry_interval_s * 1000;
    }
    if (client->will.message != NULL && client->will_due_ms == 0) {
        client->will_due_ms = now_ms + (int64_t) client->will.delay_s * 1000;
    }
}

// Returns NMQ_OK, or NMQ_EINVAL or NMQ_ENOMEM with the client still the caller's.
static int
let_one_in(reader *r, uint32_t place)
{
    nmq_client *client = r->clients.at[place];
    uint32_t taken;

    if (!client->consumes) {
        leave(r, client);
        return nmq_sessions_restore(r->sessions, client);
    }
    memcpy(&taken, r->taken.at + place * sizeof taken, sizeof taken);
    return nmq_consumers_restore(r->consumers, client, taken);
}

// Lets the clients in. After a fault the last of them is not whole, and ends. Returns how
// many came in, or the first fault.
static int
let_in(reader *r, int fault)
{
    bool last_is_cut = fault != NMQ_OK;
    int restored = 0;

    for (uint32_t i = 0; i < r->clients.count; i++) {
        nmq_client *client = r->clients.at[i];
        if (client == NULL) { // its session has ended
            continue;
        }
        bool is_whole = !last_is_cut || i + 1 < r->clients.count;
        int rv = is_whole ? let_one_in(r, i) : fault;
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
nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in)
{
    reader r = {
        .sessions = sessions, .consumers = consumers, .objects.now = nmq_moment_now()};
    int rv = let_in(&r, take_all(&r, in));

    nmq_objects_fini(&r.objects);
    nmq_free(r.clients.at);
    nmq_buf_free(&r.taken);
    return rv;
}
