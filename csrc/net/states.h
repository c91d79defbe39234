// states.h - the states of a connection in net/, and which may follow which.
//
//     intake    proxy ──> upgrade ──> frames, or proxy ──> plain      what the bytes are
//     receive   handling ──> reading, or parked, or lingering         who works on them
//     send      idle <──> sending, then closing ──> ending ──> closed
//
// The client's own state, from CONNECT to DISCONNECT, is in mqtt/conn_state.h. The tables
// are drawn in docs/connection.md. Builds for tests check each step (NMQ_STEP in conn.h).
//
// Threads  conn.h names who may change which; the tables are constant.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum nmq_intake_state {
    NMQ_INTAKE_PROXY,   // a PROXY header comes first
    NMQ_INTAKE_UPGRADE, // then an upgrade to WebSocket
    NMQ_INTAKE_FRAMES,  // MQTT in frames of WebSocket
    NMQ_INTAKE_PLAIN,   // MQTT
    NMQ_INTAKE_SHUT,    // a fault, or a close frame: nothing more is taken
    NMQ_INTAKE_STATES,
};

enum nmq_recv_state {
    NMQ_RECV_HANDLING,  // a thread has the receive side, and works on what has come
    NMQ_RECV_READING,   // nobody has it: the stream calls when something comes
    NMQ_RECV_YIELDS,    // nobody has it: its job, which is posted, goes on (park.h)
    NMQ_RECV_PARKED,    // nobody has it: it waits for one reason or more (park.h)
    NMQ_RECV_LINGERING, // no packet is handled; what comes is dropped until the peer closes
    NMQ_RECV_OVER,      // nothing is read any more
    NMQ_RECV_STATES,
};

enum nmq_send_state {
    NMQ_SEND_IDLE,     // nothing is being sent
    NMQ_SEND_SENDING,  // a thread, or the stream, sends
    NMQ_SEND_FAILED,   // the peer takes nothing more; what it has sent is still read
    NMQ_SEND_CLOSING,  // it is to close, and nobody has begun to send what is left
    NMQ_SEND_ENDING,   // it is to close, and what is left is being sent
    NMQ_SEND_FINISHED, // all is sent; the peer is to close first (linger.h)
    NMQ_SEND_CLOSED,   // the stream is closed
    NMQ_SEND_STATES,
};

// Each returns a bit for each state that may follow; 0 for the last one.
uint32_t nmq_intake_next(enum nmq_intake_state state);
uint32_t nmq_recv_next(enum nmq_recv_state state);
uint32_t nmq_send_next(enum nmq_send_state state);

// Whether it is to close, or is closed.
bool nmq_send_is_closing(enum nmq_send_state state);
