#include "route/registry.h"

#include "base/clock.h"
#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"

enum { STEP = 1024 }; // clients visited before others get the lock

void
nmq_registry_init(nmq_registry *registry, nmq_counters *counters,
                  const nmq_options *options, const uint8_t *memory)
{
    *registry = (nmq_registry){.counters = counters, .options = options, .memory = memory};
    registry->places.entry_bytes = sizeof(nmq_client *);
    (void) pthread_mutex_init(&registry->lock, NULL);
}

nmq_client *
nmq_registry_next(const nmq_registry *registry, uint32_t *at)
{
    uint32_t place = nmq_places_next(&registry->places, *at);
    nmq_client **entry = nmq_places_at(&registry->places, place);

    if (entry == NULL) {
        return NULL;
    }
    *at = place + 1;
    return *entry;
}

void
nmq_registry_fini(nmq_registry *registry)
{
    uint32_t at = 0;
    nmq_client *client;

    while ((client = nmq_registry_next(registry, &at)) != NULL) {
        // Timers that were armed held a reference each; nothing runs any more.
        client->refs = 1;
        nmq_client_unref(client);
    }
    nmq_places_free(&registry->places);
    nmq_map_free(&registry->clients);
    (void) pthread_mutex_destroy(&registry->lock);
}

int
nmq_registry_room(nmq_registry *registry)
{
    uint32_t max = NMQ_LIVE(registry->options->sessions_max);
    bool full = max != 0 && registry->clients.count >= max;
    bool is_short = NMQ_LIVE(*registry->memory) != NMQ_MEMORY_FINE;

    nmq_counters_add(registry->counters, NMQ_COUNT_REFUSED_SESSIONS, full);
    nmq_counters_add(registry->counters, NMQ_COUNT_MEMORY_REFUSED, !full && is_short);
    return full ? NMQ_ETOOBIG : is_short ? NMQ_ESHORT : NMQ_OK;
}

int
nmq_registry_add(nmq_registry *registry, nmq_client *client)
{
    if (nmq_places_put(&registry->places, &client, &client->place) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    if (nmq_map_put(&registry->clients, client->session->client_id, client) != NMQ_OK) {
        nmq_places_del(&registry->places, client->place);
        return NMQ_ENOMEM;
    }
    if (client->number > registry->latest) {
        registry->latest = client->number;
    }
    if (registry->clients.count > registry->clients_max) {
        registry->clients_max = registry->clients.count;
    }
    return NMQ_OK;
}

void
nmq_registry_remove(nmq_registry *registry, nmq_client *client)
{
    (void) nmq_map_del(&registry->clients, client->session->client_id);
    nmq_places_del(&registry->places, client->place);
}

nmq_client *
nmq_registry_find(nmq_registry *registry, nmq_bytes client_id)
{
    (void) pthread_mutex_lock(&registry->lock);
    nmq_client *client = nmq_map_get(&registry->clients, client_id);
    if (client != NULL) {
        (void) nmq_client_ref(client);
    }
    (void) pthread_mutex_unlock(&registry->lock);
    return client;
}

int
nmq_registry_all(nmq_registry *registry, nmq_client ***out)
{
    uint32_t at = 0;
    size_t n = 0;
    nmq_client *client;

    (void) pthread_mutex_lock(&registry->lock);
    size_t most = registry->clients.count;
    nmq_client **all = nmq_alloc(most * sizeof(nmq_client *));
    // Numbers rise: who comes meanwhile has a greater one, and leaves the room to the
    // others.
    uint64_t latest = registry->latest;
    for (size_t visits = 1;
         all != NULL && n < most && (client = nmq_registry_next(registry, &at)) != NULL;
         visits++) {
        if (client->number <= latest) {
            all[n++] = nmq_client_ref(client);
        }
        if (visits % STEP == 0) {
            (void) pthread_mutex_unlock(&registry->lock);
            nmq_clock_pause();
            (void) pthread_mutex_lock(&registry->lock);
        }
    }
    (void) pthread_mutex_unlock(&registry->lock);
    if (all == NULL) {
        return NMQ_ENOMEM;
    }
    *out = all;
    return (int) n;
}

void
nmq_registry_stats(nmq_registry *registry, nmq_stats *out)
{
    const nmq_client_counts *counts = &registry->counts;

    out->connected = __atomic_load_n(&counts->connected, __ATOMIC_RELAXED);
    out->subscribers = __atomic_load_n(&counts->subscribers, __ATOMIC_RELAXED);
    out->connected_max = NMQ_LIVE(counts->connected_max);
    out->subscribers_max = NMQ_LIVE(counts->subscribers_max);
    (void) pthread_mutex_lock(&registry->lock);
    out->clients = registry->clients.count;
    out->clients_max = registry->clients_max;
    (void) pthread_mutex_unlock(&registry->lock);
    out->disconnected = out->clients > out->connected ? out->clients - out->connected : 0;
}
