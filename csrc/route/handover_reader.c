#include "route/handover_reader.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "mqtt/sys_topic.h"
#include "mqtt/topic.h"
#include "route/handover_changes.h"
#include "route/handover_client.h"
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

// A session that came before has another connection: what belongs to the one before goes.
static int
take_session_again(nmq_handover_reader *r, nmq_client *client,
                   const nmq_session_record *record)
{
    nmq_will_drop(client);
    nmq_bytes_free(&client->user_name);
    nmq_bytes_free(&client->session->mount);
    return nmq_handover_fill(&r->objects, client, record);
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

// The session takes the place of another one, and the rest of its queue.
static int
take_queue(nmq_handover_reader *r, nmq_session *session, const nmq_session_record *record)
{
    nmq_reader_client *before = find(r, record->was);

    if (before != NULL && before->client != NULL) {
        session->queue = before->client->session->queue;
        before->client->session->queue = (nmq_queue){0};
        nmq_handover_end(r->sessions, before->client);
        before->client = NULL;
    } else {
        session->queue = nmq_handover_before_give(&r->before, record->was);
    }
    int rv = nmq_handover_fit(&r->objects, &session->queue, record->waiting);
    return rv == NMQ_EMALFORMED && r->objects.lenient ? NMQ_OK : rv;
}

static int
take_new_session(nmq_handover_reader *r, const nmq_session_record *record)
{
    nmq_reader_client one = {.taken = record->taken,
                             .connected = nmq_handover_is_connected(record)};

    if (!is_next(r, record->number) ||
        (record->was != 0 && record->was >= record->number)) {
        return NMQ_EMALFORMED;
    }
    one.client = nmq_client_new(&r->sessions->registry.counts, record->client_id);
    if (one.client == NULL || add_client(r, record->number, &one) != NMQ_OK) {
        nmq_client_unref(one.client);
        return NMQ_ENOMEM;
    }
    one.client->bridges = record->bridges != 0;
    one.client->consumes = record->consumes != 0 && !one.client->bridges;
    int rv = nmq_handover_fill(&r->objects, one.client, record);
    return rv == NMQ_OK && record->was != 0 ? take_queue(r, one.client->session, record)
                                            : rv;
}

static int
take_session(nmq_handover_reader *r, const nmq_session_record *record)
{
    nmq_reader_client *known = find(r, record->number);

    if (!nmq_handover_is_time(record->expires_at_ms)) {
        return NMQ_EMALFORMED;
    }
    if (known != NULL && known->client != NULL) {
        known->connected = nmq_handover_is_connected(record);
        return take_session_again(r, known->client, record);
    }
    if (known == NULL && record->number != 0 && record->number <= r->clients.base) {
        return NMQ_OK; // the session is told again
    }
    return take_new_session(r, record);
}

static int
end_session(nmq_handover_reader *r, const nmq_journal_record *record)
{
    uint64_t number = record->session_end.session;
    nmq_reader_client *one = find(r, number);

    if (one != NULL && one->client != NULL) {
        nmq_handover_end(r->sessions, one->client);
        one->client = NULL;
    }
    if (number != 0 && number <= r->clients.base) {
        (void) nmq_handover_before_take(&r->before, &r->objects, record);
    }
    return was_given(r, number) ? NMQ_OK : NMQ_EMALFORMED;
}

static int
take_will(nmq_handover_reader *r, nmq_client *client, const nmq_will_record *record)
{
    int rv = NMQ_OK;
    nmq_message *message = nmq_objects_message(&r->objects, record->message, &rv);

    if (message == NULL || client->will.message != NULL ||
        !nmq_handover_is_time(record->due_at_ms)) {
        return rv == NMQ_OK ? NMQ_EMALFORMED : rv;
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

// carried: NULL, or the delivery is CARRIED, and this is how many at the front of the queue
// are.
static int
take_delivery(nmq_handover_reader *r, nmq_client *client, const nmq_delivery_record *record,
              uint32_t *carried)
{
    nmq_session *s = client->session;
    nmq_delivery d;
    int rv = nmq_objects_delivery(&r->objects, record, &d);

    if (rv != NMQ_OK) {
        return rv;
    }
    const nmq_inflight_entry entry = {.delivery = d,
                                      .order = record->order,
                                      .packet_id = record->packet_id,
                                      .state = record->state};
    if (record->packet_id == 0 && d.message == NULL) {
        rv = NMQ_EMALFORMED;
    } else if (carried != NULL) {
        rv = nmq_handover_carry(&r->objects, s, carried, &entry);
    } else {
        rv = record->packet_id == 0 ? nmq_queue_push(&s->queue, &d)
                                    : nmq_handover_put_entry(&r->objects, s, &entry);
    }
    if (rv != NMQ_OK) {
        nmq_delivery_fini(&d);
    } else if (record->packet_id != 0 && record->order >= s->inflight.next_order) {
        s->inflight.next_order = record->order + 1; // launched since its session came
        s->inflight.last_id = record->packet_id;
    }
    return rv;
}

static int
take_carried(nmq_handover_reader *r, nmq_reader_client *one,
             const nmq_carried_record *record)
{
    const nmq_delivery_record delivery = nmq_journal_delivery_of(record);

    return take_delivery(r, one->client, &delivery, &one->carried);
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
        r->objects.messages.base = r->objects.messages_before = record->messages;
        r->objects.origins.base = r->objects.origins_before = record->origins;
        r->clients.base = record->sessions;
        r->is_part = r->begun = true;
    }
    r->is_part = r->is_part && record->is_part != 0;
    return rv;
}

// Takes a record of a session, whose number is the first field of each.
static int
take_of_session(nmq_handover_reader *r, const nmq_journal_record *record)
{
    uint64_t number = record->will.session;
    nmq_reader_client *one = find(r, number);
    nmq_client *client = one != NULL ? one->client : NULL;

    if (client == NULL && number != 0 && number <= r->clients.base) {
        return nmq_handover_before_take(&r->before, &r->objects, record);
    }
    if (client == NULL) { // its session has ended
        return was_given(r, number) ? NMQ_OK : NMQ_EMALFORMED;
    }
    switch (record->kind) {
    case NMQ_JOURNAL_WILL: return take_will(r, client, &record->will);
    case NMQ_JOURNAL_SUBSCRIPTION:
        return take_subscription(r, client, &record->subscription);
    case NMQ_JOURNAL_DELIVERY: return take_delivery(r, client, &record->delivery, NULL);
    case NMQ_JOURNAL_CARRIED: return take_carried(r, one, &record->carried);
    case NMQ_JOURNAL_UNRELEASED: return take_unreleased(client, &record->unreleased);
    case NMQ_JOURNAL_OWED: return take_owed(r, client, &record->owed);
    case NMQ_JOURNAL_DETACHED: one->connected = false; break;
    default: break;
    }
    return nmq_handover_change(r->sessions, &r->objects, client, record, &one->carried);
}

static int
take(nmq_handover_reader *r, const nmq_journal_record *record)
{
    switch (record->kind) {
    case NMQ_JOURNAL_ORIGIN: return nmq_handover_take_origin(&r->objects, &record->origin);
    case NMQ_JOURNAL_MESSAGE:
        return nmq_handover_take_message(&r->objects, &record->message);
    case NMQ_JOURNAL_RETAINED:
        return r->is_part ? NMQ_OK : take_retained(r, &record->retained);
    case NMQ_JOURNAL_SESSION: return take_session(r, &record->session);
    case NMQ_JOURNAL_SESSION_END: return end_session(r, record);
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
    nmq_handover_before_fini(&reader->before);
    nmq_objects_fini(&reader->objects);
    nmq_free(reader->clients.at);
}
