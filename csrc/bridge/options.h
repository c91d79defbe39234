// options.h - what a bridge is told, and what it tells (bridges.h). cffi reads this file:
// no macros here.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_bridges nmq_bridges;

enum nmq_bridge_retain {
    NMQ_BRIDGE_RETAIN_KEEP, // RETAIN is as published
    NMQ_BRIDGE_RETAIN_CLEAR,
    NMQ_BRIDGE_RETAIN_SET,
};

typedef struct {
    const char *filter; // local Topic Filter; it begins with `local`
    size_t filter_len;
    const char *local; // taken off the front of the topic; may be empty
    size_t local_len;
    const char *remote; // put there; may be empty
    size_t remote_len;
    uint8_t fixed;  // 1: `remote` is the Topic Name there, whatever the topic is
    uint8_t qos;    // at most
    uint8_t retain; // enum nmq_bridge_retain
} nmq_bridge_forward;

typedef struct {
    const char *filter; // remote Topic Filter; it begins with `remote`
    size_t filter_len;
    const char *remote; // taken off the front of the topic; may be empty
    size_t remote_len;
    const char *local; // put there; may be empty
    size_t local_len;
    uint8_t fixed; // 1: `local` is the Topic Name here, whatever the topic is
    uint8_t qos;   // to subscribe with
    uint8_t retain;
} nmq_bridge_subscription;

typedef struct {
    const char *name; // 1 to 255 bytes of UTF-8
    size_t name_len;
    const char *client_id; // at the other broker
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *password; // NULL: none
    size_t password_len;
    uint8_t version;           // 4 or 5
    uint8_t bridge_bit;        // 1: 4 is sent as 0x84, "I am a bridge"
    uint8_t clean_start;       // at the other broker
    uint32_t session_expiry_s; // asked of the other broker; 5.0 only
    uint16_t keep_alive_s;     // 0: none. Silent for 1.5 times that: it is down
    uint16_t receive_maximum;  // 1 or more: in flight at most; CONNACK may lower it
    uint32_t queue_max;        // messages that wait; 1 or more
    uint64_t queue_max_bytes;  // bytes that wait or are in flight; 0: no bound
    uint8_t drop_newest;       // 0: the oldest goes where there is no room
    uint32_t message_expiry_s; // what is older is not sent; 0: whatever its age
    const char *will_topic;    // NULL: no will
    size_t will_topic_len;
    const char *will_payload;
    size_t will_payload_len;
    uint8_t paused; // it is not dialled; no more than told of (events.def)
    uint8_t will_qos;
    uint8_t will_retain;
    const nmq_bridge_forward *forwards;
    size_t forward_count;
    const nmq_bridge_subscription *subscriptions;
    size_t subscription_count;
} nmq_bridge_options;

enum nmq_bridge_state {
    NMQ_BRIDGE_IDLE,
    NMQ_BRIDGE_DIALLING,
    NMQ_BRIDGE_ASKED, // CONNECT is sent
    NMQ_BRIDGE_UP,
};

typedef struct {
    uint64_t waiting;       // messages
    uint64_t waiting_bytes; // of those, and of what is in flight
    uint64_t in_flight;     // messages
    uint64_t sent;          // PUBLISH packets, those sent again too
    uint64_t acked;         // messages that the other broker has
    uint64_t received;      // PUBLISH packets
    uint64_t refused; // of those, for no subscription, with no topic here, or here before
    uint64_t dropped; // messages that do not cross, for any reason
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint8_t state; // enum nmq_bridge_state
} nmq_bridge_stats;

enum nmq_bridge_cause {
    NMQ_BRIDGE_BY_DIAL,   // code is an enum nmq_status: it was not connected
    NMQ_BRIDGE_BY_PEER,   // code is a Reason Code: the other broker refused or ended it
    NMQ_BRIDGE_BY_US,     // code is a Reason Code: it was ended here
    NMQ_BRIDGE_BY_SUBACK, // it is up, and a subscription was refused with that Reason Code
};

// What a bridge has come to. Of several changes since the last look only the latest is
// told.
typedef struct {
    uint64_t number;
    uint64_t ups;   // how often it has been up
    uint64_t downs; // how often a dial or a connection has ended
    int32_t code;   // of the latest fault; see cause. 0: none, or the peer only left
    uint8_t cause;  // enum nmq_bridge_cause
    uint8_t state;  // enum nmq_bridge_state
    uint8_t session_present; // of the latest CONNACK
    char why[256];           // of the latest fault, ends with NUL; empty: none
} nmq_bridge_news;
