// encode.h - a Control Packet to bytes: the length first, then one write.
//
// Threads  pure.
// Source   MQTT 5.0 chapters 2 and 3; MQTT 3.1.1; MQTT V3.1.
#pragma once
#include "base/bytes.h"
#include "mqtt/packet.h"

// What stands before the payload of one PUBLISH to one receiver.
typedef struct {
    nmq_bytes topic_name;
    nmq_bytes props; // forwarded properties in wire form, without their length
    const uint32_t *subscription_ids;
    unsigned subscription_id_count;
    uint32_t expiry_interval_s; // Message Expiry Interval left
    bool has_expiry;
    bool dup;
    bool retain;
    uint8_t qos;
    uint8_t version;
    uint16_t packet_id;   // used when qos > 0
    uint16_t topic_alias; // 0: none; topic_name is empty where the receiver knows it
    size_t payload_len;
} nmq_publish_head;

// Bytes of the head, payload not counted. Sets *packet_size to the whole packet, which may
// be over NMQ_VARINT_MAX + 5: the caller refuses it then.
size_t nmq_encode_publish_head_size(const nmq_publish_head *head, size_t *packet_size);

// Writes exactly those bytes and returns the place behind them.
uint8_t *nmq_encode_publish_head(uint8_t *to, const nmq_publish_head *head,
                                 size_t packet_size);

// PUBACK, PUBREC, PUBREL or PUBCOMP without properties: 4 bytes, or 5 where a reason code
// other than Success is sent to a 5.0 receiver. Returns the place behind.
uint8_t *nmq_encode_ack(uint8_t *to, uint8_t version, uint8_t type, uint16_t packet_id,
                        uint8_t reason_code);

enum { NMQ_ACK_MAX_BYTES = 5 };

// Appends a filter with its options to the list of a SUBSCRIBE; without options to that of
// an UNSUBSCRIBE. The filter is a valid one. Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOOBIG for
// one over 65,535 bytes.
int nmq_encode_subscription(nmq_buf *list, nmq_bytes filter, uint8_t options);
int nmq_encode_filter(nmq_buf *list, nmq_bytes filter);

// Appends any packet to the buffer. version says in which protocol; in a CONNECT the
// packet's own connect.version counts.
// Returns NMQ_OK, NMQ_ENOMEM, or NMQ_ETOOBIG for what no packet can hold.
int nmq_encode(nmq_buf *out, uint8_t version, const nmq_packet *packet);
