// snapshot.h - all clients and their subscriptions, for Python. nmq.h has the rest of it.
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
#pragma once
#include "nmq.h"
#include "route/lanes.h"
#include "route/registry.h"

// See nmq_snapshot_new. Returns NMQ_OK or NMQ_ENOMEM; free *out.
int nmq_snapshot_make(nmq_registry *registry, nmq_lanes *lanes, nmq_snapshot **out);
