// publish.h - PUBLISH from a client (MQTT 5.0, 3.3).
#pragma once
#include "net/role.h"

enum nmq_next nmq_publish_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
