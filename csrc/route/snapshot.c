#include "route/snapshot.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "route/lanes.h"
#include "route/registry.h"

enum { STEP = 256 }; // clients copied before others get the locks

struct nmq_snapshot {
    nmq_client_info *clients;
    size_t client_count;
    nmq_subscription_info *subs;
    size_t sub_count;
    uint32_t sub_cap;
    nmq_buf *texts; // one for each client: its texts, NUL-terminated
};

void
nmq_snapshot_free(nmq_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    for (size_t i = 0; i < snapshot->client_count; i++) {
        nmq_buf_free(&snapshot->texts[i]);
    }
    nmq_free(snapshot->texts);
    nmq_free(snapshot->clients);
    nmq_free(snapshot->subs);
    nmq_free(snapshot);
}

// Copies the text with a NUL. Offsets, not addresses, hold while the buffer grows.
static int
put_text(nmq_buf *texts, nmq_bytes text, size_t *offset)
{
    static const uint8_t nul = 0;

    *offset = texts->len;
    return nmq_buf_put(texts, text) == NMQ_OK &&
                   nmq_buf_put(texts, (nmq_bytes){&nul, 1}) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

static int
reserve_subs(nmq_snapshot *s, size_t more)
{
    nmq_subscription_info *grown =
        nmq_vec_grow(s->subs, &s->sub_cap, s->sub_count + more, 16, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    s->subs = grown;
    return NMQ_OK;
}

// Copies the client's subscriptions; call inside a lane. Filters are offsets for now.
static int
copy_subs(nmq_snapshot *s, const nmq_session *session, nmq_buf *texts,
          nmq_client_info *info)
{
    size_t offset;

    info->first_subscription = (uint32_t) s->sub_count;
    info->subscription_count = session->sub_count;
    if (reserve_subs(s, session->sub_count) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < session->sub_count; i++) {
        const nmq_session_sub *sub = &session->subs[i];
        if (put_text(texts, sub->text, &offset) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        s->subs[s->sub_count++] = (nmq_subscription_info){
            .filter = (const char *) offset,
            .filter_len = sub->text.len,
            .identifier = sub->identifier,
            .options = sub->options,
        };
    }
    return NMQ_OK;
}

static int
copy_client(nmq_snapshot *s, nmq_client *client, nmq_lanes *lanes)
{
    nmq_client_info *info = &s->clients[s->client_count];
    nmq_buf *texts = &s->texts[s->client_count];
    const nmq_session *session = client->session;
    size_t id = 0;
    size_t user = 0;
    size_t peer = 0;

    *texts = (nmq_buf){0};
    nmq_lane *lane = nmq_lanes_enter(lanes);
    s->client_count++; // its texts are the snapshot's to free from here on
    int rv = copy_subs(s, session, texts, info);
    (void) pthread_mutex_lock(&client->lock);
    info->number = client->number;
    info->client_id_len = session->client_id.len;
    info->user_name_len = client->user_name.len;
    info->expiry_interval_s = client->expiry_interval_s;
    info->queued = session->queue.count;
    info->in_flight = session->inflight.count;
    info->keep_alive_s = client->keep_alive_s;
    info->version = client->version;
    info->connected = client->link != NULL;
    info->clean_start = client->clean_start;
    info->connected_at_ms = client->connected_at_ms;
    info->disconnected_at_ms = client->disconnected_at_ms;
    info->messages_received = __atomic_load_n(&client->messages_received, __ATOMIC_RELAXED);
    info->messages_sent = client->messages_sent;
    info->messages_dropped = client->messages_dropped;
    bool has_user = client->user_name.at != NULL;
    if (rv != NMQ_OK || put_text(texts, session->client_id, &id) != NMQ_OK ||
        put_text(texts, client->user_name, &user) != NMQ_OK ||
        put_text(texts, nmq_bytes_of(nmq_peer_name(&client->peer).text), &peer) != NMQ_OK) {
        rv = NMQ_ENOMEM;
    }
    (void) pthread_mutex_unlock(&client->lock);
    nmq_lanes_leave(lane);
    if (rv != NMQ_OK) {
        return rv;
    }
    const char *base = (const char *) texts->at; // it grows no more
    info->client_id = base + id;
    info->user_name = has_user ? base + user : NULL;
    info->peer = base + peer;
    for (uint32_t i = 0; i < info->subscription_count; i++) {
        nmq_subscription_info *sub = &s->subs[info->first_subscription + i];
        sub->filter = base + (size_t) sub->filter;
    }
    return NMQ_OK;
}

int
nmq_snapshot_make(nmq_registry *registry, nmq_lanes *lanes, nmq_snapshot **out)
{
    nmq_snapshot *s = nmq_zalloc(sizeof *s);
    nmq_client **all = NULL;
    int n = s != NULL ? nmq_registry_all(registry, &all) : NMQ_ENOMEM;
    int rv = n < 0 ? n : NMQ_OK;

    if (rv == NMQ_OK) {
        s->clients = nmq_alloc((size_t) n * sizeof *s->clients);
        s->texts = nmq_alloc((size_t) n * sizeof *s->texts);
        rv = s->clients != NULL && s->texts != NULL ? NMQ_OK : NMQ_ENOMEM;
    }
    for (int i = 0; i < n; i++) {
        if (rv == NMQ_OK) {
            rv = copy_client(s, all[i], lanes);
            if (i % STEP == STEP - 1) {
                nmq_clock_pause();
            }
        }
        nmq_client_unref(all[i]);
    }
    nmq_free(all);
    if (rv != NMQ_OK) {
        nmq_snapshot_free(s);
        return rv;
    }
    *out = s;
    return NMQ_OK;
}

const nmq_client_info *
nmq_snapshot_clients(const nmq_snapshot *snapshot, size_t *count)
{
    *count = snapshot->client_count;
    return snapshot->clients;
}

const nmq_subscription_info *
nmq_snapshot_subscriptions(const nmq_snapshot *snapshot, size_t *count)
{
    *count = snapshot->sub_count;
    return snapshot->subs;
}
