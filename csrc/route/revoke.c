#include "route/revoke.h"

#include "base/mem.h"
#include "base/metrics.h"
#include "base/status.h"
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

// Call with the client's lock.
static bool
is_meant(const search *s, const nmq_client *client)
{
    if (client->proof != NMQ_PROOF_USERS && client->proof != NMQ_PROOF_WORD) {
        return false;
    }
    bool named = client->user_name.at != NULL;
    if (named && (s->whom->every_user ||
                  (nmq_map_get(&s->names, client->user_name) != NULL) != s->whom->others)) {
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

// Returns whether a connection ends.
static bool
kick_one(const search *s, const nmq_log *log, nmq_client *client)
{
    nmq_link *link = NULL;

    (void) pthread_mutex_lock(&client->lock);
    bool meant = is_meant(s, client);
    if (meant && !s->whom->wills) {
        nmq_will_drop(client);
    }
    if (meant) {
        client->superuser = false;
    }
    if (meant && client->link != NULL) {
        link = nmq_link_ref(client->link);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (link == NULL) {
        return false;
    }
    const nmq_bytes id = client->session->client_id;
    nmq_log_write(log, NMQ_LOG_INFO,
                  "client '%s' is disconnected: its user may not come in any more",
                  nmq_log_quoted(id).text);
    link->ops->disconnect(link, s->whom->reason_code);
    nmq_link_unref(link);
    return true;
}

int
nmq_revoke_users(nmq_sessions *sessions, const nmq_kick *whom)
{
    search s = {.whom = whom};
    nmq_client **all = NULL;
    int kicked = note_names(&s);

    // Before the clients are gathered: a client that comes later sees it.
    nmq_rules_end_users(sessions->router->rules);
    int count = kicked == NMQ_OK ? nmq_registry_all(&sessions->registry, &all) : kicked;

    for (int i = 0; i < count; i++) {
        kicked +=
            !nmq_sessions_stop(sessions) && kick_one(&s, sessions->router->log, all[i]);
        nmq_client_unref(all[i]);
    }
    nmq_free(all);
    nmq_map_free(&s.names);
    if (count < 0) {
        return count;
    }
    nmq_counters_add(sessions->router->counters, NMQ_COUNT_USERS_ENDED, (uint64_t) kicked);
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
