#include "net/listener.h"

#include <string.h>

#include "base/clock.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/peak.h"
#include "base/status.h"

enum { STARVED_WARNING_MS = 10000 };

// One address that has connections.
typedef struct {
    nmq_peer peer; // its address is the key
    uint32_t count;
} address_count;

void
nmq_gate_init(nmq_gate *gate, const nmq_log *log, nmq_counters *counters,
              const nmq_options *options, nmq_bans *bans)
{
    *gate = (nmq_gate){
        .log = log,
        .counters = counters,
        .options = options,
        .bans = bans,
    };
    (void) pthread_mutex_init(&gate->lock, NULL);
}

void
nmq_gate_fini(nmq_gate *gate)
{
    nmq_map_free(&gate->addresses); // nobody is connected: it is empty
    (void) pthread_mutex_destroy(&gate->lock);
}

static int
copy(const char *text, nmq_bytes *out)
{
    return text != NULL ? nmq_bytes_copy(nmq_bytes_of(text), out) : NMQ_OK;
}

// Reads proxy_from; NULL: anybody. Returns NMQ_OK, NMQ_EINVAL or NMQ_ENOMEM.
static int
read_networks(const char *text, nmq_listener_settings *s)
{
    size_t most = 1;

    if (text == NULL) {
        return NMQ_OK;
    }
    for (const char *at = text; *at != 0; at++) {
        most += *at == ',';
    }
    s->proxy_from = nmq_zalloc(most * sizeof *s->proxy_from);
    if (s->proxy_from == NULL) {
        return NMQ_ENOMEM;
    }
    while (text != NULL && *text != 0) {
        text = nmq_network_read(text, &s->proxy_from[s->proxy_from_count++]);
    }
    return text != NULL ? NMQ_OK : NMQ_EINVAL;
}

int
nmq_listener_settings_new(const nmq_listener_options *options, nmq_listener_settings **out)
{
    nmq_listener_settings *s = nmq_zalloc(sizeof *s);
    int rv;

    if (s == NULL) {
        return NMQ_ENOMEM;
    }
    s->refs = 1;
    s->connections_max = options->connections_max;
    s->ask_auth = options->ask_auth;
    s->user_name_from = options->user_name_from;
    s->unlogged = options->unlogged;
    s->proxy = options->proxy;
    if ((rv = copy(options->url, &s->url)) != NMQ_OK ||
        (rv = copy(options->path, &s->path)) != NMQ_OK ||
        (rv = copy(options->mount, &s->mount)) != NMQ_OK ||
        (rv = read_networks(options->proxy_from, s)) != NMQ_OK) {
        nmq_listener_settings_unref(s);
        return rv;
    }
    *out = s;
    return NMQ_OK;
}

void
nmq_listener_settings_unref(nmq_listener_settings *settings)
{
    if (settings != NULL && __atomic_sub_fetch(&settings->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_free((void *) (uintptr_t) settings->url.at);
        nmq_free((void *) (uintptr_t) settings->path.at);
        nmq_free((void *) (uintptr_t) settings->mount.at);
        nmq_free(settings->proxy_from);
        nmq_free(settings);
    }
}

nmq_listener_settings *
nmq_listener_now(nmq_listener *listener)
{
    (void) pthread_mutex_lock(&listener->gate->lock);
    nmq_listener_settings *settings = listener->settings;
    (void) __atomic_add_fetch(&settings->refs, 1, __ATOMIC_RELAXED);
    (void) pthread_mutex_unlock(&listener->gate->lock);
    return settings;
}

void
nmq_listener_set(nmq_listener *listener, nmq_listener_settings *settings)
{
    (void) pthread_mutex_lock(&listener->gate->lock);
    nmq_listener_settings *old = listener->settings;
    listener->settings = settings;
    (void) pthread_mutex_unlock(&listener->gate->lock);
    nmq_listener_settings_unref(old);
}

int
nmq_listener_new(nmq_gate *gate, const nmq_listener_options *options, nmq_listener **out)
{
    nmq_listener *l = nmq_zalloc(sizeof *l);

    if (l == NULL) {
        return NMQ_ENOMEM;
    }
    l->gate = gate;
    l->refs = 1;
    l->key = options->key;
    int rv = nmq_listener_settings_new(options, &l->settings);
    if (rv != NMQ_OK) {
        nmq_free(l);
        return rv;
    }
    *out = l;
    return NMQ_OK;
}

nmq_listener *
nmq_listener_ref(nmq_listener *listener)
{
    (void) __atomic_add_fetch(&listener->refs, 1, __ATOMIC_RELAXED);
    return listener;
}

void
nmq_listener_unref(nmq_listener *listener)
{
    if (listener != NULL && __atomic_sub_fetch(&listener->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_listener_settings_unref(listener->settings);
        nmq_free(listener);
    }
}

// Adds one unless that would be more than max (0: no bound).
static bool
count_in(uint32_t *count, uint32_t max)
{
    if (__atomic_add_fetch(count, 1, __ATOMIC_RELAXED) > max && max != 0) {
        (void) __atomic_sub_fetch(count, 1, __ATOMIC_RELAXED);
        return false;
    }
    return true;
}

static nmq_bytes
key_of(const nmq_peer *peer)
{
    return (nmq_bytes){peer->address, peer->address_len};
}

// Call with the gate's lock. Returns whether there was room; there is none when memory is
// out.
static bool
add_address(nmq_gate *gate, const nmq_peer *peer, uint32_t max)
{
    address_count *entry = nmq_map_get(&gate->addresses, key_of(peer));

    if (entry == NULL) {
        entry = nmq_zalloc(sizeof *entry);
        if (entry == NULL) {
            return false;
        }
        entry->peer = *peer;
        if (nmq_map_put(&gate->addresses, key_of(&entry->peer), entry) != NMQ_OK) {
            nmq_free(entry);
            return false;
        }
    }
    bool room = entry->count < max;
    entry->count += room;
    return room;
}

static void
count_refusal(nmq_listener *listener, enum nmq_count why)
{
    (void) __atomic_add_fetch(&listener->refused, 1, __ATOMIC_RELAXED);
    nmq_counters_add(listener->gate->counters, why, 1);
}

static bool
is_banned(nmq_listener *listener, const nmq_peer *peer)
{
    if (!nmq_bans_has_peer(listener->gate->bans, peer, nmq_clock_wall_ms())) {
        return false;
    }
    nmq_log_write(listener->gate->log, NMQ_LOG_INFO, "%s: refused: its address is banned",
                  nmq_peer_name(peer).text);
    count_refusal(listener, NMQ_COUNT_REFUSED_BANNED);
    return true;
}

bool
nmq_listener_admit_address(nmq_listener *listener, nmq_peer *peer)
{
    nmq_gate *gate = listener->gate;
    uint32_t max = NMQ_LIVE(gate->options->address_connections_max);

    peer->counted = false;
    if (is_banned(listener, peer)) {
        return false;
    }
    if (max == 0 || peer->address_len == 0) {
        return true;
    }
    (void) pthread_mutex_lock(&gate->lock);
    peer->counted = add_address(gate, peer, max);
    (void) pthread_mutex_unlock(&gate->lock);
    if (!peer->counted) {
        count_refusal(listener, NMQ_COUNT_REFUSED_ADDRESS);
    }
    return peer->counted;
}

void
nmq_listener_leave_address(nmq_listener *listener, const nmq_peer *peer)
{
    nmq_gate *gate = listener->gate;

    if (!peer->counted) {
        return;
    }
    (void) pthread_mutex_lock(&gate->lock);
    address_count *entry = nmq_map_get(&gate->addresses, key_of(peer));
    if (entry != NULL && --entry->count == 0) {
        (void) nmq_map_del(&gate->addresses, key_of(peer));
        nmq_free(entry);
    }
    (void) pthread_mutex_unlock(&gate->lock);
}

// Whether the peer may send PROXY headers: bounds and access rules then hold for the
// address that it names. A peer on a Unix socket may, since the socket's file let it in.
static bool
may_proxy(const nmq_listener_settings *settings, const nmq_peer *peer)
{
    bool any = settings->proxy_from_count == 0 || peer->address_len == 0;

    for (size_t i = 0; !any && i < settings->proxy_from_count; i++) {
        any = nmq_peer_is_in(peer, &settings->proxy_from[i]);
    }
    return any;
}

static bool
refuse_proxy(nmq_listener *listener, const nmq_peer *peer)
{
    nmq_log_write(listener->gate->log,
                  nmq_gate_refusal_level(listener->gate, NMQ_REFUSAL_PROXY),
                  "%s: refused: not a proxy that is trusted", nmq_peer_name(peer).text);
    (void) __atomic_add_fetch(&listener->refused, 1, __ATOMIC_RELAXED);
    return false;
}

bool
nmq_listener_admit(nmq_listener *listener, nmq_peer *peer)
{
    nmq_gate *gate = listener->gate;

    (void) pthread_mutex_lock(&gate->lock);
    uint32_t max = listener->settings->connections_max;
    bool proxy = listener->settings->proxy;
    bool trusted = !proxy || may_proxy(listener->settings, peer);
    (void) pthread_mutex_unlock(&gate->lock);
    peer->counted = false;
    if (!trusted) {
        return refuse_proxy(listener, peer);
    }
    if (!count_in(&gate->open, NMQ_LIVE(gate->options->connections_max))) {
        count_refusal(listener, NMQ_COUNT_REFUSED_CONNECTIONS);
        return false;
    }
    if (!count_in(&listener->open, max)) {
        (void) __atomic_sub_fetch(&gate->open, 1, __ATOMIC_RELAXED);
        count_refusal(listener, NMQ_COUNT_REFUSED_LISTENER);
        return false;
    }
    if (!proxy && !nmq_listener_admit_address(listener, peer)) {
        nmq_listener_leave(listener, peer);
        return false;
    }
    (void) __atomic_add_fetch(&listener->accepted, 1, __ATOMIC_RELAXED);
    nmq_peak_raise(&gate->open_max, NMQ_LIVE(gate->open));
    return true;
}

void
nmq_listener_leave(nmq_listener *listener, const nmq_peer *peer)
{
    nmq_gate *gate = listener->gate;

    (void) __atomic_sub_fetch(&gate->open, 1, __ATOMIC_RELAXED);
    (void) __atomic_sub_fetch(&listener->open, 1, __ATOMIC_RELAXED);
    nmq_listener_leave_address(listener, peer);
}

int
nmq_gate_refusal_level(nmq_gate *gate, enum nmq_refusal what)
{
    return nmq_log_is_due(&gate->refused_ms[what], nmq_clock_now_ms()) ? NMQ_LOG_WARNING
                                                                       : NMQ_LOG_INFO;
}

void
nmq_gate_starved(nmq_gate *gate)
{
    int64_t now_ms = nmq_clock_now_ms();
    int64_t last_ms = __atomic_load_n(&gate->starved_ms, __ATOMIC_RELAXED);

    nmq_counters_add(gate->counters, NMQ_COUNT_STARVED, 1);
    if ((last_ms == 0 || now_ms - last_ms >= STARVED_WARNING_MS) &&
        __atomic_compare_exchange_n(&gate->starved_ms, &last_ms, now_ms, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        nmq_log_write(gate->log, NMQ_LOG_WARNING,
                      "connections wait: the process is out of descriptors or memory");
    }
}
