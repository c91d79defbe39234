// registry_list.h - the clients of the registry: by identifier, and in order of birth.
//
//     oldest ─> a <─> b <─> c <─ newest        a walk stands at b while others come and go
//
// Owner    the list holds one reference to each client, which add takes.
// Threads  add and remove: call with the registry's lock. find and all: without; they take
//          it.
// Cost     add, remove, find: constant on average, and the walks under way.
//          all: the clients.
#pragma once
#include "route/router.h"

// Whether one more session is allowed: NMQ_OK, NMQ_ETOOBIG or NMQ_ESHORT; counted if not. A
// client that has one comes back to it: what waits for it goes. Call with the registry's
// lock.
int nmq_registry_list_room(nmq_router *router);

// Adds a client behind all others; its identifier is not there. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_registry_list_add(nmq_router *router, nmq_client *client);

// Takes the client out; the list's reference is the caller's.
void nmq_registry_list_remove(nmq_router *router, nmq_client *client);

// Returns the client with a reference, or NULL.
nmq_client *nmq_registry_find(nmq_router *router, nmq_bytes client_id);

// References to all clients in order of birth; the caller unrefs each and frees *out with
// nmq_free. The lock is let go on the way: who ends or comes meanwhile may be missing.
// Returns their count or NMQ_ENOMEM.
int nmq_registry_all(nmq_router *router, nmq_client ***out);
