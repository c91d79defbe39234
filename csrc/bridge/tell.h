// tell.h - what is told of bridges to whoever watches (route/watch.h). The client of these
// events is the bridge, by its name, at the address of the other broker.
//
// Threads  thread-safe; each may be called with the turn, without another lock.
#pragma once
#include "bridge/bridge.h"

void nmq_bridge_event_up(const nmq_bridge_conn *conn, bool session_present);

// Its connection, which had been up, has ended. end.why NULL: nothing is said.
void nmq_bridge_event_down(const nmq_bridge_conn *conn, enum nmq_why ended_by,
                           nmq_fault end);

// Call with the turn.
void nmq_bridge_event_switched(const nmq_bridge *bridge, bool is_on);
