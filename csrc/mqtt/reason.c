#include "mqtt/reason.h"

#include <stddef.h>
#include <string.h>

uint8_t
nmq_reason_connack_v3(uint8_t reason_code)
{
    switch (reason_code) {
    case NMQ_RC_SUCCESS: return 0;
    case NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION: return 1;
    case NMQ_RC_CLIENT_ID_NOT_VALID: return 2;
    case NMQ_RC_BAD_USER_NAME_OR_PASSWORD: return 4;
    case NMQ_RC_NOT_AUTHORIZED:
    case NMQ_RC_BANNED: return 5;
    default: return 3; // server unavailable
    }
}

uint8_t
nmq_reason_of_connack_v3(uint8_t return_code)
{
    static const uint8_t codes[] = {
        NMQ_RC_SUCCESS,
        NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION,
        NMQ_RC_CLIENT_ID_NOT_VALID,
        NMQ_RC_SERVER_UNAVAILABLE,
        NMQ_RC_BAD_USER_NAME_OR_PASSWORD,
        NMQ_RC_NOT_AUTHORIZED,
    };

    return return_code < sizeof codes ? codes[return_code] : NMQ_RC_UNSPECIFIED_ERROR;
}

bool
nmq_reason_is_of_connack(uint8_t reason_code)
{
    static const uint8_t codes[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
                                    0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
                                    0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f};

    return memchr(codes, reason_code, sizeof codes) != NULL;
}

static const char *const texts[] = {
    [NMQ_RC_SUCCESS] = "success",
    [NMQ_RC_DISCONNECT_WITH_WILL] = "disconnect with will message",
    [NMQ_RC_NO_MATCHING_SUBSCRIBERS] = "no matching subscribers",
    [NMQ_RC_NO_SUBSCRIPTION_EXISTED] = "no subscription existed",
    [NMQ_RC_CONTINUE_AUTHENTICATION] = "continue authentication",
    [NMQ_RC_REAUTHENTICATE] = "re-authenticate",
    [NMQ_RC_UNSPECIFIED_ERROR] = "unspecified error",
    [NMQ_RC_MALFORMED_PACKET] = "malformed packet",
    [NMQ_RC_PROTOCOL_ERROR] = "protocol error",
    [NMQ_RC_IMPLEMENTATION_SPECIFIC] = "implementation specific error",
    [NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION] = "unsupported protocol version",
    [NMQ_RC_CLIENT_ID_NOT_VALID] = "client identifier not valid",
    [NMQ_RC_BAD_USER_NAME_OR_PASSWORD] = "bad user name or password",
    [NMQ_RC_NOT_AUTHORIZED] = "not authorized",
    [NMQ_RC_SERVER_UNAVAILABLE] = "server unavailable",
    [NMQ_RC_SERVER_BUSY] = "server busy",
    [NMQ_RC_BANNED] = "banned",
    [NMQ_RC_SERVER_SHUTTING_DOWN] = "server shutting down",
    [NMQ_RC_BAD_AUTHENTICATION_METHOD] = "bad authentication method",
    [NMQ_RC_KEEP_ALIVE_TIMEOUT] = "keep alive timeout",
    [NMQ_RC_SESSION_TAKEN_OVER] = "session taken over",
    [NMQ_RC_TOPIC_FILTER_INVALID] = "topic filter invalid",
    [NMQ_RC_TOPIC_NAME_INVALID] = "topic name invalid",
    [NMQ_RC_PACKET_ID_IN_USE] = "packet identifier in use",
    [NMQ_RC_PACKET_ID_NOT_FOUND] = "packet identifier not found",
    [NMQ_RC_RECEIVE_MAXIMUM_EXCEEDED] = "receive maximum exceeded",
    [NMQ_RC_TOPIC_ALIAS_INVALID] = "topic alias invalid",
    [NMQ_RC_PACKET_TOO_LARGE] = "packet too large",
    [NMQ_RC_MESSAGE_RATE_TOO_HIGH] = "message rate too high",
    [NMQ_RC_QUOTA_EXCEEDED] = "quota exceeded",
    [NMQ_RC_ADMINISTRATIVE_ACTION] = "administrative action",
    [NMQ_RC_PAYLOAD_FORMAT_INVALID] = "payload format invalid",
    [NMQ_RC_RETAIN_NOT_SUPPORTED] = "retain not supported",
    [NMQ_RC_QOS_NOT_SUPPORTED] = "QoS not supported",
    [NMQ_RC_USE_ANOTHER_SERVER] = "use another server",
    [NMQ_RC_SERVER_MOVED] = "server moved",
    [NMQ_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED] = "shared subscriptions not supported",
    [NMQ_RC_CONNECTION_RATE_EXCEEDED] = "connection rate exceeded",
    [NMQ_RC_MAXIMUM_CONNECT_TIME] = "maximum connect time",
    [NMQ_RC_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED] =
        "subscription identifiers not supported",
    [NMQ_RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED] = "wildcard subscriptions not supported",
};

const char *
nmq_reason_text(uint8_t reason_code)
{
    const char *text = NULL;

    if (reason_code < sizeof texts / sizeof *texts) {
        text = texts[reason_code];
    }
    return text != NULL ? text : "unknown reason";
}
