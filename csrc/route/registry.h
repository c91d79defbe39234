// registry.h - all clients: by identifier, and each at a place of its own.
//
// Owner    the registry holds one reference to each client, which add takes.
// Threads  add and remove: call with the registry's lock. find and all: without; they take
//          it.
// Cost     add, remove: the logarithm of how many there are. find: constant on average.
//          all: the clients.
#pragma once
#include "base/map.h"
#include "base/metrics.h"
#include "base/options.h"
#include "base/places.h"
#include "route/client.h"
#include "route/memory_level.h"

typedef struct nmq_registry {
    pthread_mutex_t lock;
    nmq_map clients;    // lock: client identifier -> client
    size_t clients_max; // lock: the most there ever were
    nmq_places places;  // lock: all of them, nmq_client *
    uint64_t latest;    // lock: the greatest number that a client was added with
    nmq_client_counts counts;
    nmq_counters *counters;
    const nmq_options *options; // NMQ_LIVE
    const uint8_t *memory;      // NMQ_LIVE: enum nmq_memory_level
} nmq_registry;

// What it is given outlives it.
void nmq_registry_init(nmq_registry *registry, nmq_counters *counters,
                       const nmq_options *options, const uint8_t *memory);

// Frees every client. No connection is left, and the clock has stopped.
void nmq_registry_fini(nmq_registry *registry);

// Fills in how many clients there are.
void nmq_registry_stats(nmq_registry *registry, nmq_stats *out);

// Whether one more session is allowed: NMQ_OK, NMQ_ETOOBIG or NMQ_ESHORT; if not, that is
// counted. A client that has a session may always come back to it: what waits for it goes
// out. Call with the registry's lock.
int nmq_registry_room(nmq_registry *registry);

// Adds a client; its identifier is not there. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_registry_add(nmq_registry *registry, nmq_client *client);

// Takes the client out; the registry's reference is the caller's.
void nmq_registry_remove(nmq_registry *registry, nmq_client *client);

// The first client from the place *at on, which is set to behind it; NULL: none. Call with
// the lock.
nmq_client *nmq_registry_next(const nmq_registry *registry, uint32_t *at);

// Returns the client of that identifier with a reference, or NULL.
nmq_client *nmq_registry_find(nmq_registry *registry, nmq_bytes client_id);

// References to all clients by their place; the caller unrefs each and frees *out with
// nmq_free. The lock is released on the way: clients that end or come meanwhile may be
// missing. Returns their count or NMQ_ENOMEM.
int nmq_registry_all(nmq_registry *registry, nmq_client ***out);
