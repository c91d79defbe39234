#include "route/revoke.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
#include "mqtt/reason.h"
#include "route/durable.h"
#include "route/rights.h"
#include "route/will.h"

int
nmq_revoke_rights(nmq_sessions *sessions)
{
    nmq_client **all;
    int count = nmq_registry_all(&sessions->registry, &all);
    int ended = 0;

    for (int i = 0; i < count; i++) {
        if (ended >= 0 && !nmq_sessions_stop(sessions)) {
            (void) pthread_mutex_lock(&all[i]->moving);
            int rv = nmq_rights_judge(sessions->router, all[i]);
            (void) pthread_mutex_unlock(&all[i]->moving);
            ended = rv < 0 ? rv : ended + rv;
        }
        nmq_client_unref(all[i]);
    }
    if (count >= 0) {
        nmq_free(all);
    }
    return count < 0 ? count : ended;
}

// --- who may not come in any more

typedef struct {
    const nmq_kick *whom;
    nmq_map names;
} search;

static int
note_names(search *s)
{
    for (size_t i = 0; i < s->whom->user_name_count; i++) {
        const char *name = s->whom->user_names[i];
        int rv = nmq_map_put(&s->names, nmq_bytes_of(name), (void *) (uintptr_t) name);
        if (rv != NMQ_OK) {
            return rv;
        }
    }
    return NMQ_OK;
}

static bool
is_meant(const void *arg, const nmq_client *client)
{
    const search *s = arg;

    if (client->proof == NMQ_PROOF_METHOD && s->whom->every_foreign) {
        return true;
    }
    if (client->proof != NMQ_PROOF_USERS && client->proof != NMQ_PROOF_WORD &&
        !(client->proof == NMQ_PROOF_METHOD && s->whom->foreign)) {
        return false;
    }
    bool named = client->user_name.at != NULL;
    if (named && (s->whom->every_user || (nmq_map_get(&s->names, client->user_name) !=
                                          NULL) != s->whom->other_names)) {
        return true;
    }
    for (size_t i = 0; (!named || s->whom->with_names) && i < s->whom->listener_count;
         i++) {
        if (s->whom->listeners[i] == client->listener) {
            return true;
        }
    }
    return false;
}

// Whose connections end, and how.
typedef struct {
    bool (*is_meant)(const void *arg, const nmq_client *client); // has the client's lock
    const void *arg;
    bool wills; // are sent
    uint8_t reason_code;
    const char *why;
} ending;

// Returns whether a connection ends.
static bool
kick_one(const ending *end, const nmq_log *log, nmq_client *client)
{
    nmq_link *link = NULL;

    (void) pthread_mutex_lock(&client->lock);
    bool meant = end->is_meant(end->arg, client);
    if (meant && !end->wills) {
        nmq_will_drop(client);
    }
    if (meant) {
        client->superuser = false;
        nmq_acl_unref(client->own);
        client->own = NULL;
    }
    if (meant && client->link != NULL) {
        link = nmq_link_ref(client->link);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (link == NULL) {
        return false;
    }
    const nmq_bytes id = client->session->client_id;
    nmq_log_write(log, NMQ_LOG_INFO, "client '%s' is disconnected: %s",
                  nmq_log_quoted(id).text, end->why);
    link->ops->disconnect(link, end->reason_code);
    nmq_link_unref(link);
    return true;
}

// Returns how many, or NMQ_ENOMEM with nobody disconnected.
static int
kick_all(nmq_sessions *sessions, const ending *end)
{
    nmq_client **all = NULL;
    int count = nmq_registry_all(&sessions->registry, &all);
    int kicked = 0;

    for (int i = 0; i < count; i++) {
        kicked +=
            !nmq_sessions_stop(sessions) && kick_one(end, sessions->router->log, all[i]);
        nmq_client_unref(all[i]);
    }
    nmq_free(all);
    nmq_counters_add(sessions->router->counters, NMQ_COUNT_USERS_ENDED, (uint64_t) kicked);
    return count < 0 ? count : kicked;
}

static bool
means_somebody(const nmq_kick *whom)
{
    return whom->user_name_count > 0 || whom->every_user || whom->other_names ||
           whom->every_foreign || whom->listener_count > 0;
}

int
nmq_revoke_users(nmq_sessions *sessions, const nmq_kick *whom)
{
    search s = {.whom = whom};
    const ending end = {
        .is_meant = is_meant,
        .arg = &s,
        .wills = whom->wills,
        .reason_code = whom->reason_code,
        .why = "its user may not come in any more",
    };
    int rv = note_names(&s);

    // Before the clients are gathered: a client that comes later sees it.
    nmq_rules_end_users(sessions->router->rules, whom->foreign || whom->every_foreign);
    if (rv == NMQ_OK && means_somebody(whom)) {
        rv = kick_all(sessions, &end);
    }
    nmq_map_free(&s.names);
    return rv;
}

// --- who is banned

typedef struct {
    nmq_bans *bans;
    int64_t now_ms;
} ban_search;

static bool
is_banned(const void *arg, const nmq_client *client)
{
    const ban_search *s = arg;

    return nmq_bans_has(s->bans, NMQ_BAN_CLIENT_ID, client->session->client_id,
                        s->now_ms) ||
           nmq_bans_has(s->bans, NMQ_BAN_USER_NAME, client->user_name, s->now_ms) ||
           nmq_bans_has_peer(s->bans, &client->peer, s->now_ms);
}

int
nmq_revoke_banned(nmq_sessions *sessions, nmq_bytes client_id)
{
    const nmq_router *router = sessions->router;
    const ban_search s = {router->bans, nmq_clock_wall_ms()};
    const ending end = {
        .is_meant = is_banned,
        .arg = &s,
        .reason_code = NMQ_RC_ADMINISTRATIVE_ACTION, // Banned is none of a DISCONNECT
        .why = "it is banned",
    };

    if (client_id.at == NULL) {
        return kick_all(sessions, &end);
    }
    nmq_client *client = nmq_registry_find(&sessions->registry, client_id);
    if (client == NULL) {
        return 0;
    }
    bool kicked = kick_one(&end, router->log, client);
    nmq_client_unref(client);
    nmq_counters_add(router->counters, NMQ_COUNT_USERS_ENDED, kicked);
    return kicked;
}

int
nmq_revoke_connection(nmq_sessions *sessions, nmq_bytes client_id, uint8_t reason_code)
{
    nmq_client *client = nmq_registry_find(&sessions->registry, client_id);
    nmq_link *link = NULL;

    if (client == NULL) {
        return NMQ_ENOENT;
    }
    (void) pthread_mutex_lock(&client->lock);
    if (client->link != NULL) {
        link = nmq_link_ref(client->link);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (link != NULL) {
        link->ops->disconnect(link, reason_code);
        nmq_link_unref(link);
    }
    nmq_client_unref(client);
    return link != NULL ? NMQ_OK : NMQ_ENOENT;
}

int
nmq_revoke_session(nmq_sessions *sessions, nmq_bytes client_id, uint8_t reason_code)
{
    nmq_registry *registry = &sessions->registry;
    nmq_link *link = NULL;
    nmq_journal_group group; // it is over, and what it leaves behind is elsewhere

    nmq_durable_open(sessions->router, &group);
    (void) pthread_mutex_lock(&registry->lock);
    nmq_client *client = nmq_map_get(&registry->clients, client_id);
    if (client != NULL) {
        (void) pthread_mutex_lock(&client->lock);
        nmq_sessions_remove(sessions, client, "kicked");
        if (client->link != NULL) {
            link = nmq_link_ref(client->link);
        }
        (void) pthread_mutex_unlock(&client->lock);
    }
    (void) pthread_mutex_unlock(&registry->lock);
    if (link != NULL) { // before its session's end would tell it another reason
        link->ops->disconnect(link, reason_code);
        nmq_link_unref(link);
    }
    if (client != NULL) {
        nmq_sessions_end(sessions, client);
    }
    nmq_durable_close(sessions->router, &group);
    return client != NULL ? NMQ_OK : NMQ_ENOENT;
}
