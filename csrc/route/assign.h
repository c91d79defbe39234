// assign.h - subscriptions that are made and ended for a client, as if it had sent
// SUBSCRIBE or UNSUBSCRIBE: without the packets that answer them.
//
//     program ──put──> the client's session, here or away ──> retained messages
//
// Threads  thread-safe; call without a lane or lock. They wait while the session is moved
//          or judged, which may take long: not for an event loop.
// Source   MQTT 5.0, 3.8.4 SUBSCRIBE Actions, 3.10.4 UNSUBSCRIBE Actions.
#pragma once
#include "route/sessions.h"

// Subscribes that client. Its access rules and bounds count, and so does its mount point,
// which is not in the filter. Returns the QoS that was granted, NMQ_ENOENT for no such
// client, NMQ_EFILTER, NMQ_ETOPIC for one that is too long below the mount point,
// NMQ_EINVAL for options that no SUBSCRIBE has, NMQ_EACCESS, NMQ_ETOOBIG for one over its
// bounds, NMQ_ESHORT, NMQ_ENOSPC, NMQ_ESTORE or NMQ_ENOMEM.
int nmq_assign_put(nmq_sessions *sessions, nmq_bytes client_id, nmq_bytes filter,
                   uint8_t options, uint32_t identifier);

// Ends a subscription of that client. Returns NMQ_OK, NMQ_ENOENT for no such client,
// NMQ_ECLOSED where it has no such subscription, NMQ_EFILTER, NMQ_ETOPIC or NMQ_ENOMEM.
int nmq_assign_del(nmq_sessions *sessions, nmq_bytes client_id, nmq_bytes filter);
