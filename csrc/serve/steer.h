// steer.h - what a program changes of one connection while its client talks.
//
//     program ──client identifier──> its connection ──> timer, rate, kept answers
//
// What is changed ends with the connection: its next one begins as it asks for, and with
// what the options say.
//
// Threads  thread-safe; call without a lane, a client's or a link's lock.
#pragma once
#include "net/rate.h"
#include "serve/kept_row.h"

// From now on the client may be silent as if its CONNECT had had that Keep Alive; 0: for
// ever. Its silence begins anew. It is not told (MQTT 5.0, 3.1.2.10: only CONNACK can tell
// it). Returns NMQ_OK, or NMQ_ENOENT for a client that is not connected, as the others do.
int nmq_steer_keep_alive(nmq_sessions *sessions, nmq_bytes client_id,
                         uint16_t keep_alive_s);

// What it may send a second from now on.
int nmq_steer_rates(nmq_sessions *sessions, nmq_bytes client_id,
                    const nmq_own_rates *rates);

// Fills in what is kept of answers about its topics, NMQ_KEPT_ROWS at most. Returns how
// many.
int nmq_steer_kept(nmq_sessions *sessions, nmq_bytes client_id, nmq_kept_row *rows);

// Forgets them.
int nmq_steer_forget(nmq_sessions *sessions, nmq_bytes client_id);

// The same for every connection; blocks as long as that takes.
void nmq_steer_forget_all(nmq_conns *conns);
