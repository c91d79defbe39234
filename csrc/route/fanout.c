#include "route/fanout.h"

#include <stdlib.h>
#include <string.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/shortage.h"
#include "store/journal_topics.h"

enum {
    FEW_IDENTIFIERS = 64, // more take memory from the heap
    BIG_FAN = 4096,       // subscriptions of one message that are delivered in parts
    FAN_PART = 2048,
};

static int
by_client(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) ((const nmq_subscription *) a)->client;
    uintptr_t y = (uintptr_t) ((const nmq_subscription *) b)->client;

    return x < y ? -1 : x > y;
}

// Delivers once for `n` subscriptions of one client: the highest QoS, every identifier.
// One copy for overlapping subscriptions, which both versions allow (3.3.4, 3.1.1: 3.3.5),
// with all identifiers [MQTT-3.3.4-4] [MQTT-3.3.4-5]. ids has room for n.
static bool
deliver_once(nmq_batch *batch, const nmq_client *from, const nmq_subscription *subs,
             uint32_t n, nmq_outgoing *what, uint32_t *ids)
{
    bool any = false;

    what->identifiers = ids;
    what->identifier_count = 0;
    what->options = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (nmq_deliver_is_own(from, &subs[i])) {
            nmq_counters_add(batch->router->counters, NMQ_COUNT_NO_LOCAL, 1);
            continue;
        }
        uint8_t options = subs[i].options;
        uint8_t qos = options & NMQ_SUB_QOS;
        if (any && (what->options & NMQ_SUB_QOS) > qos) {
            qos = what->options & NMQ_SUB_QOS; // [MQTT-3.3.4-2]
        }
        what->options = (uint8_t) (((what->options | options) & ~NMQ_SUB_QOS) | qos);
        if (subs[i].identifier != 0) {
            ids[what->identifier_count++] = subs[i].identifier; // [MQTT-3.3.4-3]
        }
        any = true;
    }
    return any && nmq_deliver(batch, subs[0].client, what);
}

// The same, with memory for the identifiers.
static bool
deliver_run(nmq_batch *batch, const nmq_client *from, const nmq_subscription *subs,
            uint32_t n, nmq_outgoing *what)
{
    uint32_t few[FEW_IDENTIFIERS];
    uint32_t *ids = n <= FEW_IDENTIFIERS ? few : nmq_alloc(n * sizeof *ids);

    if (ids == NULL) {
        nmq_batch_count(batch, NMQ_DROP_MEMORY);
        return false;
    }
    bool taken = deliver_once(batch, from, subs, n, what, ids);
    if (ids != few) {
        nmq_free(ids);
    }
    return taken;
}

// The same, where it is the client's only one that matches.
static bool
deliver_one(nmq_batch *batch, const nmq_client *from, const nmq_subscription *sub,
            nmq_outgoing *what)
{
    what->identifiers = &sub->identifier;
    what->identifier_count = sub->identifier != 0;
    what->options = sub->options;
    if (nmq_deliver_is_own(from, sub)) {
        nmq_counters_add(batch->router->counters, NMQ_COUNT_NO_LOCAL, 1);
        return false;
    }
    return nmq_deliver(batch, sub->client, what);
}

// How many subscriptions from there on are of one client, where they are sorted.
static uint32_t
run_of(const nmq_subscription *at, uint32_t left)
{
    uint32_t n = 1;

    while (n < left && at[n].client == at[0].client) {
        n++;
    }
    return n;
}

// Delivers for some of the subscriptions, whole runs of a client, and at most `most` runs
// if that is not 0. Returns how many subscriptions were done; *taken counts the sessions.
static uint32_t
deliver_some(nmq_batch *batch, const nmq_client *from, const nmq_subscription *subs,
             uint32_t count, bool sorted, uint32_t most, nmq_outgoing *what,
             unsigned *taken)
{
    uint32_t at = 0;
    uint32_t n;

    for (uint32_t runs = 0; at < count && (most == 0 || runs < most); runs++, at += n) {
        n = sorted ? run_of(&subs[at], count - at) : 1;
        *taken += n == 1 ? deliver_one(batch, from, &subs[at], what)
                         : deliver_run(batch, from, &subs[at], n, what);
    }
    return at;
}

// Counts what a client took; what Python reads is none.
static void
count_out(nmq_meter *meter, const nmq_client *to, const nmq_outgoing *what)
{
    if (to->feed == NULL && !to->consumes) {
        nmq_meter_count_out(meter, nmq_deliver_qos(what->parts->qos, what->options));
    }
}

// A message for thousands must not keep writers of the tree waiting: between two parts the
// lane is left. The clients are held by references meanwhile. Where there is a meter, each
// client is a part, and counted.
static unsigned
deliver_in_parts(nmq_batch *batch, const nmq_client *from, const nmq_matches *matches,
                 nmq_subscription *subs, nmq_outgoing *what, nmq_meter *meter)
{
    uint32_t part = meter != NULL ? 1 : FAN_PART;
    uint32_t count = matches->found->count;
    bool sorted = matches->lists > 1;
    unsigned taken = 0;

    memcpy(subs, matches->found->at, count * sizeof *subs);
    for (uint32_t i = 0; i < count; i++) {
        (void) nmq_client_ref(subs[i].client);
    }
    for (uint32_t at = 0; at < count;) {
        unsigned before = taken;
        const nmq_client *to = subs[at].client;
        at += deliver_some(batch, from, subs + at, count - at, sorted, part, what, &taken);
        if (meter != NULL && taken > before) {
            count_out(meter, to, what);
        }
        nmq_batch_breathe(batch);
    }
    for (uint32_t i = 0; i < count; i++) {
        nmq_client_unref(subs[i].client);
    }
    return taken;
}

// A client is in `found` twice where two filters of it match.
static void
sort(nmq_matches *matches)
{
    if (matches->lists > 1 && !matches->sorted) {
        nmq_subscriptions *found = matches->found;
        qsort(found->at, found->count, sizeof *found->at, by_client);
        matches->sorted = true;
    }
}

static unsigned
deliver_found(nmq_batch *batch, const nmq_client *from, nmq_matches *matches,
              nmq_outgoing *what)
{
    nmq_subscriptions *found = matches->found;
    nmq_subscription *copy = NULL;
    unsigned taken = 0;

    sort(matches);
    if (found->count == 1) {
        return deliver_one(batch, from, found->at, what);
    }
    if (found->count >= BIG_FAN) {
        copy = nmq_alloc(found->count * sizeof *copy);
    }
    if (copy != NULL) {
        taken = deliver_in_parts(batch, from, matches, copy, what, NULL);
        nmq_free(copy);
    } else {
        (void) deliver_some(batch, from, found->at, found->count, matches->lists > 1, 0,
                            what, &taken);
    }
    return taken;
}

static bool
is_here(const nmq_subscription *member)
{
    nmq_client *client = member->client;

    if (client->feed != NULL) {
        return true;
    }
    (void) pthread_mutex_lock(&client->lock);
    bool here = client->link != NULL;
    (void) pthread_mutex_unlock(&client->lock);
    return here;
}

// Gives it to one member in turn, a connected one if there is one; to another if that one
// cannot take it. Each at its own granted QoS [MQTT-4.8.2-3]; a QoS 2 message stays with
// the session that was chosen [MQTT-4.8.2-4], and so does one that the session refuses
// [MQTT-4.8.2-6].
static bool
deliver_to_group(nmq_batch *batch, nmq_group *group, nmq_outgoing *what)
{
    nmq_subscriptions *members = group->members;
    uint32_t turn = __atomic_fetch_add(&group->turn, 1, __ATOMIC_RELAXED);
    bool refused = batch->refused;

    what->group = group->number;
    batch->work += members->count;
    for (int want_here = 1; want_here >= 0; want_here--) {
        for (uint32_t i = 0; i < members->count; i++) {
            nmq_subscription *member = &members->at[(turn + i) % members->count];
            if (is_here(member) != (want_here == 1)) {
                continue;
            }
            what->identifiers = &member->identifier;
            what->identifier_count = member->identifier != 0;
            what->options = member->options;
            if (nmq_deliver(batch, member->client, what)) {
                batch->refused = refused; // not by this group
                return true;
            }
        }
    }
    return false;
}

// Counts a message that goes to nobody at all.
static void
lose(nmq_batch *batch, const nmq_message_parts *parts, enum nmq_why why,
     enum nmq_batch_kind kind)
{
    const nmq_event event = {.kind = NMQ_EVENT_DROPPED, .why = why, .message = parts};

    nmq_batch_count(batch, kind);
    nmq_watch_tell(&batch->router->watch, &event);
}

static unsigned
deliver_found_metered(nmq_batch *batch, const nmq_client *from, nmq_matches *matches,
                      nmq_outgoing *what, nmq_meter *meter)
{
    nmq_subscriptions *found = matches->found;
    nmq_subscription *copy = nmq_alloc(found->count * sizeof *copy);
    unsigned taken = 0;

    sort(matches);
    if (copy != NULL) {
        taken = deliver_in_parts(batch, from, matches, copy, what, meter);
        nmq_free(copy);
    } else { // it is delivered, and not counted
        (void) deliver_some(batch, from, found->at, found->count, matches->lists > 1, 0,
                            what, &taken);
    }
    return taken;
}

// Returns how many messages the batch has lost.
static uint64_t
lost(const nmq_batch *batch)
{
    uint64_t sum = 0;

    for (unsigned kind = NMQ_DROP_NO_SUBSCRIBER; kind < NMQ_BATCH_COUNTS; kind++) {
        sum += batch->counts[kind];
    }
    return sum;
}

// The rest of nmq_fanout_publish, for a topic that is counted.
static unsigned
publish_metered(nmq_batch *batch, const nmq_client *from, nmq_matches *matches,
                nmq_outgoing *what)
{
    nmq_meter *meter = nmq_meter_ref(matches->meter); // matches may be gone soon
    uint64_t dropped = lost(batch);
    unsigned taken = 0;

    nmq_meter_count_in(meter, what->parts->qos);
    if (!batch->matched && from != NULL) {
        lose(batch, what->parts, NMQ_WHY_NO_SUBSCRIBER, NMQ_DROP_NO_SUBSCRIBER);
    }
    for (uint32_t i = 0; i < matches->group_count; i++) {
        if (deliver_to_group(batch, matches->groups[i], what)) {
            nmq_meter_count_out(meter, nmq_deliver_qos(what->parts->qos, what->options));
            taken++;
        }
    }
    what->group = 0;
    if (matches->found->count > 0) {
        taken += deliver_found_metered(batch, from, matches, what, meter);
    }
    nmq_meter_count_dropped(meter, lost(batch) - dropped);
    nmq_meter_unref(meter);
    return taken;
}

// What the retained message has changed is to be durable before it is acknowledged.
static void
answer_retained(nmq_batch *batch, const nmq_message_parts *parts,
                const nmq_message *message)
{
    if (parts->qos > 0) {
        nmq_durable_answer_retained(batch, message);
    }
}

// Delivers to each session with a subscription that matches [MQTT-4.5.0-1] [MQTT-3.3.2-3],
// in the order in which a client sent [MQTT-4.6.0-5] [MQTT-4.6.0-6].
unsigned
nmq_fanout_publish(nmq_batch *batch, const nmq_client *from, const nmq_message_parts *parts,
                   nmq_message **message)
{
    nmq_router *router = batch->router;
    nmq_matches *matches = nmq_lane_matches(batch->lane);
    nmq_outgoing what = {.parts = parts, .message = message};
    unsigned taken = 0;

    if (nmq_tree_match(router->tree, parts->topic_name, matches) != NMQ_OK) {
        nmq_log_write(router->log, NMQ_LOG_ERROR, "a message is lost: out of memory");
        lose(batch, parts, NMQ_WHY_MEMORY, NMQ_DROP_MEMORY);
        batch->matched = true; // for all that is known
        batch->refused = batch->may_refuse;
        return 0;
    }
    batch->matched = matches->found->count > 0 || matches->group_count > 0;
    if (batch->all_or_none && !nmq_shortage_takes_all(batch, from, parts, matches)) {
        nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        batch->refused = true;
        return 0;
    }
    if (batch->may_log != NMQ_OK &&
        nmq_journal_wants_topic(router->journal, parts->topic_name) &&
        nmq_shortage_is_logged(batch->may_log, from, parts, matches)) {
        batch->refused = batch->unlogged = true;
        return 0;
    }
    if (parts->retain && !NMQ_LIVE(router->options->retain_available)) {
        // Retaining was switched off after the publisher was told otherwise: the message
        // takes the place of the old one, and may then be discarded (3.3.1.3).
        nmq_retained_drop(router->retained, parts->topic_name);
        answer_retained(batch, parts, NULL);
    } else if (parts->retain) { // else [MQTT-3.3.1-8]
        *message = *message != NULL ? *message : nmq_message_new(parts);
        // the broker's own topics change within bounds of their own
        int kept = nmq_retained_keep(router->retained, *message, from != NULL);
        if (kept == NMQ_ETOOBIG && batch->may_refuse) {
            batch->refused = true;
            lose(batch, parts, NMQ_WHY_RETAINED_FULL, NMQ_DROP_RETAINED);
            return 0;
        }
        answer_retained(batch, parts, *message);
    }
    batch->work += matches->visits + matches->found->count;
    if (matches->meter != NULL) {
        return publish_metered(batch, from, matches, &what);
    }
    if (!batch->matched && from != NULL) {
        lose(batch, parts, NMQ_WHY_NO_SUBSCRIBER,
             NMQ_DROP_NO_SUBSCRIBER); // a client's message
    }
    for (uint32_t i = 0; i < matches->group_count; i++) {
        taken += deliver_to_group(batch, matches->groups[i], &what);
    }
    what.group = 0;
    if (matches->found->count > 0) { // last: it may leave the lane, and matches is gone
        taken += deliver_found(batch, from, matches, &what);
    }
    return taken;
}

// Returns how many took it, or why it is refused.
static int
publish_alone(nmq_router *router, const nmq_client *from, const nmq_message_parts *parts,
              nmq_message **message, bool by_program)
{
    nmq_batch batch;

    nmq_batch_begin(&batch, router, NULL, nmq_clock_now_ms());
    batch.waits_for_none = by_program;
    if (by_program && (parts->qos > 0 || parts->retain)) {
        batch.may_log = nmq_journal_may(router->journal, parts->payload.len);
    }
    int taken = (int) nmq_fanout_publish(&batch, from, parts, message);
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
    nmq_counters_add(router->counters, NMQ_COUNT_DURABILITY_REFUSED, batch.unlogged);
    return batch.unlogged ? batch.may_log : taken;
}

int
nmq_fanout_publish_message(nmq_router *router, const nmq_client *from, nmq_message *message)
{
    const nmq_message_parts parts = nmq_message_parts_of(message);

    return publish_alone(router, from, &parts, &message, true);
}

unsigned
nmq_fanout_publish_parts(nmq_router *router, const nmq_client *from,
                         const nmq_message_parts *parts)
{
    nmq_message *message = NULL;
    int taken = publish_alone(router, from, parts, &message, false); // it is not refused

    nmq_message_unref(message);
    return (unsigned) taken;
}

void
nmq_fanout_pass_on(nmq_router *router, const nmq_delivery *delivery)
{
    nmq_message *shared = delivery->message;
    nmq_message_parts parts = nmq_message_parts_of(shared);
    nmq_outgoing what = {.parts = &parts, .message = &shared};
    nmq_batch batch;

    nmq_batch_begin(&batch, router, NULL, nmq_clock_now_ms());
    nmq_matches *matches = nmq_lane_matches(batch.lane);
    bool taken = false;
    if (nmq_tree_match(router->tree, parts.topic_name, matches) == NMQ_OK) {
        for (uint32_t i = 0; i < matches->group_count && !taken; i++) {
            taken = matches->groups[i]->number == delivery->group &&
                    deliver_to_group(&batch, matches->groups[i], &what);
        }
    }
    if (!taken) {
        nmq_batch_count(&batch, NMQ_DROP_NO_SUBSCRIBER);
    }
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
}
