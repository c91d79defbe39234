// role.h - what a connection does with what comes: the table of functions that it calls.
//
//     accept, or a dial ──> open ──packet ... packet──> closed ──> fini
//                                 │   ^     │   ^
//                               ASK answered LATER the packet again
//
// net/ knows how bytes come and go, how long a peer may be silent, and when a connection
// waits. What a packet means is the role's business: an MQTT server (serve/server.h), or a
// client of another broker. The connections of one nmq_conns have one role.
//
// Owner    a connection is allocated with the bytes of its role's struct, which begins with
//          an nmq_conn and is zeroed; fini frees what the role put there.
// Threads  the receive side, where nothing else is said. Without a lock, but for farewell.
#pragma once
#include "mqtt/packet.h"
#include "route/batch.h"

typedef struct nmq_conn nmq_conn;

// Why a connection ends or a packet is refused.
typedef struct {
    uint8_t code;    // Reason Code
    const char *why; // a fixed text for the Reason String; NULL: none
} nmq_fault;

// What the receive side does next.
enum nmq_next {
    NMQ_NEXT_PACKET, // the packet is handled
    NMQ_NEXT_PAUSE,  // the packet is handled; the client is over its rate
    NMQ_NEXT_YIELD,  // the packet is handled; others have their turn before the next
    NMQ_NEXT_SHORT,  // memory or the disk is: the packet is tried again after a while
    NMQ_NEXT_FULL,   // the journal is: the packet is tried again once some of it is written
    NMQ_NEXT_ASK,    // the packet is handled; the role has asked, and hears of the answer
    NMQ_NEXT_LATER,  // the role has asked: the packet is handled again after the answer
    NMQ_NEXT_END,    // the connection is to close; what is in the outbox is still sent
};

// Handles one packet; a connection that is to close has said so to its peer.
typedef enum nmq_next nmq_packet_fn(nmq_conn *conn, nmq_batch *batch, nmq_packet *packet);

typedef struct {
    size_t size; // of the role's struct
    bool dials;  // its connections are dialled: their peers are no strangers, and have no
                 // rate

    // By type. Only those come whose bit is set in conn->packet_types.
    nmq_packet_fn *packet[16];

    // It is there, and is read as soon as this returns. arg: of whoever dialled; NULL: it
    // was accepted. A role that speaks first does so here, and calls nmq_send_start.
    void (*open)(nmq_conn *conn, void *arg);

    // Whether a packet of that size may come now; the role counts it if not.
    bool (*takes_size)(const nmq_conn *conn, size_t size);

    // Ends the connection for a fault of its peer. `packet`: what of it could be decoded;
    // NULL: nothing. Returns NMQ_NEXT_END.
    enum nmq_next (*refuse)(nmq_conn *conn, nmq_batch *batch, const nmq_packet *packet,
                            nmq_fault fault);

    // After NMQ_NEXT_ASK: the answer has come. A role that asks has begun to wait for it
    // (NMQ_PARK_QUESTION) before that. This and the next one are of a role that asks,
    // and NULL in others.
    enum nmq_next (*answered)(nmq_conn *conn, nmq_batch *batch);

    // No answer is waited for any longer: goes on as if it were that Reason Code. Returns
    // false if none was waited for. Any thread.
    bool (*unanswered)(nmq_conn *conn, uint8_t reason_code);

    // Nothing has come for the time that nmq_timers_set_idle was given. Clock.
    void (*silent)(nmq_conn *conn);

    // The time that nmq_timers_end_at was given is over. Clock. NULL: it is given none.
    void (*ended)(nmq_conn *conn);

    // Puts the last packet, which tells the peer why, into the outbox. Any thread, with
    // link.lock.
    void (*farewell)(nmq_conn *conn, uint8_t reason_code);

    // The receive side is over.
    void (*closed)(nmq_conn *conn);

    // Frees what the role has in its struct. The thread that gave back the last reference.
    void (*fini)(nmq_conn *conn);
} nmq_role;
