#include "route/durable_whole.h"

#include "base/status.h"
#include "route/durable.h"
#include "route/gathered.h"
#include "store/journal_told.h"

// Of a record of a delivery and the head of one of a message; about.
enum { DELIVERY_BYTES = 64 };

// --- at once

// All of the queue was logged just now.
static void
note_logged(nmq_session *session)
{
    nmq_session_log *log = session->log;

    nmq_queue_set_phase(&session->queue, 0, session->queue.count,
                        nmq_session_log_came(log));
    nmq_queue_set_epoch(&session->queue, 0, session->queue.count,
                        nmq_journal_epoch(log->journal));
    log->is_told = true;
    log->behind = nmq_durable_count_queued(session);
}

// Call with the client's lock, and the lanes frozen.
static int
put_whole(nmq_router *router, nmq_client *client)
{
    int rv = nmq_durable_prepare(router, client, true);
    nmq_gathered all;

    if (rv != NMQ_OK) {
        return rv;
    }
    nmq_session_log *log = client->session->log;
    nmq_gather(&all, log->journal);
    if (log->session != 0) {
        const nmq_journal_record end = {.kind = NMQ_JOURNAL_SESSION_END,
                                        .session_end = {.session = log->session}};
        all.base.put(&all.base, &end);
    }
    log->session = 0; // it gets another one
    note_logged(client->session);
    nmq_record_put_session(&all.base, router, client, 0, 0);
    nmq_gathered_append(&all, log, &log->session, false);
    return NMQ_OK;
}

int
nmq_durable_whole(nmq_router *router, nmq_client *client)
{
    int rv = NMQ_OK;

    if (router->journal == NULL) {
        return NMQ_OK;
    }
    nmq_lanes_freeze(router->lanes); // a program may subscribe it
    (void) pthread_mutex_lock(&client->lock);
    const nmq_session *session = client->session;
    if (client->expiry_interval_s != 0 &&
        (session->log == NULL || nmq_session_is_logged(session))) {
        rv = put_whole(router, client);
    }
    (void) pthread_mutex_unlock(&client->lock);
    nmq_lanes_thaw(router->lanes);
    return rv;
}

int
nmq_durable_restored(nmq_router *router, nmq_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    bool goes_on = client->session->log != NULL;
    (void) pthread_mutex_unlock(&client->lock);
    return goes_on ? NMQ_OK : nmq_durable_whole(router, client);
}

// --- in pieces; call with the client's lock

// How much of the queue was carried.
static uint32_t
count_carried(const nmq_session *session)
{
    return nmq_queue_in_phase(&session->queue, nmq_session_log_carried(session->log));
}

// The epoch of a delivery, of which it has the last bits. There are never so many epochs
// in the log that they do not tell (store/log_round.h).
static uint32_t
epoch_of(const nmq_session *session, uint32_t at)
{
    uint32_t now = nmq_journal_epoch(session->log->journal);

    return now - ((now - nmq_queue_at(&session->queue, at)->epoch) & 0xff);
}

static nmq_durable_behind
look_behind(const nmq_session *session)
{
    uint32_t at = count_carried(session);

    return session->log->is_told || at == session->queue.count
               ? (nmq_durable_behind){0}
               : (nmq_durable_behind){.is_any = true, .epoch = epoch_of(session, at)};
}

// An earlier round was given up: what it has carried counts as logged when the first that
// it has not was. That is told from what comes in this round.
static void
forget_round(nmq_session *session)
{
    const nmq_session_log *log = session->log;
    uint32_t at = count_carried(session);

    nmq_queue_set_epoch(&session->queue, 0, at, epoch_of(session, at));
    while (at < session->queue.count &&
           nmq_session_log_is_behind(log, nmq_queue_at(&session->queue, at))) {
        nmq_queue_set_phase(&session->queue, at, at + 1, nmq_session_log_came(log));
        at++;
    }
}

// The lanes are frozen too.
static void
put_base(nmq_router *router, nmq_client *client)
{
    nmq_session_log *log = client->session->log;
    nmq_gathered all;

    if (look_behind(client->session).is_any) {
        forget_round(client->session);
    }
    nmq_gather(&all, router->journal);
    all.base.was = log->session;
    all.base.waiting = nmq_durable_count_queued(client->session);
    nmq_record_put_base(&all.base, router, client, 0, 0);
    nmq_record_put_owed(&all.base, router, client, 0);
    log->session = 0; // it gets another one
    nmq_gathered_append(&all, log, &log->session, true);
    log->round++;
    log->is_told = false;
    log->behind = all.base.waiting;
}

void
nmq_durable_retell(nmq_router *router, nmq_client *client, nmq_durable_behind *behind)
{
    *behind = (nmq_durable_behind){0};
    nmq_lanes_freeze(router->lanes); // a program may subscribe it
    (void) pthread_mutex_lock(&client->lock);
    if (nmq_session_is_logged(client->session) &&
        !nmq_journal_has_told(router->journal, client->session->log->session)) {
        put_base(router, client);
        *behind = look_behind(client->session);
    }
    (void) pthread_mutex_unlock(&client->lock);
    nmq_lanes_thaw(router->lanes);
}

// How many from that place on were logged up to that epoch, or have come since the session
// was told again, and make up so many bytes.
static uint32_t
count_piece(const nmq_session *session, uint32_t from, uint32_t epoch, size_t bytes)
{
    const nmq_queue *queue = &session->queue;
    uint32_t to = from;

    for (size_t sum = 0; to < queue->count && sum < bytes; to++) {
        const nmq_delivery *delivery = nmq_queue_at(queue, to);
        if (nmq_session_log_is_behind(session->log, delivery) &&
            epoch_of(session, to) > epoch) {
            break;
        }
        sum += nmq_message_size(delivery->message) + DELIVERY_BYTES;
    }
    return to - from;
}

static void
put_piece(nmq_session *session, uint32_t from, uint32_t to)
{
    nmq_session_log *log = session->log;
    uint32_t epoch = nmq_journal_epoch(log->journal); // or a later one
    nmq_gathered all;

    nmq_gather(&all, log->journal);
    all.base.carries = true;
    all.base.behind = log->behind;
    nmq_record_put_queue(&all.base, session, log->session, from, to);
    log->behind = all.base.behind;
    nmq_gathered_append(&all, log, &log->session, true);
    nmq_queue_set_phase(&session->queue, from, to, nmq_session_log_carried(log));
    nmq_queue_set_epoch(&session->queue, from, to, epoch);
}

// What has come meanwhile is carried too: else what comes first in the queue would be
// logged behind it, and in the next round it had to go first.
bool
nmq_durable_carry(nmq_client *client, uint32_t epoch, size_t bytes,
                  nmq_durable_behind *behind)
{
    nmq_session *session = client->session;
    bool more = false;

    *behind = (nmq_durable_behind){0};
    (void) pthread_mutex_lock(&client->lock);
    if (session->log != NULL && nmq_session_is_logged(session) && !session->log->is_told) {
        uint32_t from = count_carried(session);
        uint32_t count = count_piece(session, from, epoch, bytes);
        if (count > 0) {
            put_piece(session, from, from + count);
        }
        session->log->is_told = from + count == session->queue.count;
        *behind = look_behind(session);
        more = behind->is_any && count > 0;
    }
    (void) pthread_mutex_unlock(&client->lock);
    return more;
}
