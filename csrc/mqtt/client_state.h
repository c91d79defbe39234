// client_state.h - what a server may send when, to a client of ours (MQTT 5.0, 3.2
// and 4.12).
//
//     new --CONNECT sent--> asked --CONNACK--> in --DISCONNECT--> closing
//
// The other side of conn_state.h. The table of transitions is drawn in docs/connection.md.
//
// Threads  pure.
#pragma once
#include <stdint.h>

enum nmq_client_state {
    NMQ_CLIENT_NEW,     // CONNECT is not sent yet
    NMQ_CLIENT_ASKED,   // CONNECT sent, CONNACK is awaited; AUTH may come before
    NMQ_CLIENT_IN,      // CONNACK has come, and let it in
    NMQ_CLIENT_CLOSING, // nothing more is read
    NMQ_CLIENT_STATES,
};

// Returns a bit for each packet type that a server of that version may send in this state;
// with another the client closes the connection, as Protocol Error.
uint16_t nmq_client_state_types(enum nmq_client_state state, uint8_t version);

// Returns a bit for each state that may follow.
uint32_t nmq_client_state_next(enum nmq_client_state state);
