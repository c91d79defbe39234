// connect.h - CONNECT (MQTT 5.0, 3.1).
//
//     checked ──> proved by its certificate, or nobody is to be asked ──> admitted
//        │  └───> asked (exchange.h)
//        └──────> refused
#pragma once
#include "net/role.h"

enum nmq_next nmq_connect_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet);
