// role.h - the role of a bridge: a client of another broker (net/role.h).
//
//     dialled ──CONNECT──> asked ──CONNACK──> in: join.h, arrive.h ──> closed: told
//
// Threads  thread-safe.
#pragma once
#include "bridge/bridge.h"

extern const nmq_role nmq_bridge_role; // `arg` of an open: an nmq_bridge, not kept

// Ends the connection: the bridge was told to, or is to be another one's. Call without a
// lock.
void nmq_bridge_conn_end(nmq_conn *net, uint8_t reason_code);
