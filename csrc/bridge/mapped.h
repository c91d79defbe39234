// mapped.h - the way out of a bridge's session: its messages as the other broker is to have
// them (store/outward.h).
//
// Owner    the session.
// Threads  the client's lock.
#pragma once
#include "bridge/settings.h"
#include "store/session_state.h"

// Has the session send as the settings say, and takes a reference of its own. What it sends
// with MQTT 5.0 has passed `self`, this broker, which is borrowed; what was here before is
// not sent (route/trail.h). Returns NMQ_OK or NMQ_ENOMEM.
int nmq_mapped_use(nmq_session *session, nmq_bridge_settings *settings, nmq_bytes self);

// What has passed the other broker is not sent there. Empty: it does not say who it is.
void nmq_mapped_set_peer(nmq_session *session, nmq_bytes id);

// Whether the other broker keeps retained messages: without, RETAIN is not set
// [MQTT-3.2.2-14].
void nmq_mapped_set_retain_available(nmq_session *session, bool available);
