// feed_record.h - a message, or an event, as a record of a feed. core/message.py and
// core/happened.py have the same heads, and a test compares them.
//
//     message  [head][topic name][client identifier][user name][properties][payload]
//     event    [head][client identifier][user name][text][message]
//
// Owner    everything is copied.
// Threads  thread-safe.
#pragma once
#include "base/event_kind.h"
#include "route/feed.h"
#include "route/who.h"
#include "store/message.h"

typedef struct {
    uint32_t size; // of the record
    uint32_t payload_len;
    uint32_t props_len;         // as in a packet, without the length in front
    uint32_t expiry_interval_s; // what is left of it
    int64_t at_ms;              // wall clock: when it was published
    uint32_t listener_key;      // of its publisher; see nmq_listener_options
    uint16_t topic_len;
    uint16_t client_id_len; // of its publisher
    uint16_t user_name_len;
    uint16_t port;
    uint8_t address[16]; // network order
    uint8_t address_len; // 4, 16, or 0: none
    uint8_t qos;         // as published
    uint8_t flags;       // enum nmq_feed_flags
} nmq_feed_message;

enum nmq_feed_flags {
    NMQ_FEED_RETAIN = 1,     // as published
    NMQ_FEED_RETAINED = 2,   // kept from before the tap was opened
    NMQ_FEED_EXPIRES = 4,    // it has a Message Expiry Interval
    NMQ_FEED_PUBLISHER = 8,  // it is known
    NMQ_FEED_USER_NAME = 16, // the publisher has one
    NMQ_FEED_AGAIN = 32,     // a consumer got it before
};

typedef struct {
    uint32_t size;       // of the record
    uint32_t kind;       // enum nmq_event_kind
    int64_t at_ms;       // wall clock
    uint32_t numbers[5]; // as events.def has them
    uint32_t listener_key;
    uint32_t text_len;
    uint32_t message_size; // 0: none
    uint16_t client_id_len;
    uint16_t user_name_len;
    uint16_t port;
    uint8_t address[16];
    uint8_t address_len;
    uint8_t flags; // PUBLISHER: there is a client; USER_NAME: it has one
    uint8_t why;   // enum nmq_why
} nmq_feed_event;

// What has happened. Everything is borrowed.
typedef struct {
    enum nmq_event_kind kind;
    enum nmq_why why;
    const nmq_who *who;               // NULL: no client
    const nmq_message_parts *message; // NULL: none
    nmq_bytes text;
    uint32_t numbers[5]; // as events.def has them
} nmq_event;

// Adds an event. Returns whether there was room.
bool nmq_feed_put_event(nmq_feed *feed, const nmq_event *event);

// Adds a message. flags: RETAINED and AGAIN, as they apply. Returns whether there was room.
bool nmq_feed_put_message(nmq_feed *feed, const nmq_message_parts *parts, uint8_t flags,
                          int64_t now_ms);
