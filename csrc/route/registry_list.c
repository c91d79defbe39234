#include "route/registry_list.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"

enum { STEP = 1024 }; // clients visited before others get the lock

int
nmq_registry_list_room(nmq_router *router)
{
    uint32_t max = NMQ_LIVE(router->options->sessions_max);
    bool full = max != 0 && router->clients.count >= max;
    bool is_short = NMQ_LIVE(router->memory) != NMQ_MEMORY_FINE;

    nmq_counters_add(router->counters, NMQ_COUNT_REFUSED_SESSIONS, full);
    nmq_counters_add(router->counters, NMQ_COUNT_MEMORY_REFUSED, !full && is_short);
    return full ? NMQ_ETOOBIG : is_short ? NMQ_ESHORT : NMQ_OK;
}

int
nmq_registry_list_add(nmq_router *router, nmq_client *client)
{
    int rv = nmq_map_put(&router->clients, client->session->client_id, client);

    if (rv != NMQ_OK) {
        return rv;
    }
    client->prev = router->newest;
    *(router->newest != NULL ? &router->newest->next : &router->oldest) = client;
    router->newest = client;
    if (router->clients.count > router->clients_max) {
        router->clients_max = router->clients.count;
    }
    return NMQ_OK;
}

void
nmq_registry_list_remove(nmq_router *router, nmq_client *client)
{
    (void) nmq_map_del(&router->clients, client->session->client_id);
    *(client->prev != NULL ? &client->prev->next : &router->oldest) = client->next;
    *(client->next != NULL ? &client->next->prev : &router->newest) = client->prev;
    for (nmq_walk *walk = router->walks; walk != NULL; walk = walk->other) {
        if (walk->next == client) {
            walk->next = client->next;
        }
    }
    client->next = client->prev = NULL;
}

nmq_client *
nmq_registry_find(nmq_router *router, nmq_bytes client_id)
{
    (void) pthread_mutex_lock(&router->registry_lock);
    nmq_client *client = nmq_map_get(&router->clients, client_id);
    if (client != NULL) {
        (void) nmq_client_ref(client);
    }
    (void) pthread_mutex_unlock(&router->registry_lock);
    return client;
}

static void
leave_walk(nmq_router *router, const nmq_walk *walk)
{
    nmq_walk **at = &router->walks;

    while (*at != walk) {
        at = &(*at)->other;
    }
    *at = walk->other;
}

int
nmq_registry_all(nmq_router *router, nmq_client ***out)
{
    size_t n = 0;

    (void) pthread_mutex_lock(&router->registry_lock);
    size_t most = router->clients.count;
    nmq_client **all = nmq_alloc(most * sizeof *all);
    // numbers rise from the oldest to the newest: who comes meanwhile is not visited
    uint64_t last = router->newest != NULL ? router->newest->number : 0;
    nmq_walk walk = {.next = router->oldest, .other = router->walks};
    router->walks = &walk;
    while (all != NULL && n < most && walk.next != NULL && walk.next->number <= last) {
        all[n++] = nmq_client_ref(walk.next);
        walk.next = walk.next->next;
        if (n % STEP == 0) {
            (void) pthread_mutex_unlock(&router->registry_lock);
            nmq_clock_pause();
            (void) pthread_mutex_lock(&router->registry_lock);
        }
    }
    leave_walk(router, &walk);
    (void) pthread_mutex_unlock(&router->registry_lock);
    if (all == NULL) {
        return NMQ_ENOMEM;
    }
    *out = all;
    return (int) n;
}
