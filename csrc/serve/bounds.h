// bounds.h - how large what a client sends may be.
//
// Threads  the receive side.
#pragma once
#include "serve/server_conn.h"

// Whether the topic has no more levels, and the packet no more User Properties, than are
// allowed.
bool nmq_bounds_levels_fit(const nmq_server_conn *conn, nmq_bytes topic);
bool nmq_bounds_properties_fit(const nmq_server_conn *conn, const nmq_props *props);

// Whether a packet of that size may come now; if not, that is counted.
bool nmq_bounds_takes_size(const nmq_server_conn *conn, size_t size);
