// server.h - the MQTT server role: what a connection of a client does with what comes.
//
//     net/ ──packet──> connect, publish, subscribe, acks, auth ──> route/
//                                  └──> reply ──> the connection's outbox
//
// Owner    a server belongs to its broker; its connections know it through role_arg.
// Threads  thread-safe.
#pragma once
#include "serve/server_conn.h"

extern const nmq_role nmq_server_role; // its role_arg: an nmq_server

void nmq_server_init(nmq_server *server);
void nmq_server_fini(nmq_server *server);

// Sets the Response Information that a 5.0 client is told in CONNACK if it asks. Takes the
// text, which was allocated; at NULL: none.
void nmq_server_set_response_information(nmq_server *server, nmq_bytes text);
