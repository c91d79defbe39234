#include "route/deliver.h"

#include "base/live.h"
#include "base/status.h"
#include "route/durable.h"
#include "route/feed_record.h"
#include "route/inbox.h"
#include "store/journal_topics.h"

enum {
    QUEUE_GATHER_FACTOR = 64, // times NMQ_LOAD_FULL, while its client takes something
    QUEUE_LIMIT_FACTOR = 2,   // times its bound in bytes, whatever its client does
    TELL_EVERY_S = 60,        // between two events that a session drops
};

static bool
deliver_to_tap(nmq_batch *batch, const nmq_client *tap, const nmq_outgoing *what)
{
    if (!nmq_feed_put_message(tap->feed, what->parts, 0, batch->now_ms)) {
        nmq_counters_add(batch->router->counters, NMQ_COUNT_EVENTS_DROPPED, 1);
        return false;
    }
    return true;
}

// Whether the session's queue may go over its bound. It may while publishers are still
// going to wait for it. When they have waited in vain, it may while its client takes
// something.
static bool
may_gather(const nmq_session *session, const nmq_link *link, int64_t now_ms)
{
    uint64_t max_bytes = session->queue_max_bytes;

    if (max_bytes != 0 && session->queue.bytes / QUEUE_LIMIT_FACTOR >= max_bytes) {
        return false;
    }
    return !link->stuck || (!link->at_limit && nmq_link_moves(link, now_ms));
}

static bool
was_dropped(enum nmq_delivered how)
{
    return how > NMQ_DELIVERED_QUEUED;
}

static uint8_t
qos_of(const nmq_outgoing *what)
{
    return nmq_deliver_qos(what->parts->qos, what->options);
}

static nmq_offer
offer_of(const nmq_outgoing *what)
{
    return (nmq_offer){
        .parts = what->parts,
        .message = *what->message,
        .subscription_ids = what->identifiers,
        .subscription_id_count = what->identifier_count,
        .group = what->group,
        .qos = qos_of(what),
        .overflow = what->retained, // only a few, for a session that was not full
        .retain =
            what->retained || ((what->options & NMQ_SUB_RETAIN_AS_PUBLISHED) != 0 &&
                               what->parts->retain), // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
    };
}

// Offers to the session, with the link's lock when there is a link.
static enum nmq_delivered
offer_locked(nmq_batch *batch, nmq_client *client, nmq_link *link, const nmq_outgoing *what)
{
    const nmq_options *options = batch->router->options;
    nmq_session *session = client->session;
    size_t max_bytes = NMQ_LIVE(options->outbox_max_bytes);
    nmq_offer offer = offer_of(what);

    offer.short_window = batch->short_window;
    if (link != NULL && may_gather(session, link, batch->now_ms)) {
        offer.overflow = true;
    }
    // What the session keeps waits there, not in the outbox.
    offer.room = offer.qos > 0 ? max_bytes : 0;
    if (link != NULL && link->stuck && offer.qos == 0 &&
        nmq_link_unkept(link) > max_bytes) {
        return NMQ_DELIVERED_FULL;
    }
    bool large = what->parts->payload.len >= NMQ_SPLICE_MIN_BYTES;
    if (offer.message == NULL && (large || nmq_session_needs_message(session, offer.qos))) {
        offer.message = *what->message = nmq_message_new(what->parts);
        if (offer.message == NULL) {
            return NMQ_DELIVERED_NO_MEMORY;
        }
    }
    return nmq_session_deliver(session, link != NULL ? &link->outbox : NULL, &offer,
                               batch->now_ms);
}

nmq_patience
nmq_deliver_patience(const nmq_options *options, int64_t now_ms)
{
    return (nmq_patience){NMQ_LIVE(options->outbox_max_bytes), NMQ_LIVE(options->hold_ms),
                          now_ms};
}

// A client was found stuck.
static void
log_stuck(const nmq_router *router, const nmq_client *client)
{
    const char *loses = client->consumes
                            ? "takes messages too slowly; what goes over its bounds is "
                              "lost until it catches up"
                            : "reads too slowly; it loses QoS 0 until it catches up";

    nmq_counters_add(router->counters, NMQ_COUNT_SLOW_CONSUMERS, 1);
    nmq_log_write(router->log, NMQ_LOG_WARNING, "%s '%s' %s", nmq_client_kind(client),
                  nmq_log_quoted(client->session->client_id).text, loses);
}

bool
nmq_deliver_look(const nmq_router *router, nmq_link *link, nmq_client *const *client,
                 int64_t now_ms)
{
    const nmq_patience patience = nmq_deliver_patience(router->options, now_ms);

    (void) pthread_mutex_lock(&link->lock);
    enum nmq_pace pace = nmq_link_look(link, &patience);
    if (pace == NMQ_PACE_STUCK && *client != NULL) {
        log_stuck(router, *client);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (pace != NMQ_PACE_SLOW) {
        nmq_link_relieve(link, patience.max_bytes, true);
    }
    return pace == NMQ_PACE_SLOW;
}

void
nmq_deliver_weigh(const nmq_session *session, nmq_link *link)
{
    bool waits =
        session->queue.count > 0 || session->resend != NULL || session->owed != NULL;

    link->load = nmq_session_load(session);
    link->held_bytes = nmq_session_held_bytes(session);
    link->at_limit =
        link->load / QUEUE_GATHER_FACTOR >= NMQ_LOAD_FULL && nmq_session_is_full(session);
    link->pump_due = waits && nmq_session_can_send(session);
}

// Looks at the client's link, which may be slow. Call with its lock.
static void
judge_slow(nmq_batch *batch, const nmq_client *client, nmq_link *link)
{
    nmq_patience patience = nmq_deliver_patience(batch->router->options, batch->now_ms);
    enum nmq_pace pace = nmq_link_judge(link, &patience);

    if (pace == NMQ_PACE_STUCK) {
        log_stuck(batch->router, client);
    } else if (pace == NMQ_PACE_SLOW && batch->congested == NULL) {
        batch->congested = nmq_link_ref(link);
    }
}

// Notes what the client's link is like now. Call with its lock.
static void
judge(nmq_batch *batch, const nmq_client *client, nmq_link *link)
{
    size_t max_bytes = NMQ_LIVE(batch->router->options->outbox_max_bytes);

    if (link->load >= NMQ_LOAD_FULL || link->over_ms != 0 ||
        link->outbox.unkept + link->sending_unkept > max_bytes) {
        judge_slow(batch, client, link);
    } // else as most links are: nmq_link_judge would change nothing
}

// The publisher's acknowledgement waits for the journal, if the message is logged. Call
// with the client's lock.
static void
answer(nmq_batch *batch, const nmq_client *client, const nmq_outgoing *what)
{
    const nmq_session_log *log = client->session->log;

    if (log != NULL &&
        (*what->message == NULL || !nmq_journal_leaves_out(log->journal, *what->message))) {
        nmq_durable_answer(batch, client);
    }
}

// The publisher's acknowledgement waits for the journal, and so do packets at QoS 2. Call
// with the client's lock and the link's.
static void
answer_and_await(nmq_batch *batch, const nmq_client *client, nmq_link *link,
                 const nmq_outgoing *what)
{
    if (qos_of(what) > 0) {
        answer(batch, client, what);
        nmq_durable_await(client, link);
    }
}

static enum nmq_delivered
deliver_to_link(nmq_batch *batch, nmq_client *client, nmq_link *link,
                const nmq_outgoing *what)
{
    (void) pthread_mutex_lock(&link->lock);
    // A link that closes takes nothing more: its session does, as if it were away.
    enum nmq_delivered how = offer_locked(batch, client, link->closed ? NULL : link, what);
    if (how != NMQ_DELIVERED_SENT || qos_of(what) > 0) { // else the session is as it was
        nmq_deliver_note(client->session, link);
        if (client->session->log != NULL) {
            answer_and_await(batch, client, link, what);
        }
    }
    if (how == NMQ_DELIVERED_SENT) {
        nmq_batch_touch(batch, link);
    }
    judge(batch, client, link);
    (void) pthread_mutex_unlock(&link->lock);
    return how;
}

// Everything waits in the queue until Python takes it. Call with the client's lock.
static enum nmq_delivered
deliver_to_consumer(nmq_batch *batch, nmq_client *client, const nmq_outgoing *what)
{
    nmq_session *session = client->session;
    nmq_offer offer = {
        .parts = what->parts,
        .group = what->group,
        .qos = qos_of(what),
        .retain = what->retained,
    };

    if (batch->short_window != 0) {
        return offer.qos > 0 ? NMQ_DELIVERED_REFUSED : NMQ_DELIVERED_NO_MEMORY;
    }
    if (*what->message == NULL) {
        *what->message = nmq_message_new(what->parts);
    }
    if (*what->message == NULL) {
        return NMQ_DELIVERED_NO_MEMORY;
    }
    offer.message = *what->message;
    if (client->link == NULL) {
        return nmq_session_queue(session, &offer);
    }
    nmq_inbox *inbox = nmq_inbox_of(client->link);
    offer.overflow = !batch->waits_for_none && nmq_inbox_may_gather(inbox, session);
    enum nmq_delivered how = nmq_session_queue(session, &offer);
    (void) pthread_mutex_lock(&inbox->link.lock);
    nmq_inbox_weigh(inbox, session);
    judge_slow(batch, client, &inbox->link);
    (void) pthread_mutex_unlock(&inbox->link.lock);
    nmq_inbox_tell(inbox);
    return how;
}

// Logs that the session drops, once a minute. Call with the client's lock.
static void
log_full(const nmq_batch *batch, nmq_client *client)
{
    uint32_t now_s = (uint32_t) (batch->now_ms / 1000) + 1;

    if (client->full_log_s == 0 || now_s - client->full_log_s >= TELL_EVERY_S) {
        client->full_log_s = now_s;
        nmq_log_write(batch->router->log, NMQ_LOG_WARNING,
                      "%s '%s': its queue is full, %llu messages are lost so far",
                      nmq_client_kind(client),
                      nmq_log_quoted(client->session->client_id).text,
                      (unsigned long long) client->traffic.dropped);
    }
}

// Counts a message that the client does not get. Call with its lock.
static void
lose(nmq_batch *batch, nmq_client *client, enum nmq_delivered how, const nmq_outgoing *what)
{
    static const uint8_t whys[] = {
        [NMQ_DELIVERED_FULL] = NMQ_WHY_QUEUE_FULL,
        [NMQ_DELIVERED_REFUSED] = NMQ_WHY_MEMORY,
        [NMQ_DELIVERED_EXPIRED] = NMQ_WHY_NONE,
        [NMQ_DELIVERED_AWAY] = NMQ_WHY_AWAY,
        [NMQ_DELIVERED_TOO_LARGE] = NMQ_WHY_TOO_LARGE,
        [NMQ_DELIVERED_NO_MEMORY] = NMQ_WHY_MEMORY,
    };
    static const uint8_t drops[] = {
        [NMQ_DELIVERED_FULL] = NMQ_DROP_FULL,
        [NMQ_DELIVERED_REFUSED] = NMQ_DROP_MEMORY,
        [NMQ_DELIVERED_EXPIRED] = NMQ_DROP_EXPIRED,
        [NMQ_DELIVERED_AWAY] = NMQ_DROP_AWAY,
        [NMQ_DELIVERED_TOO_LARGE] = NMQ_DROP_TOO_LARGE,
        [NMQ_DELIVERED_NO_MEMORY] = NMQ_DROP_MEMORY,
    };
    // a consumer's queue takes every QoS
    bool slow = how == NMQ_DELIVERED_FULL && qos_of(what) == 0 && !client->consumes;
    const nmq_session_event event = {
        .kind = how == NMQ_DELIVERED_EXPIRED ? NMQ_EVENT_EXPIRED : NMQ_EVENT_DROPPED,
        .why = slow ? NMQ_WHY_SLOW_READER : (enum nmq_why) whys[how],
        .message = what->parts,
    };

    client->traffic.dropped++;
    client->traffic.dropped_full += how == NMQ_DELIVERED_FULL;
    client->traffic.dropped_expired += how == NMQ_DELIVERED_EXPIRED;
    client->traffic.dropped_too_large += how == NMQ_DELIVERED_TOO_LARGE;
    nmq_batch_count(batch, drops[how]);
    nmq_session_tell(client->session, &event);
    if (how == NMQ_DELIVERED_FULL && !slow) {
        log_full(batch, client);
    }
}

static void
count_all(nmq_batch *batch, nmq_client *client)
{
    nmq_session_counts fresh;

    nmq_client_take_fresh(client, &fresh);
    for (int qos = 0; qos < 3; qos++) {
        batch->counts[NMQ_BATCH_OUT + qos] += fresh.messages[qos];
        batch->messages_out += fresh.messages[qos];
    }
    nmq_batch_count_more(batch, NMQ_BATCH_OUT + NMQ_KIND_PUBREL, fresh.pubrel);
    nmq_batch_count_more(batch, NMQ_DROP_EXPIRED, fresh.expired);
    nmq_batch_count_more(batch, NMQ_DROP_TOO_LARGE, fresh.too_large);
    nmq_batch_count_more(batch, NMQ_DROP_MEMORY, fresh.no_memory);
    nmq_batch_count_more(batch, NMQ_DROP_FULL, fresh.full);
}

void
nmq_deliver_count(nmq_batch *batch, nmq_client *client)
{
    nmq_session_counts *fresh = &client->session->fresh;

    if (fresh->pubrel == 1) { // as PUBREC is answered, mostly
        fresh->pubrel = 0;
        nmq_batch_count(batch, NMQ_BATCH_OUT + NMQ_KIND_PUBREL);
    }
    if (nmq_client_has_fresh(client)) {
        count_all(batch, client);
    }
}

// The session has written one PUBLISH, and nothing else. Call with the client's lock.
static void
count_sent(nmq_batch *batch, nmq_client *client, uint8_t qos)
{
    client->session->fresh.messages[qos] = 0;
    client->traffic.messages_out[qos]++;
    batch->counts[NMQ_BATCH_OUT + qos]++;
    batch->messages_out++;
}

bool
nmq_deliver(nmq_batch *batch, nmq_client *client, const nmq_outgoing *what)
{
    enum nmq_delivered how;

    if (client->feed != NULL) {
        return deliver_to_tap(batch, client, what);
    }
    (void) pthread_mutex_lock(&client->lock);
    if (client->consumes) {
        how = deliver_to_consumer(batch, client, what);
        answer(batch, client, what);
    } else if (client->link != NULL) {
        how = deliver_to_link(batch, client, client->link, what);
    } else {
        how = offer_locked(batch, client, NULL, what);
        answer(batch, client, what);
    }
    if (how == NMQ_DELIVERED_SENT) {
        count_sent(batch, client, qos_of(what));
    }
    bool dropped = was_dropped(how);
    if (dropped) {
        lose(batch, client, how, what);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (dropped) {
        bool refused = how == NMQ_DELIVERED_REFUSED;
        nmq_counters_add(batch->router->counters, NMQ_COUNT_MEMORY_REFUSED, refused);
        batch->refused = batch->refused || (refused && batch->may_refuse);
    }
    return !dropped;
}

void
nmq_deliver_retained(nmq_batch *batch, nmq_client *client, nmq_link *link,
                     nmq_message *message, const nmq_owed_entry *owed, bool queues)
{
    nmq_message_parts parts = nmq_message_parts_of(message);
    const nmq_outgoing what = {
        .parts = &parts,
        .message = &message,
        .identifiers = &owed->identifier,
        .identifier_count = owed->identifier != 0,
        .options = owed->options,
        .retained = true, // [MQTT-3.3.1-8 of 3.1.1]
    };
    enum nmq_delivered how;

    if (queues) {
        how = offer_locked(batch, client, link, &what);
    } else {
        const nmq_offer offer = offer_of(&what);
        how = nmq_session_send(client->session, &link->outbox, &offer, batch->now_ms);
    }
    if (was_dropped(how)) {
        lose(batch, client, how, &what);
    }
}
