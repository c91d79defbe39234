#include "route/session_records.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/sys_topic.h"
#include "store/journal.h"
#include "store/session_subs.h"

static nmq_journal_record
record_of_session(const nmq_client *client, uint64_t number, uint32_t taken,
                  const nmq_moment *now)
{
    const nmq_client *c = client;
    const nmq_session *s = c->session;

    return (nmq_journal_record){
        .kind = NMQ_JOURNAL_SESSION,
        .session = {.number = number,
                    .expiry_interval_s = c->expiry_interval_s,
                    .expires_at_ms = nmq_moment_to_wall(now, c->expiry_due_ms),
                    .connected_at_ms = c->connected_at_ms,
                    .disconnected_at_ms = c->disconnected_at_ms,
                    .messages_received = nmq_client_sum(c->traffic.messages_in),
                    .messages_sent = nmq_client_sum(c->traffic.messages_out),
                    .messages_dropped = c->traffic.dropped,
                    .next_order = s->inflight.next_order,
                    .last_id = s->inflight.last_id,
                    .listener_key = c->listener_key,
                    .client_packet_max = s->client_packet_max,
                    .receive_maximum = s->receive_maximum,
                    .keep_alive_s = c->keep_alive_s,
                    .version = c->version,
                    .clean_start = c->clean_start,
                    .proof = c->proof,
                    .superuser = c->superuser,
                    .port = c->peer.port,
                    .address = {c->peer.address, c->peer.address_len},
                    .client_id = s->client_id,
                    .user_name = c->user_name,
                    .mount = s->mount,
                    .consumes = nmq_client_is_own(c),
                    .bridges = c->bridges,
                    .taken = taken,
                    .queue_max = nmq_client_is_own(c) ? s->queue_max : 0,
                    .queue_max_bytes = nmq_client_is_own(c) ? s->queue_max_bytes : 0,
                    .created_at_ms = c->created_at_ms,
                    .bytes_in = NMQ_LIVE(c->traffic.bytes_in),
                    .bytes_out = NMQ_LIVE(c->traffic.bytes_out),
                    .packets_in = NMQ_LIVE(c->traffic.packets_in),
                    .packets_out = NMQ_LIVE(c->traffic.packets_out),
                    .qos1_in = NMQ_LIVE(c->traffic.messages_in[1]),
                    .qos2_in = NMQ_LIVE(c->traffic.messages_in[2]),
                    .qos1_out = c->traffic.messages_out[1],
                    .qos2_out = c->traffic.messages_out[2],
                    .dropped_full = c->traffic.dropped_full,
                    .dropped_expired = c->traffic.dropped_expired,
                    .dropped_too_large = c->traffic.dropped_too_large,
                    .unlogged = c->unlogged},
    };
}

static nmq_journal_record
record_of_will(const nmq_client *client, uint64_t number, uint64_t message,
               const nmq_moment *now)
{
    const nmq_will *will = &client->will;

    return (nmq_journal_record){
        .kind = NMQ_JOURNAL_WILL,
        .will = {.session = number,
                 .message = message,
                 .due_at_ms = nmq_moment_to_wall(now, client->will_due_ms),
                 .delay_s = will->delay_s,
                 .expiry_s = will->expiry_s,
                 .expires = will->expires},
    };
}

nmq_journal_record
nmq_record_of_subscription(nmq_router *router, const nmq_session_sub *sub, uint64_t number)
{
    const nmq_filter filter = nmq_session_sub_filter(sub);
    const nmq_group *group = nmq_tree_group(router->tree, &filter);

    return (nmq_journal_record){
        .kind = NMQ_JOURNAL_SUBSCRIPTION,
        .subscription = {.session = number,
                         .group = group != NULL ? group->number : 0,
                         .identifier = sub->identifier,
                         .group_len = sub->group_len,
                         .options = sub->options,
                         .filter = sub->text},
    };
}

static void
put(nmq_record_sink *sink, nmq_journal_record record)
{
    sink->put(sink, &record);
}

static void
put_delivery(nmq_record_sink *sink, const nmq_delivery *d, uint64_t number,
             const nmq_inflight_entry *entry)
{
    uint64_t message = d->message != NULL ? sink->message(sink, d->message) : 0;
    nmq_journal_record record;

    if (message == NMQ_JOURNAL_LEFT_OUT) {
        if (entry != NULL && entry->state == NMQ_INFLIGHT_PUBREC) {
            nmq_record_of_identifier(&record, entry, number);
            put(sink, record);
        }
        return;
    }
    if (nmq_record_ids(d, &sink->ids) != NMQ_OK) {
        sink->rv = NMQ_ENOMEM;
        return;
    }
    nmq_record_of_delivery(&record, d, number, message, entry,
                           (nmq_bytes){sink->ids.at, sink->ids.len});
    if (entry == NULL && sink->carries) {
        record.kind = NMQ_JOURNAL_CARRIED;
        record.carried.order = --sink->behind;
    }
    put(sink, record);
}

static void
put_in_flight(nmq_record_sink *sink, const nmq_inflight *inflight, uint64_t number)
{
    for (uint32_t i = 0; i < inflight->cap; i++) {
        const nmq_inflight_entry *entry = &inflight->slots[i];
        if (entry->state != NMQ_INFLIGHT_FREE) {
            put_delivery(sink, &entry->delivery, number, entry);
        }
    }
}

static void
put_unreleased(nmq_record_sink *sink, const nmq_id_set *set, uint64_t number)
{
    for (uint32_t i = 0; i < set->cap; i++) {
        if (set->slots[i] != 0) {
            put(sink, (nmq_journal_record){
                          .kind = NMQ_JOURNAL_UNRELEASED,
                          .unreleased = {.session = number, .packet_id = set->slots[i]}});
        }
    }
}

static bool
is_put(const nmq_record_sink *sink, const nmq_delivery *d)
{
    return d->qos > 0 || !sink->logs;
}

// How many of the queue, as it was put, come before what is due at `after`.
static uint32_t
queued_before(nmq_record_sink *sink, const nmq_session *s, uint64_t after)
{
    uint64_t all = after > s->owed->popped ? after - s->owed->popped : 0;
    uint32_t queued = 0;

    for (uint32_t i = 0; i < s->queue.count && i < all; i++) {
        const nmq_delivery *d = nmq_queue_at(&s->queue, i);
        queued +=
            is_put(sink, d) && sink->message(sink, d->message) != NMQ_JOURNAL_LEFT_OUT;
    }
    return queued;
}

static void
put_owed(nmq_record_sink *sink, nmq_retained *retained, const nmq_owed_entry *entry,
         uint32_t queued, uint64_t number)
{
    const nmq_bytes filter = nmq_retain_cursor_filter(entry->cursor);

    if (nmq_topic_is_sys(filter)) {
        return; // the next process publishes its own
    }
    nmq_journal_record record = {.kind = NMQ_JOURNAL_OWED,
                                 .owed = {.session = number,
                                          .order = nmq_retain_cursor_order(entry->cursor),
                                          .queued = queued,
                                          .identifier = entry->identifier,
                                          .options = entry->options,
                                          .filter = filter}};
    (void) pthread_mutex_lock(&retained->lock);
    record.owed.topic_name =
        nmq_retain_next(retained->store, entry->cursor, sink->now.clock_ms);
    put(sink, record);
    (void) pthread_mutex_unlock(&retained->lock);
}

void
nmq_record_put_client(nmq_record_sink *sink, const nmq_client *client, uint64_t number,
                      uint32_t taken)
{
    nmq_journal_record record = record_of_session(client, number, taken, &sink->now);
    record.session.was = sink->was;
    record.session.waiting = sink->waiting;
    put(sink, record);
    if (client->will.message != NULL) {
        uint64_t message = sink->message(sink, client->will.message);
        if (message != NMQ_JOURNAL_LEFT_OUT) {
            put(sink, record_of_will(client, number, message, &sink->now));
        }
    }
}

void
nmq_record_put_base(nmq_record_sink *sink, nmq_router *router, const nmq_client *client,
                    uint64_t number, uint32_t taken)
{
    const nmq_session *s = client->session;

    nmq_record_put_client(sink, client, number, taken);
    for (uint32_t i = 0; i < s->sub_count; i++) {
        put(sink, nmq_record_of_subscription(router, &s->subs[i], number));
    }
    put_in_flight(sink, &s->inflight, number);
    put_unreleased(sink, &s->unreleased, number);
}

void
nmq_record_put_queue(nmq_record_sink *sink, const nmq_session *session, uint64_t number,
                     uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        const nmq_delivery *d = nmq_queue_at(&session->queue, i);
        if (is_put(sink, d)) {
            put_delivery(sink, d, number, NULL);
        }
    }
}

void
nmq_record_put_owed(nmq_record_sink *sink, nmq_router *router, const nmq_client *client,
                    uint64_t number)
{
    const nmq_session *s = client->session;
    const nmq_owed *owed = s->owed;

    for (const nmq_owed_entry *e = owed != NULL ? owed->first : NULL; e != NULL;
         e = e->next) {
        put_owed(sink, router->retained, e, queued_before(sink, s, e->after), number);
    }
}

void
nmq_record_put_session(nmq_record_sink *sink, nmq_router *router, const nmq_client *client,
                       uint64_t number, uint32_t taken)
{
    nmq_record_put_base(sink, router, client, number, taken);
    nmq_record_put_queue(sink, client->session, number, 0, client->session->queue.count);
    nmq_record_put_owed(sink, router, client, number);
}
