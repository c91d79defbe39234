// join.h - CONNACK has let a bridge in: its session gets the connection.
//
//     CONNACK ──> what it lowers ──> SUBSCRIBE, what was in flight again, what waits
//
// Threads  the receive side, inside its batch.
#pragma once
#include "bridge/bridge.h"

// Gives the session of the bridge its connection. Returns NMQ_NEXT_PACKET, or NMQ_NEXT_END
// with the reason noted.
enum nmq_next nmq_join(nmq_bridge_conn *conn, nmq_batch *batch, const nmq_packet *connack);

// Appends a SUBSCRIBE for the subscriptions of `settings`, but for those that `before` has
// with the same QoS (NULL: none), and an UNSUBSCRIBE for those that only `before` has.
// Returns NMQ_OK, NMQ_ENOMEM or NMQ_ETOOBIG. Call with the client's lock and the link's.
int nmq_join_subscribe(nmq_bridge_conn *conn, const nmq_bridge_settings *settings,
                       const nmq_bridge_settings *before);

// Subscribes the client of the bridge to its forwards, with its qos_max, and ends what else
// it has. Returns NMQ_OK, NMQ_ENOMEM, or what nmq_subscriptions_put returns. Call with
// client->moving, without a lane.
int nmq_join_forwards(nmq_bridge *bridge, const nmq_bridge_settings *settings);
