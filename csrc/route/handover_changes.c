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
launch(const nmq_objects *objects, nmq_session *s, const nmq_launched_record *record)
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

// Where in the queue the first delivery of the message is.
static uint32_t
place_of(const nmq_queue *queue, const nmq_message *message)
{
    uint32_t at = 0;

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
drop(nmq_session *s, const nmq_message *message)
{
    uint32_t at = place_of(&s->queue, message);

    if (message == NULL || at == s->queue.count) {
        return NMQ_EMALFORMED;
    }
    (void) nmq_queue_sift(&s->queue, at, at + 1, never, NULL);
    note_popped(s);
    return NMQ_OK;
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
nmq_handover_change(nmq_sessions *sessions, const nmq_objects *objects, nmq_client *client,
                    const nmq_journal_record *record)
{
    nmq_session *s = client->session;

    switch (record->kind) {
    case NMQ_JOURNAL_LAUNCHED: return launch(objects, s, &record->launched);
    case NMQ_JOURNAL_RECEIVED: return receive(s, record->received.packet_id);
    case NMQ_JOURNAL_DONE: return finish(s, record->done.packet_id);
    case NMQ_JOURNAL_DROPPED:
        return drop(s, nmq_known_get(&objects->messages, record->dropped.message));
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
