// snapshot.h - all clients and their subscriptions, for Python. nmq.h has the rest of it.
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
#pragma once
#include "nmq.h"
#include "route/router.h"

// See nmq_snapshot_new. Returns NMQ_OK or NMQ_ENOMEM; free *out.
int nmq_router_snapshot(nmq_router *router, nmq_snapshot **out);
