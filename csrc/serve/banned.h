// banned.h - whether a client is banned: by its client identifier, user name or address.
//
// Threads  the receive side.
// Cost     route/bans.h.
#pragma once
#include "serve/server_conn.h"

// Whether it is, now.
bool nmq_banned_is(const nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name);

// Returns what refuses the CONNECT of a client that is banned, counted and told; code 0:
// nothing.
nmq_fault nmq_banned_check(const nmq_server_conn *conn, nmq_bytes client_id,
                           nmq_bytes user_name);
