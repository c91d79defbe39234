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
#include "net/close_all.h"
#include "net/listeners.h"
#include "net/memory.h"
#include "net/timers.h"
#include "route/event.h"
#include "route/handover.h"
#include "route/registry_list.h"
#include "route/retained.h"
#include "route/revoke.h"
#include "route/snapshot.h"
#include "route/subscriptions.h"
#include "serve/auth.h"
#include "serve/mount.h"
#include "serve/question.h"
#include "serve/server.h"

struct nmq_broker {
    nmq_options options; // NMQ_LIVE, but for response_information and log_level: NULL, 0
    nmq_counters counters;
    nmq_events events;
    nmq_log log;
    nmq_clock *clock;
    nmq_router router;
    nmq_server server;
    nmq_conns conns;
    nmq_listeners listeners;
    pthread_mutex_t lock;
    nmq_client **taps; // lock; a reference each
    size_t tap_count;  // lock
};

static bool
options_fit(const nmq_options *o)
{
    const uint32_t packet_max = NMQ_VARINT_MAX + 5;

    return o->window >= 1 && o->window <= UINT16_MAX && o->queue_max >= 1 &&
           o->packet_max_bytes >= 128 && o->packet_max_bytes <= packet_max &&
           o->send_packet_max_bytes >= 128 && o->send_packet_max_bytes <= packet_max &&
           o->topic_levels_max >= 1 && o->topic_alias_max <= UINT16_MAX &&
           o->send_topic_alias_max <= UINT16_MAX && o->receive_maximum >= 1 &&
           o->receive_maximum <= UINT16_MAX && o->keep_alive_max_s <= UINT16_MAX &&
           o->qos_max <= 2 && o->outbox_max_bytes >= 1024;
}

// One field of what others read meanwhile.
#define TAKE(field) NMQ_LIVE_SET(to->field, from->field)

static void
take_options(nmq_options *to, const nmq_options *from)
{
    TAKE(window);
    TAKE(queue_max);
    TAKE(queue_max_bytes);
    TAKE(subscriptions_max);
    TAKE(message_rate);
    TAKE(byte_rate);
    TAKE(connections_max);
    TAKE(address_connections_max);
    TAKE(memory_max_bytes);
    TAKE(sessions_max);
    TAKE(retained_max);
    TAKE(retained_max_bytes);
    TAKE(client_id_max_bytes);
    TAKE(connect_max_bytes);
    TAKE(keep_alive_max_s);
    TAKE(groups_max);
    TAKE(filters_max);
    TAKE(packet_max_bytes);
    TAKE(send_packet_max_bytes);
    TAKE(user_properties_max);
    TAKE(topic_levels_max);
    TAKE(topic_alias_max);
    TAKE(send_topic_alias_max);
    TAKE(receive_maximum);
    TAKE(outbox_max_bytes);
    TAKE(hold_ms);
    TAKE(connect_timeout_ms);
    TAKE(keep_alive_permille);
    TAKE(retry_interval_s);
    TAKE(expiry_max_s);
    TAKE(answer_timeout_ms);
    TAKE(qos_max);
    TAKE(retain_available);
    TAKE(wildcards_available);
    TAKE(shared_available);
    TAKE(subscription_ids_available);
    TAKE(strict_client_ids);
    TAKE(empty_client_ids);
}

static void
take_limits(nmq_limits *to, const nmq_options *from)
{
    TAKE(window);
    TAKE(queue_max);
    TAKE(queue_max_bytes);
    TAKE(subscriptions_max);
    TAKE(memory_max_bytes);
    TAKE(sessions_max);
    TAKE(retained_max);
    TAKE(retained_max_bytes);
    TAKE(groups_max);
    TAKE(outbox_max_bytes);
    TAKE(hold_ms);
    TAKE(send_packet_max_bytes);
    TAKE(retain_available);
}

#undef TAKE

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
    nmq_server_set_response_information(&b->server, information);
    take_options(&b->options, options);
    take_limits(&b->router.limits, options);
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
    if (!options_fit(options)) {
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
    b->router.clock = b->clock;
    nmq_server_init(&b->server);
    nmq_conns_init(&b->conns, &b->router, &b->options, &nmq_server_role, &b->server);
    nmq_memory_init(&b->conns);
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

    if (!options_fit(options)) {
        return NMQ_EINVAL;
    }
    int rv = use_options(broker, options);
    if (rv == NMQ_OK) {
        nmq_registry_use_limits(&broker->router);
    }
    if (rv == NMQ_OK && options->retry_interval_s != retry_interval_s) {
        nmq_timers_look_again(&broker->conns);
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
    nmq_close_listener(&broker->conns, number, reason_code);
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
    nmq_listener *listener = nmq_listeners_find(&broker->listeners, number);

    if (listener == NULL) {
        return NMQ_ENOENT;
    }
    int rv = nmq_mount_move_all(&broker->router, listener);
    nmq_listener_unref(listener);
    return rv;
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
    nmq_close_all(&broker->conns, NMQ_RC_SERVER_SHUTTING_DOWN, timeout_ms);
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
    nmq_server_fini(&broker->server);
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
    nmq_memory_check(&broker->conns);
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
    return nmq_auth_answer(&broker->conns, answer);
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

void
nmq_event_auth(const nmq_event *event, nmq_credentials *out)
{
    nmq_question_read(event->text, out);
}

// --- snapshots

void
nmq_broker_stats(nmq_broker *broker, nmq_stats *out)
{
    nmq_router *router = &broker->router;
    const nmq_counters *c = &broker->counters;

    *out = (nmq_stats){
        .messages_in = nmq_counters_sum(c, NMQ_COUNT_MESSAGES_IN),
        .messages_out = nmq_counters_sum(c, NMQ_COUNT_MESSAGES_OUT),
        .messages_dropped = nmq_counters_sum(c, NMQ_COUNT_MESSAGES_DROPPED),
        .packets_in = nmq_counters_sum(c, NMQ_COUNT_PACKETS_IN),
        .packets_out = nmq_counters_sum(c, NMQ_COUNT_PACKETS_OUT),
        .payload_in = nmq_counters_sum(c, NMQ_COUNT_PAYLOAD_IN),
        .payload_out = nmq_counters_sum(c, NMQ_COUNT_PAYLOAD_OUT),
        .sessions_expired = nmq_counters_sum(c, NMQ_COUNT_SESSIONS_EXPIRED),
        .bytes_in = nmq_counters_sum(c, NMQ_COUNT_BYTES_IN),
        .bytes_out = nmq_counters_sum(c, NMQ_COUNT_BYTES_OUT),
        .connects = nmq_counters_sum(c, NMQ_COUNT_CONNECTS),
        .connections_accepted = nmq_counters_sum(c, NMQ_COUNT_CONNECTIONS_ACCEPTED),
        .connections_open = nmq_counters_sum(c, NMQ_COUNT_CONNECTIONS_OPEN),
        .events_dropped = nmq_counters_sum(c, NMQ_COUNT_EVENTS_DROPPED),
        .held_bytes = nmq_held_bytes(),
        .refused_connections = nmq_counters_sum(c, NMQ_COUNT_REFUSED_CONNECTIONS),
        .refused_listener = nmq_counters_sum(c, NMQ_COUNT_REFUSED_LISTENER),
        .refused_address = nmq_counters_sum(c, NMQ_COUNT_REFUSED_ADDRESS),
        .starved = nmq_counters_sum(c, NMQ_COUNT_STARVED),
        .connect_timeouts = nmq_counters_sum(c, NMQ_COUNT_CONNECT_TIMEOUTS),
        .keep_alive_timeouts = nmq_counters_sum(c, NMQ_COUNT_KEEP_ALIVE_TIMEOUTS),
        .packets_too_large = nmq_counters_sum(c, NMQ_COUNT_PACKETS_TOO_LARGE),
        .topics_too_deep = nmq_counters_sum(c, NMQ_COUNT_TOPICS_TOO_DEEP),
        .subscriptions_refused = nmq_counters_sum(c, NMQ_COUNT_SUBSCRIPTIONS_REFUSED),
        .receive_max_exceeded = nmq_counters_sum(c, NMQ_COUNT_RECEIVE_MAX_EXCEEDED),
        .queue_full = nmq_counters_sum(c, NMQ_COUNT_QUEUE_FULL),
        .rate_waits = nmq_counters_sum(c, NMQ_COUNT_RATE_WAITS),
        .slow_consumers = nmq_counters_sum(c, NMQ_COUNT_SLOW_CONSUMERS),
        .memory_cuts = nmq_counters_sum(c, NMQ_COUNT_MEMORY_CUTS),
        .subscriptions_ended = nmq_counters_sum(c, NMQ_COUNT_SUBSCRIPTIONS_ENDED),
        .messages_denied = nmq_counters_sum(c, NMQ_COUNT_MESSAGES_DENIED),
        .users_ended = nmq_counters_sum(c, NMQ_COUNT_USERS_ENDED),
        .memory_shortages = nmq_counters_sum(c, NMQ_COUNT_MEMORY_SHORTAGES),
        .memory_refused = nmq_counters_sum(c, NMQ_COUNT_MEMORY_REFUSED),
        .refused_sessions = nmq_counters_sum(c, NMQ_COUNT_REFUSED_SESSIONS),
        .refused_client_ids = nmq_counters_sum(c, NMQ_COUNT_REFUSED_CLIENT_IDS),
        .refused_retained = nmq_counters_sum(c, NMQ_COUNT_REFUSED_RETAINED),
        .refused_groups = nmq_counters_sum(c, NMQ_COUNT_REFUSED_GROUPS),
        .refused_filters = nmq_counters_sum(c, NMQ_COUNT_REFUSED_FILTERS),
        .connects_too_large = nmq_counters_sum(c, NMQ_COUNT_CONNECTS_TOO_LARGE),
        .keep_alives_lowered = nmq_counters_sum(c, NMQ_COUNT_KEEP_ALIVES_LOWERED),
    };
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
    nmq_memory_report(&broker->conns, out);
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
