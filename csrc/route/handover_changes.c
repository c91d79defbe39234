#include "route/handover_changes.h"

#include "base/status.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_subs.h"

// What comes after the messages that wait is due sooner.
static void
note_popped(nmq_session *s)
{
    if (s->owed != NULL) {
        s->owed->popped++;
    }
}

int
nmq_handover_put_entry(const nmq_objects *objects, nmq_session *session,
                       const nmq_inflight_entry *entry)
{
    nmq_inflight *inflight = &session->inflight;
    nmq_inflight_entry *before =
        objects->lenient ? nmq_inflight_find(inflight, entry->packet_id) : NULL;

    if (before != NULL) {
        nmq_inflight_give(inflight, before);
    }
    int rv = nmq_inflight_put(inflight, entry);
    return rv == NMQ_OK || rv == NMQ_ENOMEM ? rv : NMQ_EMALFORMED;
}

static int
launch(const nmq_objects *objects, nmq_session *s, const nmq_launched_record *record,
       uint32_t *carried)
{
    const nmq_delivery *front = nmq_queue_front(&s->queue);
    nmq_delivery popped;

    if (front == NULL) {
        return NMQ_EMALFORMED;
    }
    int rv = nmq_handover_put_entry(
        objects, s,
        &(nmq_inflight_entry){.delivery = *front,
                              .order = record->order,
                              .packet_id = record->packet_id,
                              .state = front->qos == 1 ? NMQ_INFLIGHT_PUBACK
                                                       : NMQ_INFLIGHT_PUBREC});
    if (rv != NMQ_OK) {
        return rv;
    }
    (void) nmq_queue_pop(&s->queue, &popped); // the table has it
    *carried -= *carried > 0;
    note_popped(s);
    s->inflight.next_order = record->order + 1;
    s->inflight.last_id = record->packet_id;
    return NMQ_OK;
}

static int
receive(nmq_session *s, uint16_t packet_id)
{
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, packet_id);

    if (entry == NULL || entry->state != NMQ_INFLIGHT_PUBREC) {
        return NMQ_EMALFORMED;
    }
    nmq_inflight_received(&s->inflight, entry);
    return NMQ_OK;
}

static int
finish(nmq_session *s, uint16_t packet_id)
{
    nmq_inflight_entry *entry = nmq_inflight_find(&s->inflight, packet_id);

    if (entry == NULL) {
        return NMQ_EMALFORMED;
    }
    nmq_inflight_give(&s->inflight, entry);
    return NMQ_OK;
}

// Where in the queue, from that place on, the first delivery of the message is.
static uint32_t
place_of(const nmq_queue *queue, uint32_t at, const nmq_message *message)
{
    while (at < queue->count && nmq_queue_at(queue, at)->message != message) {
        at++;
    }
    return at;
}

static bool
never(void *arg, const nmq_delivery *delivery)
{
    (void) arg;
    (void) delivery;
    return false;
}

static int
drop(nmq_objects *objects, nmq_session *s, const nmq_dropped_record *record,
     uint32_t *carried)
{
    const nmq_message *message = nmq_known_get(&objects->messages, record->message);
    uint32_t from = record->behind != 0 ? *carried : 0;
    uint32_t at = message != NULL ? place_of(&s->queue, from, message) : s->queue.count;

    if (at == s->queue.count && objects->hole != NULL) { // it was told before the records
        at = place_of(&s->queue, *carried, objects->hole);
    }
    if (at == s->queue.count) {
        return NMQ_EMALFORMED;
    }
    (void) nmq_queue_sift(&s->queue, at, at + 1, never, NULL);
    *carried -= at < *carried;
    note_popped(s);
    return NMQ_OK;
}

bool
nmq_handover_drop_last(nmq_queue *queue, const nmq_message *message)
{
    uint32_t at = queue->count;

    while (at > 0 && nmq_queue_at(queue, at - 1)->message != message) {
        at--;
    }
    if (at > 0) {
        (void) nmq_queue_sift(queue, at - 1, at, never, NULL);
    }
    return at > 0;
}

int
nmq_handover_fit(nmq_objects *objects, nmq_queue *queue, uint32_t count)
{
    nmq_queue all = {0};
    nmq_delivery delivery;
    int rv = NMQ_OK;

    while (queue->count > count && nmq_queue_pop(queue, &delivery)) {
        nmq_delivery_fini(&delivery);
    }
    for (uint32_t missing = count - queue->count; rv == NMQ_OK && missing > 0; missing--) {
        // Any number that was given before stands for a message that is not here.
        nmq_message *hole = nmq_objects_message(objects, objects->messages_before, &rv);
        if (rv != NMQ_OK || hole == NULL) {
            rv = rv == NMQ_OK ? NMQ_EMALFORMED : rv;
            break;
        }
        delivery = (nmq_delivery){.message = nmq_message_ref(hole), .qos = 1};
        rv = nmq_queue_push(&all, &delivery);
        if (rv != NMQ_OK) {
            nmq_delivery_fini(&delivery);
        }
    }
    while (rv == NMQ_OK && all.count > 0 && nmq_queue_front(queue) != NULL) {
        rv = nmq_queue_push(&all, nmq_queue_front(queue));
        if (rv == NMQ_OK) {
            (void) nmq_queue_pop(queue, &delivery); // the other one has it
        }
    }
    if (rv == NMQ_OK && all.count > 0) {
        *queue = all;
        return NMQ_OK;
    }
    nmq_queue_free(&all);
    return rv;
}

int
nmq_handover_carry(const nmq_objects *objects, nmq_session *session, uint32_t *carried,
                   const nmq_inflight_entry *entry)
{
    nmq_queue *queue = &session->queue;
    nmq_delivery gone;

    if (*carried >= queue->count || (entry->packet_id != 0 && *carried > 0)) {
        return NMQ_EMALFORMED;
    }
    if (entry->packet_id == 0) {
        nmq_queue_set(queue, (*carried)++, &entry->delivery);
        return NMQ_OK;
    }
    int rv = nmq_handover_put_entry(objects, session, entry);
    if (rv == NMQ_OK && nmq_queue_pop(queue, &gone)) {
        nmq_delivery_fini(&gone);
        note_popped(session);
    }
    return rv;
}

static int
unsubscribe(nmq_sessions *sessions, nmq_client *client, nmq_bytes text)
{
    const nmq_session_sub *sub =
        text.len > 0 ? nmq_session_sub_find(client->session, text) : NULL;
    nmq_bytes copy;

    if (sub == NULL) { // it was over a bound
        return NMQ_OK;
    }
    const uint16_t group_len = sub->group_len;
    if (nmq_bytes_copy(text, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    const nmq_filter filter = nmq_filter_join(copy, group_len);
    (void) nmq_subscriptions_del(sessions->router, client, &filter, NMQ_WHY_NONE);
    nmq_bytes_free(&copy);
    return NMQ_OK;
}

static int
detach(const nmq_objects *objects, nmq_client *client, const nmq_detached_record *record)
{
    if (!nmq_handover_is_time(record->expires_at_ms) ||
        !nmq_handover_is_time(record->will_due_at_ms)) {
        return NMQ_EMALFORMED;
    }
    client->expiry_interval_s = record->expiry_interval_s;
    client->expiry_due_ms = nmq_handover_due(objects, record->expires_at_ms);
    client->will_due_ms = nmq_handover_due(objects, record->will_due_at_ms);
    client->disconnected_at_ms = record->disconnected_at_ms;
    return NMQ_OK;
}

int
nmq_handover_change(nmq_sessions *sessions, nmq_objects *objects, nmq_client *client,
                    const nmq_journal_record *record, uint32_t *carried)
{
    nmq_session *s = client->session;

    switch (record->kind) {
    case NMQ_JOURNAL_LAUNCHED: return launch(objects, s, &record->launched, carried);
    case NMQ_JOURNAL_RECEIVED: return receive(s, record->received.packet_id);
    case NMQ_JOURNAL_DONE: return finish(s, record->done.packet_id);
    case NMQ_JOURNAL_DROPPED: return drop(objects, s, &record->dropped, carried);
    case NMQ_JOURNAL_RELEASED:
        return nmq_id_set_del(&s->unreleased, record->released.packet_id) ? NMQ_OK
                                                                          : NMQ_EMALFORMED;
    case NMQ_JOURNAL_UNSUBSCRIBED:
        return unsubscribe(sessions, client, record->unsubscribed.filter);
    case NMQ_JOURNAL_WILL_END: nmq_will_drop(client); return NMQ_OK;
    case NMQ_JOURNAL_DETACHED: return detach(objects, client, &record->detached);
    case NMQ_JOURNAL_OWED_MOVED:
        return nmq_replay_move(sessions->router->retained, client,
                               record->owed_moved.filter, record->owed_moved.topic_name);
    default: return NMQ_EMALFORMED;
    }
}

void
nmq_handover_end(nmq_sessions *sessions, nmq_client *client)
{
    nmq_session *s = client->session;

    nmq_queue_free(&s->queue); // nobody else is to have it: that was logged
    nmq_inflight_free(&s->inflight);
    s->inflight = (nmq_inflight){0};
    nmq_will_drop(client);
    nmq_sessions_end(sessions, client);
}
