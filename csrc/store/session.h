// session.h - the Session State of one client, and what it sends (MQTT 5.0, 4.1).
//
//     deliver ──> window free? ──yes──> inflight + outbox
//                    └──no, or no connection──> queue ──pump──> inflight + outbox
//
// The state needs no Network Connection: functions that may send take the connection's
// outbox, NULL while there is none. Time is an argument.
//
// Owner    nmq_session_new .. nmq_session_free.
// Threads  none of its own: the client's lock, and the connection's for the outbox.
#pragma once
#include "store/outbox.h"
#include "store/session_load.h"
#include "store/session_state.h"
#include "store/session_tell.h"

// What became of a delivery.
enum nmq_delivered {
    NMQ_DELIVERED_SENT,   // in the outbox
    NMQ_DELIVERED_QUEUED, // waits in the queue
    // dropped:
    NMQ_DELIVERED_FULL,      // no room in the queue
    NMQ_DELIVERED_REFUSED,   // memory is short, and it would have to be kept
    NMQ_DELIVERED_EXPIRED,   //
    NMQ_DELIVERED_AWAY,      // QoS 0, and no connection
    NMQ_DELIVERED_TOO_LARGE, // for the client
    NMQ_DELIVERED_NO_MEMORY, //
};

// One Application Message for one session. `message` may be NULL for QoS 0 that goes out at
// once; then nothing is kept of it.
typedef struct {
    const nmq_message_parts *parts;
    nmq_message *message; // borrowed
    const uint32_t *subscription_ids;
    uint32_t group; // number of the shared group, 0: none
    uint32_t subscription_id_count;
    uint8_t qos;
    bool retain;
    bool overflow; // queue even past queue_max: back-pressure bounds it instead
    size_t room;   // bytes in the outbox past which it waits in the queue; 0: no bound
    // Not 0: memory is short, at most so many are in flight, and nothing is queued.
    uint16_t short_window;
} nmq_offer;

// Returns a session with one owned copy of the client identifier, or NULL.
nmq_session *nmq_session_new(nmq_bytes client_id);
void nmq_session_free(nmq_session *session); // takes NULL

// How many of the retained messages that it is owed may go out now: 0 while others come
// before them, or the window is shut.
uint32_t nmq_session_takes_owed(const nmq_session *session);

// Sends one message at once, past the queue, even when window and outbox are full. Returns
// NMQ_DELIVERED_SENT, TOO_LARGE or NO_MEMORY; the last two: it is dropped.
enum nmq_delivered nmq_session_send(nmq_session *session, nmq_outbox *outbox,
                                    const nmq_offer *offer, int64_t now_ms);

// Whether something could be sent if there were room: what nmq_session_pump sends, or
// retained messages.
bool nmq_session_can_send(const nmq_session *session);

// Offers a message. outbox is NULL while the client is away; QoS 0 is then dropped.
enum nmq_delivered nmq_session_deliver(nmq_session *session, nmq_outbox *outbox,
                                       const nmq_offer *offer, int64_t now_ms);

// Puts a message into the queue, whatever its QoS. Returns QUEUED, FULL or
// NO_MEMORY.
enum nmq_delivered nmq_session_queue(nmq_session *session, const nmq_offer *offer);

// Whether nmq_session_deliver would refuse it, with a short_window that is not 0. While
// memory is short a message goes out only at once, and to a client that keeps up; a large
// one only when nothing else is in flight.
bool nmq_session_refuses(const nmq_session *session, const nmq_outbox *outbox, uint8_t qos,
                         size_t payload_len, uint16_t short_window);

// Whether nmq_session_deliver would need offer->message: QoS above 0, or a queue to join.
bool nmq_session_needs_message(const nmq_session *session, uint8_t qos);

// Sends what waits as far as the window and `room` bytes of the outbox allow, up to where
// retained messages are due.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_pump(nmq_session *session, nmq_outbox *outbox, size_t room, int64_t now_ms);

// A new Network Connection: everything in flight is to be sent again with DUP, in its first
// order [MQTT-4.4.0-1] [MQTT-4.6.0-1]; nmq_session_pump then sends it.
// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_resume(nmq_session *session);
