// handover_format.h - the records of a hand-over (handover_save.h). Numbers are this
// machine's.
#pragma once
#include "base/peer.h"

#define NMQ_HANDOVER_NONE UINT32_MAX // a message or a text that is not there

typedef struct {
    char magic[8];
    uint32_t client_bytes; // sizes tell another version
    uint32_t message_bytes;
    uint64_t retained;
    uint32_t latest_group; // numbers of shared groups up to this one are taken
} nmq_handover_header;

// A client, but for its texts and lists.
typedef struct {
    nmq_peer peer;
    int64_t will_due_ms;
    int64_t expiry_due_ms;
    int64_t connected_at_ms;
    int64_t disconnected_at_ms;
    uint64_t messages_received;
    uint64_t messages_sent;
    uint64_t messages_dropped;
    uint64_t next_order;
    uint32_t expiry_interval_s;
    uint32_t will_delay_s;
    uint32_t will_expiry_s;
    uint32_t listener_key;
    uint32_t packet_max;
    uint32_t receive_maximum;
    uint32_t subs;
    uint32_t in_flight;
    uint32_t unreleased;
    uint32_t queued;
    uint32_t owed;
    uint16_t keep_alive_s;
    uint16_t last_id;
    uint8_t version;
    uint8_t clean_start;
    uint8_t proof;
    uint8_t will_expires;
} nmq_handover_client;

// Where a client is among the retained messages of a filter, but for the texts: the filter,
// and the topic that comes next; none, when nothing is left. See nmq_replay_place.
typedef struct {
    uint64_t order;
    uint32_t queued;
    uint32_t identifier;
    uint8_t options;
} nmq_handover_owed;

// Who published a retained message, but for the texts: client identifier, user name.
typedef struct {
    nmq_peer peer;
    uint32_t mount_len;
} nmq_handover_origin;

typedef struct {
    int64_t expires_at_ms;
    uint32_t payload_len;
    uint32_t props_len;
    uint16_t topic_len;
    uint8_t qos;
    uint8_t retain;
} nmq_handover_message;

typedef struct {
    uint32_t ids;
    uint32_t group;
    uint8_t qos;
    uint8_t retain;
} nmq_handover_delivery;

#define NMQ_HANDOVER_MAGIC "nmqhand3"
