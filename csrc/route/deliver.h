// deliver.h - one message to one client: its session, its link, or a tap.
//
// Threads  thread-safe; call inside a lane, or with a reference to the client.
#pragma once
#include "route/batch.h"
#include "route/client.h"

// What one client is to get of one publish.
typedef struct {
    const nmq_message_parts *parts;
    nmq_message **message; // made when first needed
    const uint32_t *identifiers;
    uint32_t identifier_count;
    uint8_t options; // enum nmq_sub_options
    uint32_t group;  // number of the shared group that chose the client, 0: none
    bool retained;   // an answer to SUBSCRIBE rather than a live message
} nmq_outgoing;

// The QoS of a message for a subscription: at most what was granted [MQTT-3.8.4-8].
static inline uint8_t
nmq_deliver_qos(uint8_t qos, uint8_t options)
{
    uint8_t granted = options & NMQ_SUB_QOS;

    return qos < granted ? qos : granted;
}

// Whether the subscription does not want what its own client publishes [MQTT-3.8.3-3].
static inline bool
nmq_deliver_is_own(const nmq_client *from, const nmq_subscription *sub)
{
    return from == sub->client && (sub->options & NMQ_SUB_NO_LOCAL) != 0;
}

// Counts what the session has counted since the last time, as messages out and lost. Call
// with the client's lock, after whatever may have sent.
void nmq_deliver_count(nmq_batch *batch, nmq_client *client);

// How long publishers wait for a slow subscriber.
nmq_patience nmq_deliver_patience(const nmq_options *options, int64_t now_ms);

// The timer of a link that publishers wait for is due: they read on when it is not slow any
// more, or when their time is over; it is logged and counted as stuck then (link.h).
// client: the field, guarded by the link's lock, that says whose link it is; NULL in it:
// nobody's. Returns whether to look again after NMQ_LINK_LOOK_MS. Takes the link's lock.
bool nmq_deliver_look(const nmq_router *router, nmq_link *link, nmq_client *const *client,
                      int64_t now_ms);

// Returns whether the client's session took the message. Call without its lock.
bool nmq_deliver(nmq_batch *batch, nmq_client *client, const nmq_outgoing *what);

// Sends one retained message to a client that is connected: at once, even when window and
// outbox are full, or with `queues` behind what waits. Call with its lock and the link's.
void nmq_deliver_retained(nmq_batch *batch, nmq_client *client, nmq_link *link,
                          nmq_message *message, const nmq_owed_entry *owed, bool queues);

// The rest of nmq_deliver_note, for a session where something waits or much is in flight.
void nmq_deliver_weigh(const nmq_session *session, nmq_link *link);

// Messages in flight are no load up to this part (an eighth) of the bytes that a queue may
// have.
enum { NMQ_DELIVER_LIGHT_PART = 8 };

// Notes in the link how much its session holds, and whether it has more to send. Call with
// the client's and the link's lock after what may have changed that. Inline: it comes with
// each message and each acknowledgement, and mostly nothing waits.
static inline void
nmq_deliver_note(const nmq_session *session, nmq_link *link)
{
    uint64_t max_bytes = session->queue_max_bytes - 1; // 0, no bound, is the largest

    if ((session->queue.count | link->load) == 0 && session->resend == NULL &&
        session->owed == NULL &&
        session->inflight.bytes <= max_bytes / NMQ_DELIVER_LIGHT_PART) {
        link->pump_due = false;
    } else {
        nmq_deliver_weigh(session, link);
    }
}
