#include "route/durable.h"

#include "base/clock.h"
#include "base/live.h"
#include "base/status.h"
#include "route/gathered.h"
#include "route/held.h"
#include "store/journal_topics.h"

static nmq_journal_record
record_of_begin(const nmq_moment *now, bool is_part)
{
    return (nmq_journal_record){.kind = NMQ_JOURNAL_BEGIN,
                                .begin = {.format = NMQ_JOURNAL_FORMAT,
                                          .latest_group = nmq_groups_latest(),
                                          .wall_ms = now->wall_ms,
                                          .clock_ms = now->clock_ms,
                                          .boot = {now->boot, now->boot_len},
                                          .is_part = is_part}};
}

void
nmq_durable_begin(nmq_router *router, nmq_journal *journal)
{
    const nmq_moment now = nmq_moment_now();
    nmq_journal_record record = record_of_begin(&now, false);

    router->journal = router->retained->journal = journal;
    nmq_journal_begin(journal, &record);
}

uint64_t
nmq_durable_begin_anew(nmq_router *router, nmq_buf *out, bool is_round)
{
    const nmq_moment now = nmq_moment_now();
    nmq_journal_record record = record_of_begin(&now, !is_round);

    return nmq_journal_begin_anew(router->journal, out, &record, is_round);
}

// --- sessions

static void
append(nmq_client *client, const nmq_journal_record *record)
{
    nmq_session_log *log = client->session->log;

    log->latest = nmq_journal_append(log->journal, record);
}

static nmq_moment
moment(void)
{
    return (nmq_moment){.wall_ms = nmq_clock_wall_ms(), .clock_ms = nmq_clock_now_ms()};
}

int
nmq_durable_prepare(const nmq_router *router, nmq_client *client, bool kept)
{
    return router->journal != NULL && kept && client->session->log == NULL
               ? nmq_session_log_begin(client->session, router->journal)
               : NMQ_OK;
}

void
nmq_durable_attached(nmq_client *client, bool kept)
{
    nmq_session_log *log = client->session->log;
    nmq_gathered all;

    if (log == NULL || NMQ_LIVE(log->ended)) {
        return;
    }
    if (!kept) { // it ends with its connection now
        nmq_durable_ended(client);
        return;
    }
    nmq_gather(&all, log->journal);
    nmq_record_put_client(&all.base, client, log->session, 0);
    nmq_gathered_append(&all, log, &log->session, false);
}

void
nmq_durable_detached(nmq_client *client)
{
    if (nmq_session_is_logged(client->session)) {
        const nmq_moment now = moment();
        append(client,
               &(nmq_journal_record){
                   .kind = NMQ_JOURNAL_DETACHED,
                   .detached = {
                       .session = client->session->log->session,
                       .expiry_interval_s = client->expiry_interval_s,
                       .expires_at_ms = nmq_moment_to_wall(&now, client->expiry_due_ms),
                       .will_due_at_ms = nmq_moment_to_wall(&now, client->will_due_ms),
                       .disconnected_at_ms = client->disconnected_at_ms}});
    }
}

void
nmq_durable_ended(nmq_client *client)
{
    if (nmq_session_is_logged(client->session)) {
        nmq_session_log *log = client->session->log;
        nmq_session_log_end(log);
        (void) nmq_journal_append(
            log->journal, &(nmq_journal_record){.kind = NMQ_JOURNAL_SESSION_END,
                                                .session_end = {.session = log->session}});
    }
}

void
nmq_durable_will_ended(nmq_client *client)
{
    if (client->session->log != NULL && nmq_session_is_logged(client->session)) {
        append(client, &(nmq_journal_record){
                           .kind = NMQ_JOURNAL_WILL_END,
                           .will_end = {.session = client->session->log->session}});
    }
}

int
nmq_durable_go_on(const nmq_router *router, nmq_client *client, uint64_t session)
{
    int rv = nmq_session_log_begin(client->session, router->journal);

    if (rv == NMQ_OK) {
        client->session->log->session = session;
    }
    return rv;
}

// --- subscriptions

void
nmq_durable_subscribed(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                       uint8_t options, uint32_t identifier)
{
    const nmq_session *session = client->session;

    if (nmq_session_is_logged(session)) {
        const nmq_session_sub sub = {.text = filter->text,
                                     .identifier = identifier,
                                     .group_len = (uint16_t) filter->group.len,
                                     .options = options};
        const nmq_journal_record record =
            nmq_record_of_subscription(router, &sub, session->log->session);
        (void) nmq_journal_append(session->log->journal, &record);
    }
}

void
nmq_durable_unsubscribed(nmq_client *client, nmq_bytes text)
{
    const nmq_session *session = client->session;

    if (nmq_session_is_logged(session)) {
        (void) nmq_journal_append(
            session->log->journal,
            &(nmq_journal_record){
                .kind = NMQ_JOURNAL_UNSUBSCRIBED,
                .unsubscribed = {.session = session->log->session, .filter = text}});
    }
}

uint32_t
nmq_durable_count_queued(const nmq_session *session)
{
    const nmq_queue *queue = &session->queue;
    nmq_journal *journal = session->log->journal;
    uint32_t count = queue->count - queue->qos0_count;

    for (uint32_t i = 0; NMQ_LIVE(journal->partial) && i < queue->count; i++) {
        const nmq_delivery *delivery = nmq_queue_at(queue, i);
        count -= delivery->qos > 0 && nmq_journal_leaves_out(journal, delivery->message);
    }
    return count;
}

void
nmq_durable_owed(const nmq_client *client, const nmq_owed_entry *entry)
{
    const nmq_session *s = client->session;

    if (nmq_session_is_logged(s)) {
        uint64_t before = entry->after - s->owed->popped;
        uint32_t unlogged = s->queue.count - nmq_durable_count_queued(s);
        (void) nmq_journal_append(
            s->log->journal, &(nmq_journal_record){
                                 .kind = NMQ_JOURNAL_OWED,
                                 .owed = {.session = s->log->session,
                                          .order = nmq_retain_cursor_order(entry->cursor),
                                          .queued = (uint32_t) before - unlogged,
                                          .identifier = entry->identifier,
                                          .options = entry->options,
                                          .filter = nmq_retain_cursor_filter(entry->cursor),
                                          .topic_name = nmq_bytes_of("")}});
    }
}

void
nmq_durable_owed_moved(const nmq_client *client, nmq_bytes filter, nmq_bytes topic_name)
{
    const nmq_session *s = client->session;

    if (nmq_session_is_logged(s)) {
        (void) nmq_journal_append(
            s->log->journal,
            &(nmq_journal_record){.kind = NMQ_JOURNAL_OWED_MOVED,
                                  .owed_moved = {.session = s->log->session,
                                                 .filter = filter,
                                                 .topic_name = topic_name}});
    }
}

// --- who waits

void
nmq_durable_answer_all(nmq_batch *batch)
{
    nmq_journal *journal = batch->router->journal;

    if (journal != NULL) {
        batch->logged = nmq_journal_appended(journal);
    }
}

void
nmq_durable_answer_retained(nmq_batch *batch, const nmq_message *message)
{
    nmq_journal *journal = batch->router->journal;

    if (journal != NULL && (message == NULL || !nmq_journal_leaves_out(journal, message))) {
        batch->logged = nmq_journal_appended(journal);
    }
}

void
nmq_durable_await_packets(const nmq_client *client, nmq_link *link)
{
    uint64_t number = nmq_session_log_awaits(client->session);
    nmq_held *held = number != 0 ? nmq_held_of(link, client->session->log->journal) : NULL;

    // without memory they go with what its session sends next
    if (held != NULL && !nmq_held_pump_at(held, number)) {
        link->pump_due = true;
    }
}

void
nmq_durable_expel(nmq_router *router, uint8_t reason_code, bool for_good)
{
    nmq_journal_wait *next = nmq_journal_expel(router->journal);

    while (next != NULL) {
        nmq_journal_wait *wait = next;
        next = wait->next;
        nmq_held_expel(wait, reason_code, for_good);
    }
}

void
nmq_durable_settle(nmq_router *router, uint64_t number)
{
    nmq_journal_wait *next = nmq_journal_settle(router->journal, number);
    nmq_batch batch;

    nmq_batch_begin(&batch, router, NULL, nmq_clock_now_ms());
    while (next != NULL) {
        nmq_journal_wait *wait = next;
        next = wait->next;
        nmq_held_wake(wait, &batch);
    }
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
}
