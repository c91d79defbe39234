// list.h - the bridges of one broker, for the broker itself and for bridges.h.
//
// Threads  call with the turn, where nothing else is said.
#pragma once
#include "bridge/bridge.h"

// --- for the broker, without a lock

// memory: NMQ_LIVE, the router's level. What it is given outlives it.
void nmq_bridges_init(nmq_bridges *bridges, nmq_consumers *consumers, uint8_t *memory);

// Ends every dial and connection, and takes timeout_ms at most to say so. Nothing is
// dialled any more.
void nmq_bridges_stop(nmq_bridges *bridges, uint32_t timeout_ms);

// After nmq_bridges_stop: lets go of their clients.
void nmq_bridges_forget(nmq_bridges *bridges);

// Once the clock has stopped.
void nmq_bridges_fini(nmq_bridges *bridges);

// --- one bridge

// By client identifier, or by number. With the turn or the lock. NULL: none.
nmq_bridge *nmq_bridges_find_name(const nmq_bridges *bridges, nmq_bytes client_id);
nmq_bridge *nmq_bridges_find(const nmq_bridges *bridges, uint64_t number);

// Makes what the first bridge needs. Returns NMQ_OK, NMQ_ENOMEM or NMQ_EFILES.
int nmq_bridges_begin(nmq_bridges *bridges);

// Adds a bridge, with the client that was restored for it if there is one. Returns NULL
// when memory is out, or a consumer has its client identifier.
nmq_bridge *nmq_bridges_add(nmq_bridges *bridges, nmq_bytes client_id,
                            nmq_bridge_settings *settings);

// Hangs up, and takes it out of the list, whose reference goes.
void nmq_bridges_remove(nmq_bridge *bridge);

// Gives up its dial, and ends its connection with that Reason Code.
void nmq_bridge_hang_up(nmq_bridge *bridge, uint8_t reason_code);
