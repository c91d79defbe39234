#include "route/rights.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "route/subscriptions.h"
#include "route/will.h"
#include "store/session_log.h"
#include "store/session_subs.h"

enum {
    SUBSCRIPTIONS_AT_ONCE = 32, // that are looked at in one lane
    MESSAGES_AT_ONCE = 256,     // under one client's lock
    LINES = 4,                  // of the log, for one client
};

// One session on trial.
typedef struct {
    nmq_router *router;
    nmq_client *client;
    nmq_acl_view *view;
    nmq_bytes mount;
} trial;

static bool
may(const trial *t, uint16_t act, nmq_bytes topic)
{
    return nmq_topic_unmount(t->mount, &topic) && nmq_acl_allows(t->view, act, topic);
}

// Looks at a few subscriptions, from the one before *at backward. Returns whether *found, a
// copy whose text is the caller's, is one that must end; NMQ_ENOMEM.
static int
look_at_some(const trial *t, uint32_t *at, nmq_session_sub *found)
{
    nmq_session *session = t->client->session;
    nmq_lane *lane = nmq_lanes_enter(t->router->lanes);
    int rv = 0;

    *at = *at < session->sub_count ? *at : session->sub_count;
    for (int n = 0; n < SUBSCRIPTIONS_AT_ONCE && *at > 0 && rv == 0; n++) {
        const nmq_session_sub *sub = &session->subs[--*at];
        if (!may(t, nmq_acl_subscribe(sub->options & NMQ_SUB_QOS),
                 nmq_session_sub_filter(sub).filter)) {
            *found = *sub;
            rv = nmq_bytes_copy(sub->text, &found->text) == NMQ_OK ? 1 : NMQ_ENOMEM;
        }
    }
    nmq_lanes_leave(lane);
    return rv;
}

static void
log_ended(const trial *t, nmq_bytes text, int before)
{
    const nmq_bytes id = t->client->session->client_id;

    if (before < LINES) {
        nmq_log_write(t->router->log, NMQ_LOG_INFO,
                      "client '%s': its subscription '%s' ends, it is not allowed any "
                      "more",
                      nmq_log_quoted(id).text, nmq_log_quoted(text).text);
    }
}

// Goes from the last to the first: a subscription that ends has the last put in its place.
static int
end_subscriptions(const trial *t)
{
    nmq_router *router = t->router;
    uint32_t at = UINT32_MAX;
    nmq_session_sub found;
    int ended = 0;

    while (at > 0) {
        int rv = look_at_some(t, &at, &found);
        if (rv < 0) {
            return rv;
        }
        if (rv == 1) {
            nmq_filter filter = nmq_session_sub_filter(&found);
            (void) nmq_subscriptions_del(router, t->client, &filter, NMQ_WHY_RULES);
            log_ended(t, found.text, ended++);
            nmq_bytes_free(&found.text);
        }
    }
    nmq_counters_add(router->counters, NMQ_COUNT_SUBSCRIPTIONS_ENDED, (uint64_t) ended);
    return ended;
}

// Whether the client may still have the message. One that it may not have goes. Call with
// the client's lock.
static bool
keeps(void *arg, const nmq_delivery *delivery)
{
    const trial *t = arg;

    if (may(t, NMQ_ACL_HEAR, nmq_message_topic(delivery->message))) {
        return true;
    }
    const nmq_message_parts parts = nmq_message_parts_of(delivery->message);
    nmq_session_tell(t->client->session, &(nmq_session_event){.kind = NMQ_EVENT_DROPPED,
                                                              .why = NMQ_WHY_RULES,
                                                              .message = &parts});
    return false;
}

// The same for one that waits.
static bool
keeps_waiting(void *arg, const nmq_delivery *delivery)
{
    const trial *t = arg;
    bool kept = keeps(arg, delivery);

    if (!kept && t->client->session->log != NULL) {
        nmq_session_log_dropped(t->client->session, delivery);
    }
    return kept;
}

// Goes from the newest to the oldest: what is added meanwhile is for subscriptions that are
// allowed, and what leaves, leaves at the front.
static uint32_t
drop_waiting(trial *t)
{
    nmq_client *client = t->client;
    uint32_t left = UINT32_MAX;
    uint32_t dropped = 0;

    while (left > 0) {
        (void) pthread_mutex_lock(&client->lock);
        nmq_queue *queue = &client->session->queue;
        uint32_t to = left < queue->count ? left : queue->count;
        left = to > MESSAGES_AT_ONCE ? to - MESSAGES_AT_ONCE : 0;
        uint32_t some = nmq_queue_sift(queue, left, to, keeps_waiting, t);
        client->traffic.dropped += some;
        if (client->session->owed != NULL) { // what comes after them is due sooner
            client->session->owed->popped += some;
        }
        dropped += some;
        (void) pthread_mutex_unlock(&client->lock);
    }
    return dropped;
}

// Drops what is in flight, which would be sent again. Nobody still has to acknowledge an
// identifier that becomes free here: the client's next connection begins after this.
static uint32_t
drop_in_flight(trial *t, bool attaches)
{
    nmq_client *client = t->client;
    uint32_t dropped = 0;

    (void) pthread_mutex_lock(&client->lock);
    nmq_inflight *inflight = &client->session->inflight;
    bool rests = attaches || client->link == NULL;
    for (uint32_t i = 0; rests && i < inflight->cap;) {
        nmq_inflight_entry *entry = &inflight->slots[i];
        if (entry->state == NMQ_INFLIGHT_FREE || entry->delivery.message == NULL ||
            keeps(t, &entry->delivery)) {
            i++;
            continue;
        }
        // After this another entry may have its place, or the table may be gone.
        nmq_session_end_entry(client->session, entry);
        dropped++;
    }
    client->traffic.dropped += dropped;
    (void) pthread_mutex_unlock(&client->lock);
    return dropped;
}

static int
judge(trial *t, bool attaches)
{
    nmq_router *router = t->router;
    const nmq_bytes id = t->client->session->client_id;
    int ended = end_subscriptions(t);

    if (ended < 0) {
        return ended;
    }
    uint32_t dropped = drop_waiting(t) + drop_in_flight(t, attaches);
    nmq_counters_add(router->counters, NMQ_COUNT_MESSAGES_DENIED, dropped);
    if (ended > LINES || dropped > 0) {
        nmq_log_write(router->log, NMQ_LOG_INFO,
                      "client '%s': %d subscriptions and %u messages that waited are not "
                      "allowed any more",
                      nmq_log_quoted(id).text, ended, (unsigned) dropped);
    }
    return ended;
}

static bool
same_address(const nmq_peer *a, const nmq_peer *b)
{
    return a->address_len == b->address_len &&
           memcmp(a->address, b->address, a->address_len) == 0;
}

int
nmq_rights_judge_at_attach(nmq_router *router, nmq_client *client, const nmq_rights *rights)
{
    nmq_acl_view everything = {0};
    nmq_acl_view *view = rights->view;
    trial t = {router, client, view != NULL ? view : &everything, rights->mount};

    (void) pthread_mutex_lock(&client->lock);
    bool due = rights->moved || !nmq_bytes_equal(client->session->mount, rights->mount) ||
               (view != NULL &&
                (view->own != NULL || client->judged != (uint32_t) rights->version ||
                 (nmq_acl_has_addresses(view->acl) &&
                  !same_address(&client->peer, rights->peer))));
    (void) pthread_mutex_unlock(&client->lock);
    int rv = due ? judge(&t, true) : 0;
    return rv < 0 ? rv : NMQ_OK;
}

int
nmq_rights_judge(nmq_router *router, nmq_client *client)
{
    nmq_acl_view view = {0};
    trial t = {.router = router, .client = client, .view = &view};
    uint64_t version;
    nmq_acl *acl = nmq_rules_get(router->rules, &version);

    (void) pthread_mutex_lock(&client->lock);
    nmq_will_judge(router, client);
    const nmq_session *session = client->session;
    const nmq_acl_subject subject = {session->client_id, client->user_name, &client->peer,
                                     client->superuser, client->own};
    int rv = nmq_bytes_copy(session->mount, &t.mount);
    if (rv == NMQ_OK) {
        rv = nmq_acl_view_make(&view, acl, &subject);
    } else {
        nmq_acl_unref(acl);
    }
    (void) pthread_mutex_unlock(&client->lock);
    rv = rv == NMQ_OK ? judge(&t, false) : rv;
    (void) pthread_mutex_lock(&client->lock);
    if (rv >= 0 && client->link == NULL && !client->superuser && client->own == NULL) {
        client->judged = (uint32_t) version;
    }
    (void) pthread_mutex_unlock(&client->lock);
    nmq_acl_view_free(&view);
    nmq_bytes_free(&t.mount);
    return rv;
}
