// rate.h - messages and bytes a second of one client.
//
// A token bucket that holds one second's worth. A client that is over its rate is not read
// until it has paid: TCP slows it down.
//
// Threads  the receive side, where nothing else is said.
#pragma once
#include "net/conn.h"

// Whether its connections have a rate. Those that are dialled have none.
bool nmq_rate_is_on(const nmq_conns *conns);

// Whether the client may go on after that packet; else nmq_rate_wait stops reading until it
// may, unless that is so by now. Returns whether the caller calls nmq_park_rest.
bool nmq_rate_pay(nmq_conn *conn, size_t bytes, bool message, int64_t now_ms);
bool nmq_rate_wait(nmq_conn *conn, int64_t now_ms);

// It has waited for so long: it goes on, or waits on. Clock.
void nmq_rate_look(nmq_conn *conn, int64_t now_ms);
