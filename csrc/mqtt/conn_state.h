// conn_state.h - what a client may send when (MQTT 5.0, 3.1, 4.12 and 4.13).
//
//     new --CONNECT--> deciding --accepted--> open --DISCONNECT--> closing
//                      |      ^               |  ^
//                      v      |               v  |
//                   authenticating         the same for AUTH of a client that is in
//
// The table of transitions is drawn in docs/connection.md.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum nmq_conn_state {
    NMQ_CONN_NEW,                 // no CONNECT yet
    NMQ_CONN_DECIDING,            // CONNECT or AUTH read, its answer is not known yet
    NMQ_CONN_AUTHENTICATING,      // AUTH sent, one is awaited
    NMQ_CONN_OPEN,                // CONNACK sent
    NMQ_CONN_OPEN_DECIDING,       // AUTH read, its answer is not known yet
    NMQ_CONN_OPEN_AUTHENTICATING, // AUTH sent, one is awaited; other packets may come
    NMQ_CONN_CLOSING,             // nothing more is read
    NMQ_CONN_STATES,
};

// Returns a bit for each packet type that a client in this state may send; another closes
// the connection with Protocol Error.
uint16_t nmq_conn_state_types(enum nmq_conn_state state);

// Returns a bit for each state that may follow.
uint32_t nmq_conn_state_next(enum nmq_conn_state state);

// Whether CONNACK was sent, and the connection does not close.
bool nmq_conn_state_is_open(enum nmq_conn_state state);
