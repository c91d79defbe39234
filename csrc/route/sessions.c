#include "route/sessions.h"

#include "base/container.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/deliver.h"
#include "route/fanout.h"
#include "route/remount.h"
#include "route/rights.h"
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

// Ends a client that was taken out of the registry, and gives back the registry's
// reference.
static void
end_client(nmq_sessions *sessions, nmq_client *client)
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
nmq_sessions_end(nmq_sessions *sessions, nmq_client *client)
{
    end_client(sessions, client);
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

    (void) pthread_mutex_lock(&sessions->registry.lock);
    (void) pthread_mutex_lock(&client->lock);
    bool away = client->link == NULL;
    bool known =
        nmq_map_get(&sessions->registry.clients, client->session->client_id) == client;
    // never while it is connected [MQTT-4.1.0-1]; at its time [MQTT-4.1.0-2]
    bool ends =
        away && known && client->expiry_due_ms != 0 && client->expiry_due_ms <= now_ms;
    if (ends) {
        nmq_registry_remove(&sessions->registry, client);
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
        end_client(sessions, client);
    }
    nmq_client_unref(client); // the timer's
}

static int
replace(nmq_bytes *owned, nmq_bytes with)
{
    nmq_bytes copy = {0};

    if (with.at != NULL && nmq_bytes_copy(with, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_bytes_free(owned);
    *owned = copy;
    return NMQ_OK;
}

// Call with the client's lock.
static void
use_options(const nmq_options *options, nmq_session *session)
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
        use_options(sessions->router->options, all[i]->session);
        (void) pthread_mutex_unlock(&all[i]->lock);
        nmq_client_unref(all[i]);
    }
    if (count >= 0) {
        nmq_free(all);
    }
}

// Gives the client its new connection and writes CONNACK and what it is owed. Call with the
// client's lock.
static int
connect_link(nmq_sessions *sessions, nmq_client *client, const nmq_attach *a, bool present)
{
    nmq_session *session = client->session;
    nmq_link *link = a->link;

    client->peer = *a->peer; // of whom it is told what is sent from here on
    client->listener = a->listener;
    client->listener_key = a->listener_key;
    session->version = a->version;
    session->client_packet_max = a->packet_max;
    session->receive_maximum = (uint16_t) a->receive_maximum;
    use_options(sessions->router->options, session);
    nmq_aliases_reset(&session->aliases, a->topic_alias_max);
    int rv = replace(&session->mount, a->mount);
    if (rv == NMQ_OK) {
        rv = nmq_session_resume(session);
    }
    (void) pthread_mutex_lock(&link->lock);
    if (rv == NMQ_OK) {
        rv = a->accept(a->arg, present);
    }
    if (rv == NMQ_OK) {
        rv = nmq_session_pump(session, &link->outbox,
                              NMQ_LIVE(sessions->router->options->outbox_max_bytes),
                              nmq_clock_now_ms());
        nmq_deliver_note(session, link);
        nmq_client_count_sent(client, sessions->router->counters);
    }
    (void) pthread_mutex_unlock(&link->lock);
    if (rv != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    // what a superuser takes is judged if it comes as somebody else; so with own rules
    client->judged = a->superuser || a->own != NULL ? 0 : (uint32_t) a->rights_version;
    client->superuser = a->superuser;
    nmq_acl_unref(client->own);
    client->own = nmq_acl_ref(a->own);
    client->proof = a->proof;
    client->link = nmq_link_ref(link);
    client->version = a->version;
    client->clean_start = a->clean_start;
    client->keep_alive_s = a->keep_alive_s;
    client->expiry_interval_s = a->expiry_interval_s;
    client->expiry_due_ms = 0;
    client->connected_at_ms = nmq_clock_wall_ms();
    return NMQ_OK;
}

// Whether the session outlives its connection; one that does not is never taken up again,
// not even while that connection lasts ([MQTT-3.1.2-6 of 3.1.1]).
static bool
is_kept(nmq_client *client)
{
    (void) pthread_mutex_lock(&client->lock);
    bool kept = client->expiry_interval_s != 0;
    (void) pthread_mutex_unlock(&client->lock);
    return kept;
}

// Whether the session is that user's. A user who proved the name is not the one who only
// said it.
static bool
is_of(nmq_client *client, const nmq_attach *a)
{
    (void) pthread_mutex_lock(&client->lock);
    bool said = client->proof == NMQ_PROOF_WORD;
    (void) pthread_mutex_unlock(&client->lock);
    if (client->user_name.at == NULL || a->user_name.at == NULL) {
        return client->user_name.at == a->user_name.at;
    }
    return said == (a->proof == NMQ_PROOF_WORD) &&
           nmq_bytes_equal(client->user_name, a->user_name);
}

// Finds the client or makes it: as nmq_sessions_attach returns. Call with the registry's
// lock. *replaced gets a client that a clean start or another user throws
// out.
static int
find_or_make(nmq_sessions *sessions, const nmq_attach *a, nmq_client **out,
             nmq_client **replaced, bool *present)
{
    // By Client Identifier [MQTT-3.1.3-2]; Clean Start 1 throws the session out
    // [MQTT-3.1.2-4] [MQTT-3.1.4-4], 0 takes it up [MQTT-3.1.2-5] or makes one
    // [MQTT-3.1.2-6].
    nmq_client *client = nmq_map_get(&sessions->registry.clients, a->client_id);

    *replaced = NULL;
    *present = client != NULL && !a->clean_start && is_of(client, a) && is_kept(client);
    if (*present) {
        *out = client;
        return NMQ_OK;
    }
    int room = client == NULL ? nmq_registry_room(&sessions->registry) : NMQ_OK;
    if (room != NMQ_OK) {
        return room;
    }
    nmq_client *made = nmq_client_new(&sessions->registry.counts, a->client_id);
    if (made == NULL || replace(&made->user_name, a->user_name) != NMQ_OK) {
        nmq_client_unref(made);
        return NMQ_ENOMEM;
    }
    made->timer.fire = fire_timer;
    nmq_session_observe(made->session, &sessions->router->watch.observer, made);
    made->created_at_ms = nmq_clock_wall_ms();
    if (client != NULL) {
        nmq_registry_remove(&sessions->registry, client);
        *replaced = client;
    }
    if (nmq_registry_add(&sessions->registry, made) != NMQ_OK) {
        nmq_client_unref(made);
        return NMQ_ENOMEM;
    }
    *out = made;
    return NMQ_OK;
}

// What the session holds may be more than this connection is allowed: it was made by
// others, or under other rules. Nobody is told of it before it is judged. It follows the
// mount point of its listener; through another listener it keeps what lies below the mount
// point there.
static int
judge_kept(nmq_sessions *sessions, const nmq_attach *a, nmq_client *client)
{
    int rv = NMQ_OK;

    if (client != NULL && is_of(client, a)) {
        int moved = nmq_remount(sessions->router, client, a->listener_key, a->mount, true);
        const nmq_rights rights = {
            .moved = moved != 0,
            .view = a->rights,
            .version = a->rights_version,
            .mount = a->mount,
            .peer = a->peer,
        };
        rv = moved < 0 ? moved : NMQ_OK;
        if (rv == NMQ_OK && (a->rights != NULL || a->mount.len > 0 || rights.moved)) {
            rv = nmq_rights_judge_at_attach(sessions->router, client, &rights);
        }
    }
    return rv;
}

static int
attach_now(nmq_sessions *sessions, const nmq_attach *attach, nmq_client *kept,
           nmq_client **out)
{
    nmq_client *replaced = NULL;
    nmq_link *old_link = NULL;
    nmq_will old_will = {0};
    nmq_client *client = NULL;
    bool present = false;

    if (judge_kept(sessions, attach, kept) != NMQ_OK) {
        nmq_message_unref(attach->will.message);
        return NMQ_ENOMEM;
    }
    (void) pthread_mutex_lock(&sessions->registry.lock);
    int rv = find_or_make(sessions, attach, &client, &replaced, &present);
    if (client != NULL) {
        (void) nmq_client_ref(client);
        (void) pthread_mutex_lock(&client->lock);
        old_link = client->link;
        client->link = NULL;
        // A will whose delay runs is cancelled by coming back; that of a connection taken
        // over is due now unless it has a delay [MQTT-3.1.3-9].
        if (old_link != NULL && client->will.delay_s == 0) {
            old_will = nmq_will_take(sessions->router, client);
        } else {
            nmq_will_drop(client);
        }
        rv = connect_link(sessions, client, attach, present);
        nmq_client_count(client);
        (void) nmq_client_set_will(client, rv == NMQ_OK ? attach->will : (nmq_will){0});
        (void) pthread_mutex_unlock(&client->lock);
    }
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    if (old_link != NULL) {
        old_link->ops->disconnect(old_link, NMQ_RC_SESSION_TAKEN_OVER); // [MQTT-3.1.4-3]
        nmq_link_unref(old_link);
    }
    if (client != NULL) {
        nmq_will_publish(sessions->router, client, &old_will);
    }
    if (replaced != NULL) {
        end_client(sessions, replaced);
    }
    if (rv != NMQ_OK) {
        nmq_message_unref(attach->will.message);
        if (client != NULL) {
            nmq_sessions_detach(sessions, client, NULL, false);
            nmq_client_unref(client);
        }
        return rv;
    }
    *out = client;
    return NMQ_OK;
}

// Nobody else moves the session until it is the new connection's.
int
nmq_sessions_attach(nmq_sessions *sessions, const nmq_attach *attach, nmq_client **out)
{
    nmq_client *kept = attach->clean_start
                           ? NULL
                           : nmq_registry_find(&sessions->registry, attach->client_id);

    if (kept != NULL) {
        (void) pthread_mutex_lock(&kept->moving);
    }
    int rv = attach_now(sessions, attach, kept, out);
    if (kept != NULL) {
        (void) pthread_mutex_unlock(&kept->moving);
    }
    nmq_client_unref(kept);
    return rv;
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
        client->timer.fire = fire_timer;
        nmq_session_observe(client->session, &sessions->router->watch.observer, client);
        use_options(sessions->router->options, client->session);
        arm_timer(sessions, client);
    }
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    return rv;
}

void
nmq_sessions_detach(nmq_sessions *sessions, nmq_client *client, const nmq_link *link,
                    bool send_will)
{
    int64_t now_ms = nmq_clock_now_ms();
    nmq_will will = {0};
    bool ends = false;

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
            nmq_registry_remove(&sessions->registry, client);
        } else {
            arm_timer(sessions, client);
        }
    }
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&sessions->registry.lock);
    nmq_will_publish(sessions->router, client, &will);
    if (ends) {
        end_client(sessions, client);
    }
}
