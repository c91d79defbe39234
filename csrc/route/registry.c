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
    (void) pthread_mutex_init(&registry->lock, NULL);
}

void
nmq_registry_fini(nmq_registry *registry)
{
    while (registry->oldest != NULL) {
        nmq_client *client = registry->oldest;
        registry->oldest = client->next;
        // Timers that were armed held a reference each; nothing runs any more.
        client->refs = 1;
        nmq_client_unref(client);
    }
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
    int rv = nmq_map_put(&registry->clients, client->session->client_id, client);

    if (rv != NMQ_OK) {
        return rv;
    }
    client->prev = registry->newest;
    *(registry->newest != NULL ? &registry->newest->next : &registry->oldest) = client;
    registry->newest = client;
    if (registry->clients.count > registry->clients_max) {
        registry->clients_max = registry->clients.count;
    }
    return NMQ_OK;
}

void
nmq_registry_remove(nmq_registry *registry, nmq_client *client)
{
    (void) nmq_map_del(&registry->clients, client->session->client_id);
    *(client->prev != NULL ? &client->prev->next : &registry->oldest) = client->next;
    *(client->next != NULL ? &client->next->prev : &registry->newest) = client->prev;
    for (nmq_walk *walk = registry->walks; walk != NULL; walk = walk->other) {
        if (walk->next == client) {
            walk->next = client->next;
        }
    }
    client->next = client->prev = NULL;
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

static void
leave_walk(nmq_registry *registry, const nmq_walk *walk)
{
    nmq_walk **at = &registry->walks;

    while (*at != walk) {
        at = &(*at)->other;
    }
    *at = walk->other;
}

int
nmq_registry_all(nmq_registry *registry, nmq_client ***out)
{
    size_t n = 0;

    (void) pthread_mutex_lock(&registry->lock);
    size_t most = registry->clients.count;
    nmq_client **all = nmq_alloc(most * sizeof *all);
    // numbers rise from the oldest to the newest: who comes meanwhile is not visited
    uint64_t last = registry->newest != NULL ? registry->newest->number : 0;
    nmq_walk walk = {.next = registry->oldest, .other = registry->walks};
    registry->walks = &walk;
    while (all != NULL && n < most && walk.next != NULL && walk.next->number <= last) {
        all[n++] = nmq_client_ref(walk.next);
        walk.next = walk.next->next;
        if (n % STEP == 0) {
            (void) pthread_mutex_unlock(&registry->lock);
            nmq_clock_pause();
            (void) pthread_mutex_lock(&registry->lock);
        }
    }
    leave_walk(registry, &walk);
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
    (void) pthread_mutex_lock(&registry->lock);
    out->clients = registry->clients.count;
    out->clients_max = registry->clients_max;
    (void) pthread_mutex_unlock(&registry->lock);
    out->disconnected = out->clients > out->connected ? out->clients - out->connected : 0;
}
