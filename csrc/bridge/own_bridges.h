// own_bridges.h - the bridges of one broker, for the broker itself; bridges.h is what
// others call.
//
// Threads  none of its own.
#pragma once
#include "bridge/bridge.h"

// memory: NMQ_LIVE, the router's level. What it is given outlives it.
void nmq_bridges_init(nmq_bridges *bridges, nmq_consumers *consumers, uint8_t *memory);

// Ends every dial and connection, and takes timeout_ms at most to say so. Nothing is
// dialled any more.
void nmq_bridges_stop(nmq_bridges *bridges, uint32_t timeout_ms);

// After nmq_bridges_stop: lets go of their clients.
void nmq_bridges_forget(nmq_bridges *bridges);

// Once the clock has stopped.
void nmq_bridges_fini(nmq_bridges *bridges);
