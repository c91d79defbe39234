// acks.h - PUBACK, PUBREC, PUBREL and PUBCOMP of a client (MQTT 5.0, 3.4 to 3.7).
#pragma once
#include "net/role.h"

enum nmq_next nmq_acks_handle_pubrel(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);

// The others, which acknowledge what the server has sent.
enum nmq_next nmq_acks_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
