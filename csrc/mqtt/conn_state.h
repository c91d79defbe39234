// conn_state.h - which packet a client may send when (MQTT 5.0, 3.1 and 4.13).
//
//     new --CONNECT--> deciding --accepted--> open --DISCONNECT--> closing
//                      |      ^
//                      v      |
//                   authenticating --AUTH
#pragma once
#include <stdint.h>

enum nmq_conn_state {
    NMQ_CONN_NEW,            // no CONNECT yet
    NMQ_CONN_DECIDING,       // CONNECT or AUTH read, its answer is not known yet
    NMQ_CONN_AUTHENTICATING, // AUTH sent, one is awaited
    NMQ_CONN_OPEN,           // CONNACK sent
    NMQ_CONN_CLOSING,        // nothing more is read
    NMQ_CONN_STATES,
};

// Returns 0 when a client in this state may send this type, else the Reason Code to close
// the connection with.
uint8_t nmq_conn_state_check(enum nmq_conn_state state, uint8_t packet_type);
