// slow.h - back-pressure: a connection waits for a slow subscriber, or until its own
// answers have gone (route/link.h).
//
// Threads  each function says who may call it; without a lock.
#pragma once
#include "net/conn.h"

// After a batch that found that subscriber (NULL: none) over its bound. Returns whether the
// connection is to wait for it, or for the peer to read its own answers: who does not is
// not read either. Receive side, which then calls nmq_park_rest.
bool nmq_slow_wait(nmq_conn *conn, nmq_link *congested, int64_t now_ms);

// Reads on if its own answers have gone. Any thread.
void nmq_slow_answers_gone(nmq_conn *conn);

void nmq_slow_look(nmq_timer *timer);              // nmq_link_ops.look
void nmq_slow_arm(nmq_link *link, int64_t due_ms); // nmq_link_ops.arm
