#include "route/subscriptions.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/peak.h"
#include "base/status.h"
#include "route/durable.h"
#include "route/interest.h"
#include "route/replay.h"
#include "store/session_subs.h"
#include "store/tree_routes.h"

enum { FORGET_PART = 64 }; // subscriptions that go while the tree is locked

// Whether there is room for one more: NMQ_OK, NMQ_ETOOBIG, NMQ_ESHORT, NMQ_ENOSPC or
// NMQ_ESTORE. Call with all lanes.
static int
may_subscribe(nmq_router *router, const nmq_client *client, const nmq_filter *filter)
{
    uint32_t max = NMQ_LIVE(router->options->subscriptions_max);
    uint32_t groups_max = NMQ_LIVE(router->options->groups_max);
    bool groups_full =
        filter->group.at != NULL && groups_max != 0 && client->group_count >= groups_max;

    if (client->feed != NULL || __atomic_load_n(&client->is_moving, __ATOMIC_RELAXED)) {
        return NMQ_OK;
    }
    int may_log = nmq_session_is_logged(client->session)
                      ? nmq_journal_may(router->journal, filter->text.len)
                      : NMQ_OK;
    nmq_counters_add(router->counters, NMQ_COUNT_DURABILITY_REFUSED, may_log != NMQ_OK);
    if (may_log != NMQ_OK || nmq_client_is_own(client)) {
        return may_log;
    }
    if (NMQ_LIVE(*router->memory) != NMQ_MEMORY_FINE) {
        nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, 1);
        return NMQ_ESHORT;
    }
    nmq_counters_add(router->counters, NMQ_COUNT_REFUSED_GROUPS, groups_full);
    return groups_full || (max != 0 && client->session->sub_count >= max) ? NMQ_ETOOBIG
                                                                          : NMQ_OK;
}

// Counts the memory that subscriptions took since `before`, of nmq_mem_taken.
static void
count_bytes(nmq_router *router, uint64_t before)
{
    nmq_counters_add(router->counters, NMQ_COUNT_SUBSCRIPTION_BYTES,
                     nmq_mem_taken() - before);
}

// Call with all lanes.
static void
raise_peaks(nmq_router *router)
{
    nmq_peak_raise(&router->subscriptions_max, nmq_tree_count(router->tree));
    nmq_peak_raise(&router->shared_max, nmq_tree_shared_count(router->tree));
    nmq_peak_raise(&router->routes_max, nmq_routes_of(router->tree)->count);
}

static void
tell_subscribed(nmq_router *router, nmq_client *client, nmq_bytes text, uint8_t options,
                uint32_t identifier)
{
    nmq_event event = {
        .kind = NMQ_EVENT_SUBSCRIBED,
        .text = text,
        .numbers = {options & NMQ_SUB_QOS, (options & NMQ_SUB_NO_LOCAL) != 0,
                    (options & NMQ_SUB_RETAIN_AS_PUBLISHED) != 0,
                    (options & NMQ_SUB_RETAIN_HANDLING) >> 4, identifier},
    };

    if (!__atomic_load_n(&client->is_moving, __ATOMIC_RELAXED)) {
        nmq_watch_tell_of(&router->watch, client, &event);
    }
}

static void
tell_unsubscribed(nmq_router *router, nmq_client *client, nmq_bytes text, enum nmq_why why)
{
    nmq_event event = {.kind = NMQ_EVENT_UNSUBSCRIBED, .why = why, .text = text};

    if (why != NMQ_WHY_NONE) {
        nmq_watch_tell_of(&router->watch, client, &event);
    }
}

// Whether its subscriptions have places: those of taps, consumers and bridges have none.
static bool
is_listed(const nmq_client *client)
{
    return client->feed == NULL && !nmq_client_is_own(client);
}

// Gives the session's newest subscription its place among all. Returns NMQ_OK or
// NMQ_ENOMEM.
static int
put_place(nmq_router *router, nmq_client *client)
{
    nmq_session *session = client->session;
    const nmq_sub_place at = {client, session->sub_count - 1};

    return !is_listed(client) ? NMQ_OK
                              : nmq_places_put(&router->subscriptions, &at,
                                               &session->subs[at.index].place);
}

// Takes a subscription off the session's list and gives up its place. Another one may lie
// at its index then.
static void
del_listed(nmq_router *router, nmq_client *client, nmq_bytes text)
{
    nmq_session *session = client->session;
    const nmq_session_sub *sub = nmq_session_sub_find(session, text);
    uint32_t index = (uint32_t) (sub - session->subs);

    if (is_listed(client)) {
        nmq_places_del(&router->subscriptions, sub->place);
    }
    nmq_session_sub_del(session, text);
    if (is_listed(client) && index < session->sub_count) {
        nmq_sub_place *moved =
            nmq_places_at(&router->subscriptions, session->subs[index].place);
        moved->index = index;
    }
}

// Takes a subscription off tree and list, and tells if it was the last of its filter.
// Returns NMQ_OK or NMQ_ENOENT.
static int
del(nmq_router *router, nmq_client *client, const nmq_filter *filter)
{
    uint32_t routes = nmq_routes_of(router->tree)->count;
    uint32_t place =
        router->interests != NULL ? nmq_tree_route_place(router->tree, filter) : 0;
    int rv = nmq_tree_del(router->tree, filter, client);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (nmq_interest_is_asked_for(router) && nmq_routes_of(router->tree)->count < routes) {
        nmq_interest_tell(router, filter, place, false);
    }
    client->group_count -= filter->group.at != NULL;
    nmq_durable_unsubscribed(client, filter->text);
    del_listed(router, client, filter->text);
    return NMQ_OK;
}

// Puts a subscription on the list that the tree has. Returns NMQ_OK, or NMQ_ENOMEM with the
// list as it was.
static int
put_listed(nmq_router *router, nmq_client *client, const nmq_filter *filter,
           const nmq_subscription *sub, bool is_new)
{
    int rv =
        nmq_session_sub_put(client->session, filter, sub->options, sub->identifier, is_new);

    if (rv == NMQ_OK && is_new) {
        rv = put_place(router, client);
        if (rv != NMQ_OK) {
            nmq_session_sub_del(client->session, filter->text);
        }
    }
    return rv;
}

// The same filter replaces the subscription [MQTT-3.8.4-3] in one step under all lanes, and
// so loses no message [MQTT-3.8.4-4].
int
nmq_subscriptions_put(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                      uint8_t options, uint32_t identifier)
{
    nmq_subscription sub = {.client = client, .options = options, .identifier = identifier};

    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    uint32_t routes = nmq_routes_of(router->tree)->count;
    int rv = client->ended ? NMQ_ECLOSED : nmq_tree_put(router->tree, filter, &sub);
    int may = rv == 1 ? may_subscribe(router, client, filter) : NMQ_OK;
    if (may != NMQ_OK) {
        (void) nmq_tree_del(router->tree, filter, client);
        rv = may;
    }
    if (rv >= 0 && put_listed(router, client, filter, &sub, rv == 1) != NMQ_OK) {
        (void) nmq_tree_del(router->tree, filter, client);
        rv = NMQ_ENOMEM;
    }
    if (nmq_interest_is_asked_for(router) && nmq_routes_of(router->tree)->count > routes) {
        nmq_interest_tell(router, filter, nmq_tree_route_place(router->tree, filter), true);
    }
    client->group_count += rv == 1 && filter->group.at != NULL;
    if (rv >= 0) {
        nmq_durable_subscribed(router, client, filter, options, identifier);
    }
    count_bytes(router, before);
    raise_peaks(router);
    nmq_client_count_subscriptions(client);
    nmq_lanes_unlock_all(router->lanes);
    if (rv >= 0) {
        tell_subscribed(router, client, filter->text, options, identifier);
    }
    return rv;
}

void
nmq_subscriptions_number_group(nmq_router *router, const nmq_filter *filter,
                               uint32_t number)
{
    nmq_lanes_lock_all(router->lanes);
    nmq_group *group = nmq_tree_group(router->tree, filter);
    if (group != NULL) {
        group->number = number;
    }
    nmq_lanes_unlock_all(router->lanes);
}

// No message is added from here on [MQTT-3.10.4-2]; what the session holds is completed
// [MQTT-3.10.4-3].
int
nmq_subscriptions_del(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                      enum nmq_why why)
{
    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    int rv = del(router, client, filter);
    if (rv == NMQ_OK) {
        nmq_client_count_subscriptions(client);
    }
    count_bytes(router, before);
    nmq_lanes_unlock_all(router->lanes);
    if (rv == NMQ_OK) {
        tell_unsubscribed(router, client, filter->text, why);
    }
    if (rv == NMQ_OK && filter->group.at == NULL) {
        nmq_replay_cancel(router->retained, client, filter->filter);
    }
    return rv;
}

// Takes some of the client's subscriptions off. Returns whether there are more.
static bool
forget_some(nmq_router *router, nmq_client *client)
{
    nmq_session *session = client->session;

    nmq_lanes_lock_all(router->lanes);
    uint64_t before = nmq_mem_taken();
    client->ended = true;
    for (int i = 0; i < FORGET_PART && session->sub_count > 0; i++) {
        nmq_filter filter = nmq_session_sub_filter(&session->subs[session->sub_count - 1]);
        tell_unsubscribed(router, client, filter.text, NMQ_WHY_SESSION_ENDED);
        (void) del(router, client, &filter);
    }
    count_bytes(router, before);
    nmq_client_count_subscriptions(client);
    bool more = session->sub_count > 0;
    nmq_lanes_unlock_all(router->lanes);
    return more;
}

void
nmq_subscriptions_forget(nmq_router *router, nmq_client *client)
{
    while (forget_some(router, client)) {
    }
    nmq_replay_forget(router->retained, client);
}
