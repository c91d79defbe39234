#include "route/durable_whole.h"

#include "base/status.h"
#include "route/durable.h"
#include "route/gathered.h"
#include "store/journal_told.h"

// Of a record of a delivery and the head of one of a message; about.
enum { DELIVERY_BYTES = 64 };

static void
put_end(nmq_gathered *all, uint64_t session)
{
    all->base.put(&all->base, &(nmq_journal_record){.kind = NMQ_JOURNAL_SESSION_END,
                                                    .session_end = {.session = session}});
}

// --- at once; call with the client's lock

// What was told again so far is of no account, and the whole queue is in one phase.
static void
give_up(nmq_session *session)
{
    nmq_session_log *log = session->log;
    uint32_t told = nmq_queue_in_phase(&session->queue, log->phase);

    (void) nmq_journal_append(log->journal,
                              &(nmq_journal_record){.kind = NMQ_JOURNAL_SESSION_END,
                                                    .session_end = {.session = log->next}});
    log->next = 0;
    log->phase = !log->phase;
    nmq_queue_set_phase(&session->queue, 0, told, log->phase);
}

// The lanes are frozen too.
static int
put_whole(nmq_router *router, nmq_client *client)
{
    int rv = nmq_durable_prepare(router, client, true);
    nmq_gathered all;

    if (rv != NMQ_OK) {
        return rv;
    }
    nmq_session_log *log = client->session->log;
    if (log->next != 0) {
        give_up(client->session);
    }
    nmq_gather(&all, log->journal);
    if (log->session != 0) {
        put_end(&all, log->session);
    }
    log->session = 0; // it gets another one
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

static bool
is_due(const nmq_router *router, const nmq_client *client)
{
    return nmq_session_is_logged(client->session) &&
           !nmq_journal_has_told(router->journal, client->session->log->session);
}

// Whether some of it was told since the journal began anew.
static bool
is_begun(const nmq_router *router, const nmq_session_log *log)
{
    return log->next != 0 && nmq_journal_has_told(router->journal, log->next);
}

// How many of the queue's first that were not told make up so many bytes.
static uint32_t
count_piece(const nmq_queue *queue, uint32_t from, size_t bytes)
{
    uint32_t to = from;

    for (size_t sum = 0; to < queue->count && sum < bytes; to++) {
        sum += nmq_message_size(nmq_queue_at(queue, to)->message) + DELIVERY_BYTES;
    }
    return to - from;
}

// Puts the next piece of the queue. Returns whether that was the last.
static bool
put_piece(nmq_gathered *all, nmq_session *session, size_t bytes)
{
    nmq_session_log *log = session->log;
    uint32_t from = nmq_queue_in_phase(&session->queue, log->phase);
    uint32_t to = from + count_piece(&session->queue, from, bytes);

    nmq_record_put_queue(&all->base, session, log->next, from, to);
    nmq_queue_set_phase(&session->queue, from, to, log->phase);
    return to == session->queue.count;
}

// Tells a piece from the middle. Returns whether it did: else it is the first or the last.
static bool
tell_on(const nmq_router *router, nmq_client *client, size_t bytes)
{
    nmq_session *session = client->session;
    nmq_gathered all;

    if (!is_due(router, client) || !is_begun(router, session->log)) {
        return false;
    }
    uint32_t from = nmq_queue_in_phase(&session->queue, session->log->phase);
    if (from + count_piece(&session->queue, from, bytes) == session->queue.count) {
        return false;
    }
    nmq_gather(&all, router->journal);
    (void) put_piece(&all, session, bytes);
    nmq_gathered_append(&all, session->log, &session->log->next, true);
    return true;
}

// The lanes are frozen too. Returns whether there is more.
static bool
tell_end(nmq_router *router, nmq_client *client, size_t bytes)
{
    nmq_session *session = client->session;
    nmq_session_log *log = session->log;
    nmq_gathered all;

    if (log->next != 0 && !is_begun(router, log)) {
        give_up(session); // what is left of an earlier attempt
    }
    nmq_gather(&all, router->journal);
    if (log->next == 0) {
        log->phase = !log->phase;
        all.base.was = log->session;
        nmq_record_put_base(&all.base, router, client, 0, 0);
    }
    bool over = put_piece(&all, session, bytes);
    if (over) {
        nmq_record_put_owed(&all.base, router, client, log->next);
        put_end(&all, log->session);
    }
    nmq_gathered_append(&all, log, &log->next, true);
    if (over) {
        log->session = log->next;
        log->next = 0;
    }
    return !over;
}

int
nmq_durable_retell(nmq_router *router, nmq_client *client, size_t bytes)
{
    (void) pthread_mutex_lock(&client->lock);
    bool more = tell_on(router, client, bytes);
    (void) pthread_mutex_unlock(&client->lock);
    if (more) {
        return 1;
    }
    nmq_lanes_freeze(router->lanes); // a program may subscribe it
    (void) pthread_mutex_lock(&client->lock);
    more = is_due(router, client) && tell_end(router, client, bytes);
    (void) pthread_mutex_unlock(&client->lock);
    nmq_lanes_thaw(router->lanes);
    return more;
}
