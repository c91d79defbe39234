// durable.h - what the journal is told of kept sessions (Session Expiry Interval above 0),
// besides their messages (store/session_log.h), and how an acknowledgement waits for it.
//
//     attach ──> SESSION, WILL ... SUBSCRIPTION, UNSUBSCRIBED ... DETACHED ... SESSION_END
//
// A session of which nothing is kept logs nothing, and nothing waits for it; nor does one
// that began through a listener whose sessions are in memory alone (nmq_client.unlogged),
// and no reply to its client waits. It is logged whole when its client comes through
// another listener (attach.h). A router without a journal pays a test of a pointer.
//
// Owner    the journal outlives the router.
// Threads  each function says which locks it is called with.
#pragma once
#include "route/batch.h"
#include "route/client.h"
#include "store/journal_group.h"
#include "store/session_log.h"

// The router and its retained messages log from now on. Before anything is kept, so that
// what is restored is logged too.
void nmq_durable_begin(nmq_router *router, nmq_journal *journal);

// What this thread logs between the two comes back as a whole, or not at all.
static inline void
nmq_durable_open(const nmq_router *router, nmq_journal_group *group)
{
    if (router->journal != NULL) {
        nmq_journal_open(router->journal, group);
    }
}
static inline void
nmq_durable_close(const nmq_router *router, nmq_journal_group *group)
{
    if (router->journal != NULL) {
        nmq_journal_close(router->journal, group);
    }
}

// The writer takes what is staged, as nmq_journal_begin_anew.
uint64_t nmq_durable_begin_anew(nmq_router *router, nmq_buf *out, bool is_round);

// --- sessions

// Before the client gets its connection: one that is kept has a log from here on. Client's
// lock. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_durable_prepare(const nmq_router *router, nmq_client *client, bool kept);

// The client has its connection and its will. Client's lock.
void nmq_durable_attached(nmq_client *client, bool kept);

// It is away, and its session stays. Client's lock.
void nmq_durable_detached(nmq_client *client);

// Its session ends. Client's lock.
void nmq_durable_ended(nmq_client *client);

// Its will has gone. Client's lock.
void nmq_durable_will_ended(nmq_client *client);

// The session is logged on under that number. Nobody else has the client yet. Returns
// NMQ_OK or NMQ_ENOMEM.
int nmq_durable_go_on(const nmq_router *router, nmq_client *client, uint64_t session);

// All lanes.
void nmq_durable_subscribed(nmq_router *router, nmq_client *client,
                            const nmq_filter *filter, uint8_t options, uint32_t identifier);
void nmq_durable_unsubscribed(nmq_client *client, nmq_bytes text);

// The session is owed retained messages of a filter, from its first on; it has been at the
// one of that topic; at NULL: it is owed no more. Client's lock, and session->log is not
// NULL.
void nmq_durable_owed(const nmq_client *client, const nmq_owed_entry *entry);
void nmq_durable_owed_moved(const nmq_client *client, nmq_bytes filter,
                            nmq_bytes topic_name);

// --- who waits

// What the batch answers from here on waits for what the session has logged. Client's lock.
static inline void
nmq_durable_answer(nmq_batch *batch, const nmq_client *client)
{
    const nmq_session_log *log = client->session->log;

    if (log != NULL && log->latest > batch->logged) {
        batch->logged = log->latest;
    }
}

// The same for all that has been logged. Any.
void nmq_durable_answer_all(nmq_batch *batch);

// The same for a retained message, unless it is left out; NULL: one that has gone.
void nmq_durable_answer_retained(nmq_batch *batch, const nmq_message *message);

// Whether packets at QoS 2 of the session wait. Client's lock.
static inline bool
nmq_durable_is_awaited(const nmq_session *session)
{
    return session->log != NULL && nmq_session_log_awaits(session) != 0;
}

// How many deliveries of the session's queue are logged. Client's lock.
uint32_t nmq_durable_count_queued(const nmq_session *session);

// Has the link wait for them. Client's and link's lock, after nmq_deliver_note.
void nmq_durable_await_packets(const nmq_client *client, nmq_link *link);
static inline void
nmq_durable_await(const nmq_client *client, nmq_link *link)
{
    if (client->session->log != NULL) {
        nmq_durable_await_packets(client, link);
    }
}

// All is durable up to that number: what has waited goes. One thread at a time, without a
// lock.
void nmq_durable_settle(nmq_router *router, uint64_t number);

// What waits is not going to be durable: those who wait for an answer are disconnected with
// that Reason Code, unanswered. for_good: as nmq_held_expel. As nmq_durable_settle.
void nmq_durable_expel(nmq_router *router, uint8_t reason_code, bool for_good);
