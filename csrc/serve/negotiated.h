// negotiated.h - what holds for a connection from its CONNECT to its end, because the
// client was told so in CONNACK.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// Sets what is to be negotiated to what the options say now.
void nmq_negotiated_set(nmq_server_conn *conn);

// What the server says of itself in a 5.0 CONNACK (3.2.2.3).
void nmq_negotiated_announce(const nmq_negotiated *negotiated, nmq_props *props);

// The Keep Alive that a client with that CONNECT gets.
uint16_t nmq_negotiated_keep_alive_s(const nmq_negotiated *negotiated,
                                     const nmq_connect *connect);

// The longest silence that a Keep Alive allows, in milliseconds; 0: any. A client that
// stays silent for one and a half times its keep alive is gone [MQTT-3.1.2-22];
// keep_alive_permille can only make that longer.
int64_t nmq_negotiated_idle_ms(const nmq_options *options, uint16_t keep_alive_s);

// Sets the longest silence to what the client's Keep Alive says.
void nmq_negotiated_use_keep_alive(nmq_server_conn *conn);
