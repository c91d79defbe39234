// subscribe.h - SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0, 3.8 and 3.10).
#pragma once
#include "net/role.h"

enum nmq_next nmq_subscribe_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
enum nmq_next nmq_subscribe_handle_unsubscribe(nmq_conn *net, nmq_batch *batch,
                                               nmq_packet *packet);
