#include "bridge/change.h"

#include "base/status.h"
#include "bridge/join.h"
#include "bridge/mapped.h"
#include "bridge/role.h"
#include "net/send.h"

// Has the session keep and send as the settings say.
static int
set_session(nmq_bridge *bridge, nmq_bridge_settings *settings)
{
    nmq_consumers *consumers = bridge->bridges->consumers;
    const nmq_bridge_options *o = &settings->options;
    nmq_client *client = bridge->client;
    nmq_session *session = client->session;

    (void) pthread_mutex_lock(&client->lock);
    session->drops_oldest = !o->drop_newest;
    int rv = nmq_mapped_use(session, settings, nmq_router_id(consumers->sessions->router));
    if (rv == NMQ_OK && session->mount.len == 0) {
        rv = nmq_bytes_copy(session->client_id, &session->mount);
    }
    if (rv == NMQ_OK && client->link != NULL) {
        session->window = session->receive_maximum < o->receive_maximum
                              ? session->receive_maximum
                              : o->receive_maximum;
    }
    (void) pthread_mutex_unlock(&client->lock);
    return rv == NMQ_OK ? nmq_consumers_set_bounds(consumers, client, o->queue_max,
                                                   o->queue_max_bytes)
                        : rv;
}

void
nmq_bridge_watch(nmq_bridge *bridge, bool watches)
{
    nmq_watch *watch = &bridge->bridges->consumers->sessions->router->watch;

    if (bridge->watches != watches) {
        bridge->watches = watches;
        nmq_watch_readers(watch, watches ? 1 : -1);
    }
}

// Puts settings in force; returns those before, whose reference is the caller's.
static nmq_bridge_settings *
swap_settings(nmq_bridge *bridge, nmq_bridge_settings *settings)
{
    nmq_bridges *bridges = bridge->bridges;

    (void) pthread_mutex_lock(&bridges->lock);
    nmq_bridge_settings *old = bridge->settings;
    __atomic_store_n(&bridge->settings, nmq_bridge_settings_ref(settings),
                     __ATOMIC_RELEASE);
    (void) pthread_mutex_unlock(&bridges->lock);
    return old;
}

// Tells the other broker which subscriptions have changed, if the bridge is up.
static int
resubscribe(nmq_bridge *bridge, const nmq_bridge_settings *settings,
            const nmq_bridge_settings *before)
{
    nmq_client *client = bridge->client;
    nmq_link *link = NULL;
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&client->lock);
    if (client->link != NULL) {
        link = nmq_link_ref(client->link);
        (void) pthread_mutex_lock(&link->lock);
        rv = link->closed ? NMQ_OK
                          : nmq_join_subscribe(nmq_bridge_conn_of(nmq_conn_of(link)),
                                               settings, before);
        (void) pthread_mutex_unlock(&link->lock);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (link != NULL) {
        nmq_send_start(nmq_conn_of(link));
        nmq_link_unref(link);
    }
    return rv;
}

int
nmq_bridge_change(nmq_bridge *bridge, nmq_bridge_settings *settings)
{
    nmq_bridge_settings *before = swap_settings(bridge, settings);
    int rv = set_session(bridge, settings);

    nmq_bridge_watch(bridge, settings->options.message_expiry_s != 0);
    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&bridge->client->moving);
        rv = nmq_join_forwards(bridge, settings);
        (void) pthread_mutex_unlock(&bridge->client->moving);
    }
    rv = rv == NMQ_OK ? resubscribe(bridge, settings, before) : rv;
    nmq_bridge_settings_unref(before);
    return rv;
}
