// broker.c - puts the parts together, and implements nmq.h.
#include "broker.h"

#include <string.h>

#include "base/descriptors.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/acceptor.h"
#include "io/tls_guard.h"
#include "mqtt/reason.h"
#include "mqtt/varint.h"
#include "net/listeners.h"
#include "route/event.h"
#include "route/handover.h"
#include "route/registry_list.h"
#include "route/retained.h"
#include "route/revoke.h"
#include "route/snapshot.h"
#include "route/subscriptions.h"

struct nmq_broker {
    nmq_options options; // NMQ_LIVE; its texts are NULL
    nmq_counters counters;
    nmq_events events;
    nmq_log log;
    nmq_clock *clock;
    nmq_router router;
    nmq_conns conns;
    nmq_listeners listeners;
    pthread_mutex_t lock;
    nmq_client **taps; // lock; a reference each
    size_t tap_count;  // lock
};

// Puts options in force that fit. Returns NMQ_OK or NMQ_ENOMEM.
static int
use_options(nmq_broker *b, const nmq_options *options)
{
    nmq_bytes information = {0};

    if (options->response_information != NULL &&
        nmq_bytes_copy(nmq_bytes_of(options->response_information), &information) !=
            NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_conns_set_response_information(&b->conns, information);
    nmq_options_take(&b->options, options);
    nmq_log_set_level(&b->log, options->log_level);
    return NMQ_OK;
}

int
nmq_nng_guard_tls(void)
{
    return nmq_tls_guard();
}

int
nmq_broker_new_over(const nmq_options *options, nmq_listen_fn *listen, nmq_broker **out)
{
    if (!nmq_options_fit(options)) {
        return NMQ_EINVAL;
    }
    nmq_broker *b = nmq_zalloc(sizeof *b);
    if (b == NULL) {
        return NMQ_ENOMEM;
    }
    (void) pthread_mutex_init(&b->lock, NULL);
    b->log = (nmq_log){nmq_event_log, &b->events, options->log_level};
    int rv = nmq_events_init(&b->events, &b->counters);
    if (rv == NMQ_OK) {
        rv = nmq_clock_new(&b->clock);
    }
    b->router.log = &b->log;
    b->router.events = &b->events;
    b->router.counters = &b->counters;
    b->router.options = &b->options;
    b->router.clock = b->clock;
    nmq_conns_init(&b->conns, &b->router, &b->options);
    nmq_listeners_init(&b->listeners, &b->conns,
                       listen != NULL ? listen : nmq_acceptor_listen);
    if (rv == NMQ_OK) {
        rv = use_options(b, options);
    }
    if (rv == NMQ_OK) {
        rv = nmq_router_init(&b->router);
    }
    if (rv != NMQ_OK) {
        nmq_broker_free(b);
        return rv;
    }
    *out = b;
    return NMQ_OK;
}

int
nmq_broker_set_options(nmq_broker *broker, const nmq_options *options)
{
    uint32_t retry_interval_s = NMQ_LIVE(broker->options.retry_interval_s);

    if (!nmq_options_fit(options)) {
        return NMQ_EINVAL;
    }
    int rv = use_options(broker, options);
    if (rv == NMQ_OK) {
        nmq_registry_use_limits(&broker->router);
    }
    if (rv == NMQ_OK && options->retry_interval_s != retry_interval_s) {
        nmq_conns_look_again(&broker->conns);
    }
    return rv;
}

int
nmq_broker_new(const nmq_options *options, nmq_broker **out)
{
    return nmq_broker_new_over(options, NULL, out);
}

int
nmq_broker_listen(nmq_broker *broker, const nmq_listener_options *options, uint32_t *number,
                  uint32_t *port)
{
    return nmq_listeners_open(&broker->listeners, options, number, port);
}

int
nmq_broker_accept(nmq_broker *broker, uint32_t number)
{
    return nmq_listeners_start(&broker->listeners, number);
}

int
nmq_broker_unlisten(nmq_broker *broker, uint32_t number)
{
    return nmq_listeners_close(&broker->listeners, number);
}

void
nmq_broker_disconnect(nmq_broker *broker, uint32_t number, uint8_t reason_code)
{
    nmq_conns_disconnect(&broker->conns, number, reason_code);
}

int
nmq_broker_set_listener(nmq_broker *broker, uint32_t number,
                        const nmq_listener_options *options)
{
    return nmq_listeners_set(&broker->listeners, number, options);
}

int
nmq_broker_remount(nmq_broker *broker, uint32_t number)
{
    return nmq_listeners_remount(&broker->listeners, number);
}

int
nmq_broker_set_tls(nmq_broker *broker, uint32_t number, const nmq_tls *tls)
{
    return nmq_listeners_set_tls(&broker->listeners, number, tls);
}

int
nmq_broker_listener_stats(nmq_broker *broker, uint32_t number, nmq_listener_stats *out)
{
    return nmq_listeners_stats(&broker->listeners, number, out);
}

void
nmq_broker_shutdown(nmq_broker *broker, uint32_t timeout_ms)
{
    __atomic_store_n(&broker->router.stopping, true, __ATOMIC_RELAXED);
    nmq_listeners_close_all(&broker->listeners);
    nmq_conns_close_all(&broker->conns, NMQ_RC_SERVER_SHUTTING_DOWN, timeout_ms);
}

int
nmq_broker_save(nmq_broker *broker, int fd)
{
    return nmq_handover_save(&broker->router, fd);
}

int
nmq_broker_restore(nmq_broker *broker, const char *bytes, size_t len)
{
    return nmq_handover_restore(&broker->router, (nmq_bytes){(const uint8_t *) bytes, len});
}

static void
drop_timer(nmq_timer *timer)
{
    (void) timer; // its owner is freed with the registry
}

void
nmq_broker_free(nmq_broker *broker)
{
    if (broker == NULL) {
        return;
    }
    nmq_broker_shutdown(broker, 0);
    for (size_t i = 0; i < broker->tap_count; i++) {
        nmq_client_unref(broker->taps[i]);
    }
    nmq_clock_free(broker->clock, drop_timer);
    nmq_router_fini(&broker->router);
    nmq_events_fini(&broker->events);
    nmq_conns_fini(&broker->conns);
    nmq_free(broker->taps);
    nmq_listeners_fini(&broker->listeners);
    (void) pthread_mutex_destroy(&broker->lock);
    nmq_free(broker);
}

static nmq_bytes
slice(const char *at, size_t len)
{
    return (nmq_bytes){(const uint8_t *) at, len};
}

int
nmq_broker_publish(nmq_broker *broker, const char *topic_name, size_t topic_len,
                   const char *payload, size_t payload_len, uint8_t qos, bool retain)
{
    nmq_message_parts parts = {
        .topic_name = slice(topic_name, topic_len),
        .payload = slice(payload, payload_len),
        .qos = qos,
        .retain = retain,
    };

    if (!nmq_utf8_check(parts.topic_name) || !nmq_topic_check(parts.topic_name)) {
        return NMQ_ETOPIC;
    }
    if (qos > 2) {
        return NMQ_EINVAL;
    }
    if (payload_len > NMQ_VARINT_MAX - 2 - topic_len) {
        return NMQ_ETOOBIG;
    }
    nmq_message *message = nmq_message_new(&parts);
    if (message == NULL) {
        return NMQ_ENOMEM;
    }
    unsigned taken = nmq_router_publish_message(&broker->router, NULL, message);
    nmq_message_unref(message);
    nmq_conns_relieve(&broker->conns);
    return (int) taken;
}

int
nmq_broker_kick(nmq_broker *broker, const char *client_id, size_t client_id_len,
                uint8_t reason_code)
{
    nmq_client *client =
        nmq_registry_find(&broker->router, slice(client_id, client_id_len));
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
nmq_broker_answer(nmq_broker *broker, const nmq_answer *answer)
{
    return nmq_conns_answer(&broker->conns, answer);
}

void
nmq_broker_set_acl(nmq_broker *broker, nmq_acl *acl)
{
    nmq_router_set_acl(&broker->router, acl);
}

int
nmq_broker_judge(nmq_broker *broker)
{
    return nmq_revoke_rights(&broker->router);
}

int
nmq_broker_kick_users(nmq_broker *broker, const nmq_kick *whom)
{
    return nmq_revoke_users(&broker->router, whom);
}

// --- taps and events

static int
add_tap(nmq_broker *broker, nmq_client *tap)
{
    (void) pthread_mutex_lock(&broker->lock);
    size_t size = (broker->tap_count + 1) * sizeof *broker->taps;
    nmq_client **grown = nmq_resize(broker->taps, size);
    if (grown != NULL) {
        broker->taps = grown;
        grown[broker->tap_count++] = tap;
    }
    (void) pthread_mutex_unlock(&broker->lock);
    return grown != NULL ? NMQ_OK : NMQ_ENOMEM;
}

static nmq_client *
take_tap(nmq_broker *broker, uint64_t number)
{
    nmq_client *tap = NULL;

    (void) pthread_mutex_lock(&broker->lock);
    for (size_t i = 0; i < broker->tap_count && tap == NULL; i++) {
        if (broker->taps[i]->number == number) {
            tap = broker->taps[i];
            broker->taps[i] = broker->taps[--broker->tap_count];
        }
    }
    (void) pthread_mutex_unlock(&broker->lock);
    return tap;
}

int
nmq_broker_tap_open(nmq_broker *broker, const char *filter, size_t filter_len, uint8_t qos,
                    uint64_t *number)
{
    nmq_router *router = &broker->router;
    nmq_bytes text = slice(filter, filter_len);
    nmq_filter parsed;
    // A tap sees the RETAIN flag as it was published.
    uint8_t options = (uint8_t) (qos | NMQ_SUB_RETAIN_AS_PUBLISHED);

    if (qos > 2 || !nmq_utf8_check(text) || nmq_filter_parse(text, &parsed) != NMQ_OK) {
        return qos > 2 ? NMQ_EINVAL : NMQ_EFILTER;
    }
    nmq_client *tap = nmq_client_new(router, nmq_bytes_of("tap"));
    if (tap == NULL) {
        return NMQ_ENOMEM;
    }
    tap->is_tap = true;
    *number = tap->number;
    int rv = nmq_router_subscribe(router, tap, &parsed, options, 0);
    if (rv >= 0) {
        rv = add_tap(broker, tap);
    }
    if (rv < 0) {
        nmq_registry_end(router, tap);
        return rv;
    }
    if (parsed.group.at == NULL) {
        nmq_retained_tap(router, tap, parsed.filter, options);
    }
    return NMQ_OK;
}

int
nmq_broker_tap_close(nmq_broker *broker, uint64_t number)
{
    nmq_client *tap = take_tap(broker, number);

    if (tap == NULL) {
        return NMQ_ENOENT;
    }
    nmq_registry_end(&broker->router, tap);
    return NMQ_OK;
}

int
nmq_broker_event_fd(nmq_broker *broker)
{
    return nmq_ring_fd(broker->events.ring);
}

size_t
nmq_broker_events(nmq_broker *broker, nmq_event *events, size_t most)
{
    return nmq_ring_take(broker->events.ring, events, most);
}

void
nmq_broker_event_done(nmq_event *event)
{
    if (event->kind == NMQ_EVENT_AUTH && event->text != NULL) {
        explicit_bzero(event->text, event->text_len);
    }
    nmq_event_fini(event);
}

void
nmq_event_message(const nmq_event *event, nmq_message_view *out)
{
    nmq_bytes topic = nmq_message_topic(event->message);
    nmq_bytes payload = nmq_message_payload(event->message);

    *out = (nmq_message_view){
        .topic_name = (const char *) topic.at,
        .topic_len = topic.len,
        .payload = (const char *) payload.at,
        .payload_len = payload.len,
        .qos = event->message->qos,
        .retain = event->message->retain,
    };
}

// One length and text of what put_question (serve/auth.c) wrote.
static const char *
next_text(const char **at, size_t *len)
{
    uint32_t size;

    memcpy(&size, *at, sizeof size);
    *at += sizeof size;
    if (size == UINT32_MAX) {
        *len = 0;
        return NULL;
    }
    const char *text = *at;
    *len = size;
    *at += size;
    return text;
}

void
nmq_event_auth(const nmq_event *event, nmq_credentials *out)
{
    const char *at = event->text;

    memcpy(&out->listener, at, sizeof out->listener);
    at += sizeof out->listener;
    out->address = next_text(&at, &out->address_len);
    out->client_id = next_text(&at, &out->client_id_len);
    out->user_name = next_text(&at, &out->user_name_len);
    out->password = next_text(&at, &out->password_len);
    out->method = next_text(&at, &out->method_len);
    out->data = next_text(&at, &out->data_len);
}

// --- snapshots

void
nmq_broker_stats(nmq_broker *broker, nmq_stats *out)
{
    nmq_router *router = &broker->router;

    nmq_metrics_sum(&broker->counters, out);
    out->held_bytes = nmq_held_bytes();
    out->connected = __atomic_load_n(&router->connected, __ATOMIC_RELAXED);
    out->subscribers = __atomic_load_n(&router->subscribers, __ATOMIC_RELAXED);
    nmq_lane *lane = nmq_lanes_enter(router->lanes);
    out->subscriptions = nmq_tree_count(router->tree);
    out->shared_subscriptions = nmq_tree_shared_count(router->tree);
    nmq_lanes_leave(lane);
    nmq_message_totals(&out->stored, &out->stored_bytes);
    (void) pthread_mutex_lock(&router->registry_lock);
    out->clients = router->clients.count;
    out->clients_max = router->clients_max;
    (void) pthread_mutex_unlock(&router->registry_lock);
    out->disconnected = out->clients > out->connected ? out->clients - out->connected : 0;
    (void) pthread_mutex_lock(&router->retain_lock);
    out->retained = nmq_retain_count(router->retain);
    (void) pthread_mutex_unlock(&router->retain_lock);
}

uint64_t
nmq_heap_bytes(void)
{
    return nmq_mem_heap();
}

uint64_t
nmq_held_bytes(void)
{
    return nmq_mem_held() + nmq_mem_foreign_held();
}

void
nmq_set_other_bytes(uint64_t bytes)
{
    nmq_mem_set_other(bytes);
}

void
nmq_broker_memory(nmq_broker *broker, nmq_memory *out)
{
    nmq_conns_memory(&broker->conns, out);
}

bool
nmq_has_descriptors(uint32_t keep)
{
    return nmq_descriptors_left(keep);
}

void
nmq_trim_memory(void)
{
    nmq_mem_trim();
}

void
nmq_set_arenas(uint32_t count)
{
    nmq_mem_set_arenas((int) count);
}

void
nmq_set_dumpable(bool dumpable)
{
    nmq_mem_set_dumpable(dumpable);
}

int
nmq_snapshot_new(nmq_broker *broker, nmq_snapshot **out)
{
    return nmq_router_snapshot(&broker->router, out);
}
