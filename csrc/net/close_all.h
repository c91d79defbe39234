// close_all.h - the end of many connections at once.
//
// Threads  thread-safe; call without a lock.
#pragma once
#include "net/conns.h"

// Disconnects those that came through the listener of that number.
void nmq_close_listener(nmq_conns *conns, uint32_t listener, uint8_t reason_code);

// Tells every client the reason, sends what waits, and returns when all connections are
// freed or at timeout_ms; then it closes what is left.
void nmq_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms);
