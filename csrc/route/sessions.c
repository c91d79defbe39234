#include "route/sessions.h"

#include "base/container.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/durable_whole.h"
#include "route/fanout.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_acks.h"

// What members of shared groups leave behind goes to others. The client is out of the tree:
// nothing is added any more.
static void
pass_on_shared(nmq_sessions *sessions, nmq_client *client)
{
    nmq_delivery delivery;
    bool more = true;

    while (more) {
        (void) pthread_mutex_lock(&client->lock);
        more = nmq_session_take_shared(client->session, &delivery);
        (void) pthread_mutex_unlock(&client->lock);
        if (more) {
            nmq_fanout_pass_on(sessions->router, &delivery);
            nmq_delivery_fini(&delivery);
        }
    }
}

void
nmq_sessions_end(nmq_sessions *sessions, nmq_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    // the session's end ends the delay [MQTT-3.1.2-8]
    const nmq_will will = nmq_will_take(sessions->router, client);
    nmq_link *link = client->link;
    client->link = NULL;
    nmq_client_count(client);
    (void) pthread_mutex_unlock(&client->lock);
    nmq_subscriptions_forget(sessions->router, client);
    if (link != NULL) {
        link->ops->disconnect(link, NMQ_RC_SESSION_TAKEN_OVER);
        nmq_link_unref(link);
    }
    pass_on_shared(sessions, client);
    nmq_will_publish(sessions->router, client, &will);
    if (nmq_clock_cancel(sessions->clock, &client->timer)) {
        nmq_client_unref(client);
    }
    nmq_client_unref(client);
}

void
nmq_sessions_remove(nmq_sessions *sessions, nmq_client *client, const char *reason)
{
    nmq_watch *watch = &sessions->router->watch;
    if (!nmq_client_is_own(client) && nmq_watch_wants(watch, NMQ_EVENT_SESSION_ENDED)) {
        const nmq_who who = nmq_client_who(client);
        const nmq_event event = {
            .kind = NMQ_EVENT_SESSION_ENDED, .who = &who, .text = nmq_bytes_of(reason)};
        nmq_watch_tell(watch, &event);
    }
    nmq_registry_remove(&sessions->registry, client);
    nmq_counters_add(sessions->router->counters, NMQ_COUNT_SESSIONS_ENDED,
                     !nmq_client_is_own(client));
    nmq_durable_ended(client);
}

static void fire_timer(nmq_timer *timer);

// Arms the client's timer for its will or its expiry, whichever is first. Call with the
// client's lock.
static void
arm_timer(nmq_sessions *sessions, nmq_client *client)
{
    int64_t due = client->will_due_ms;

    if (due == 0 || (client->expiry_due_ms != 0 && client->expiry_due_ms < due)) {
        due = client->expiry_due_ms;
    }
    if (due != 0) {
        (void) nmq_client_ref(client);
        if (!nmq_clock_arm(sessions->clock, &client->timer, due)) {
            nmq_client_unref(client); // armed already: it has its reference
        }
    }
}

static void
fire_timer(nmq_timer *timer)
{
    nmq_client *client = NMQ_CONTAINER(timer, nmq_client, timer);
    nmq_sessions *sessions = NMQ_CONTAINER(client->counts, nmq_sessions, registry.counts);
    int64_t now_ms = nmq_clock_now_ms();
    nmq_will will = {0};
    nmq_journal_group group; // the will is over, and is a message

    nmq_durable_open(sessions->router, &group);
    (void) pthread_mutex_lock(&sessions->registry.lock);
    (void) pthread_mutex_lock(&client->lock);
    bool away = client->link == NULL;
    bool known =
        nmq_map_get(&sessions->registry.clients, client->session->client_id) == client;
    // never while it is connected [MQTT-4.1.0-1]; at its time [MQTT-4.1.0-2]
    bool ends =
        away && known && client->expiry_due_ms != 0 && client->expiry_due_ms <= now_ms;
    if (ends) {
        nmq_sessions_remove(sessions, client, "expired");
    } else if (away && known) {
        if (client->will_due_ms != 0 && client->will_due_ms <= now_ms) {
            will = nmq_will_take(sessions->router, client);
        }
        arm_timer(sessions, client);
    }
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    nmq_will_publish(sessions->router, client, &will);
    if (ends) {
        nmq_counters_add(sessions->router->counters, NMQ_COUNT_SESSIONS_EXPIRED, 1);
        nmq_sessions_end(sessions, client);
    }
    nmq_durable_close(sessions->router, &group);
    nmq_client_unref(client); // the timer's
}

void
nmq_sessions_give_options(const nmq_options *options, nmq_session *session)
{
    uint16_t window = (uint16_t) NMQ_LIVE(options->window);
    uint32_t packet_max = NMQ_LIVE(options->send_packet_max_bytes);

    session->queue_max = NMQ_LIVE(options->queue_max);
    session->queue_max_bytes = NMQ_LIVE(options->queue_max_bytes);
    session->window = session->receive_maximum < window ? session->receive_maximum : window;
    session->packet_max =
        session->client_packet_max < packet_max ? session->client_packet_max : packet_max;
}

void
nmq_sessions_use_options(nmq_sessions *sessions)
{
    nmq_client **all;
    int count = nmq_registry_all(&sessions->registry, &all);

    for (int i = 0; i < count; i++) {
        (void) pthread_mutex_lock(&all[i]->lock);
        nmq_sessions_give_options(sessions->router->options, all[i]->session);
        (void) pthread_mutex_unlock(&all[i]->lock);
        nmq_client_unref(all[i]);
    }
    if (count >= 0) {
        nmq_free(all);
    }
}

void
nmq_sessions_adopt(nmq_sessions *sessions, nmq_client *client)
{
    client->timer.fire = fire_timer;
    nmq_session_observe(client->session, &sessions->router->watch.observer, client);
}

int
nmq_sessions_restore(nmq_sessions *sessions, nmq_client *client)
{
    int rv = NMQ_EINVAL;

    (void) pthread_mutex_lock(&sessions->registry.lock);
    (void) pthread_mutex_lock(&client->lock);
    if (nmq_map_get(&sessions->registry.clients, client->session->client_id) == NULL) {
        rv = nmq_registry_add(&sessions->registry, client);
    }
    if (rv == NMQ_OK) {
        nmq_sessions_adopt(sessions, client);
        nmq_sessions_give_options(sessions->router->options, client->session);
    }
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    return rv == NMQ_OK ? nmq_durable_restored(sessions->router, client) : rv;
}

void
nmq_sessions_start_timer(nmq_sessions *sessions, nmq_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    arm_timer(sessions, client);
    (void) pthread_mutex_unlock(&client->lock);
}

void
nmq_sessions_detach(nmq_sessions *sessions, nmq_client *client, const nmq_link *link,
                    bool send_will)
{
    int64_t now_ms = nmq_clock_now_ms();
    nmq_will will = {0};
    nmq_journal_group group; // as of fire_timer
    bool ends = false;

    nmq_durable_open(sessions->router, &group);
    (void) pthread_mutex_lock(&sessions->registry.lock);
    (void) pthread_mutex_lock(&client->lock);
    bool mine = client->link == link && nmq_map_get(&sessions->registry.clients,
                                                    client->session->client_id) == client;
    if (mine) {
        nmq_link_unref(client->link);
        client->link = NULL;
        nmq_client_count(client);
        client->disconnected_at_ms = nmq_clock_wall_ms();
        ends = client->expiry_interval_s == 0; // [MQTT-3.1.2-23]
        if (!send_will) {
            nmq_will_drop(client); // [MQTT-3.1.2-10]
        } else if (ends || client->will.delay_s == 0) {
            will = nmq_will_take(sessions->router, client);
        } else if (client->will.message != NULL) {
            client->will_due_ms = now_ms + (int64_t) client->will.delay_s * 1000;
        }
        client->expiry_due_ms = client->expiry_interval_s == UINT32_MAX
                                    ? 0
                                    : now_ms + (int64_t) client->expiry_interval_s * 1000;
        if (ends) {
            nmq_sessions_remove(sessions, client, "normal");
        } else {
            nmq_durable_detached(client);
            arm_timer(sessions, client);
        }
    }
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    nmq_will_publish(sessions->router, client, &will);
    if (ends) {
        nmq_sessions_end(sessions, client);
    }
    nmq_durable_close(sessions->router, &group);
}
