// session_acks.h - what ends a delivery: acknowledgements from the client, the QoS 2 packet
// identifiers that it uses itself, and what a session that ends passes on.
//
// Threads  none of its own: the client's lock, and the connection's for the outbox.
// Source   MQTT 5.0, 4.3 Quality of Service levels, 4.8.2 Shared Subscriptions.
#pragma once
#include "store/session.h"

// Handles PUBACK, PUBREC or PUBCOMP from the client. Sends PUBREL, and then what the window
// now lets out, as nmq_session_pump does.
// Returns NMQ_OK, or NMQ_ENOENT for a packet identifier that is not in use (a PUBREC is
// then answered as its version asks). The caller closes the connection on NMQ_EINVAL, an
// acknowledgement of the wrong kind for that message, and on NMQ_ENOMEM.
int nmq_session_acked(nmq_session *session, nmq_outbox *outbox, uint8_t type,
                      uint16_t packet_id, uint8_t reason_code, size_t room, int64_t now_ms);

// The session ends for good: takes out the next delivery that another member of its shared
// group may have. This is one at QoS 1 that was not acknowledged, or one that was never
// sent (4.8.2). What was sent at QoS 2 goes to nobody else [MQTT-4.8.2-5]. Returns false
// when there is none; *out is the caller's.
bool nmq_session_take_shared(nmq_session *session, nmq_delivery *out);

// A QoS 2 PUBLISH has come. Returns 1 when it is new, 0 when its identifier is known and
// the message must not be passed on again [MQTT-4.3.3-10], or NMQ_ENOMEM.
int nmq_session_receive(nmq_session *session, uint16_t packet_id);

// A PUBREL has come. Returns whether the identifier was in use; it is free now.
bool nmq_session_released(nmq_session *session, uint16_t packet_id);
