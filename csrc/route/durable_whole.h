// durable_whole.h - a session that is logged again with all it holds, under a new number.
//
//     [SESSION_END a][SESSION b][DELIVERY b] ...      at once
//
//     [SESSION b, was a] [DELIVERY b] ... [DELIVERY b][SESSION_END a]      in pieces
//                       └─ what the session does meanwhile is logged of both
//
// In pieces, b is of account from the end of a on. Until then what changes of what b has is
// logged under both numbers. A message that comes into the queue is logged under a alone:
// the pieces come to it later. One that leaves the queue before they do goes to b as it is
// then: in flight.
//
// Threads  take the client's lock; lanes must not be held.
#pragma once
#include "route/client.h"
#include "route/router.h"

// The session as it is now: it comes from elsewhere, or has moved. Returns NMQ_OK or
// NMQ_ENOMEM.
int nmq_durable_whole(nmq_router *router, nmq_client *client);

// The same for one that the process before has left; not where the journal that has it goes
// on.
int nmq_durable_restored(nmq_router *router, nmq_client *client);

// One piece of a session that was logged before the journal began anew. There is a journal.
// bytes: about as much of its queue. Returns 1: there is more of it; NMQ_OK: it is told, or
// need not be; or NMQ_ENOMEM.
int nmq_durable_retell(nmq_router *router, nmq_client *client, size_t bytes);
