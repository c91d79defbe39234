// rights.h - which parts of a session may stay when rules or a connection change.
//
//     rules change ──judge──> every session, one at a time (revoke.h)
//     CONNECT ──judge_at_attach──> the session that it takes up
//     will due, retained message to be sent ──> may its publisher publish it still?
//
// Subscriptions that are no longer allowed end, messages that wait for such a topic are
// dropped, and so is a will that may not be published; each is counted and logged. A
// retained message stays, and is not sent while its publisher may not publish it.
//
// Threads  thread-safe; call without a lane or lock unless said.
// Cost     no lock is held for more than a few subscriptions or messages of one client.
#pragma once
#include "route/client.h"
#include "route/router.h"

// What a connection that takes up a session may do.
typedef struct {
    nmq_acl_view *view; // NULL: everything
    uint64_t version;   // of the rules that it is from
    nmq_bytes mount;    // topics begin with it, which rules do not know
    const nmq_peer *peer;
    bool moved; // nmq_remount has moved the session: it is judged in any case
} nmq_rights;

// Judges what the session holds, unless it was judged by the same rules for a client from
// the same place already. Returns NMQ_OK, or NMQ_ENOMEM with the rest not judged.
int nmq_rights_judge_at_attach(nmq_router *router, nmq_client *client,
                               const nmq_rights *rights);

// Judges the session by the rules in force. What is in flight to a client that is connected
// stays until it comes again. Returns how many subscriptions ended, or NMQ_ENOMEM with the
// rest left for its next connection.
int nmq_rights_judge(nmq_router *router, nmq_client *client);
