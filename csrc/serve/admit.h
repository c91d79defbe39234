// admit.h - who comes in, with which session, and what CONNACK says (MQTT 5.0, 3.1 and
// 3.2).
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// Lets the client of that CONNECT in.
enum nmq_next nmq_admit(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet);

// Takes the listener's settings of now, instead of those that it had at the accept.
void nmq_admit_renew_settings(nmq_server_conn *conn);
