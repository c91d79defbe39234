// session_write.h - the packets that a session sends, as its connection needs them:
// version, Topic Aliases, mount point and Maximum Packet Size.
//
// Threads  none of its own: the client's lock, and the connection's for the outbox.
// Cost     one copy into the outbox, of what the outbox does not take by reference.
#pragma once
#include "store/outbox.h"
#include "store/session_state.h"

// Writes one PUBLISH. The caller sets in head what belongs to this delivery: QoS, RETAIN,
// DUP, packet identifier, Subscription Identifiers; the rest is set here. message is NULL
// or holds the payload of parts.
// Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOOBIG for a packet over the client's Maximum Packet
// Size, and for a topic outside its mount point; and as `map` of outward.h.
int nmq_session_write_publish(nmq_session *s, nmq_outbox *outbox, nmq_publish_head *head,
                              const nmq_message_parts *parts, nmq_message *message,
                              int64_t now_ms);

// Writes the PUBLISH of a delivery, under the entry's packet identifier. Returns as
// nmq_session_write_publish.
int nmq_session_write_entry(nmq_session *s, nmq_outbox *outbox,
                            const nmq_inflight_entry *entry, bool dup, int64_t now_ms);

// Returns NMQ_OK or NMQ_ENOMEM.
int nmq_session_write_pubrel(nmq_session *s, nmq_outbox *outbox, uint16_t packet_id,
                             uint8_t reason_code);
