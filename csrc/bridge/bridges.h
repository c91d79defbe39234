// bridges.h - bridges: kept sessions whose other end is another broker. cffi reads this
// file: no macros here.
//
//     put ──> a kept session, fed by its forwards ──dial──> up ──> PUBLISH, mapped, to the
//             other broker
//                                                      └──> SUBSCRIBE there ──> PUBLISH
//                                                      from there, mapped, routed here
//
// What is to cross waits in the session, within its bounds, while the bridge is not up: in
// memory, or on the journal as that of any kept session. It is sent in order, from the
// first that was not acknowledged; at QoS 0 only while the bridge is up.
//
// Topics: a forward takes the text `local` off the front of the topic and puts `remote`
// there. Where several forwards match a message, it goes out once, at the highest of their
// QoS, as the first of them in the order of the options says. A subscription takes `remote`
// off and puts `local` there; the first that matches counts.
//
// If the other broker has lost the session (Session Present 0), what it did not acknowledge
// is published there as new. A message at QoS 2 for which PUBREC came is not: PUBREC says
// that the other broker has it (4.3.3), and to send it again could double it.
//
// Python says when to dial, and hears of what became of it: nmq_bridges_fd.
//
// Owner    the broker's; ended by nmq_broker_shutdown.
// Threads  thread-safe; each call may wait for the dial that it ends.
// Source   MQTT 5.0, 3.8.3.1 No Local, 4.3, 4.4, 4.9
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "io/tls.h" // cffi reads it too

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
    uint64_t refused;       // of those, not for any subscription or with no topic here
    uint64_t dropped;       // messages that do not cross, for any reason
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

// Makes the bridge of that name, or changes it where it is: what waits stays, but what no
// forward wants any more goes as the first one says, or is dropped if there is none. What
// CONNECT says holds from the next dial on, the rest at once. *number identifies it until
// it is ended. Returns NMQ_OK; NMQ_EINVAL for an option out of its range, NMQ_EFILTER or
// NMQ_ETOPIC; NMQ_ENOMEM, NMQ_EFILES, or what nmq_subscriptions_put returns, and then some
// of it may be in force.
int nmq_bridges_put(nmq_bridges *bridges, const nmq_bridge_options *options,
                    uint64_t *number);

// Connects it, with what was tried before given up. host, port, tls, path and timeout_ms:
// as of nmq_dial_options; timeout_ms counts for CONNACK anew. Returns NMQ_OK, NMQ_ENOENT,
// NMQ_EINVAL, NMQ_ECLOSED or NMQ_ENOMEM.
int nmq_bridges_dial(nmq_bridges *bridges, uint64_t number, const char *host, uint16_t port,
                     const nmq_tls *tls, const char *path, uint32_t timeout_ms);

// Ends its connection or dial; it keeps what comes. Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_hang_up(nmq_bridges *bridges, uint64_t number);

// Ends the bridge of that name, and forgets what waits; one that was restored and never put
// too. Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_end(nmq_bridges *bridges, const char *name, size_t name_len);

// Ends those that were restored and never put. Returns how many.
int nmq_bridges_end_orphans(nmq_bridges *bridges);

// Returns NMQ_OK or NMQ_ENOENT.
int nmq_bridges_stats(nmq_bridges *bridges, uint64_t number, nmq_bridge_stats *out);

// Readable when there is news since nmq_bridges_next returned 0: read 8 bytes from it
// first, and do not close it. -1: no bridge was put yet.
int nmq_bridges_fd(nmq_bridges *bridges);

// Takes what is new of one bridge. Returns 1, or 0: there is nothing.
int nmq_bridges_next(nmq_bridges *bridges, nmq_bridge_news *out);
