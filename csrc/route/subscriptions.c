#include "route/subscriptions.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "route/retained.h"

enum { FORGET_PART = 64 }; // subscriptions that go while the tree is locked

// The same filter replaces the subscription [MQTT-3.8.4-3] in one step under all lanes, and
// so loses no message [MQTT-3.8.4-4].
int
nmq_router_subscribe(nmq_router *router, nmq_client *client, const nmq_filter *filter,
                     uint8_t options, uint32_t identifier)
{
    nmq_subscription sub = {.client = client, .options = options, .identifier = identifier};

    nmq_lanes_lock_all(router->lanes);
    uint32_t max = client->is_tap ? 0 : NMQ_LIVE(router->limits.subscriptions_max);
    int rv = client->ended ? NMQ_ECLOSED : nmq_tree_put(router->tree, filter, &sub);
    if (rv == 1 && max != 0 && client->session->sub_count >= max) {
        (void) nmq_tree_del(router->tree, filter, client);
        rv = NMQ_ETOOBIG;
    }
    if (rv >= 0 && nmq_session_sub_put(client->session, filter, options, identifier,
                                       rv == 1) != NMQ_OK) {
        (void) nmq_tree_del(router->tree, filter, client);
        nmq_session_sub_del(client->session, filter->text);
        rv = NMQ_ENOMEM;
    }
    nmq_client_count_subscriptions(client);
    nmq_lanes_unlock_all(router->lanes);
    return rv;
}

// No message is added from here on [MQTT-3.10.4-2]; what the session holds is completed
// [MQTT-3.10.4-3].
int
nmq_router_unsubscribe(nmq_router *router, nmq_client *client, const nmq_filter *filter)
{
    nmq_lanes_lock_all(router->lanes);
    int rv = nmq_tree_del(router->tree, filter, client);
    if (rv == NMQ_OK) {
        nmq_session_sub_del(client->session, filter->text);
        nmq_client_count_subscriptions(client);
    }
    nmq_lanes_unlock_all(router->lanes);
    if (rv == NMQ_OK && filter->group.at == NULL) {
        nmq_retained_cancel(router, client, filter->filter);
    }
    return rv;
}

// Takes some of the client's subscriptions off. Returns whether there are more.
static bool
forget_some(nmq_router *router, nmq_client *client)
{
    nmq_session *session = client->session;

    nmq_lanes_lock_all(router->lanes);
    client->ended = true;
    for (int i = 0; i < FORGET_PART && session->sub_count > 0; i++) {
        nmq_filter filter =
            nmq_session_sub_filter(&session->subs[session->sub_count - 1]);
        (void) nmq_tree_del(router->tree, &filter, client);
        nmq_session_sub_del(session, filter.text);
    }
    nmq_client_count_subscriptions(client);
    bool more = session->sub_count > 0;
    nmq_lanes_unlock_all(router->lanes);
    return more;
}

void
nmq_router_forget(nmq_router *router, nmq_client *client)
{
    while (forget_some(router, client)) {
    }
    nmq_retained_forget(router, client);
}
