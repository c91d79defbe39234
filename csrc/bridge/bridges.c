#include "bridge/bridges.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "bridge/join.h"
#include "bridge/mapped.h"
#include "bridge/own_bridges.h"
#include "bridge/role.h"
#include "mqtt/reason.h"
#include "net/close_all.h"
#include "net/memory.h"
#include "net/send.h"
#include "net/start.h"
#include "route/durable.h"
#include "route/own.h"

// Before the name in the client identifier, which no MQTT client can be taken for: the
// registry does not have it.
static const char NAME_HEAD[] = "$bridge/";

enum {
    HEAD_BYTES = sizeof NAME_HEAD - 1,
    NAME_BYTES = HEAD_BYTES + 255,
    KEPT_FOR_EVER = -1, // Session Expiry Interval
};

typedef struct {
    uint8_t bytes[NAME_BYTES];
    size_t len;
} key;

// --- the list

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

// Call with the turn or the lock.
static nmq_bridge *
find_name(const nmq_bridges *bridges, nmq_bytes client_id)
{
    nmq_bridge *bridge = bridges->first;

    while (bridge != NULL &&
           !nmq_bytes_equal(bridge->client->session->client_id, client_id)) {
        bridge = bridge->next;
    }
    return bridge;
}

static nmq_bridge *
find(const nmq_bridges *bridges, uint64_t number)
{
    nmq_bridge *bridge = bridges->first;

    while (bridge != NULL && bridge->client->number != number) {
        bridge = bridge->next;
    }
    return bridge;
}

void
nmq_bridges_init(nmq_bridges *bridges, nmq_consumers *consumers, uint8_t *memory)
{
    *bridges = (nmq_bridges){.consumers = consumers, .memory = memory, .fd = -1};
    (void) pthread_mutex_init(&bridges->turn, NULL);
    (void) pthread_mutex_init(&bridges->lock, NULL);
}

// With the first bridge. Call with the turn. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EFILES.
static int
begin(nmq_bridges *bridges)
{
    if (bridges->conns != NULL) {
        return NMQ_OK;
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return NMQ_EFILES;
    }
    nmq_conns *conns = nmq_zalloc(sizeof *conns);
    if (conns == NULL) {
        (void) close(fd);
        return NMQ_ENOMEM;
    }
    nmq_conns_init(conns, bridges->consumers->sessions, bridges->memory, &nmq_bridge_role,
                   bridges);
    nmq_memory_init(conns);
    bridges->conns = conns;
    __atomic_store_n(&bridges->fd, fd, __ATOMIC_RELEASE);
    return NMQ_OK;
}

// --- connections

// Gives up its dial, and takes its connection, with the reference. Call with the turn.
static nmq_conn *
take_conn(nmq_bridge *bridge)
{
    nmq_bridges *bridges = bridge->bridges;

    if (bridge->dial != NULL) { // then no connection comes of it any more
        nmq_dial_cancel(bridge->dial);
        nmq_dial_unref(bridge->dial);
        bridge->dial = NULL;
    }
    (void) pthread_mutex_lock(&bridges->lock);
    nmq_conn *conn = bridge->conn;
    bridge->conn = NULL;
    if (bridge->news.state == NMQ_BRIDGE_DIALLING || conn != NULL) {
        bridge->news.state = NMQ_BRIDGE_IDLE;
    }
    (void) pthread_mutex_unlock(&bridges->lock);
    return conn;
}

static void
hang_up(nmq_bridge *bridge, uint8_t reason_code)
{
    nmq_conn *conn = take_conn(bridge);

    if (conn != NULL) {
        nmq_bridge_conn_end(conn, reason_code);
        nmq_link_unref(&conn->link);
    }
}

// Of nmq_dial_options.
static void
dialled(void *arg, nmq_stream *stream, const nmq_dial_failure *failure)
{
    nmq_bridge *bridge = arg;

    if (stream != NULL) {
        int rv = nmq_start_dialled(bridge->bridges->conns, stream, bridge);
        if (rv != NMQ_OK) {
            nmq_bridge_tell_down(bridge, NMQ_BRIDGE_BY_DIAL, rv, nmq_status_text(rv));
        }
    } else if (failure->status != NMQ_ECLOSED) { // else it was given up
        nmq_bridge_tell_down(bridge, NMQ_BRIDGE_BY_DIAL, failure->status, failure->text);
    }
    nmq_bridge_unref(bridge); // the dial's
}

static int
dial(nmq_bridge *bridge, const nmq_dial_options *where)
{
    hang_up(bridge, NMQ_RC_SUCCESS);
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
    nmq_bridge *bridge = find(bridges, number);
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
    nmq_bridge *bridge = find(bridges, number);
    if (bridge != NULL) {
        hang_up(bridge, NMQ_RC_SUCCESS);
    }
    (void) pthread_mutex_unlock(&bridges->turn);
    return bridge != NULL ? NMQ_OK : NMQ_ENOENT;
}

// --- put

// Finds the client of that bridge, restored, or makes it. Returns a reference, or NULL.
static nmq_client *
find_or_make_client(nmq_consumers *consumers, nmq_bytes client_id)
{
    (void) pthread_mutex_lock(&consumers->lock);
    nmq_consumer *kept = nmq_consumers_find(consumers, client_id);
    nmq_client *client = NULL;
    if (kept != NULL) {
        client = kept->client->bridges ? nmq_client_ref(kept->client) : NULL;
    } else if ((client = nmq_client_new(&consumers->sessions->registry.counts,
                                        client_id)) != NULL) {
        client->bridges = true;
        client->expiry_interval_s = (uint32_t) KEPT_FOR_EVER;
        client->created_at_ms = nmq_clock_wall_ms();
        if (nmq_consumers_add(consumers, nmq_client_ref(client)) == NULL) {
            nmq_client_unref(client);
            nmq_client_unref(client);
            client = NULL;
        }
    }
    (void) pthread_mutex_unlock(&consumers->lock);
    return client;
}

// Adds a bridge. Call with the turn. Returns NULL when memory is out.
static nmq_bridge *
add(nmq_bridges *bridges, nmq_bytes client_id, nmq_bridge_settings *settings)
{
    nmq_bridge *bridge = nmq_zalloc(sizeof *bridge);
    nmq_client *client =
        bridge != NULL ? find_or_make_client(bridges->consumers, client_id) : NULL;

    if (client == NULL) {
        nmq_free(bridge);
        return NULL;
    }
    bridge->bridges = bridges;
    bridge->refs = 1;
    bridge->client = client;
    bridge->settings = nmq_bridge_settings_ref(settings);
    bridge->qos_max = 2;
    bridge->news.number = client->number;
    (void) pthread_mutex_lock(&bridges->lock);
    bridge->next = bridges->first;
    bridges->first = bridge;
    (void) pthread_mutex_unlock(&bridges->lock);
    return bridge;
}

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
    int rv = nmq_mapped_use(session, settings);
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

// Messages tell when they were published while it asks for that.
static void
set_watch(nmq_bridge *bridge, bool watches)
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

static int
change(nmq_bridge *bridge, nmq_bridge_settings *settings)
{
    nmq_bridge_settings *before = swap_settings(bridge, settings);
    int rv = set_session(bridge, settings);

    set_watch(bridge, settings->options.message_expiry_s != 0);
    if (rv == NMQ_OK) {
        (void) pthread_mutex_lock(&bridge->client->moving);
        rv = nmq_join_forwards(bridge, settings);
        (void) pthread_mutex_unlock(&bridge->client->moving);
    }
    rv = rv == NMQ_OK ? resubscribe(bridge, settings, before) : rv;
    nmq_bridge_settings_unref(before);
    return rv;
}

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
    rv = bridges->stopped ? NMQ_ECLOSED : begin(bridges);
    nmq_bridge *bridge = rv == NMQ_OK ? find_name(bridges, client_id) : NULL;
    bool is_new = bridge == NULL;
    if (rv == NMQ_OK && is_new) {
        bridge = add(bridges, client_id, settings);
        rv = bridge != NULL ? NMQ_OK : NMQ_ENOMEM;
    }
    rv = rv == NMQ_OK ? change(bridge, settings) : rv;
    if (rv == NMQ_OK) {
        *number = bridge->client->number;
    }
    (void) pthread_mutex_unlock(&bridges->turn);
    nmq_bridge_settings_unref(settings);
    return rv;
}

// --- its end

// Takes it out of the list. Call with the turn.
static void
drop(nmq_bridge *bridge)
{
    nmq_bridges *bridges = bridge->bridges;
    nmq_bridge **at = &bridges->first;

    hang_up(bridge, NMQ_RC_SUCCESS);
    set_watch(bridge, false);
    (void) pthread_mutex_lock(&bridges->lock);
    while (*at != bridge) {
        at = &(*at)->next;
    }
    *at = bridge->next;
    (void) pthread_mutex_unlock(&bridges->lock);
    nmq_bridge_unref(bridge); // the list's
}

int
nmq_bridges_end(nmq_bridges *bridges, const char *name, size_t name_len)
{
    key full;

    if (!key_of(nmq_bridge_slice(name, name_len), &full)) {
        return NMQ_ENOENT;
    }
    const nmq_bytes client_id = {full.bytes, full.len};
    (void) pthread_mutex_lock(&bridges->turn);
    nmq_bridge *bridge = find_name(bridges, client_id);
    if (bridge != NULL) {
        drop(bridge);
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
            find_name(bridges, c->client->session->client_id) == NULL) {
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

void
nmq_bridges_stop(nmq_bridges *bridges, uint32_t timeout_ms)
{
    (void) pthread_mutex_lock(&bridges->turn);
    bridges->stopped = true;
    for (nmq_bridge *bridge = bridges->first; bridge != NULL; bridge = bridge->next) {
        hang_up(bridge, NMQ_RC_SUCCESS);
    }
    nmq_conns *conns = bridges->conns;
    (void) pthread_mutex_unlock(&bridges->turn);
    if (conns != NULL) {
        nmq_close_all(conns, NMQ_RC_SUCCESS, timeout_ms);
    }
}

void
nmq_bridges_forget(nmq_bridges *bridges)
{
    while (bridges->first != NULL) {
        nmq_bridge *bridge = bridges->first;
        bridges->first = bridge->next;
        nmq_bridge_unref(bridge);
    }
}

void
nmq_bridges_fini(nmq_bridges *bridges)
{
    if (bridges->conns != NULL) {
        nmq_conns_fini(bridges->conns);
        nmq_free(bridges->conns);
        (void) close(bridges->fd);
    }
    (void) pthread_mutex_destroy(&bridges->turn);
    (void) pthread_mutex_destroy(&bridges->lock);
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
    nmq_bridge *bridge = find(bridges, number);
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
