// packet.h - one struct for each Control Packet (MQTT 5.0, chapter 3), as values.
//
// There are no extensions of our own [MQTT-7.0.0-2 of 3.1.1].
//
// A decoded packet borrows every slice from the bytes it was read from.
#pragma once
#include "base/bytes.h"
#include "mqtt/packet_type.h"
#include "mqtt/props.h"

// The protocol level byte of CONNECT.
enum nmq_version { NMQ_V31 = 3, NMQ_V311 = 4, NMQ_V5 = 5 };

// In that byte before 5.0: the client is a bridge. No standard has it; mosquitto, EMQX and
// others do.
enum { NMQ_BRIDGE_BIT = 0x80 };

// Subscription Options (3.8.3.1), as on the wire.
enum nmq_sub_options {
    NMQ_SUB_QOS = 0x03,
    NMQ_SUB_NO_LOCAL = 0x04,
    NMQ_SUB_RETAIN_AS_PUBLISHED = 0x08,
    NMQ_SUB_RETAIN_HANDLING = 0x30,
};

typedef struct {
    uint8_t version;
    bool bridge;      // 3.1 and 3.1.1: the top bit of the protocol level
    bool clean_start; // clean_session in 3.1 and 3.1.1
    bool has_will;
    uint8_t will_qos;
    bool will_retain;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s; // 0: none
    nmq_bytes client_id;
    nmq_bytes will_topic;
    nmq_bytes will_payload;
    nmq_bytes user_name;
    nmq_bytes password;
    nmq_props will_props;
} nmq_connect;

typedef struct {
    bool dup;
    bool retain;
    uint8_t qos;
    nmq_bytes topic_name;
    nmq_bytes payload;
} nmq_publish;

typedef struct {
    nmq_bytes wire; // all of it, as it was decoded
    uint8_t type;
    uint8_t
        reason_code; // CONNACK (of 3.1.1 too), the four acknowledgements, DISCONNECT, AUTH
    bool session_present; // CONNACK
    uint16_t packet_id;   // not 0 where the packet has one
    nmq_publish publish;
    nmq_bytes list; // SUBSCRIBE, UNSUBSCRIBE: the filters; SUBACK, UNSUBACK: the codes
    nmq_props props;
    nmq_connect connect;
} nmq_packet;
