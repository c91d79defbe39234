// change.h - other settings are put in force for a bridge, which may be up.
//
// Threads  call with the turn, without another lock.
#pragma once
#include "bridge/bridge.h"

// The session keeps and sends as the settings say, the forwards are theirs, and the other
// broker is told which subscriptions have changed. Returns NMQ_OK, NMQ_ENOMEM, NMQ_ETOOBIG,
// or what nmq_subscriptions_put returns; then some of it is in force.
int nmq_bridge_change(nmq_bridge *bridge, nmq_bridge_settings *settings);

// Whether messages are to tell when they were published, for it.
void nmq_bridge_watch(nmq_bridge *bridge, bool watches);
