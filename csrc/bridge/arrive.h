// arrive.h - messages from the other broker, and the end of each at QoS 1 and 2.
//
// Threads  the receive side, inside its batch.
#pragma once
#include "bridge/bridge.h"

// Handles PUBLISH: it is routed here under its local topic, unless it came before or is for
// no subscription, and acknowledged. It never is refused: where memory or the room on the
// disk is short, it waits.
enum nmq_next nmq_arrive_publish(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);

enum nmq_next nmq_arrive_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);

// PUBACK, PUBREC and PUBCOMP.
enum nmq_next nmq_arrive_ack(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
