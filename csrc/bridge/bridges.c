#include "bridge/bridges.h"

#include <string.h>

#include "base/live.h"
#include "base/status.h"
#include "bridge/change.h"
#include "bridge/list.h"
#include "bridge/tell.h"
#include "mqtt/reason.h"
#include "net/start.h"
#include "route/own.h"

// Before the name in the client identifier, which no MQTT client can be taken for: the
// registry does not have it.
static const char NAME_HEAD[] = "$bridge/";

enum {
    HEAD_BYTES = sizeof NAME_HEAD - 1,
    NAME_BYTES = HEAD_BYTES + 255,
};

typedef struct {
    uint8_t bytes[NAME_BYTES];
    size_t len;
} key;

// Returns false for a name that no bridge has.
static bool
key_of(nmq_bytes name, key *out)
{
    if (name.len == 0 || name.len > NAME_BYTES - HEAD_BYTES) {
        return false;
    }
    memcpy(out->bytes, NAME_HEAD, HEAD_BYTES);
    memcpy(out->bytes + HEAD_BYTES, name.at, name.len);
    out->len = HEAD_BYTES + name.len;
    return true;
}

// --- connections

// Of nmq_dial_options.
static void
dialled(void *arg, nmq_stream *stream, const nmq_dial_failure *failure)
{
    nmq_bridge *bridge = arg;

    if (stream != NULL) {
        int rv = nmq_start_dialled(bridge->bridges->conns, stream, bridge);
        if (rv != NMQ_OK) {
            (void) nmq_bridge_tell_down(bridge, NMQ_BRIDGE_BY_DIAL, rv,
                                        nmq_status_text(rv));
        }
    } else if (failure->status != NMQ_ECLOSED) { // else it was given up
        (void) nmq_bridge_tell_down(bridge, NMQ_BRIDGE_BY_DIAL, failure->status,
                                    failure->text);
    }
    nmq_bridge_unref(bridge); // the dial's
}

static int
dial(nmq_bridge *bridge, const nmq_dial_options *where)
{
    nmq_bridge_hang_up(bridge, NMQ_RC_SUCCESS);
    __atomic_store_n(&bridge->timeout_ms, where->timeout_ms, __ATOMIC_RELAXED);
    nmq_bridge_tell_state(bridge, NMQ_BRIDGE_DIALLING);
    int rv = nmq_dial_new(where, bridge->bridges->conns->clock, dialled,
                          nmq_bridge_ref(bridge), &bridge->dial);
    if (rv != NMQ_OK) {
        bridge->dial = NULL;
        nmq_bridge_tell_state(bridge, NMQ_BRIDGE_IDLE);
        nmq_bridge_unref(bridge); // the dial's
    }
    return rv;
}

int
nmq_bridges_dial(nmq_bridges *bridges, uint64_t number, const char *host, uint16_t port,
                 const nmq_tls *tls, const char *path, uint32_t timeout_ms)
{
    const nmq_dial_options where = {
        .host = host, .port = port, .tls = tls, .path = path, .timeout_ms = timeout_ms};

    (void) pthread_mutex_lock(&bridges->turn);
    nmq_bridge *bridge = nmq_bridges_find(bridges, number);
    int rv = bridge == NULL     ? NMQ_ENOENT
             : bridges->stopped ? NMQ_ECLOSED
                                : dial(bridge, &where);
    (void) pthread_mutex_unlock(&bridges->turn);
    return rv;
}

int
nmq_bridges_hang_up(nmq_bridges *bridges, uint64_t number)
{
    (void) pthread_mutex_lock(&bridges->turn);
    nmq_bridge *bridge = nmq_bridges_find(bridges, number);
    if (bridge != NULL) {
        nmq_bridge_hang_up(bridge, NMQ_RC_SUCCESS);
    }
    (void) pthread_mutex_unlock(&bridges->turn);
    return bridge != NULL ? NMQ_OK : NMQ_ENOENT;
}

// --- put

int
nmq_bridges_put(nmq_bridges *bridges, const nmq_bridge_options *options, uint64_t *number)
{
    nmq_bridge_settings *settings;
    key name;
    int rv = nmq_bridge_settings_new(options, &settings);

    if (rv != NMQ_OK) {
        return rv;
    }
    (void) key_of(nmq_bridge_slice(options->name, options->name_len), &name);
    const nmq_bytes client_id = {name.bytes, name.len};
    (void) pthread_mutex_lock(&bridges->turn);
    rv = bridges->stopped ? NMQ_ECLOSED : nmq_bridges_begin(bridges);
    nmq_bridge *bridge = rv == NMQ_OK ? nmq_bridges_find_name(bridges, client_id) : NULL;
    bool is_new = bridge == NULL;
    if (rv == NMQ_OK && is_new) {
        bridge = nmq_bridges_add(bridges, client_id, settings);
        rv = bridge != NULL ? NMQ_OK : NMQ_ENOMEM;
    }
    bool was_paused = rv == NMQ_OK && bridge->settings->options.paused != 0;
    rv = rv == NMQ_OK ? nmq_bridge_change(bridge, settings) : rv;
    if (rv == NMQ_OK) {
        *number = bridge->client->number;
    }
    if (rv == NMQ_OK && was_paused != (options->paused != 0)) {
        nmq_bridge_event_switched(bridge, options->paused == 0);
    }
    (void) pthread_mutex_unlock(&bridges->turn);
    nmq_bridge_settings_unref(settings);
    return rv;
}

// --- its end

int
nmq_bridges_end(nmq_bridges *bridges, const char *name, size_t name_len)
{
    key full;

    if (!key_of(nmq_bridge_slice(name, name_len), &full)) {
        return NMQ_ENOENT;
    }
    const nmq_bytes client_id = {full.bytes, full.len};
    (void) pthread_mutex_lock(&bridges->turn);
    nmq_bridge *bridge = nmq_bridges_find_name(bridges, client_id);
    if (bridge != NULL) {
        nmq_bridges_remove(bridge);
    }
    bool ended = nmq_own_forget(bridges->consumers, client_id, true);
    (void) pthread_mutex_unlock(&bridges->turn);
    return ended ? NMQ_OK : NMQ_ENOENT;
}

// Returns the client of one that was restored and never put, with a reference; NULL: none
// is left. Call with the turn.
static nmq_client *
next_orphan(const nmq_bridges *bridges)
{
    nmq_consumers *consumers = bridges->consumers;
    nmq_client *client = NULL;

    (void) pthread_mutex_lock(&consumers->lock);
    for (nmq_consumer *c = consumers->first; c != NULL && client == NULL; c = c->next) {
        if (c->client->bridges &&
            nmq_bridges_find_name(bridges, c->client->session->client_id) == NULL) {
            client = nmq_client_ref(c->client);
        }
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    return client;
}

int
nmq_bridges_end_orphans(nmq_bridges *bridges)
{
    nmq_client *orphan;
    int count = 0;

    (void) pthread_mutex_lock(&bridges->turn);
    while ((orphan = next_orphan(bridges)) != NULL) {
        (void) nmq_own_forget(bridges->consumers, orphan->session->client_id, true);
        nmq_client_unref(orphan);
        count++;
    }
    (void) pthread_mutex_unlock(&bridges->turn);
    return count;
}

// --- what there is

static void
fill_stats(nmq_bridge *bridge, nmq_bridge_stats *out)
{
    nmq_client *client = bridge->client;

    *out = (nmq_bridge_stats){.acked = NMQ_LIVE(bridge->acked),
                              .received = NMQ_LIVE(bridge->received),
                              .refused = NMQ_LIVE(bridge->refused),
                              .bytes_in = NMQ_LIVE(client->traffic.bytes_in),
                              .bytes_out = NMQ_LIVE(client->traffic.bytes_out)};
    (void) pthread_mutex_lock(&client->lock);
    const nmq_session *session = client->session;
    out->waiting = session->queue.count;
    out->waiting_bytes = nmq_session_held_bytes(session);
    out->in_flight = session->inflight.count;
    nmq_client_count_fresh(client, bridge->bridges->consumers->sessions->router->counters);
    out->sent = nmq_client_sum(client->traffic.messages_out);
    out->dropped = client->traffic.dropped;
    (void) pthread_mutex_unlock(&client->lock);
}

int
nmq_bridges_stats(nmq_bridges *bridges, uint64_t number, nmq_bridge_stats *out)
{
    (void) pthread_mutex_lock(&bridges->lock);
    nmq_bridge *bridge = nmq_bridges_find(bridges, number);
    uint8_t state = bridge != NULL ? bridge->news.state : 0;
    if (bridge != NULL) {
        (void) nmq_bridge_ref(bridge);
    }
    (void) pthread_mutex_unlock(&bridges->lock);
    if (bridge == NULL) {
        return NMQ_ENOENT;
    }
    fill_stats(bridge, out);
    out->state = state;
    nmq_bridge_unref(bridge);
    return NMQ_OK;
}

int
nmq_bridges_fd(nmq_bridges *bridges)
{
    return __atomic_load_n(&bridges->fd, __ATOMIC_ACQUIRE);
}

int
nmq_bridges_next(nmq_bridges *bridges, nmq_bridge_news *out)
{
    (void) pthread_mutex_lock(&bridges->lock);
    nmq_bridge *bridge = bridges->first;
    while (bridge != NULL && !bridge->has_news) {
        bridge = bridge->next;
    }
    if (bridge != NULL) {
        bridge->has_news = false;
        *out = bridge->news;
    }
    (void) pthread_mutex_unlock(&bridges->lock);
    return bridge != NULL;
}
