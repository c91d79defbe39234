// outbox.h - bytes on their way to one Network Connection, in order.
//
//     bytes   [ head of PUBLISH ][ head of PUBLISH | PUBACK ] ...
//     splices                   ^ payload of message m stands here, not copied
//
// Small packets are copied into one run; a large payload is sent from its shared message.
//
// Over WebSocket each packet gets a frame of its own, whose head stands before it in the
// run. The specification lets a frame hold several packets [MQTT-6.0.0-2], but clients
// built on Eclipse Paho's C library see only the first of them.
//
// Owner    the outbox owns its bytes and a reference to each spliced message.
// Threads  none of its own: the connection's lock.
#pragma once
#include "mqtt/encode.h"
#include "store/message.h"

enum {
    NMQ_SPLICE_MIN_BYTES = 4096, // payloads from here on are not copied
    NMQ_OUTBOX_PARTS = 8,        // as many as one nng aio takes
};

typedef struct {
    size_t at; // stands before this byte of the run
    nmq_message *message;
} nmq_splice;

// A zeroed outbox is a valid empty one.
typedef struct {
    nmq_buf run;
    nmq_splice *splices;
    uint32_t splice_count;
    uint32_t splice_cap;
    uint32_t splice_head; // splices before it are sent
    size_t run_head;      // bytes of the run before it are sent
    size_t payload_head;  // bytes of the head splice's payload sent
    size_t total;         // bytes left to send, payloads included
    uint32_t packets;     // put since the last reset
    uint32_t answers;     // bytes of those that are no PUBLISH
    size_t unkept;        // answers, and PUBLISH at QoS 0: no session keeps those
    uint64_t payloads;    // of all PUBLISH packets put, for the metrics
    bool framed;          // fixed: each packet in a WebSocket frame
} nmq_outbox;

// Appends a copy of one packet. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_outbox_put(nmq_outbox *outbox, nmq_bytes bytes);

// Appends a PUBLISH. shared is the message that holds `payload`, or NULL when it must be
// copied. head->payload_len is payload.len, and packet_size what
// nmq_encode_publish_head_size said. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_outbox_publish(nmq_outbox *outbox, const nmq_publish_head *head, size_t packet_size,
                       nmq_bytes payload, nmq_message *shared);

// Fills up to `max` parts, 2 or more, with the front of what is left. Returns how many, 0
// when nothing is left.
unsigned nmq_outbox_parts(const nmq_outbox *outbox, nmq_bytes *parts, unsigned max);

// Drops `count` bytes off the front, as sent.
void nmq_outbox_advance(nmq_outbox *outbox, size_t count);

// Empties it; keeps at most keep_bytes of memory.
void nmq_outbox_reset(nmq_outbox *outbox, size_t keep_bytes);
