// durable_whole.h - a session that is logged again, with all it holds, under a new number.
//
//     [SESSION_END a][SESSION b][DELIVERY b] ...                     at once
//
//     [SESSION b, was a][CARRIED b] ... [CARRIED b]                  told again, in pieces
//
// In pieces, b has the queue of a from the first of them on: it is carried forward, the
// oldest first, so that what was logged before can be thrown away as that goes on. A
// delivery knows in which epoch of the journal it was logged.
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

// --- told again, by one thread. There is a journal.

// What of a queue was not carried yet.
typedef struct {
    bool is_any;
    uint32_t epoch; // of the journal: nothing of it was logged before
} nmq_durable_behind;

// The session as it is but for its queue, if it was logged before the journal began anew.
// Sets *behind.
void nmq_durable_retell(nmq_router *router, nmq_client *client, nmq_durable_behind *behind);

// Carries forward what was logged up to that epoch, about so many bytes of it. Returns
// whether there is more of that; else sets *behind.
bool nmq_durable_carry(nmq_client *client, uint32_t epoch, size_t bytes,
                       nmq_durable_behind *behind);
