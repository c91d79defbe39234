#include "route/router.h"

#include <stdlib.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "route/event.h"

enum {
    EVENT_RING_RECORDS = 8192,
    MAX_IDENTIFIERS = 64,
    QUEUE_GATHER_FACTOR = 64, // times its bound, before publishers wait for a client
};

static void sweep(nmq_timer *timer);

int
nmq_router_init(nmq_router *router)
{
    router->sweep_timer.fire = sweep;
    (void) pthread_mutex_init(&router->retain_lock, NULL);
    (void) pthread_mutex_init(&router->registry_lock, NULL);
    (void) pthread_mutex_init(&router->acl_lock, NULL);
    router->lanes = nmq_lanes_new();
    router->tree = nmq_tree_new();
    router->retain = nmq_retain_new();
    if (router->lanes == NULL || router->tree == NULL || router->retain == NULL) {
        return NMQ_ENOMEM;
    }
    int rv = nmq_ring_new(sizeof(nmq_event), EVENT_RING_RECORDS, &router->events);
    return rv != NMQ_OK ? rv : nmq_clock_new(&router->clock);
}

static void
drop_timer(nmq_timer *timer)
{
    (void) timer; // its owner is freed with the registry
}

void
nmq_router_fini(nmq_router *router)
{
    nmq_event event;

    nmq_clock_free(router->clock, drop_timer);
    while (router->oldest != NULL) {
        nmq_client *client = router->oldest;
        router->oldest = client->next;
        // Timers that were armed held a reference each; nothing runs any more.
        client->refs = 1;
        nmq_client_unref(client);
    }
    nmq_map_free(&router->clients);
    nmq_tree_free(router->tree);
    nmq_retain_free(router->retain);
    nmq_lanes_free(router->lanes);
    while (router->events != NULL && nmq_ring_take(router->events, &event, 1) == 1) {
        nmq_event_fini(&event);
    }
    nmq_ring_free(router->events);
    (void) pthread_mutex_destroy(&router->retain_lock);
    (void) pthread_mutex_destroy(&router->registry_lock);
    nmq_acl_unref(router->acl);
    (void) pthread_mutex_destroy(&router->acl_lock);
}

void
nmq_router_set_acl(nmq_router *router, nmq_acl *acl)
{
    (void) pthread_mutex_lock(&router->acl_lock);
    nmq_acl *old = router->acl;
    router->acl = acl;
    (void) __atomic_add_fetch(&router->acl_version, 1, __ATOMIC_RELEASE);
    (void) pthread_mutex_unlock(&router->acl_lock);
    nmq_acl_unref(old);
}

nmq_acl *
nmq_router_acl(nmq_router *router, uint64_t *version)
{
    (void) pthread_mutex_lock(&router->acl_lock);
    nmq_acl *acl = nmq_acl_ref(router->acl);
    *version = __atomic_load_n(&router->acl_version, __ATOMIC_RELAXED);
    (void) pthread_mutex_unlock(&router->acl_lock);
    return acl;
}

// What one client is to get of one publish.
typedef struct {
    const nmq_message_parts *parts;
    nmq_message **message; // made when first needed
    const uint32_t *identifiers;
    uint16_t identifier_count;
    uint8_t options;
    uint32_t group; // number of the shared group that chose the client, 0: none
    bool retained;  // an answer to SUBSCRIBE rather than a live message
} share;

static bool
deliver_to_tap(nmq_batch *batch, const nmq_client *tap, const share *what)
{
    if (*what->message == NULL) {
        *what->message = nmq_message_new(what->parts);
    }
    if (*what->message == NULL) {
        return false;
    }
    nmq_event event = {
        .kind = NMQ_EVENT_MESSAGE,
        .number = tap->number,
        .code = what->retained,
        .message = *what->message,
    };
    return nmq_event_put(batch->router, &event, (nmq_bytes){0});
}

// Whether its queue may go over its bound: while publishers are still going to wait for it,
// or did in vain, but it comes on.
static bool
may_gather(const nmq_link *link, int64_t now_ms)
{
    return !link->stuck || (!link->queue_at_limit && nmq_link_moves(link, now_ms));
}

// Offers to the session, with the link's lock when there is a link.
static enum nmq_delivered
offer_locked(nmq_batch *batch, nmq_client *client, nmq_link *link, const share *what)
{
    const nmq_limits *limits = &batch->router->limits;
    nmq_session *session = client->session;
    uint8_t granted = what->options & NMQ_SUB_QOS;
    nmq_offer offer = {
        .parts = what->parts,
        .subscription_ids = what->identifiers,
        .subscription_id_count = what->identifier_count,
        .group = what->group,
        .qos = what->parts->qos < granted ? what->parts->qos : granted, // [MQTT-3.8.4-8]
        .retain =
            what->retained || ((what->options & NMQ_SUB_RETAIN_AS_PUBLISHED) != 0 &&
                               what->parts->retain), // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        .room = what->retained ? NMQ_LIVE(limits->outbox_max_bytes) : 0,
        .overflow = what->retained || (link != NULL && may_gather(link, batch->now_ms)),
        .short_window = batch->short_window,
    };

    if (link != NULL && link->stuck && offer.qos == 0 &&
        nmq_link_backlog(link) > NMQ_LIVE(limits->outbox_max_bytes)) {
        return NMQ_DELIVERED_FULL;
    }
    bool large = what->parts->payload.len >= NMQ_SPLICE_MIN_BYTES;
    if (*what->message == NULL &&
        (what->retained || large || nmq_session_needs_message(session, offer.qos))) {
        *what->message = nmq_message_new(what->parts);
        if (*what->message == NULL) {
            return NMQ_DELIVERED_DROPPED;
        }
    }
    offer.message = *what->message;
    return nmq_session_deliver(session, link != NULL ? &link->outbox : NULL, &offer,
                               batch->now_ms);
}

nmq_patience
nmq_router_patience(const nmq_router *router, int64_t now_ms)
{
    return (nmq_patience){NMQ_LIVE(router->limits.outbox_max_bytes),
                          NMQ_LIVE(router->limits.hold_ms), now_ms};
}

void
nmq_router_tell_stuck(nmq_router *router, nmq_bytes client_id)
{
    nmq_counters_add(&router->counters, NMQ_COUNT_SLOW_CONSUMERS, 1);
    nmq_log_write(&router->log, NMQ_LOG_WARNING,
                  "client '%.*s' reads too slowly; it loses QoS 0 until it catches up",
                  (int) client_id.len, (const char *) client_id.at);
}

// Whether its queue has so many times the messages it should have, or bytes.
static bool
is_over(const nmq_session *session, uint32_t times, uint32_t times_bytes)
{
    return session->queue.count / times >= session->queue_max ||
           (session->queue_max_bytes != 0 &&
            session->queue.bytes / times_bytes >= session->queue_max_bytes);
}

// Notes what the client's link is like now. Call with the link's lock.
static void
judge(nmq_batch *batch, const nmq_session *session, nmq_link *link)
{
    nmq_patience patience = nmq_router_patience(batch->router, batch->now_ms);

    link->queue_full = nmq_session_is_full(session);
    link->queue_is_long = link->queue_full && is_over(session, NMQ_LINK_FAR, NMQ_LINK_FAR);
    link->queue_at_limit = link->queue_full && is_over(session, QUEUE_GATHER_FACTOR, 1);
    enum nmq_pace pace = nmq_link_judge(link, &patience);
    if (pace == NMQ_PACE_STUCK) {
        nmq_router_tell_stuck(batch->router, session->client_id);
    } else if (pace == NMQ_PACE_SLOW && batch->congested == NULL) {
        batch->congested = nmq_link_ref(link);
    }
}

static enum nmq_delivered
deliver_to_link(nmq_batch *batch, nmq_client *client, nmq_link *link, const share *what)
{
    (void) pthread_mutex_lock(&link->lock);
    // A link that closes takes nothing more: its session does, as if it were away.
    enum nmq_delivered how = offer_locked(batch, client, link->closed ? NULL : link, what);
    link->pump_due = link->pump_due || client->session->queue.qos0_count > 0;
    if (how == NMQ_DELIVERED_SENT) {
        nmq_batch_touch(batch, link);
    }
    if (!what->retained) {
        judge(batch, client->session, link);
    }
    (void) pthread_mutex_unlock(&link->lock);
    return how;
}

// Returns whether the client's session took the message.
static bool
deliver(nmq_batch *batch, nmq_client *client, const share *what)
{
    enum nmq_delivered how;

    if (client->is_tap) {
        return deliver_to_tap(batch, client, what);
    }
    (void) pthread_mutex_lock(&client->lock);
    if (client->link != NULL) {
        how = deliver_to_link(batch, client, client->link, what);
    } else {
        how = offer_locked(batch, client, NULL, what);
    }
    batch->messages_out += nmq_client_take_sent(client);
    bool refused = how == NMQ_DELIVERED_REFUSED;
    bool dropped = how == NMQ_DELIVERED_DROPPED || how == NMQ_DELIVERED_FULL || refused;
    client->messages_dropped += dropped;
    (void) pthread_mutex_unlock(&client->lock);
    if (dropped) {
        batch->messages_dropped++;
        nmq_counters_add(&batch->router->counters, NMQ_COUNT_QUEUE_FULL,
                         how == NMQ_DELIVERED_FULL);
        nmq_counters_add(&batch->router->counters, NMQ_COUNT_MEMORY_REFUSED, refused);
        batch->refused = batch->refused || (refused && batch->may_refuse);
    }
    return !dropped;
}

static bool
is_own(const nmq_client *from, const nmq_subscription *sub)
{
    return from == sub->client && (sub->options & NMQ_SUB_NO_LOCAL) != 0; // [MQTT-3.8.3-3]
}

static int
by_client(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) ((const nmq_subscription *) a)->client;
    uintptr_t y = (uintptr_t) ((const nmq_subscription *) b)->client;

    return x < y ? -1 : x > y;
}

// Delivers once for `n` subscriptions of one client: the highest QoS, every identifier.
// One copy for overlapping subscriptions, which both versions allow (3.3.4, 3.1.1: 3.3.5),
// with all identifiers [MQTT-3.3.4-4] [MQTT-3.3.4-5].
static bool
deliver_once(nmq_batch *batch, const nmq_client *from, const nmq_subscription *subs,
             uint32_t n, share *what)
{
    uint32_t identifiers[MAX_IDENTIFIERS];
    bool any = false;

    what->identifiers = identifiers;
    what->identifier_count = 0;
    what->options = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (is_own(from, &subs[i])) {
            continue;
        }
        uint8_t options = subs[i].options;
        uint8_t qos = options & NMQ_SUB_QOS;
        if (any && (what->options & NMQ_SUB_QOS) > qos) {
            qos = what->options & NMQ_SUB_QOS; // [MQTT-3.3.4-2]
        }
        what->options = (uint8_t) (((what->options | options) & ~NMQ_SUB_QOS) | qos);
        if (subs[i].identifier != 0 && what->identifier_count < MAX_IDENTIFIERS) {
            identifiers[what->identifier_count++] = subs[i].identifier; // [MQTT-3.3.4-3]
        }
        any = true;
    }
    return any && deliver(batch, subs[0].client, what);
}

static unsigned
deliver_found(nmq_batch *batch, const nmq_client *from, nmq_matches *matches, share *what)
{
    nmq_subscriptions *found = matches->found;
    unsigned taken = 0;
    uint32_t n;

    if (matches->lists > 1) { // a client may be there twice
        qsort(found->at, found->count, sizeof *found->at, by_client);
    }
    for (uint32_t i = 0; i < found->count; i += n) {
        n = 1;
        while (matches->lists > 1 && i + n < found->count &&
               found->at[i + n].client == found->at[i].client) {
            n++;
        }
        taken += deliver_once(batch, from, &found->at[i], n, what);
    }
    return taken;
}

static bool
is_here(const nmq_subscription *member)
{
    nmq_client *client = member->client;

    if (client->is_tap) {
        return true;
    }
    (void) pthread_mutex_lock(&client->lock);
    bool here = client->link != NULL;
    (void) pthread_mutex_unlock(&client->lock);
    return here;
}

// One member in turn, a connected one if there is one; another if it cannot take the
// message. Each at its own granted QoS [MQTT-4.8.2-3]; a QoS 2 message stays with the
// session that was chosen [MQTT-4.8.2-4], and so does one it says no to [MQTT-4.8.2-6].
static bool
deliver_to_group(nmq_batch *batch, nmq_group *group, share *what)
{
    nmq_subscriptions *members = group->members;
    uint32_t turn = __atomic_fetch_add(&group->turn, 1, __ATOMIC_RELAXED);
    bool refused = batch->refused;

    what->group = group->number;
    for (int want_here = 1; want_here >= 0; want_here--) {
        for (uint32_t i = 0; i < members->count; i++) {
            nmq_subscription *member = &members->at[(turn + i) % members->count];
            if (is_here(member) != (want_here == 1)) {
                continue;
            }
            what->identifiers = &member->identifier;
            what->identifier_count = member->identifier != 0;
            what->options = member->options;
            if (deliver(batch, member->client, what)) {
                batch->refused = refused; // not by this group
                return true;
            }
        }
    }
    return false;
}

// Sees to it that expired messages leave the store by then. Call with the retain lock.
static void
arm_sweep(nmq_router *router, int64_t due_ms)
{
    if (due_ms != 0 && (router->sweep_due_ms == 0 || due_ms < router->sweep_due_ms)) {
        router->sweep_due_ms = due_ms;
        (void) nmq_clock_arm(router->clock, &router->sweep_timer, due_ms);
    }
}

static void
sweep(nmq_timer *timer)
{
    nmq_router *router =
        (nmq_router *) (void *) ((uint8_t *) timer - offsetof(nmq_router, sweep_timer));

    (void) pthread_mutex_lock(&router->retain_lock);
    router->sweep_due_ms = 0;
    arm_sweep(router, nmq_retain_sweep(router->retain, nmq_clock_now_ms()));
    (void) pthread_mutex_unlock(&router->retain_lock);
}

// Not kept, and not said to its publisher: counted, and logged once in a while.
static void
tell_not_kept(nmq_router *router, const nmq_message *message)
{
    nmq_bytes topic = nmq_message_topic(message);

    nmq_counters_add(&router->counters, NMQ_COUNT_REFUSED_RETAINED, 1);
    if (nmq_log_is_due(&router->not_kept_ms, nmq_clock_now_ms())) {
        nmq_log_write(&router->log, NMQ_LOG_WARNING,
                      "retained messages are at their bound: '%.*s' is not kept",
                      (int) topic.len, (const char *) topic.at);
    }
}

int
nmq_router_keep_retained(nmq_router *router, nmq_message *message, bool bounded)
{
    uint8_t memory = NMQ_LIVE(router->memory);
    nmq_retain_bounds bounds = {NMQ_LIVE(router->limits.retained_max),
                                NMQ_LIVE(router->limits.retained_max_bytes),
                                memory != NMQ_MEMORY_FINE, memory == NMQ_MEMORY_OUT};
    int rv = NMQ_ENOMEM;

    (void) pthread_mutex_lock(&router->retain_lock);
    if (message != NULL) {
        bool fits = !bounded || nmq_retain_fits(router->retain, message, &bounds);
        rv = fits ? nmq_retain_put(router->retain, message) : NMQ_ETOOBIG;
    }
    if (rv == NMQ_OK && message->expires_at_ms != 0) {
        arm_sweep(router, message->expires_at_ms);
    }
    (void) pthread_mutex_unlock(&router->retain_lock);
    if (rv == NMQ_ETOOBIG) {
        tell_not_kept(router, message);
    } else if (rv != NMQ_OK) {
        nmq_log_write(&router->log, NMQ_LOG_ERROR, "a retained message is lost: %s",
                      nmq_status_text(rv));
    }
    return rv;
}

// To each session with a subscription that matches [MQTT-4.5.0-1] [MQTT-3.3.2-3], in the
// order in which a client sent [MQTT-4.6.0-5] [MQTT-4.6.0-6].
unsigned
nmq_router_publish(nmq_batch *batch, const nmq_client *from, const nmq_message_parts *parts,
                   nmq_message **message)
{
    nmq_router *router = batch->router;
    nmq_matches *matches = nmq_lane_matches(batch->lane);
    share what = {.parts = parts, .message = message};
    unsigned taken = 0;

    if (nmq_tree_match(router->tree, parts->topic_name, matches) != NMQ_OK) {
        nmq_log_write(&router->log, NMQ_LOG_ERROR, "a message is lost: out of memory");
        batch->messages_dropped++;
        return 0;
    }
    if (batch->all_or_none && !nmq_router_takes_all(batch, from, parts, matches)) {
        nmq_counters_add(&router->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        batch->refused = true;
        return 0;
    }
    if (parts->retain && NMQ_LIVE(router->limits.retain_available)) { // else [MQTT-3.3.1-8]
        *message = *message != NULL ? *message : nmq_message_new(parts);
        // the broker's own topics change within bounds of their own
        int kept = nmq_router_keep_retained(router, *message, from != NULL);
        if (kept == NMQ_ETOOBIG && batch->may_refuse) {
            batch->refused = true;
            batch->messages_dropped++;
            return 0;
        }
    }
    if (matches->found->count > 0) {
        taken = deliver_found(batch, from, matches, &what);
    }
    for (uint32_t i = 0; i < matches->group_count; i++) {
        taken += deliver_to_group(batch, matches->groups[i], &what);
    }
    if (matches->found->count == 0 && matches->group_count == 0 && from != NULL) {
        batch->messages_dropped++; // a client's message that nobody wanted
    }
    return taken;
}

unsigned
nmq_router_publish_message(nmq_router *router, const nmq_client *from, nmq_message *message)
{
    nmq_message_parts parts = nmq_message_parts_of(message);
    nmq_message *shared = message;
    nmq_batch batch;

    nmq_batch_begin(&batch, router, nmq_clock_now_ms());
    unsigned taken = nmq_router_publish(&batch, from, &parts, &shared);
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
    return taken;
}

void
nmq_router_pass_on(nmq_router *router, const nmq_delivery *delivery)
{
    nmq_message *shared = delivery->message;
    nmq_message_parts parts = nmq_message_parts_of(shared);
    share what = {.parts = &parts, .message = &shared};
    nmq_batch batch;

    nmq_batch_begin(&batch, router, nmq_clock_now_ms());
    nmq_matches *matches = nmq_lane_matches(batch.lane);
    bool taken = false;
    if (nmq_tree_match(router->tree, parts.topic_name, matches) == NMQ_OK) {
        for (uint32_t i = 0; i < matches->group_count && !taken; i++) {
            taken = matches->groups[i]->number == delivery->group &&
                    deliver_to_group(&batch, matches->groups[i], &what);
        }
    }
    batch.messages_dropped += !taken;
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
}

// Whether there is room for one more: NMQ_OK, NMQ_ETOOBIG or NMQ_ESHORT. Call with all
// lanes.
static int
may_subscribe(nmq_router *router, const nmq_client *client, const nmq_filter *filter)
{
    uint32_t max = NMQ_LIVE(router->limits.subscriptions_max);
    uint32_t groups_max = NMQ_LIVE(router->limits.groups_max);
    bool groups_full =
        filter->group.at != NULL && groups_max != 0 && client->group_count >= groups_max;

    if (client->is_tap) {
        return NMQ_OK;
    }
    if (NMQ_LIVE(router->memory) != NMQ_MEMORY_FINE) {
        nmq_counters_add(&router->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        return NMQ_ESHORT;
    }
    nmq_counters_add(&router->counters, NMQ_COUNT_REFUSED_GROUPS, groups_full);
    return groups_full || (max != 0 && client->session->sub_count >= max) ? NMQ_ETOOBIG
                                                                          : NMQ_OK;
}

// Counts the memory that subscriptions took since `before`, of nmq_mem_taken.
static void
count_subscription_bytes(nmq_router *router, uint64_t before)
{
    nmq_counters_add(&router->counters, NMQ_COUNT_SUBSCRIPTION_BYTES,
                     nmq_mem_taken() - before);
}

// The same filter replaces the subscription [MQTT-3.8.4-3] in one step under all lanes, and
// so loses no message [MQTT-3.8.4-4].
int
nmq_router_subscribe(nmq_router *router, nmq_client *client, nmq_bytes filter_text,
                     uint8_t options, uint32_t identifier)
{
    nmq_subscription sub = {.client = client, .options = options, .identifier = identifier};
    nmq_filter filter;

    if (nmq_filter_parse(filter_text, &filter) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    int rv = client->ended ? NMQ_ECLOSED : nmq_tree_put(router->tree, &filter, &sub);
    int may = rv == 1 ? may_subscribe(router, client, &filter) : NMQ_OK;
    if (may != NMQ_OK) {
        (void) nmq_tree_del(router->tree, &filter, client);
        rv = may;
    }
    if (rv >= 0 && nmq_session_sub_put(client->session, filter_text, options, identifier,
                                       rv == 1) != NMQ_OK) {
        (void) nmq_tree_del(router->tree, &filter, client);
        nmq_session_sub_del(client->session, filter_text);
        rv = NMQ_ENOMEM;
    }
    client->group_count += rv == 1 && filter.group.at != NULL;
    count_subscription_bytes(router, before);
    nmq_lanes_unlock_all(router->lanes);
    return rv;
}

// No message is added from here on [MQTT-3.10.4-2]; what the session holds is completed
// [MQTT-3.10.4-3].
int
nmq_router_unsubscribe(nmq_router *router, nmq_client *client, nmq_bytes filter_text)
{
    nmq_filter filter;

    if (nmq_filter_parse(filter_text, &filter) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    int rv = nmq_tree_del(router->tree, &filter, client);
    if (rv == NMQ_OK) {
        nmq_session_sub_del(client->session, filter_text);
        client->group_count -= filter.group.at != NULL;
    }
    count_subscription_bytes(router, before);
    nmq_lanes_unlock_all(router->lanes);
    return rv;
}

void
nmq_router_forget(nmq_router *router, nmq_client *client)
{
    nmq_session *session = client->session;
    nmq_filter filter;

    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    client->ended = true;
    while (session->sub_count > 0) {
        nmq_session_sub *sub = &session->subs[session->sub_count - 1];
        if (nmq_filter_parse(sub->text, &filter) == NMQ_OK) {
            (void) nmq_tree_del(router->tree, &filter, client);
        }
        nmq_free((void *) (uintptr_t) sub->text.at);
        session->sub_count--;
    }
    count_subscription_bytes(router, before);
    nmq_lanes_unlock_all(router->lanes);
}

void
nmq_router_send_retained(nmq_batch *batch, nmq_client *client, nmq_bytes filter_text,
                         uint8_t options, uint32_t identifier, bool is_new)
{
    nmq_router *router = batch->router;
    unsigned handling = (unsigned) (options & NMQ_SUB_RETAIN_HANDLING) >> 4;
    nmq_messages messages = {0};
    nmq_filter filter;

    if (!NMQ_LIVE(router->limits.retain_available) || handling == 2 ||
        (handling == 1 && !is_new) || // [MQTT-3.3.1-10] [MQTT-3.3.1-11]
        nmq_filter_parse(filter_text, &filter) != NMQ_OK || filter.group.at != NULL) {
        return;
    }
    (void) pthread_mutex_lock(&router->retain_lock);
    int found = nmq_retain_match(router->retain, filter.filter, batch->now_ms, &messages);
    (void) pthread_mutex_unlock(&router->retain_lock);
    if (found < 0) {
        nmq_log_write(&router->log, NMQ_LOG_ERROR, "retained messages not sent: %s",
                      nmq_status_text(found));
    }
    uint64_t own = (options & NMQ_SUB_NO_LOCAL) != 0 // [MQTT-3.8.3-3]
                       ? nmq_bytes_hash(client->session->client_id)
                       : 0;
    for (size_t i = 0; i < messages.count; i++) {
        nmq_message *m = messages.at[i];
        if (own != 0 && m->publisher == own) {
            continue;
        }
        nmq_message_parts parts = nmq_message_parts_of(m);
        share what = {
            .parts = &parts,
            .message = &m,
            .identifiers = &identifier,
            .identifier_count = identifier != 0,
            .options = options,
            .retained = true, // [MQTT-3.3.1-8 of 3.1.1]
        };
        (void) deliver(batch, client, &what);
    }
    nmq_messages_free(&messages);
}
