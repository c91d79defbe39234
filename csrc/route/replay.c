#include "route/replay.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "route/deliver.h"
#include "route/durable.h"

enum {
    STEP_MESSAGES = 16, // taken from the store at once
    PUMP_VISITS = 4096, // of nodes, before others have their turn: less than a millisecond
};

static void
drop_entry(nmq_retained *retained, nmq_owed_entry *entry)
{
    if (entry != NULL) {
        nmq_retained_close(retained, entry->cursor);
        nmq_free(entry);
    }
}

// Takes the entry of that filter, or the first for at NULL. Call with the client's lock.
static nmq_owed_entry *
take_owed(nmq_session *session, nmq_bytes filter)
{
    nmq_owed *owed = session->owed;

    if (owed == NULL) {
        return NULL;
    }
    if (filter.at == NULL) {
        filter = nmq_retain_cursor_filter(owed->first->cursor);
    }
    nmq_owed_entry *entry = nmq_owed_take(owed, filter);
    if (owed->first == NULL) {
        nmq_free(owed);
        session->owed = NULL;
    }
    return entry;
}

// Puts it behind the `queued` messages of the queue. Returns NMQ_OK or NMQ_ENOMEM. Call
// with the client's lock.
static int
put_owed(nmq_session *session, nmq_owed_entry *entry, uint32_t queued)
{
    if (session->owed == NULL) {
        session->owed = nmq_zalloc(sizeof *session->owed);
    }
    if (session->owed == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = nmq_owed_put(session->owed, entry, queued);
    if (session->owed->first == NULL) {
        nmq_free(session->owed);
        session->owed = NULL;
    }
    return rv;
}

// Whether the client is to have it: not its own where it says so [MQTT-3.8.3-3], nor what
// its publisher may not publish any more.
static bool
is_for(nmq_retained *retained, const nmq_client *client, const nmq_owed_entry *entry,
       nmq_message *message)
{
    bool no_local = (entry->options & NMQ_SUB_NO_LOCAL) != 0 && message->origin != NULL;

    if (no_local && nmq_bytes_equal(nmq_origin_client_id(message->origin),
                                    client->session->client_id)) {
        return false;
    }
    return nmq_rules_allow_retained(retained->rules, message);
}

// The walk has got to that message; NULL: no further. Call with the client's lock.
static void
log_moved(const nmq_client *client, const nmq_owed_entry *entry, const nmq_message *message)
{
    if (client->session->log != NULL && message != NULL) {
        nmq_durable_owed_moved(client, nmq_retain_cursor_filter(entry->cursor),
                               nmq_message_topic(message));
    }
}

// The walk is over, or given up. Call with the client's lock.
static void
log_over(const nmq_client *client, nmq_bytes filter)
{
    if (client->session->log != NULL) {
        nmq_durable_owed_moved(client, filter, (nmq_bytes){0});
    }
}

// Sends what one step brings, at most `most` messages. Returns the last one, with a
// reference, or NULL.
static nmq_message *
send_step(nmq_batch *batch, nmq_client *client, nmq_link *link, const nmq_owed_entry *entry,
          uint32_t *visits, uint32_t most, bool queues)
{
    nmq_retained *retained = batch->router->retained;
    nmq_message *messages[STEP_MESSAGES];
    int count = nmq_retained_step(retained, entry->cursor, batch->now_ms, visits, messages,
                                  most < STEP_MESSAGES ? most : STEP_MESSAGES);

    for (int i = 0; i < count; i++) {
        if (is_for(retained, client, entry, messages[i])) {
            nmq_deliver_retained(batch, client, link, messages[i], entry, queues);
        }
    }
    for (int i = 0; i + 1 < count; i++) {
        nmq_message_unref(messages[i]);
    }
    return count > 0 ? messages[count - 1] : NULL;
}

// Returns an entry with a cursor at its beginning, or NULL when memory is out.
static nmq_owed_entry *
make_entry(nmq_retained *retained, nmq_bytes filter, uint8_t options, uint32_t identifier)
{
    nmq_owed_entry *entry = nmq_zalloc(sizeof *entry);

    if (entry == NULL) {
        return NULL;
    }
    entry->options = options;
    entry->identifier = identifier;
    entry->cursor = nmq_retained_open(retained, filter);
    if (entry->cursor == NULL) {
        nmq_free(entry);
        return NULL;
    }
    return entry;
}

// Subscribing again and again does not fill the queue of a client that does not read.
static bool
may_queue(const nmq_session *session)
{
    return session->owed == NULL && session->queue.count < STEP_MESSAGES &&
           !nmq_session_is_full(session);
}

// Offers the first few with the SUBACK and notes the rest. Returns NMQ_OK, or NMQ_ENOMEM
// with the entry still the caller's. Call with the client's lock.
static int
send_first(nmq_batch *batch, nmq_client *client, nmq_owed_entry *entry, uint32_t *visits)
{
    nmq_link *link = client->link;
    nmq_message *last = NULL;

    if (link != NULL) {
        (void) pthread_mutex_lock(&link->lock);
        bool room = link->outbox.total < NMQ_LIVE(batch->router->options->outbox_max_bytes);
        uint32_t most =
            !link->closed && room && may_queue(client->session) ? STEP_MESSAGES : 0;
        last =
            send_step(batch, client, link, entry, visits, most, true); // 0: is there any?
        nmq_deliver_count(batch, client);
        nmq_batch_touch(batch, link);
    }
    bool over = nmq_retain_is_over(entry->cursor);
    int rv = over ? NMQ_OK : put_owed(client->session, entry, client->session->queue.count);
    if (!over && rv == NMQ_OK && client->session->log != NULL) {
        nmq_durable_owed(client, entry);
        log_moved(client, entry, last);
    }
    nmq_message_unref(last);
    if (link != NULL) {
        nmq_deliver_note(client->session, link);
        nmq_durable_await(client, link);
        (void) pthread_mutex_unlock(&link->lock);
    }
    if (over) {
        drop_entry(batch->router->retained, entry);
    }
    return rv;
}

void
nmq_replay_begin(nmq_batch *batch, nmq_client *client, const nmq_filter *filter,
                 uint8_t options, uint32_t identifier, bool is_new, uint32_t *visits)
{
    nmq_router *router = batch->router;
    unsigned handling = (unsigned) (options & NMQ_SUB_RETAIN_HANDLING) >> 4;

    if (!NMQ_LIVE(router->options->retain_available) || handling == 2 ||
        (handling == 1 && !is_new) || // [MQTT-3.3.1-10] [MQTT-3.3.1-11]
        filter->group.at != NULL) {
        return;
    }
    nmq_owed_entry *entry =
        make_entry(router->retained, filter->filter, options, identifier);
    int rv = entry != NULL ? NMQ_OK : NMQ_ENOMEM;
    uint32_t before = *visits;
    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&client->lock);
        nmq_owed_entry *old = take_owed(client->session, filter->filter);
        if (old != NULL) {
            log_over(client, filter->filter);
        }
        rv = client->forgotten ? NMQ_ECLOSED : send_first(batch, client, entry, visits);
        (void) pthread_mutex_unlock(&client->lock);
        drop_entry(router->retained, old);
    }
    batch->work += before - *visits;
    if (rv != NMQ_OK) {
        drop_entry(router->retained, entry);
    }
    if (rv != NMQ_OK && rv != NMQ_ECLOSED) { // else the session has ended meanwhile
        nmq_log_write(router->log, NMQ_LOG_ERROR, "retained messages not sent: %s",
                      nmq_status_text(rv));
    }
}

int
nmq_replay_go_on(nmq_retained *retained, nmq_client *client, const nmq_replay_place *place)
{
    nmq_owed_entry *entry = nmq_zalloc(sizeof *entry);
    int rv = NMQ_ENOMEM;

    if (entry == NULL) {
        return NMQ_ENOMEM;
    }
    entry->options = place->options;
    entry->identifier = place->identifier;
    (void) pthread_mutex_lock(&client->lock);
    const nmq_owed *owed = client->session->owed;
    if (owed != NULL && nmq_map_get(&owed->by_filter, place->filter) != NULL) {
        rv = NMQ_EINVAL;
    } else {
        entry->cursor =
            nmq_retained_open_at(retained, place->filter, place->order, place->topic_name);
    }
    if (entry->cursor != NULL) {
        rv = put_owed(client->session, entry, place->queued);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (rv != NMQ_OK) {
        drop_entry(retained, entry);
    }
    return rv;
}

// A cursor that has just been at that message. Call with the client's lock.
static nmq_retain_cursor *
open_behind(nmq_retained *retained, const nmq_retain_cursor *from, nmq_bytes topic_name)
{
    nmq_retain_cursor *cursor =
        nmq_retained_open_at(retained, nmq_retain_cursor_filter(from),
                             nmq_retain_cursor_order(from), topic_name);
    uint32_t visits = UINT32_MAX;
    nmq_message *message;

    if (cursor != NULL &&
        nmq_retained_step(retained, cursor, nmq_clock_now_ms(), &visits, &message, 1) > 0) {
        nmq_message_unref(message);
    }
    return cursor;
}

int
nmq_replay_move(nmq_retained *retained, nmq_client *client, nmq_bytes filter,
                nmq_bytes topic_name)
{
    nmq_owed *owed = client->session->owed;
    nmq_owed_entry *entry = owed != NULL ? nmq_map_get(&owed->by_filter, filter) : NULL;

    if (topic_name.at == NULL || entry == NULL) {
        nmq_replay_cancel(retained, client, filter);
        return NMQ_OK;
    }
    nmq_retain_cursor *cursor = open_behind(retained, entry->cursor, topic_name);
    if (cursor == NULL) {
        return NMQ_ENOMEM;
    }
    nmq_retained_close(retained, nmq_owed_swap(owed, entry, cursor));
    return NMQ_OK;
}

void
nmq_replay_cancel(nmq_retained *retained, nmq_client *client, nmq_bytes filter)
{
    (void) pthread_mutex_lock(&client->lock);
    nmq_owed_entry *entry = take_owed(client->session, filter);
    if (entry != NULL) {
        log_over(client, filter);
    }
    (void) pthread_mutex_unlock(&client->lock);
    drop_entry(retained, entry);
}

void
nmq_replay_forget(nmq_retained *retained, nmq_client *client)
{
    nmq_owed_entry *entry;

    do {
        (void) pthread_mutex_lock(&client->lock);
        client->forgotten = true;
        entry = take_owed(client->session, (nmq_bytes){0});
        (void) pthread_mutex_unlock(&client->lock);
        drop_entry(retained, entry);
    } while (entry != NULL);
}

bool
nmq_replay_pump(nmq_batch *batch, nmq_client *client, nmq_link *link)
{
    size_t room = NMQ_LIVE(batch->router->options->outbox_max_bytes);
    nmq_session *session = client->session;
    uint32_t visits = PUMP_VISITS;
    uint32_t most = nmq_session_takes_owed(session);

    while (most > 0 && link->outbox.total < room && visits > 0) {
        const nmq_owed_entry *entry = session->owed->first;
        nmq_message *last = send_step(batch, client, link, entry, &visits, most, false);
        log_moved(client, entry, last);
        nmq_message_unref(last);
        if (nmq_retain_is_over(entry->cursor)) {
            log_over(client, nmq_retain_cursor_filter(entry->cursor));
            drop_entry(batch->router->retained, take_owed(session, (nmq_bytes){0}));
        }
        most = nmq_session_takes_owed(session);
    }
    batch->work += PUMP_VISITS - visits;
    return visits == 0;
}

uint32_t
nmq_replay_take(nmq_retained *retained, nmq_client *client, int64_t now_ms,
                nmq_message **out, uint32_t most, uint8_t *options)
{
    nmq_session *session = client->session;
    uint32_t taken = 0;

    while (session->owed != NULL && taken == 0) {
        const nmq_owed_entry *entry = session->owed->first;
        uint32_t visits = PUMP_VISITS;
        int count = nmq_retained_step(retained, entry->cursor, now_ms, &visits, out, most);
        *options = entry->options;
        log_moved(client, entry, count > 0 ? out[count - 1] : NULL);
        for (int i = 0; i < count; i++) {
            if (is_for(retained, client, entry, out[i])) {
                out[taken++] = out[i];
            } else {
                nmq_message_unref(out[i]);
            }
        }
        if (nmq_retain_is_over(entry->cursor)) {
            log_over(client, nmq_retain_cursor_filter(entry->cursor));
            drop_entry(retained, take_owed(session, (nmq_bytes){0}));
        }
    }
    return taken;
}
