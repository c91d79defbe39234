#include "route/attach.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/deliver.h"
#include "route/durable.h"
#include "route/durable_whole.h"
#include "route/held.h"
#include "route/remount.h"
#include "route/rights.h"
#include "route/will.h"

enum { AGAIN = 1 }; // the session is not the one that was judged

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

// Whether its session is logged if it is to be kept. Call with the client's lock.
static bool
is_to_log(const nmq_client *client, const nmq_attach *a)
{
    return a->expiry_interval_s != 0 && !client->unlogged;
}

// Gives the client its new connection and writes CONNACK and what it is owed. logs: that
// waits for the journal. Call with the client's lock.
static int
connect_link(nmq_sessions *sessions, nmq_client *client, const nmq_attach *a, bool present,
             bool logs)
{
    nmq_session *session = client->session;
    nmq_link *link = a->link;

    client->peer = *a->peer; // of whom it is told what is sent from here on
    client->listener = a->listener;
    client->listener_key = a->listener_key;
    session->version = a->version;
    session->client_packet_max = a->packet_max;
    session->receive_maximum = (uint16_t) a->receive_maximum;
    nmq_sessions_give_options(sessions->router->options, session);
    nmq_aliases_reset(&session->aliases, a->topic_alias_max);
    int rv = replace(&session->mount, a->mount);
    if (rv == NMQ_OK) {
        rv = nmq_session_resume(session);
    }
    client->unlogged = present ? client->unlogged : a->unlogged;
    if (rv == NMQ_OK) {
        rv = nmq_durable_prepare(sessions->router, client, is_to_log(client, a));
    }
    (void) pthread_mutex_lock(&link->lock);
    link->shut = logs;
    if (rv == NMQ_OK) {
        rv = a->accept(a->arg, present);
    }
    if (rv == NMQ_OK) {
        rv = nmq_session_pump(session, &link->outbox,
                              NMQ_LIVE(sessions->router->options->outbox_max_bytes),
                              nmq_clock_now_ms());
        nmq_deliver_note(session, link);
        nmq_client_count_fresh(client, sessions->router->counters);
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

enum { SMALL_WILL_BYTES = 1024 };

// Whether a session that is logged begins, goes on or ends with it. Call with the
// registry's lock.
static bool
changes_kept(const nmq_attach *a, nmq_client *client)
{
    bool logged = false;

    if (client != NULL) {
        (void) pthread_mutex_lock(&client->lock);
        logged = client->session->log != NULL;
        (void) pthread_mutex_unlock(&client->lock);
    }
    return (a->expiry_interval_s != 0 && !a->unlogged) || logged;
}

// Whether what it changes can be logged: as nmq_journal_may. A client comes back to what
// was kept for it, which makes room, and a session may end. Call with the registry's lock.
static int
may_log(const nmq_router *router, const nmq_attach *a, nmq_client *client, bool present)
{
    uint64_t will_bytes = a->will.message != NULL ? a->will.message->payload_len : 0;
    int may = nmq_journal_may(router->journal, will_bytes);
    bool adds = (!present && a->expiry_interval_s != 0) || will_bytes > SMALL_WILL_BYTES;

    if (may == NMQ_OK || (may == NMQ_ENOSPC && !adds) || !changes_kept(a, client)) {
        return NMQ_OK;
    }
    nmq_counters_add(router->counters, NMQ_COUNT_DURABILITY_REFUSED, 1);
    return may;
}

// Finds the client or makes it: as nmq_attach_client returns, or AGAIN where the session
// that goes on is not `kept`. Call with the registry's lock. *replaced gets a client that a
// clean start or another user throws out.
static int
find_or_make(nmq_sessions *sessions, const nmq_attach *a, const nmq_client *kept,
             nmq_client **out, nmq_client **replaced, bool *present)
{
    // By Client Identifier [MQTT-3.1.3-2]; Clean Start 1 throws the session out
    // [MQTT-3.1.2-4] [MQTT-3.1.4-4], 0 takes it up [MQTT-3.1.2-5] or makes one
    // [MQTT-3.1.2-6].
    nmq_client *client = nmq_map_get(&sessions->registry.clients, a->client_id);

    *replaced = NULL;
    *present = client != NULL && !a->clean_start && is_of(client, a) && is_kept(client);
    if (*present && client != kept) {
        return AGAIN;
    }
    int may = may_log(sessions->router, a, client, *present);
    if (may != NMQ_OK) {
        return may;
    }
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
    nmq_sessions_adopt(sessions, made);
    made->created_at_ms = nmq_clock_wall_ms();
    if (client != NULL) {
        (void) pthread_mutex_lock(&client->lock);
        nmq_sessions_remove(sessions, client, "discarded");
        (void) pthread_mutex_unlock(&client->lock);
        *replaced = client;
    }
    if (nmq_registry_add(&sessions->registry, made) != NMQ_OK) {
        nmq_client_unref(made);
        return NMQ_ENOMEM;
    }
    *out = made;
    return NMQ_OK;
}

// Has the session logged with all it holds, where it is in memory alone and is to be so no
// longer. Returns as nmq_attach_client.
static int
log_from_here_on(nmq_sessions *sessions, const nmq_attach *a, nmq_client *client)
{
    nmq_registry *registry = &sessions->registry;
    const nmq_session *session = client->session;

    (void) pthread_mutex_lock(&client->lock);
    bool begins = client->unlogged && client->expiry_interval_s != 0 && !a->unlogged &&
                  a->expiry_interval_s != 0;
    uint64_t bytes = session->queue.bytes + session->inflight.bytes;
    int rv = begins ? nmq_journal_may(sessions->router->journal, bytes) : NMQ_OK;
    client->unlogged = client->unlogged && !(begins && rv == NMQ_OK);
    (void) pthread_mutex_unlock(&client->lock);
    if (!begins || rv != NMQ_OK) {
        nmq_counters_add(sessions->router->counters, NMQ_COUNT_DURABILITY_REFUSED,
                         rv != NMQ_OK);
        return rv;
    }
    rv = nmq_durable_whole(sessions->router, client);
    (void) pthread_mutex_lock(&registry->lock);
    (void) pthread_mutex_lock(&client->lock);
    if (nmq_map_get(&registry->clients, session->client_id) != client) {
        nmq_durable_ended(client); // it has ended meanwhile, and nobody has logged that
    }
    client->unlogged = rv != NMQ_OK;
    (void) pthread_mutex_unlock(&client->lock);
    (void) pthread_mutex_unlock(&registry->lock);
    return rv;
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
        rv = rv == NMQ_OK ? log_from_here_on(sessions, a, client) : rv;
    }
    return rv;
}

// Whether CONNACK is to wait for the journal: a session that is logged begins, goes on or
// ends. Call with the client's lock.
static bool
is_logged(const nmq_router *router, const nmq_attach *a, const nmq_client *client,
          const nmq_client *replaced, bool present)
{
    bool unlogged = present ? client->unlogged : a->unlogged;

    return router->journal != NULL &&
           ((a->expiry_interval_s != 0 && !unlogged) || client->session->log != NULL ||
            (replaced != NULL && replaced->session->log != NULL));
}

// All that the attach has logged is to be durable before CONNACK goes.
static void
open_when_durable(const nmq_router *router, nmq_link *link)
{
    uint64_t number = nmq_journal_appended(router->journal);

    (void) pthread_mutex_lock(&link->lock);
    nmq_held *held = nmq_held_of(link, router->journal);
    if (held != NULL) { // else it stays shut: its client gives up, and comes again
        (void) nmq_held_open_at(held, number);
    }
    (void) pthread_mutex_unlock(&link->lock);
}

// As connect_link, with the client's will.
static int
connect_and_log(nmq_sessions *sessions, nmq_client *client, const nmq_attach *a,
                bool present, bool logs)
{
    int rv = connect_link(sessions, client, a, present, logs);

    nmq_client_count(client);
    (void) nmq_client_set_will(client, rv == NMQ_OK ? a->will : (nmq_will){0});
    if (rv == NMQ_OK && logs) {
        nmq_durable_attached(client, a->expiry_interval_s != 0);
    }
    return rv;
}

static void
count_session(nmq_counters *counters, bool present, bool taken_over, bool replaces)
{
    nmq_counters_add(counters, NMQ_COUNT_SESSIONS_CREATED, !present);
    nmq_counters_add(counters, NMQ_COUNT_SESSIONS_RESUMED, present);
    nmq_counters_add(counters, NMQ_COUNT_SESSIONS_TAKEN_OVER, taken_over);
    nmq_counters_add(counters, NMQ_COUNT_SESSIONS_DISCARDED, replaces);
}

// The client is not let in. Returns rv.
static int
give_up(nmq_sessions *sessions, const nmq_attach *a, nmq_client *client, int rv)
{
    if (rv == AGAIN) {
        return rv;
    }
    nmq_message_unref(a->will.message);
    if (client != NULL) {
        nmq_sessions_detach(sessions, client, NULL, false);
        nmq_client_unref(client);
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
    nmq_journal_group group; // what a session leaves behind is over, and is elsewhere
    nmq_client *client = NULL;
    bool present = false;
    bool logs = false;

    int rv = judge_kept(sessions, attach, kept);
    if (rv != NMQ_OK) {
        return give_up(sessions, attach, NULL, rv);
    }
    nmq_durable_open(sessions->router, &group);
    (void) pthread_mutex_lock(&sessions->registry.lock);
    rv = find_or_make(sessions, attach, kept, &client, &replaced, &present);
    if (client != NULL) {
        (void) nmq_client_ref(client);
        (void) pthread_mutex_lock(&client->lock);
        old_link = client->link;
        client->link = NULL;
        // A will whose delay runs is cancelled by coming back; one without a delay is due:
        // its connection is taken over, or ended with the process before [MQTT-3.1.3-9].
        if (client->will.delay_s == 0) {
            old_will = nmq_will_take(sessions->router, client);
        } else {
            nmq_will_drop(client);
        }
        logs = is_logged(sessions->router, attach, client, replaced, present);
        rv = connect_and_log(sessions, client, attach, present, logs);
        count_session(sessions->router->counters, present, present && old_link != NULL,
                      replaced != NULL);
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
        nmq_sessions_end(sessions, replaced);
    }
    nmq_durable_close(sessions->router, &group);
    if (rv != NMQ_OK) {
        return give_up(sessions, attach, client, rv);
    }
    if (logs) {
        open_when_durable(sessions->router, attach->link);
    }
    *out = client;
    return NMQ_OK;
}

// Nobody else moves the session until it is the new connection's.
int
nmq_attach_client(nmq_sessions *sessions, const nmq_attach *attach, nmq_client **out)
{
    int rv = AGAIN;

    while (rv == AGAIN) {
        nmq_client *kept = attach->clean_start
                               ? NULL
                               : nmq_registry_find(&sessions->registry, attach->client_id);
        if (kept != NULL) {
            (void) pthread_mutex_lock(&kept->moving);
        }
        rv = attach_now(sessions, attach, kept, out);
        if (kept != NULL) {
            (void) pthread_mutex_unlock(&kept->moving);
        }
        nmq_client_unref(kept);
    }
    return rv;
}
