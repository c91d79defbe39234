// reason.h - Reason Codes of MQTT 5.0 (2.4) and what they are in 3.1.1.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum nmq_reason {
    NMQ_RC_SUCCESS = 0x00,
    NMQ_RC_GRANTED_QOS_2 = 0x02,
    NMQ_RC_DISCONNECT_WITH_WILL = 0x04,
    NMQ_RC_NO_MATCHING_SUBSCRIBERS = 0x10,
    NMQ_RC_NO_SUBSCRIPTION_EXISTED = 0x11,
    NMQ_RC_CONTINUE_AUTHENTICATION = 0x18,
    NMQ_RC_REAUTHENTICATE = 0x19,
    NMQ_RC_UNSPECIFIED_ERROR = 0x80,
    NMQ_RC_MALFORMED_PACKET = 0x81,
    NMQ_RC_PROTOCOL_ERROR = 0x82,
    NMQ_RC_IMPLEMENTATION_SPECIFIC = 0x83,
    NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION = 0x84,
    NMQ_RC_CLIENT_ID_NOT_VALID = 0x85,
    NMQ_RC_BAD_USER_NAME_OR_PASSWORD = 0x86,
    NMQ_RC_NOT_AUTHORIZED = 0x87,
    NMQ_RC_SERVER_UNAVAILABLE = 0x88,
    NMQ_RC_SERVER_BUSY = 0x89,
    NMQ_RC_BANNED = 0x8a,
    NMQ_RC_SERVER_SHUTTING_DOWN = 0x8b,
    NMQ_RC_BAD_AUTHENTICATION_METHOD = 0x8c,
    NMQ_RC_KEEP_ALIVE_TIMEOUT = 0x8d,
    NMQ_RC_SESSION_TAKEN_OVER = 0x8e,
    NMQ_RC_TOPIC_FILTER_INVALID = 0x8f,
    NMQ_RC_TOPIC_NAME_INVALID = 0x90,
    NMQ_RC_PACKET_ID_IN_USE = 0x91,
    NMQ_RC_PACKET_ID_NOT_FOUND = 0x92,
    NMQ_RC_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    NMQ_RC_TOPIC_ALIAS_INVALID = 0x94,
    NMQ_RC_PACKET_TOO_LARGE = 0x95,
    NMQ_RC_MESSAGE_RATE_TOO_HIGH = 0x96,
    NMQ_RC_QUOTA_EXCEEDED = 0x97,
    NMQ_RC_ADMINISTRATIVE_ACTION = 0x98,
    NMQ_RC_PAYLOAD_FORMAT_INVALID = 0x99,
    NMQ_RC_RETAIN_NOT_SUPPORTED = 0x9a,
    NMQ_RC_QOS_NOT_SUPPORTED = 0x9b,
    NMQ_RC_USE_ANOTHER_SERVER = 0x9c,
    NMQ_RC_SERVER_MOVED = 0x9d,
    NMQ_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9e,
    NMQ_RC_CONNECTION_RATE_EXCEEDED = 0x9f,
    NMQ_RC_MAXIMUM_CONNECT_TIME = 0xa0,
    NMQ_RC_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xa1,
    NMQ_RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xa2,
};

// The CONNACK return code of 3.1.1 (table 3.1) that says the same: 0 to 5.
uint8_t nmq_reason_connack_v3(uint8_t reason_code);

// The other way, for a return code of 0 to 5.
enum { NMQ_CONNACK_V3_LAST = 5 };
uint8_t nmq_reason_of_connack_v3(uint8_t return_code);

// Whether CONNACK of 5.0 may carry the code (3.2.2.2).
bool nmq_reason_is_of_connack(uint8_t reason_code);

// The specification's name of the code, or "unknown reason".
const char *nmq_reason_text(uint8_t reason_code);
