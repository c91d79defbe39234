// broker.c - puts the parts together, and implements nmq.h.
#include "broker_struct.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/status.h"
#include "io/listen.h"
#include "mqtt/reason.h"
#include "net/close_all.h"
#include "net/memory.h"
#include "net/timers.h"
#include "route/handover_restore.h"
#include "route/handover_save.h"
#include "route/meters.h"
#include "route/query_run.h"
#include "serve/mount.h"
#include "store/disk_folder.h"

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
    nmq_options_take(&b->options, options);
    nmq_log_set_level(&b->log, options->log_level);
    return NMQ_OK;
}

// Gives each part of the routing the services that it uses. Returns NMQ_OK or NMQ_ENOMEM.
static int
make_routing(nmq_broker *b)
{
    nmq_rules_init(&b->rules);
    b->retained = (nmq_retained){
        .rules = &b->rules,
        .watch = &b->router.watch,
        .clock = b->clock,
        .counters = &b->counters,
        .log = &b->log,
        .options = &b->options,
        .memory = &b->memory,
    };
    b->router = (nmq_router){
        .retained = &b->retained,
        .rules = &b->rules,
        .bans = b->bans,
        .notes = &b->notes,
        .log = &b->log,
        .counters = &b->counters,
        .options = &b->options,
        .memory = &b->memory,
    };
    b->sessions.router = &b->router;
    b->sessions.clock = b->clock;
    nmq_registry_init(&b->sessions.registry, &b->counters, &b->options, &b->memory);
    nmq_taps_init(&b->taps, &b->sessions);
    nmq_consumers_init(&b->consumers, &b->sessions);
    nmq_bridges_init(&b->bridges, &b->consumers, &b->memory);
    int retained = nmq_retained_init(&b->retained);
    int router = nmq_router_init(&b->router);
    return retained != NMQ_OK ? retained : router;
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
    b->log = (nmq_log){nmq_note_log, &b->notes, options->log_level};
    int rv = nmq_notes_init(&b->notes, &b->counters);
    if (rv == NMQ_OK) {
        rv = nmq_clock_new(&b->clock);
    }
    b->bans = nmq_bans_new();
    int made = make_routing(b);
    rv = rv == NMQ_OK ? made : rv;
    rv = b->bans != NULL ? rv : NMQ_ENOMEM;
    nmq_server_init(&b->server);
    nmq_conns_init(&b->conns, &b->sessions, &b->memory, &nmq_server_role, &b->server);
    nmq_memory_init(&b->conns);
    nmq_listeners_init(&b->listeners, &b->conns, listen != NULL ? listen : nmq_listen);
    if (rv == NMQ_OK) {
        rv = use_options(b, options);
    }
    if (rv != NMQ_OK) {
        nmq_broker_free(b);
        return rv;
    }
    *out = b;
    return NMQ_OK;
}

nmq_router *
nmq_broker_router(nmq_broker *broker)
{
    return &broker->router;
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
        nmq_sessions_use_options(&broker->sessions);
    }
    if (rv == NMQ_OK && options->retry_interval_s != retry_interval_s) {
        nmq_timers_look_again(&broker->conns);
    }
    return rv;
}

void
nmq_broker_conns_init(nmq_broker *broker, const nmq_role *role, void *role_arg,
                      nmq_conns *out)
{
    nmq_conns_init(out, &broker->sessions, &broker->memory, role, role_arg);
    nmq_memory_init(out);
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
    int rv = nmq_mount_move_all(&broker->sessions, listener);
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
    __atomic_store_n(&broker->sessions.stopping, true, __ATOMIC_RELAXED);
    nmq_listeners_close_all(&broker->listeners);
    nmq_close_all(&broker->conns, NMQ_RC_SERVER_SHUTTING_DOWN, timeout_ms);
    nmq_bridges_stop(&broker->bridges, timeout_ms);
}

int
nmq_broker_save(nmq_broker *broker, int fd)
{
    return nmq_handover_save(&broker->sessions, &broker->consumers, fd);
}

int
nmq_broker_restore(nmq_broker *broker, const char *bytes, size_t len)
{
    return nmq_handover_restore(&broker->sessions, &broker->consumers,
                                (nmq_bytes){(const uint8_t *) bytes, len});
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
    nmq_broker_durability_close(broker);
    nmq_taps_fini(&broker->taps);
    nmq_bridges_forget(&broker->bridges);
    nmq_consumers_fini(&broker->consumers);
    nmq_clock_free(broker->clock, drop_timer);
    nmq_registry_fini(&broker->sessions.registry);
    nmq_meters_fini(&broker->router);
    nmq_router_fini(&broker->router);
    nmq_retained_fini(&broker->retained);
    nmq_rules_fini(&broker->rules);
    nmq_notes_fini(&broker->notes);
    nmq_bridges_fini(&broker->bridges);
    nmq_conns_fini(&broker->conns);
    nmq_server_fini(&broker->server);
    nmq_listeners_fini(&broker->listeners);
    nmq_bans_free(broker->bans);
    nmq_durability_free(broker->durability);
    nmq_disk_folder_close(broker->disk);
    nmq_free(broker);
}

nmq_consumers *
nmq_broker_consumers(nmq_broker *broker)
{
    return &broker->consumers;
}

nmq_bridges *
nmq_broker_bridges(nmq_broker *broker)
{
    return &broker->bridges;
}

int
nmq_broker_tap_open(nmq_broker *broker, const char *filter, size_t filter_len, uint8_t qos,
                    uint64_t *number, nmq_feed **feed)
{
    return nmq_taps_open(&broker->taps, nmq_broker_slice(filter, filter_len), qos, number,
                         feed);
}

int
nmq_broker_tap_retained(nmq_broker *broker, uint64_t number, nmq_chunk **out)
{
    return nmq_taps_retained(&broker->taps, number, out);
}

int
nmq_broker_retained_message(nmq_broker *broker, const char *topic_name, size_t topic_len,
                            nmq_chunk **out)
{
    return nmq_taps_retained_message(&broker->taps, nmq_broker_slice(topic_name, topic_len),
                                     out);
}

int
nmq_broker_tap_close(nmq_broker *broker, uint64_t number)
{
    return nmq_taps_close(&broker->taps, number);
}

int
nmq_broker_watch_open(nmq_broker *broker, uint32_t kinds, uint64_t *number, nmq_feed **feed)
{
    return nmq_watch_open(&broker->router.watch, kinds, number, feed);
}

int
nmq_broker_watch_close(nmq_broker *broker, uint64_t number)
{
    return nmq_watch_close(&broker->router.watch, number);
}

int
nmq_broker_meter_open(nmq_broker *broker, const char *topic_name, size_t topic_len,
                      nmq_meter **out)
{
    return nmq_meters_open(&broker->router, nmq_broker_slice(topic_name, topic_len), out);
}

int
nmq_broker_meter_close(nmq_broker *broker, const char *topic_name, size_t topic_len)
{
    return nmq_meters_close(&broker->router, nmq_broker_slice(topic_name, topic_len));
}

int
nmq_broker_note_fd(nmq_broker *broker)
{
    return nmq_ring_fd(broker->notes.ring);
}

size_t
nmq_broker_notes(nmq_broker *broker, nmq_note *notes, size_t most)
{
    return nmq_ring_take(broker->notes.ring, notes, most);
}

void
nmq_broker_note_done(nmq_note *note)
{
    nmq_note_fini(note);
}

void
nmq_broker_stats(nmq_broker *broker, nmq_stats *out)
{
    nmq_metrics_sum(&broker->counters, out);
    out->held_bytes = nmq_held_bytes();
    out->connections_open = NMQ_LIVE(broker->conns.gate.open);
    nmq_message_totals(&out->stored, &out->stored_bytes);
    nmq_router_stats(&broker->router, out);
    nmq_registry_stats(&broker->sessions.registry, out);
    out->retained = nmq_retained_count(&broker->retained);
    out->retained_max = NMQ_LIVE(broker->retained.count_max);
    out->connections_max = NMQ_LIVE(broker->conns.gate.open_max);
}

void
nmq_broker_memory(nmq_broker *broker, nmq_memory *out)
{
    nmq_memory_report(&broker->conns, out);
}

int
nmq_broker_query(nmq_broker *broker, const nmq_query *query, nmq_page **out)
{
    return nmq_query_run(&broker->sessions, query, out);
}
